"""log p of families that count, with an honest log 0: 0 log 0 is 0, and log 0 is -inf.

Binomial, Geometric and Multinomial are here in full; `poisson.py` and `negative_binomial.py`
have more to say.
"""

import torch
from torch import Tensor
from torch.distributions import Binomial, Distribution, Geometric, Multinomial

from hmmlib.emissions.condensed import at_means, condensed
from hmmlib.emissions.parts import given_as_probs, log_probs_given
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    has_clusters,
    in_support,
    log_prob,
    randomised,
)
from hmmlib.emissions.symbols import read_by_symbol
from hmmlib.emissions.weights import normalised, weighted_mean
from hmmlib.logs import log

read_by_symbol(Binomial)
read_by_symbol(Geometric)


def log_odds(emission: Distribution) -> tuple[Tensor, Tensor]:
    """log p and log (1 - p), with p the probability of a success."""
    if given_as_probs(emission):
        return log(emission.probs), log(1 - emission.probs)
    logsigmoid = torch.nn.functional.logsigmoid
    return logsigmoid(emission.logits), logsigmoid(-emission.logits)


def times(counts: Tensor, log_probs: Tensor) -> Tensor:
    """counts * log_probs, where 0 log 0 is 0."""
    counts, log_probs = torch.broadcast_tensors(counts, log_probs)
    none = counts == 0
    return (counts * log_probs.masked_fill(none, 0.0)).masked_fill(none, 0.0)


def possible_only(emission: Distribution, values: Tensor, scores: Tensor) -> Tensor:
    """The scores, -inf where a state cannot emit the value."""
    return scores.masked_fill(~in_support(emission, values), -torch.inf)


@log_prob.register
def _(emission: Binomial, values):
    log_p, log_q = log_odds(emission)
    hits = torch.minimum(values.clamp(min=0), emission.total_count)
    misses = emission.total_count - hits
    ways = [torch.lgamma(n + 1) for n in (emission.total_count, hits, misses)]
    scores = ways[0] - ways[1] - ways[2] + times(hits, log_p) + times(misses, log_q)
    return possible_only(emission, values, scores)


@log_prob.register
def _(emission: Geometric, values):
    log_p, log_q = log_odds(emission)
    scores = times(values.clamp(min=0), log_q) + log_p
    return possible_only(emission, values, scores)


@log_prob.register
def _(emission: Multinomial, values):
    hits = values.clamp(min=0)
    ways = torch.lgamma(hits.sum(-1) + 1) - torch.lgamma(hits + 1).sum(-1)
    scores = ways + times(hits, log_probs_given(emission)).sum(-1)
    return possible_only(emission, values, scores)


@in_support.register
def _(emission: Multinomial, values):
    # Whole numbers that sum to its total; torch asks only that they do not exceed it.
    whole = ((values >= 0) & (values % 1 == 0)).all(-1)
    fits = whole & (values.sum(-1) == emission.total_count)
    return fits.expand(torch.broadcast_shapes(fits.shape, emission.batch_shape))


@fit.register
def _(emission: Binomial, values, weights, limits=NO_LIMITS):
    trials = emission.total_count
    hits = weighted_mean(values, weights, emission.probs * trials)
    return Binomial(trials, (hits / trials).clamp(0.0, 1.0))


@fit.register
def _(emission: Geometric, values, weights, limits=NO_LIMITS):
    return Geometric(1 / (1 + weighted_mean(values, weights, 1 / emission.probs - 1)))


@fit.register
def _(emission: Multinomial, values, weights, limits=NO_LIMITS):
    counts = torch.tensordot(weights, values, dims=([0], [0]))
    probs = normalised(counts, emission.probs, limits.pseudo_count)
    return Multinomial(emission.total_count, probs)


@condensed.register(Binomial)
@condensed.register(Geometric)
@condensed.register(Multinomial)
def _(emission, values, weights):
    return at_means(values, weights, emission.mean)


@blank.register
def _(emission: Geometric, num_states, values):
    probs = 1 / (1 + values.nanmean(0))
    return Geometric(probs.expand(num_states, *probs.shape))


@blank.register
def _(emission: Multinomial, num_states, values):
    mean = values.nanmean(0)
    return Multinomial(int(mean.sum().round()), mean.expand(num_states, -1))


@randomised.register
def _(emission: Multinomial, evenly, generator):
    return Multinomial(emission.total_count, evenly(emission.probs))


@has_clusters.register
def _(emission: Multinomial):
    return False
