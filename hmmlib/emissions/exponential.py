"""Exponential: waiting times without memory; each state has its own rate."""

import torch
from torch.distributions import Exponential

from hmmlib.emissions.condensed import at_means, condensed
from hmmlib.emissions.protocol import NO_LIMITS, blank, fit, widened
from hmmlib.emissions.weights import held_open, spread, weighted_mean


@fit.register
def _(emission: Exponential, values, weights, limits=NO_LIMITS):
    scale = weighted_mean(values, weights, emission.mean)  # mean and standard deviation
    held = scale.clamp(min=limits.min_scale)
    return Exponential(1 / held_open(held, spread(values), emission.mean))


@condensed.register
def _(emission: Exponential, values, weights):
    return at_means(values, weights, emission.mean)


@blank.register
def _(emission: Exponential, num_states, values):
    one = values.new_ones(num_states, *values.shape[1:])
    return fit(Exponential(one), values, values.new_ones(len(values), num_states))


@widened.register
def _(emission: Exponential, min_scale):
    return Exponential(torch.clamp(emission.rate, max=1 / min_scale))
