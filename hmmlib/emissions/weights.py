"""Weighted sums over values, and how narrow a fitted scale may become.

Letters as in `hmmlib.emissions.protocol`: values (n, ...), weights (n, K).
"""

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import warn
from hmmlib.emissions.protocol import SMALLEST_SCALE

NEIGHBOURS = 0.05  # of all distinct values, side by side ...
WIDTH = 0.157  # ... and the median width that they take up in Normal(0, 1)
FAR_OFF = 10  # times the distance between the quartiles


def total(weights: Tensor, ndim: int) -> Tensor:
    """Weight of each state, shaped (K, 1, ...) to divide what has `ndim` axes; never 0."""
    sums = weights.sum(0)
    return torch.where(sums > 0, sums, 1.0).reshape(-1, *[1] * (ndim - 1))


def visited(weights: Tensor, ndim: int) -> Tensor:
    """Which states have any weight, shaped (K, 1, ...)."""
    return (weights.sum(0) > 0).reshape(-1, *[1] * (ndim - 1))


def weighted_mean(values: Tensor, weights: Tensor, old: Tensor) -> Tensor:
    """Mean of the values for each state, (K, ...); `old` for a state without weight.

    A component that is NaN counts in no mean.
    """
    ndim, missing = values.ndim, values.isnan()
    if not missing.any():
        mean = torch.tensordot(weights, values, dims=([0], [0])) / total(weights, ndim)
        return torch.where(visited(weights, ndim), mean, old)
    sums = torch.tensordot(weights, values.nan_to_num(0.0), dims=([0], [0]))
    mass = torch.tensordot(weights, (~missing).to(weights.dtype), dims=([0], [0]))
    return torch.where(mass > 0, sums / mass.clamp(min=1e-300), old)


def counted(values: Tensor, weights: Tensor) -> Tensor:
    """Which components of which states have weight on a value that is not NaN; (K, ...)."""
    there = (~values.isnan()).to(weights.dtype)
    return torch.tensordot(weights, there, dims=([0], [0])) > 0


def tallied(values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct single values, with the sum of the weights of each; vectors as they are."""
    if values.ndim > 1:
        return values, weights
    distinct, places = values[~values.isnan()].unique(return_inverse=True)
    sums = weights.new_zeros(len(distinct), weights.shape[1])
    return distinct, sums.index_add(0, places, weights[~values.isnan()])


def weighted_means(terms: Tensor, weights: Tensor) -> Tensor:
    """sum_n weights[n, k] terms[n, k] / sum_n weights[n, k], NaN left out; (K, ...).

    0 for a state, or for one of its components, without weight.
    """
    each = weights.reshape(*weights.shape, *[1] * (terms.ndim - 2))
    missing = terms.isnan()
    if not missing.any():
        return (each * terms).sum(0) / total(weights, terms.ndim - 1)
    mass = (each * ~missing).sum(0)
    return (each * terms.nan_to_num(0.0)).sum(0) / mass.clamp(min=1e-300)


def weighted_squares(values: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """Mean squared distance from `mean` (K, ...) for each state, NaN left out; (K, ...)."""
    return weighted_means((values.unsqueeze(1) - mean).square(), weights)


def normalised(counts: Tensor, old: Tensor, pseudo_count: float) -> Tensor:
    """Rows of counts as probabilities; zeros of `old` stay, rows without counts are `old`."""
    from hmmlib.emissions.loops import normalise  # numba takes a while to load

    before = in_rows(old)
    probs = np.empty_like(before)
    normalise(in_rows(counts), before, float(pseudo_count), probs)
    return torch.from_numpy(probs.reshape(old.shape)).to(old)


def in_rows(table: Tensor) -> np.ndarray:
    """The numbers as a compiled loop takes them, in float64; (rows, V)."""
    array = table.detach().numpy(force=True)
    return np.ascontiguousarray(array, dtype=np.float64).reshape(-1, array.shape[-1])


def spread(values: Tensor) -> Tensor:
    """The spread of neighbouring values among (n, ...), 1 where all are the same; (...).

    The median width of a window that holds a twentieth of all distinct values, in units
    that give the standard deviation for Gaussian values; at most the standard deviation.
    Neither a few readings that are far off nor levels that are far apart widen it.

    Raises:
        ValueError: where the spread is beyond all numbers.
    """
    if not len(values):
        return values.new_ones(values.shape[1:])
    values = torch.where(values.isnan(), values.nanmean(0), values)
    wide = values.std(0, correction=0)
    if not wide.isfinite().all():
        raise ValueError(
            f"observations: got values of up to {values.abs().max():.3g}, too large to be"
            " squared; needs other units"
        )
    widths = [_width(column) for column in values.reshape(len(values), -1).T]
    wide = torch.minimum(wide, torch.tensor(widths).to(wide).reshape(wide.shape))
    return torch.where(wide > 0, wide, 1.0)


def unit_of(values: Tensor) -> Tensor:
    """The standard deviation of values (n, ...), without those that are very far off; (...).

    Far off is beyond ten times the distance between the quartiles. 1 where all are the same.

    Raises:
        ValueError: where the spread is beyond all numbers.
    """
    wide = spread(values)  # raises
    if not len(values):
        return wide
    array = values.numpy(force=True)
    low, middle, high = np.nanquantile(array, [0.25, 0.5, 0.75], axis=0)
    far = (high > low) & (abs(array - middle) > FAR_OFF * (high - low))
    near = np.ma.array(array, mask=far | np.isnan(array))
    dense = not near.mask.any()
    unit = array.std(axis=0) if dense else np.ma.filled(near.std(axis=0), 1.0)
    unit = torch.as_tensor(unit).to(values)
    return torch.where(unit > 0, unit, 1.0)


def held_open(scale: Tensor, wide: Tensor, before: Tensor) -> Tensor:
    """Scales, none below a ten-thousandth of `wide`, or below `before` if that is smaller.

    Warns when a scale is held there.
    """
    smallest = torch.minimum(SMALLEST_SCALE * wide, before)
    held = scale < smallest
    if held.any():
        states = sorted(set(held.nonzero()[:, 0].tolist()))
        warn(
            f"emission: the scale of state {states} shrank onto a value, held at a"
            " ten-thousandth of the spread of neighbouring observations"
        )
    return torch.where(held, smallest.expand_as(scale), scale)


def _width(values: Tensor) -> float:
    """The median width of a window that holds a twentieth of the distinct values (n,)."""
    distinct = np.unique(values.numpy(force=True))
    if len(distinct) < 2:
        return 0.0
    apart = max(1, int(NEIGHBOURS * len(distinct)))
    return float(np.median(distinct[apart:] - distinct[:-apart])) / WIDTH
