"""StudentT: numbers with outliers; each state has its own centre, scale and tails.

The M-step is one step of ECME (Liu & Rubin 1995, sec. 4). A Student variable is a Gaussian
whose precision is drawn anew for each value; given the expected precisions, `loc` and
`scale` have a closed form, and then `df` maximises the weighted log-likelihood itself. The
step improves that log-likelihood; repeated, it reaches a maximum.
"""

import math

import torch
from torch import Tensor
from torch.distributions import StudentT

from hmmlib.emissions.looks import are_finite
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    surely_in_support,
    widened,
)
from hmmlib.emissions.weights import counted, held_open, spread, weighted_means

FEWEST, MOST = 0.1, 1e4  # df; with more the tails are Gaussian for all purposes
START = 4.0  # df of a state that has seen no data


@surely_in_support.register
def _(emission: StudentT, values):
    return are_finite(values)


@fit.register
def _(emission: StudentT, values, weights, limits=NO_LIMITS):
    moved, spaced = counted(values, weights), values.unsqueeze(1)  # (n, 1, ...)
    apart = (spaced - emission.loc) / emission.scale
    precisions = (emission.df + 1) / (emission.df + apart.square())  # (n, K, ...)
    mean = weighted_means(precisions * spaced, weights)
    loc = torch.where(moved, mean / weighted_means(precisions, weights), emission.loc)
    squares = weighted_means(precisions * (spaced - loc).square(), weights)
    scale = torch.where(moved, squares.sqrt(), emission.scale)
    scale = scale.clamp(min=limits.min_scale)
    scale = held_open(scale, spread(values), emission.scale)
    squares = ((spaced - loc) / scale).square()
    df = torch.where(moved, _best_df(emission.df, squares, weights), emission.df)
    return StudentT(df, loc, scale)


@blank.register
def _(emission: StudentT, num_states, values):
    parameters = values.nanmedian(0).values, spread(values)
    loc, scale = (x.expand(num_states, *x.shape) for x in parameters)
    return StudentT(torch.full_like(loc, START), loc, scale)


@widened.register
def _(emission: StudentT, min_scale):
    return StudentT(emission.df, emission.loc, emission.scale.clamp(min=min_scale))


def _best_df(old: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
    """The df with the best weighted log-likelihood, for squared distances in units of the
    scale (n, K, ...): a zero of its derivative, by bisection, or `old` if that is better.
    """
    low = torch.full_like(old, math.log(FEWEST))
    high = torch.full_like(old, math.log(MOST))
    for _ in range(45):  # the last bracket is narrower than 1e-12
        middle = (low + high) / 2
        rising = _slope(middle.exp(), squares, weights) > 0
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    found = high.exp()
    better = _score(found, squares, weights) > _score(old, squares, weights)
    return torch.where(better, found, old)


def _score(df: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
    """The mean log density for a scale of 1, up to a constant; (K, ...)."""
    middle = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - df.log() / 2
    return middle - (df + 1) / 2 * weighted_means((squares / df).log1p(), weights)


def _slope(df: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
    """Twice the derivative of `_score` with respect to df; (K, ...)."""
    middle = torch.digamma((df + 1) / 2) - torch.digamma(df / 2) - 1 / df
    pull = (df + 1) / df * squares / (df + squares) - (squares / df).log1p()
    return middle + weighted_means(pull, weights)
