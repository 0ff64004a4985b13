"""The tables of a CSV file, read piece by piece, each row labelled with its line number."""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

LINES = 500_000  # read at once
PACKED = {".bz2", ".gz", ".tar", ".xz", ".zip", ".zst"}
BLANK_LINES = r"(?:[ \t]*(?:\r\n|\n|\r))*"


def tables(file) -> Iterator[pd.DataFrame]:
    """The tables of a CSV file, LINES rows at a time; an index is the line in the file.

    Args:
        file: a path, or a file that is open in text or binary mode; it is left open.

    Raises:
        ValueError: `file` is neither, or cannot be read as comma-separated UTF-8 text.
    """
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "read"):
        raise ValueError(
            f"file: got {type(file).__name__}, needs a path or an open file"
        )
    with _opened(file) as text:
        for table in _parsed(text):
            table.index += 2 + _num_skipped(text)
            yield _without_blank_lines(table)


class _Text:
    """A text file without its leading blank lines, which it counts.

    It refuses zero bytes: some versions of pandas end a cell there and lose the rest.
    """

    def __init__(self, file):
        self.file, self.num_blank, self.begun = file, 0, False

    def __iter__(self):
        return iter(self.file)

    def read(self, size=-1):
        text = self.file.read(size)
        while text and not self.begun:
            start = re.match(BLANK_LINES, text).end()
            self.num_blank += len(text[:start].splitlines())
            self.begun = start < len(text)
            text = text[start:] or self.file.read(size)
            if self.begun and re.match("#[^,]*$", text, re.M):
                raise ValueError(
                    f"file: line {self.num_blank + 1} is a comment, needs a line of column"
                    " names first"
                )
        if "\0" in text:
            raise ValueError(
                "file: contains zero bytes, needs text; was it cut off, or is it in an"
                " encoding other than UTF-8?"
            )
        return text


@contextmanager
def _opened(file) -> Iterator:
    """The file as text; pandas itself opens what is compressed or is not a local file."""
    if not hasattr(file, "read"):
        suffix = os.path.splitext(os.fspath(file))[1].lower()
        if suffix in PACKED or not os.path.isfile(file):
            yield file
            return
        with open(file, encoding="utf-8", newline="") as opened:
            yield _Text(opened)
    elif isinstance(file.read(0), bytes):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield _Text(text)
        finally:
            text.detach()  # the caller closes the file
    else:
        yield _Text(file)


def _num_skipped(text) -> int:
    """The number of blank lines before the column names."""
    return getattr(text, "num_blank", 0)


def _parsed(text) -> Iterator[pd.DataFrame]:
    """What pandas makes of the text. Raises ValueError where pandas cannot parse it."""
    reader = None
    while True:
        # Entered for each table, so that no filter of warnings is left on between two.
        with _in_words(text):
            if reader is None:
                reader = pd.read_csv(
                    text,
                    index_col=False,
                    chunksize=LINES,
                    low_memory=False,
                    skip_blank_lines=False,
                )
            table = next(reader, None)
        if table is None:
            return
        yield table


@contextmanager
def _in_words(text) -> Iterator[None]:
    """Turns errors and warnings of pandas' parser into ValueError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except pd.errors.EmptyDataError as error:
        raise ValueError(
            "file: the file or its first line is empty, needs a line of column names"
        ) from error
    except UnicodeError as error:
        raise ValueError(
            f"file: not UTF-8 text ({error}); for another encoding, pass"
            " open(path, encoding=...)"
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(
            f"file: {_with_true_lines(error, text)}; needs as many cells in each line as"
            " there are column names, separated by commas, and decimal points in numbers"
        ) from error


def _with_true_lines(error: Exception, text) -> str:
    """A parser's message in which line numbers are those of the file."""
    return re.sub(
        r"(?<=line )\d+",
        lambda line: str(int(line[0]) + _num_skipped(text)),
        " ".join(str(error).split())[:200],
    )


def _without_blank_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of which at least one cell holds more than blanks."""
    first = table.iloc[:, 0][table.iloc[:, 1:].isna().all(axis=1)]
    blank = first.isna() | (first.astype(str).str.strip() == "")
    return table.drop(first.index[blank])
