"""Words for wrong input, where more than one module needs the same ones."""

import operator
import reprlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MOST = 10**9  # of anything that is counted
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
NUMBERS = (*REAL, *WHOLE, torch.uint16, torch.uint32, torch.uint64, torch.bool)


def as_tensor(name: str, values, hint: str = "") -> Tensor:
    """Tensors as they are, the rest copied by numpy, so that floats stay float64.

    Raises ValueError for what is no array of real numbers, held one beside the other.
    """
    if isinstance(values, Tensor):
        if values.is_nested or values.layout is not torch.strided or values.is_meta:
            found = "nested" if values.is_nested else str(values.layout)
            found = "tensor without numbers" if values.is_meta else f"{found} tensor"
            raise ValueError(f"{name}: got a {found}, needs a dense tensor")
        if values.dtype not in NUMBERS:
            raise ValueError(f"{name}: got {values.dtype}, needs real numbers")
        return values
    try:
        if isinstance(values, list | tuple) and any(
            isinstance(x, Tensor) for x in values
        ):
            return torch.stack([as_tensor(name, x) for x in values])
        array = np.array(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{array.dtype}")
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return torch.tensor(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        found = type(values).__name__
        raise ValueError(
            f"{name}: got {found}, needs a tensor or a list of numbers{hint}"
        ) from error


def as_count(name: str, value, least: int = 1) -> int:
    """`value` as an int from `least` to a thousand million. Raises ValueError."""
    try:
        count = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        count = least - 1
    if count < least or isinstance(value, bool):
        raise ValueError(
            f"{name}: got {told(value)}, needs an integer of at least {least}"
        )
    if count > MOST:
        raise ValueError(f"{name}: got {told(value)}, needs at most {MOST:,}")
    return count


def as_seed(seed) -> int | None:
    """None, or an int from 0 to below 2^63. Raises ValueError."""
    if seed is None:
        return None
    try:
        number = operator.index(seed)
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if not 0 <= number < 2**63:
        raise ValueError(
            f"seed: got {told(seed)}, needs an integer from 0 to below 2^63, or None"
        )
    return number


def as_number(name: str, value, needs: str, fits: Callable[[float], bool]) -> float:
    """`value` as a float that `fits`. Raises ValueError that says what it needs."""
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = None
    if number is None or isinstance(value, str | bytes | bool) or not fits(number):
        raise ValueError(f"{name}: got {told(value)}, needs {needs}")
    return number


def as_kind(name: str, value, kind: type):
    """`value`, which is a `kind`. Raises ValueError."""
    if not isinstance(value, kind):
        found = type(value).__name__
        raise ValueError(f"{name}: got {found}, needs a {kind.__name__}")
    return value


def as_lengths(lengths, steps: tuple[int, ...]) -> Tensor:
    """`lengths` as (N,) integers from 1 to T, for `steps` (N, T). Raises ValueError."""
    lengths = as_tensor("lengths", lengths)
    if len(steps) != 2 or tuple(lengths.shape) != (steps[0],):
        raise ValueError(
            f"lengths: got shape {tuple(lengths.shape)}, needs (N,), one for each sequence"
        )
    whole = lengths.dtype in WHOLE
    if not whole or lengths.long().min() < 1 or lengths.long().max() > steps[1]:
        raise ValueError(
            f"lengths: got {told(lengths.tolist())}, needs integers from 1 to {steps[1]}"
        )
    return lengths.long()


def told(value) -> str:
    """A value in a few words, on one line."""
    return " ".join(reprlib.repr(value).split())
