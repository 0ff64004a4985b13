"""Poisson: counts in a fixed time, each state with its own rate."""

import torch
from torch.distributions import Poisson

from hmmlib.emissions.condensed import at_means, condensed
from hmmlib.emissions.counts import possible_only, times
from hmmlib.emissions.protocol import NO_LIMITS, blank, fit, log_prob
from hmmlib.emissions.symbols import read_by_symbol
from hmmlib.emissions.weights import weighted_mean
from hmmlib.logs import log

read_by_symbol(Poisson)


@log_prob.register
def _(emission: Poisson, values):
    counts = values.clamp(min=0)
    scores = times(counts, log(emission.rate)) - emission.rate
    return possible_only(emission, values, scores - torch.lgamma(counts + 1))


@fit.register
def _(emission: Poisson, values, weights, limits=NO_LIMITS):
    return Poisson(weighted_mean(values, weights, emission.rate))


@condensed.register
def _(emission: Poisson, values, weights):
    return at_means(values, weights, emission.rate)


@blank.register
def _(emission: Poisson, num_states, values):
    mean = values.nanmean(0)
    return Poisson(mean.expand(num_states, *mean.shape))
