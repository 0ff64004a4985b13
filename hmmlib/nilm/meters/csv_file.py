"""The tables of a CSV file, read piece by piece, each row labelled with its line number."""

import bz2
import gzip
import io
import lzma
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from hmmlib.nilm.meters.layout import Layout
from hmmlib.nilm.meters.source import Source

HEAD = 16_384  # characters that are looked at before a file is read
LINES = 500_000  # read at once
UNPACK = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}
PACKED = {".tar", ".zip", ".zst"}  # what only pandas opens
LINE_END = re.compile(r"\r\n|\n|\r")
BLANK_LINES = r"(?:[ \t]*(?:\r\n|\n|\r))*"


class Text:
    """A text file whose first lines can be looked at; leading blank lines are dropped.

    It refuses zero bytes: some versions of pandas end a cell there and lose the rest.
    """

    def __init__(self, file):
        self.file, self.ahead = file, ""
        self.num_dropped, self.begun = 0, False

    def __iter__(self):
        return iter(self.read, "")

    def head(self) -> list[str]:
        """The first lines of the file, which are still to be read."""
        self._look_ahead(HEAD)
        return LINE_END.split(self.ahead)

    def skip(self, num_lines: int) -> None:
        """Drops the next lines."""
        for _ in range(num_lines):
            while not (end := LINE_END.search(self.ahead)):
                if not self._look_ahead(len(self.ahead) + HEAD):
                    break
            self.ahead = self.ahead[end.end() :] if end else ""
        self.num_dropped += num_lines

    def read(self, size=-1) -> str:
        """The next characters, without the blank lines at the start.

        Raises ValueError for zero bytes.
        """
        while text := self._next(size):
            if not self.begun:
                start = re.match(BLANK_LINES, text).end()
                self.num_dropped += len(LINE_END.findall(text[:start]))
                self.begun = start < len(text)
                text = text[start:]
            if text:
                break
        if "\0" in text:
            raise ValueError(
                "file: contains zero bytes, needs text; was it cut off, or is it in an"
                " encoding other than UTF-8?"
            )
        return text

    def _next(self, size: int) -> str:
        """At most `size` characters, first those that were looked at."""
        if not self.ahead:
            return self.file.read(size)
        end = len(self.ahead) if size < 0 else size
        text, self.ahead = self.ahead[:end], self.ahead[end:]
        return text if size >= 0 else text + self.file.read()

    def _look_ahead(self, size: int) -> bool:
        """Whether there are more characters to look at, up to `size`."""
        before = len(self.ahead)
        while len(self.ahead) < size and (more := self.file.read(HEAD)):
            self.ahead += more
        return len(self.ahead) > before


@contextmanager
def opened(file) -> Iterator:
    """The file as `Text`; or a path, where only pandas can open what is there.

    An open file is left open. Raises ValueError unless it is a path or an open file.
    """
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "read"):
        raise ValueError(
            f"file: got {type(file).__name__}, needs a path or an open file"
        )
    if not hasattr(file, "read"):
        suffix = os.path.splitext(os.fspath(file))[1].lower()
        if suffix in PACKED or not os.path.isfile(file):
            yield file
            return
        unpack = UNPACK.get(suffix, open)
        with unpack(file, "rt", encoding="utf-8", newline="") as text:
            yield Text(text)
    elif isinstance(file.read(0), bytes):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield Text(text)
        finally:
            text.detach()  # the caller closes the file
    else:
        yield Text(file)


def head(text) -> list[str]:
    """The first lines of an `opened` file; none of one that only pandas can open."""
    with _in_words(text, ","):
        return text.head() if isinstance(text, Text) else []


def tables(text, layout: Layout, source: Source) -> Iterator[pd.DataFrame]:
    """The tables of an `opened` file, LINES rows at a time; an index is the line in the file.

    Raises ValueError where it cannot be read as text that is written as `layout` says.
    """
    cure = ""
    if isinstance(text, Text):
        with _in_words(text, layout.separator):
            text.skip(layout.skip_lines)
            _refuse_comment(text, layout, source)
            cure = _with_semicolons(text.head(), layout, source)
    reader = None
    first = 1 + (not layout.columns)
    while True:
        # Entered for each table, so that no filter of warnings is left on between two.
        with _in_words(text, layout.separator, cure):
            if reader is None:
                reader = _parsed(text, layout)
            table = next(reader, None)
        if table is None:
            return
        table.index += first + _num_dropped(text, layout)
        yield _without_blank_lines(table)


def _refuse_comment(text: Text, layout: Layout, source: Source) -> None:
    """Raises ValueError where a comment stands in the place of the column names."""
    lines = text.head()
    number = next((n for n, line in enumerate(lines) if line.strip()), 0)
    line = lines[number].lstrip("\ufeff")
    if line.startswith("#") and layout.separator not in line and not layout.columns:
        number += layout.skip_lines + 1
        raise ValueError(
            f"file: line {number} is a comment, needs a line of column names first;"
            f" {source.call(skip_lines=number)} skips it"
        )


def _with_semicolons(lines: list[str], layout: Layout, source: Source) -> str:
    """The call for a file whose cells are separated by semicolons."""
    if layout.separator != "," or not any(";" in line for line in lines[:1]):
        return ""
    return f", such as {source.call(separator=';', decimal=',')}"


def _parsed(text, layout: Layout) -> Iterator[pd.DataFrame]:
    """What pandas makes of the text."""
    names = {"header": None, "names": layout.columns} if layout.columns else {}
    cells = [str(cell) for cell in layout.missing]
    return pd.read_csv(
        text,
        sep=r"\s+" if layout.separator == " " else layout.separator,
        decimal=layout.decimal,
        skiprows=0 if isinstance(text, Text) else layout.skip_lines,
        na_values=dict.fromkeys((*layout.power, *layout.export), cells),
        index_col=False,
        chunksize=LINES,
        low_memory=False,
        skip_blank_lines=False,
        **names,
    )


def _num_dropped(text, layout: Layout) -> int:
    """The number of lines before the column names."""
    return text.num_dropped if isinstance(text, Text) else layout.skip_lines


@contextmanager
def _in_words(text, separator: str, cure: str = "") -> Iterator[None]:
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
            " open(path, encoding=...), such as encoding='latin-1'"
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        apart = "commas" if separator == "," else repr(separator)
        raise ValueError(
            f"file: {_with_true_lines(error, text)}; needs as many cells in each line as"
            f" there are column names, separated by {apart}, and decimal points in numbers,"
            f" unless separator= and decimal= say otherwise{cure}"
        ) from error


def _with_true_lines(error: Exception, text) -> str:
    """A parser's message in which line numbers are those of the file."""
    dropped = text.num_dropped if isinstance(text, Text) else 0
    if isinstance(error, pd.errors.ParserWarning):
        return "the lines have more cells than there are column names"
    return re.sub(
        r"(?<=line )\d+",
        lambda line: str(int(line[0]) + dropped),
        " ".join(str(error).split())[:200],
    )


def _without_blank_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of which at least one cell holds more than blanks."""
    first = table.iloc[:, 0][table.iloc[:, 1:].isna().all(axis=1)]
    blank = first.isna() | (first.astype(str).str.strip() == "")
    return table.drop(first.index[blank])
