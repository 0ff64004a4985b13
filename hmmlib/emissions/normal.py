"""Normal: one number with Gaussian noise; each state has its own mean and scale."""

import math

import numpy as np
import torch
from torch.distributions import Normal

from hmmlib.emissions.parts import of_valid
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    Lookup,
    blank,
    fit,
    log_prob,
    lookup,
    m_step,
    surely_in_support,
    widened,
)
from hmmlib.emissions.weights import (
    SMALLEST_SCALE,
    held_open,
    spread,
    visited,
    weighted_mean,
    weighted_squares,
)


@log_prob.register
def _(emission: Normal, values):
    apart = (values - emission.loc) / emission.scale
    constant = emission.scale.log() + 0.5 * math.log(2 * math.pi)
    return apart.square().mul(-0.5) - constant


@surely_in_support.register
def _(emission: Normal, values):
    return bool(values.isfinite().all())


@lookup.register
def _(emission: Normal, values):
    if emission.event_shape or len(emission.batch_shape) != 1 or values.requires_grad:
        return None
    density = -emission.scale.log() - math.log(2 * math.pi) / 2
    table = torch.stack([density, emission.loc, 1 / emission.scale])
    return Lookup(table, values=values.to(table.dtype))


@m_step.register
def _(emission: Normal, statistics, limits=NO_LIMITS):
    """From sums of p(z_t | x) times 1, x_t - loc and (x_t - loc)^2, (3, K).

    None where the variance may have lost its digits to cancellation, and where a scale is
    so small, beside that of all observations, that these have to be looked at.
    """
    given = statistics, emission.loc, emission.scale
    (mass, first, second), loc, scale = (x.numpy(force=True) for x in given)
    visited = mass > 0
    weight = np.where(visited, mass, 1.0)
    shift, square = first / weight, second / weight
    variance = square - shift * shift
    loc, wide = loc + shift, np.maximum(variance, np.square(limits.min_scale))
    total = mass.sum() or 1.0  # 0 where every reading is missing
    middle = (mass @ loc) / total
    overall = (mass @ (variance + (loc - middle) ** 2)) / total
    # Digits may have cancelled, or the floor of `held_open` may be near.
    doubtful = (wide <= 1e-6 * square) | (wide <= (2 * SMALLEST_SCALE) ** 2 * overall)
    if (doubtful & visited).any():
        return None
    scale = np.where(visited, np.sqrt(wide), scale)
    loc, scale = (torch.from_numpy(x).to(emission.loc) for x in (loc, scale))
    return of_valid(Normal, loc=loc, scale=scale)


@fit.register
def _(emission: Normal, values, weights, limits=NO_LIMITS):
    mean = weighted_mean(values, weights, emission.loc)
    scale = weighted_squares(values, weights, mean).sqrt()
    counted = visited(weights, values.ndim)
    if values.isnan().any():
        counted = scale > 0
    scale = torch.where(counted, scale, emission.scale).clamp(min=limits.min_scale)
    return Normal(mean, held_open(scale, spread(values), emission.scale))


@blank.register
def _(emission: Normal, num_states, values):
    loc, scale = values.nanmean(0), spread(values)
    return Normal(*(x.expand(num_states, *x.shape) for x in (loc, scale)))


@widened.register
def _(emission: Normal, min_scale):
    if not (emission.scale < min_scale).any():
        return emission
    return Normal(emission.loc, emission.scale.clamp(min=min_scale))
