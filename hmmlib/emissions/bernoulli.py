"""Bernoulli: yes or no, 1 or 0, each state with its own probability of 1."""

import torch
from torch.distributions import Bernoulli

from hmmlib.emissions.condensed import at_means, condensed
from hmmlib.emissions.counts import log_odds
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    has_clusters,
    log_prob,
    randomised,
)
from hmmlib.emissions.symbols import read_by_symbol
from hmmlib.emissions.weights import weighted_mean

read_by_symbol(Bernoulli)


@log_prob.register
def _(emission: Bernoulli, values):
    log_p, log_q = log_odds(emission)
    return torch.where(values == 1, log_p, log_q)


@fit.register
def _(emission: Bernoulli, values, weights, limits=NO_LIMITS):
    return Bernoulli(weighted_mean(values, weights, emission.probs).clamp(0.0, 1.0))


@condensed.register
def _(emission: Bernoulli, values, weights):
    return at_means(values, weights, emission.probs)


@blank.register
def _(emission: Bernoulli, num_states, values):
    mean = values.nanmean(0).clamp(0.01, 0.99)
    return Bernoulli(mean.expand(num_states, *mean.shape))


@has_clusters.register
def _(emission: Bernoulli):
    return False


@randomised.register
def _(emission: Bernoulli, evenly, generator):
    drawn = torch.rand(emission.probs.shape, generator=generator)
    return Bernoulli(probs=drawn.to(emission.probs.dtype))
