"""Negative binomial: counts more scattered than Poisson's; each state has its own scatter.

The variance is mean + mean^2 / total_count. For any total_count r the best `probs` are
mean / (mean + r); r itself is found by bisection on the log-likelihood that is left. Counts
no more scattered than Poisson's have no best r: it is held at 10,000 times their mean, where
the variance exceeds Poisson's by a ten-thousandth, with a warning.
"""

import torch
from torch import Tensor
from torch.distributions import NegativeBinomial

from hmmlib.checks import warn
from hmmlib.emissions.condensed import condensed
from hmmlib.emissions.counts import log_odds, possible_only, times
from hmmlib.emissions.protocol import NO_LIMITS, blank, fit, log_prob
from hmmlib.emissions.symbols import read_by_symbol
from hmmlib.emissions.weights import (
    counted,
    tallied,
    weighted_mean,
    weighted_means,
)

FEWEST, MOST = 1e-6, 1e4  # total_count, the latter in units of the mean

read_by_symbol(NegativeBinomial)


@log_prob.register
def _(emission: NegativeBinomial, values):
    log_p, log_q = log_odds(emission)
    failures, hits = torch.broadcast_tensors(emission.total_count, values.clamp(min=0))
    certain = failures + hits == 0  # no failure to wait for
    ways = torch.lgamma((failures + hits).masked_fill(certain, 1.0))
    ways = ways - torch.lgamma(hits + 1) - torch.lgamma(failures)
    scores = ways + times(hits, log_p) + times(failures, log_q)
    return possible_only(emission, values, scores.masked_fill(certain, 0.0))


@fit.register
def _(emission: NegativeBinomial, values, weights, limits=NO_LIMITS):
    values, weights = tallied(values, weights)
    mean = weighted_mean(values, weights, emission.mean)
    old = emission.total_count
    most = torch.maximum(MOST * mean.clamp(min=1.0), old)
    found = _best_total(values, weights, mean, most)
    # Without a count above 0 any total is as good.
    moved = counted(values, weights) & (mean > 0)
    held = moved & (found >= most * (1 - 1e-9))
    if held.any():
        states = sorted(set(held.nonzero()[:, 0].tolist()))
        warn(
            f"emission: the counts of state {states} are no more scattered than Poisson's,"
            " total_count held at 10,000 times their mean; Poisson describes them as well"
        )
    total = torch.where(moved, found, old)
    return NegativeBinomial(total, mean / (mean + total))


@condensed.register
def _(emission: NegativeBinomial, values, weights):
    return tallied(values, weights)  # as many as there are different counts


@blank.register
def _(emission: NegativeBinomial, num_states, values):
    mean = values.nanmean(0)
    excess = (values - mean).square().nanmean(0) - mean
    total = mean.square() / excess.clamp(min=1e-4 * mean.clamp(min=1e-4))
    total = torch.where(mean > 0, total, 1.0)
    total, mean = (x.expand(num_states, *x.shape) for x in (total, mean))
    return NegativeBinomial(total, mean / (mean + total))


def _best_total(values: Tensor, weights: Tensor, mean: Tensor, most: Tensor) -> Tensor:
    """The total_count of the best fit, at most `most`; (K, ...).

    mean_n digamma(x_n + r) - digamma(r) + log(r / (r + mean)) falls through 0 there, once if
    the variance exceeds the mean, and else not at all (Levin & Reeds 1977).
    """
    low, high = torch.full_like(most, FEWEST).log(), most.log()
    spaced = values.unsqueeze(1)
    for _ in range(50):
        middle = (low + high) / 2
        total = middle.exp()
        grown = torch.digamma(spaced + total) - torch.digamma(total)
        rising = weighted_means(grown, weights) > (mean / total).log1p()
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return high.exp()
