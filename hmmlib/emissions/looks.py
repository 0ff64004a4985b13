"""A look at each of many observations, by a compiled loop, for two reasons.

A reduction of torch shares a long tensor out among threads, which go on spinning for a
while: they are in the way of the loops that follow, and of all that runs beside them. And
of a short tensor, its calls cost more than all the rest of an answer. Before the loops are
there, though, a short tensor is left to torch, which takes no half second to load.
"""

import math
import sys

import numpy as np
import torch
from torch import Tensor

LONG = 30_000  # numbers; torch shares out from 32,768 on


def are_symbols(values: Tensor, num_symbols: int) -> bool:
    """Whether all are whole numbers from 0 to below `num_symbols`; NaN is not."""
    if (array := _as_array(values)) is not None:
        from hmmlib.emissions.loops import within  # numba takes a while to load

        return within(array, num_symbols)
    lowest, highest = values.aminmax()
    if not (lowest.item() >= 0 and highest.item() < num_symbols):
        return False
    return not (values.is_floating_point() and (values % 1).any())


def are_finite(values: Tensor) -> bool:
    """Whether there is neither NaN nor an infinity among them."""
    if (array := _as_array(values)) is not None:
        from hmmlib.emissions.loops import finite  # numba takes a while to load

        return finite(array)
    return math.isfinite(values.sum().item())


def _as_array(values: Tensor) -> np.ndarray | None:
    """The numbers in one row; None where torch is to look at them: for short tensors before
    numba is loaded, on other devices, and for other types.
    """
    if values.numel() < LONG and "hmmlib.jit" not in sys.modules:
        return None
    if values.device.type != "cpu" or values.dtype not in (torch.int64, torch.float64):
        return None
    try:
        values = values.detach() if values.requires_grad else values
        return values.numpy().reshape(-1)
    except RuntimeError:  # inside of torch.func
        return None
