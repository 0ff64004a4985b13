"""Words for wrong input, where more than one module needs the same ones."""

import operator

import torch
from torch import Tensor


def as_count(name: str, value) -> int:
    """`value` as an int of at least 1. Raises ValueError naming the argument."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name}: got {value!r}, needs an integer of at least 1")
    return count


def as_lengths(lengths, steps: tuple[int, ...]) -> Tensor:
    """`lengths` as (N,) integers from 1 to T, for `steps` (N, T). Raises ValueError."""
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"lengths: got {lengths!r}, needs integers") from error
    if len(steps) != 2 or tuple(lengths.shape) != (steps[0],):
        raise ValueError(
            f"lengths: got shape {tuple(lengths.shape)}, needs (N,), one for each sequence"
        )
    whole = lengths.dtype in (
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    )
    if not whole or lengths.long().min() < 1 or lengths.long().max() > steps[1]:
        raise ValueError(
            f"lengths: got {lengths.tolist()}, needs integers from 1 to {steps[1]}"
        )
    return lengths.long()
