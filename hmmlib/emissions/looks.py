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
    if values.device.type == "cpu" and values.dtype in (torch.int64, torch.float64):
        return within(_flat(values), num_symbols)
    lowest, highest = (each.item() for each in values.aminmax())
    if not (lowest >= 0 and highest < num_symbols):
        return False
    return not (values.is_floating_point() and (values % 1).any())


def are_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor an infinity among them."""
    if values.device.type == "cpu" and values.dtype is torch.float64:
        return finite(_flat(values))
    return math.isfinite(values.sum().item())


def _flat(values: Tensor) -> np.ndarray:
    values = values.detach() if values.requires_grad else values
    return values.numpy().reshape(-1)


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
