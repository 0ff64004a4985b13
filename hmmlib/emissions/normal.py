"""Normal: one number with Gaussian noise; each state has its own mean and scale."""

import math

import torch
from torch.distributions import Normal

from hmmlib.emissions.condensed import condensed, restated, two_each
from hmmlib.emissions.looks import are_finite
from hmmlib.emissions.parts import of_valid
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    Lookup,
    blank,
    fit,
    log_prob,
    lookup,
    m_step,
    of_table,
    surely_in_support,
    table_of,
    widened,
)
from hmmlib.emissions.weights import (
    counted,
    held_open,
    in_rows,
    spread,
    weighted_mean,
    weighted_squares,
)

# Of the mean square about the old mean, how much the variance has to be: else digits are lost
KEPT = 1e-6


@log_prob.register
def _(emission: Normal, values):
    apart = (values - emission.loc) / emission.scale
    constant = emission.scale.log() + 0.5 * math.log(2 * math.pi)
    return apart.square().mul(-0.5) - constant


@surely_in_support.register
def _(emission: Normal, values):
    return are_finite(values)


@lookup.register
def _(emission: Normal, values):
    if emission.event_shape or values.requires_grad:
        return None
    given = emission.loc.flatten(), emission.scale.flatten()
    return Lookup(given, values=values)


@table_of.register
def _(emission: Normal):
    return torch.stack([emission.loc, emission.scale])


@m_step.register
def _(emission: Normal, statistics, limits=NO_LIMITS):
    """From sums of p(z_t | x) times 1, x_t - loc and (x_t - loc)^2, (3, K).

    None where these do not suffice: see `loops.fit_gaussians`.
    """
    from hmmlib.emissions.loops import fit_gaussians  # numba takes a while to load

    table = in_rows(table_of(emission))
    if not fit_gaussians(in_rows(statistics), table, float(limits.min_scale), table):
        return None
    return of_table(emission, torch.from_numpy(table).to(emission.loc))


@of_table.register
def _(emission: Normal, table):
    loc, scale = table
    return of_valid(Normal, loc=loc, scale=scale)


@fit.register
def _(emission: Normal, values, weights, limits=NO_LIMITS):
    mean = weighted_mean(values, weights, emission.loc)
    scale = weighted_squares(values, weights, mean).sqrt()
    scale = torch.where(counted(values, weights), scale, emission.scale).clamp(
        min=limits.min_scale
    )
    return Normal(mean, held_open(scale, spread(values), emission.scale))


@condensed.register
def _(emission: Normal, values, weights):
    mean = weighted_mean(values, weights, emission.loc)
    scale = weighted_squares(values, weights, mean).sqrt()
    return two_each(mean - scale, mean + scale, weights.sum(0))


@restated.register
def _(emission: Normal, statistics):
    mass, first, second = statistics
    heavy = torch.where(mass > 0, mass, 1.0)
    shift, square = first / heavy, second / heavy
    variance = square - shift.square()
    if (variance < KEPT * square).any():
        return None  # digits are lost to cancellation
    mean, scale = emission.loc + shift, variance.clamp(min=0).sqrt()
    return two_each(mean - scale, mean + scale, mass)


@blank.register
def _(emission: Normal, num_states, values):
    loc, scale = values.nanmean(0), spread(values)
    return Normal(*(x.expand(num_states, *x.shape) for x in (loc, scale)))


@widened.register
def _(emission: Normal, min_scale):
    if not (emission.scale < min_scale).any():
        return emission
    return Normal(emission.loc, emission.scale.clamp(min=min_scale))
