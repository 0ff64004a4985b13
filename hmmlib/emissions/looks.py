"""A look at each of many observations, compiled.

A reduction of torch shares a long tensor out among threads, which go on spinning for a
while: they are in the way of the loops that follow, and of all that runs beside them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from hmmlib.jit import compiled


def are_symbols(values: Tensor, num_symbols: int) -> bool:
    """Whether all are whole numbers from 0 to below `num_symbols`; NaN is not."""
    array = _as_array(values, (torch.int64, torch.float64))
    if array is not None:
        return within(array, num_symbols)
    lowest, highest = (each.item() for each in values.aminmax())
    if not (lowest >= 0 and highest < num_symbols):
        return False
    return not (values.is_floating_point() and (values % 1).any())


def are_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor an infinity among them."""
    array = _as_array(values, (torch.float64,))
    if array is not None:
        return finite(array)
    return math.isfinite(values.sum().item())


def _as_array(values: Tensor, dtypes: tuple) -> np.ndarray | None:
    """The numbers in one row; None for other types, devices and what torch.func wraps."""
    if values.device.type != "cpu" or values.dtype not in dtypes:
        return None
    try:
        return values.detach().numpy().reshape(-1)
    except RuntimeError:
        return None


@compiled
def within(values, num_symbols):
    """Whether all of (n,) are whole numbers from 0 to below `num_symbols`."""
    fine = True
    for x in values:
        fine &= 0 <= x < num_symbols and x == np.floor(x)
    return fine


@compiled
def finite(values):
    """Whether all of (n,) are finite."""
    fine = True
    for x in values:
        fine &= abs(x) < np.inf
    return fine
