"""Models as JSON files that a reader can check: decimal numbers and a checksum, no pickle.

    {"format": "hmmlib", "version": 1, "kind": "HMM", "content": {...}, "sha256": "..."}

Floats are written so that they come back to the last bit. The checksum is of the content,
version and kind; any changed digit is refused. A later version of the format gets a higher
number, and must read all earlier ones; a file with a number above VERSION is refused.
"""

import hashlib
import json
import math
from pathlib import Path

import torch
import torch.distributions
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions

VERSION = 1


def save(path: str | Path, kind: str, content: dict) -> None:
    """Write tensors, distributions, numbers, text, and lists and dicts of them."""
    body = {"format": "hmmlib", "version": VERSION, "kind": kind}
    body["content"] = to_plain(content)
    body["sha256"] = _checksum(json.dumps(body))
    text = json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load(path: str | Path, kind: str) -> dict:
    """The content that `save` wrote.

    Raises:
        ValueError: for a file that is damaged, of another kind, or from a later format.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        body = json.loads(text)
        found, version, checksum = body["format"], body["version"], body["sha256"]
        content = body["content"]
    except (UnicodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"path: {path} is no whole file of hmmlib ({type(error).__name__}: {error});"
            " needs one that `save` wrote"
        ) from error
    if found != "hmmlib" or not isinstance(version, int):
        raise ValueError(f"path: {path} has format {found!r}, needs 'hmmlib'")
    if version > VERSION:
        raise ValueError(
            f"path: {path} has format version {version}, this hmmlib reads up to {VERSION};"
            " needs a newer hmmlib"
        )
    if checksum != _checksum(text):
        raise ValueError(
            f"path: {path} was changed after it was written: its checksum does not fit;"
            " needs the file as `save` wrote it"
        )
    if body["kind"] != kind:
        raise ValueError(f"path: {path} holds a {body['kind']}, needs a {kind}")
    return from_plain(content)


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
    """The opposite of `to_plain`."""
    if isinstance(value, dict) and "tensor" in value:
        dtype = getattr(torch, value["dtype"])
        return torch.tensor(_with_nan(value["tensor"]), dtype=dtype)
    if isinstance(value, dict) and "family" in value:
        family = emissions.family_named(value["family"])
        return emissions.construct(family, from_plain(value["arguments"]))
    if isinstance(value, dict):
        return {key: from_plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [from_plain(each) for each in value]
    return value


def _checksum(text: str) -> str:
    """sha256 of a JSON text without its own checksum: of each digit, not of its value."""
    body = json.loads(text, parse_float=str, parse_int=str)
    body.pop("sha256", None)
    told = json.dumps(body, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _without_nan(numbers):
    """Nested lists with text for what JSON has no number for."""
    if isinstance(numbers, list):
        return [_without_nan(each) for each in numbers]
    return numbers if math.isfinite(numbers) else str(numbers)


def _with_nan(numbers):
    if isinstance(numbers, list):
        return [_with_nan(each) for each in numbers]
    return float(numbers) if isinstance(numbers, str) else numbers
