"""Models as JSON files that a reader can check: decimal numbers and a checksum, no pickle.

    {"format": "hmmlib", "version": 1, "kind": "HMM", "content": {...}, "sha256": "..."}

Floats are written so that they come back to the last bit. The checksum is of the content,
version and kind; any changed digit is refused. A later version of the format gets a higher
number, and must read all earlier ones; a file with a number above VERSION is refused.

A checksum proves no good will: whoever can write a file can write its checksum. What is read
is built by the same constructors, and passes the same checks, as what a caller passes; no
file makes `load` take more memory than some forty times the file, or look up code by name.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributions
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.checks import NUMBERS, told

VERSION = 1
MOST_BYTES = 2**27  # of a file: some five million numbers
DIGITS = 20  # of an integer of 64 bits, with its sign
CHUNK = 10_000  # numbers that are put into the checksum at once
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in NUMBERS}


def save(path: str | Path, kind: str, content: dict) -> None:
    """Write tensors, distributions, numbers, text, and lists and dicts of them.

    Raises ValueError for numbers that are not finite, and for more than 128 MiB.
    """
    body = {"format": "hmmlib", "version": VERSION, "kind": kind}
    body["content"] = to_plain(content)
    body["sha256"] = _checksum(_parsed(json.dumps(body), as_text=True))
    text = json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    data = text.encode()
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"model: its file would have {len(data):,} bytes, needs at most {MOST_BYTES:,};"
            " such large tables are better kept by torch.save"
        )
    Path(path).write_bytes(data)


def load(path: str | Path, kind: str, build: Callable | None = None):
    """What `build` makes of the content that `save` wrote; without it, the content.

    Raises:
        ValueError: for a file that is damaged, too large, of another kind, or from a later
            format, and for content that makes no model.
    """
    text = _read(path)
    try:
        body = _parsed(text, as_text=True)
        found, version, checksum = body["format"], body["version"], body["sha256"]
        right, same = _checksum(body) == checksum, body["kind"] == kind
        content, written = body["content"], body["kind"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"path: {path} is no whole file of hmmlib ({type(error).__name__}:"
            f" {_short(error)}); needs one that `save` wrote"
        ) from error
    del body, content
    if found != "hmmlib" or not _is_version(version):
        what = f"{told(found)[:50]}, version {told(version)[:50]}"
        raise ValueError(f"path: {path} has format {what}, needs 'hmmlib'")
    if int(version) > VERSION:
        raise ValueError(
            f"path: {path} has format version {version}, this hmmlib reads up to {VERSION};"
            " needs a newer hmmlib"
        )
    if not right:
        raise ValueError(
            f"path: {path} was changed after it was written: its checksum does not fit;"
            " needs the file as `save` wrote it"
        )
    if not same:
        raise ValueError(f"path: {path} holds a {str(written)[:50]}, needs a {kind}")
    try:
        content = from_plain(_parsed(text)["content"])
        return content if build is None else build(content)
    except Exception as error:  # whatever a family raises for what is not its own
        raise ValueError(
            f"path: {path} holds what makes no {kind} ({type(error).__name__}:"
            f" {_short(error)}); needs a file that `save` wrote"
        ) from error


def to_plain(value):
    """Tensors and distributions in terms of JSON.

    Raises:
        ValueError: for what has no such terms, such as a distribution of the caller's own.
    """
    if isinstance(value, Tensor):
        numbers = _without_nan(value.detach().cpu().tolist())
        return {"tensor": numbers, "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, Distribution):
        family, given = type(value).__name__, emissions.constructed_with(value)
        if emissions.family_named(family) is not type(value):
            raise ValueError(
                f"emission: got {type(value)}, which cannot be saved; needs a family of"
                " torch.distributions or hmmlib.emissions"
            )
        return {"family": family, "arguments": to_plain(given)}
    if isinstance(value, dict):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"emission: holds a {type(value).__name__}, which cannot be saved")


def from_plain(value):
    """The opposite of `to_plain`; lists and dicts are changed in place, to save memory.

    Raises:
        ValueError: for a family or a dtype that `to_plain` never writes.
    """
    if isinstance(value, list):
        for n, each in enumerate(value):
            value[n] = from_plain(each)
    if not isinstance(value, dict):
        return value
    if value.keys() == {"tensor", "dtype"}:
        dtype = DTYPES[value["dtype"]]
        return torch.tensor(_with_nan(value["tensor"]), dtype=dtype)
    if value.keys() == {"family", "arguments"}:
        family = emissions.family_named(value["family"])
        if family is None:
            raise ValueError(
                f"family: {told(value['family'])} is none of hmmlib or torch"
            )
        return emissions.construct(family, from_plain(value["arguments"]))
    for key, each in value.items():
        value[key] = from_plain(each)
    return value


def _read(path: str | Path) -> str:
    """The text of a file. Raises ValueError for one that is too large, or no text."""
    size = (
        Path(path).stat().st_size or MOST_BYTES
    )  # 0 of what is no file, such as a pipe
    with Path(path).open("rb") as file:
        data = b"" if size > MOST_BYTES else file.read(size + 1)
    if max(size, len(data)) > MOST_BYTES:
        raise ValueError(
            f"path: {path} has more than {MOST_BYTES:,} bytes, needs a file that `save` wrote"
        )
    try:
        return data.decode()
    except UnicodeError as error:
        raise ValueError(
            f"path: {path} is no whole file of hmmlib ({error}); needs one that `save` wrote"
        ) from error


def _parsed(text: str, as_text: bool = False):
    """A JSON text, each name given once; numbers as their digits, if `as_text`.

    Raises:
        ValueError: for what `save` never writes: NaN, infinities, a number beyond float64 or
            64 bits, and a name that is given twice.
    """
    numbers = (str, str) if as_text else (_float, _int)
    hooks = dict(zip(("parse_float", "parse_int"), numbers, strict=True))
    return json.loads(text, object_pairs_hook=_once, parse_constant=_constant, **hooks)


def _once(pairs: list[tuple]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(
            f"a name is given twice among {told(sorted(k for k, _ in pairs))}"
        )
    return found


def _constant(name: str):
    raise ValueError(f"{name} is no number of JSON")


def _int(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, needs at most {DIGITS}")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{told(digits)} is beyond all floats")
    return number


def _is_version(digits) -> bool:
    """Whether it is the text of a whole number above 0, of a few digits."""
    known = isinstance(digits, str) and digits.isdecimal() and len(digits) < DIGITS
    return known and int(digits) > 0


def _short(error: Exception) -> str:
    """The first words of an error, on one line."""
    return " ".join(str(error)[:300].split())


def _checksum(body: dict) -> str:
    """sha256 of what a file says, beside its checksum: of each digit, not of its value."""
    digest = hashlib.sha256()
    body = {key: body[key] for key in body if key != "sha256"}
    for part in _told(body):
        digest.update(part.encode())
    return digest.hexdigest()


def _told(value):
    """`json.dumps(value, sort_keys=True)` in parts, so that it is never there in full."""
    if isinstance(value, dict):
        for n, key in enumerate(sorted(value)):
            yield f"{', ' if n else '{'}{json.dumps(key)}: "
            yield from _told(value[key])
        yield "}" if value else "{}"
    elif isinstance(value, list):
        for start in range(0, len(value), CHUNK):
            some = value[start : start + CHUNK]
            yield ", " if start else "["
            if any(isinstance(each, dict | list) for each in some):
                for n, each in enumerate(some):
                    yield ", " if n else ""
                    yield from _told(each)
            else:
                yield json.dumps(some)[1:-1]
        yield "]" if value else "[]"
    else:
        yield json.dumps(value)


def _without_nan(numbers):
    """Nested lists with text for what JSON has no number for."""
    if isinstance(numbers, list):
        return [_without_nan(each) for each in numbers]
    return numbers if math.isfinite(numbers) else str(numbers)


def _with_nan(numbers):
    if isinstance(numbers, list):
        return [_with_nan(each) for each in numbers]
    return float(numbers) if isinstance(numbers, str) else numbers
