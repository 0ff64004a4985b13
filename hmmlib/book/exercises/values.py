"""Answers as arrays, and whether two of them agree."""

import math
import reprlib

import numpy as np
from torch import Tensor

ANY = math.nan  # an entry that agrees with whatever the answer has in its place


def only(at: int, word: str, size: int) -> list:
    """A list of `size` words of which only the one at this position matters."""
    return [word if i == at else ANY for i in range(size)]


def as_array(value) -> np.ndarray:
    """Numbers as float64, words in lower case. Raises TypeError for anything else."""
    array = np.asarray(_without_tensors(value))
    if array.dtype.kind == "U":
        return np.char.lower(np.char.strip(array))
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{array.dtype}")
    return array.astype(float)


def _without_tensors(value):
    """The value with every tensor in it, also inside lists, as an array."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    if isinstance(value, list | tuple):
        return [_without_tensors(each) for each in value]
    return value


def matches(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Whether shape and words are the same, or numbers within the relative tolerance."""
    if found.shape != expected.shape or found.dtype.kind != expected.dtype.kind:
        return False
    if expected.dtype.kind == "U":
        return bool(((expected == str(ANY)) | (found == expected)).all())
    return bool((np.isnan(expected) | agree(found, expected, tolerance)).all())


def agree(found: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Which entries agree, booleans. Entries far below the largest may differ a little more."""
    size = abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return np.isclose(found, expected, rtol=tolerance, atol=tolerance / 100 * size)


def described(value) -> str:
    """A value in a few words: `a (2, 3) array`, a short literal, or the name of its type."""
    if isinstance(value, Tensor | np.ndarray) and not getattr(
        value, "is_nested", False
    ):
        return f"a {tuple(value.shape)} array"
    if isinstance(value, bool | int | float | str | list):
        return reprlib.repr(value)
    return type(value).__name__
