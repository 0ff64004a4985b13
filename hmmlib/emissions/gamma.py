"""Gamma: positive numbers, skewed to the right; each state has its own mean and shape.

The M-step needs the weighted mean and the weighted mean of the logarithms; the shape
(`concentration`) is found by Newton's method (Minka 2002, Estimating a Gamma distribution).
0 is refused: the density there is 0 or infinite, unless the shape is exactly 1.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Chi2, Distribution, Gamma

from hmmlib.emissions.condensed import condensed, two_each
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    in_support,
    log_prob,
    needed,
    widened,
)
from hmmlib.emissions.weights import (
    counted,
    held_open,
    spread,
    weighted_mean,
    weighted_means,
)

LARGE = 100.0  # shapes above it are handled by Stirling's series, without cancellation


@log_prob.register
def _(emission: Gamma, values):
    # a (1 - r + log r) - log x - (log Gamma(a) - a log a + a), with r = x / mean
    possible = values > 0
    values = values.masked_fill(~possible, 1.0)
    shape = emission.concentration
    scores = -shape * _distance(values, emission.mean) - values.log() - _rest(shape)
    return scores.masked_fill(~possible, -torch.inf)


@in_support.register
def _(emission: Gamma, values):
    positive = values > 0
    return positive.expand(torch.broadcast_shapes(positive.shape, emission.batch_shape))


@needed.register
def _(emission: Gamma):
    return "a finite value above 0"


@fit.register
def _(emission: Gamma, values, weights, limits=NO_LIMITS):
    mean = weighted_mean(values, weights, emission.mean)
    # log of the mean less mean of the logs, which is log a - digamma(a) at the maximum
    shape = _shape_of(_mean_distance(values, weights, mean).clamp(min=1e-30))
    moved, before = counted(values, weights), emission.stddev
    scale = torch.where(moved, mean / shape.sqrt(), before)  # the standard deviation
    held = scale.clamp(min=limits.min_scale)
    held = held_open(held, spread(values), before)
    narrow = held > scale
    shape = torch.where(narrow, (mean / held).square(), shape)
    if narrow.any():  # where the floor costs more than the step gains, nothing moves
        better = _score(values, weights, mean, shape) >= _score(
            values, weights, emission.mean, emission.concentration
        )
        moved &= better | ~narrow | (before < (1 - 1e-9) * limits.min_scale)
    return Gamma(
        torch.where(moved, shape, emission.concentration),
        torch.where(moved, shape / mean, emission.rate),
    )


@condensed.register
def _(emission: Gamma, values, weights):
    # mean (1 - d) and mean (1 + d), whose logarithms have the mean of those of the values
    mean = weighted_mean(values, weights, emission.mean)
    gap = _mean_distance(values, weights, mean)
    apart = 1 + (-torch.expm1(-2 * gap)).sqrt()
    return two_each(mean * (-2 * gap).exp() / apart, mean * apart, weights.sum(0))


@blank.register
def _(emission: Gamma, num_states, values):
    one = values.new_ones(num_states, *values.shape[1:])
    return fit(Gamma(one, one), values, values.new_ones(len(values), num_states))


@widened.register
def _(emission: Gamma, min_scale):
    mean = emission.mean
    shape = torch.minimum(emission.concentration, (mean / min_scale).square())
    return Gamma(shape, shape / mean)


# Chi2 is a Gamma to torch, but has one parameter only.
for question in (fit, condensed, blank, widened):
    question.register(Chi2, question.dispatch(Distribution))


def _distance(values: Tensor, mean: Tensor) -> Tensor:
    """r - 1 - log r of r = values / mean: at least 0, and accurate where r is near 1."""
    apart = (values - mean) / mean
    near = apart.abs() < 0.5
    logs = apart.clamp(-0.5, 0.5).log1p()
    return apart - torch.where(near, logs, values.log() - mean.log())


def _mean_distance(values: Tensor, weights: Tensor, mean: Tensor) -> Tensor:
    """The weighted mean of `_distance` for each state, (K, ...)."""
    return weighted_means(_distance(values.unsqueeze(1), mean), weights)


def _score(values: Tensor, weights: Tensor, mean: Tensor, shape: Tensor) -> Tensor:
    """The weighted mean log density of each state, up to a constant; (K, ...)."""
    return -shape * _mean_distance(values, weights, mean) - _rest(shape)


def _rest(shape: Tensor) -> Tensor:
    """log Gamma(a) - a log a + a, by Stirling's series where a is large."""
    small, large = shape.clamp(max=LARGE), shape.clamp(min=LARGE)
    exact = torch.lgamma(small) - small * small.log() + small
    part = 1 / large
    series = part * (1 / 12 - part.square() * (1 / 360 - part.square() / 1260))
    series = series + (2 * math.pi * part).log() / 2
    return torch.where(shape < LARGE, exact, series)


def _gap_of(shape: Tensor) -> tuple[Tensor, Tensor]:
    """log a - digamma(a), and its derivative with respect to 1 / a."""
    small, part = shape.clamp(max=LARGE), 1 / shape.clamp(min=LARGE)
    gap = small.log() - torch.digamma(small)
    slope = small.square() * torch.polygamma(1, small) - small
    square = part.square()
    series = part * (1 / 2 + part * (1 / 12 - square * (1 / 120 - square / 252)))
    return (
        torch.where(shape < LARGE, gap, series),
        torch.where(shape < LARGE, slope, 1 / 2 + part / 6),
    )


def _shape_of(gap: Tensor) -> Tensor:
    """The shape a at which log a - digamma(a) is `gap` > 0; Newton's method on 1 / a."""
    shape = (3 - gap + ((gap - 3).square() + 24 * gap).sqrt()) / (12 * gap)
    for _ in range(10):  # the start is within 2%, four steps are enough
        found, slope = _gap_of(shape)
        shape = 1 / (1 / shape - (found - gap) / slope)
    return shape
