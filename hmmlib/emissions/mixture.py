"""Mixtures: each state emits from one of several components, chosen anew each time."""

from torch.distributions import MixtureSameFamily

from hmmlib.emissions.categorical import symbol_log_probs
from hmmlib.emissions.protocol import (
    counted_probs,
    in_support,
    log_prob,
    misses_parts,
)
from hmmlib.logs import logsumexp


def _by_component(emission: MixtureSameFamily, values):
    """log p(component, value | state): (..., 1, *event_shape) -> (..., K, C)."""
    padded = values.unsqueeze(-1 - len(emission.event_shape))
    inside = log_prob(emission.component_distribution, padded)
    return inside + symbol_log_probs(emission.mixture_distribution)


@log_prob.register
def _(emission: MixtureSameFamily, values):
    return logsumexp(_by_component(emission, values), -1)


@in_support.register
def _(emission: MixtureSameFamily, values):
    # A mixture can emit what any of its components can; torch asks that all of them can.
    padded = values.unsqueeze(-1 - len(emission.event_shape))
    return in_support(emission.component_distribution, padded).any(-1)


@misses_parts.register
def _(emission: MixtureSameFamily):
    return misses_parts(emission.component_distribution)


@counted_probs.register
def _(emission: MixtureSameFamily):
    inner = counted_probs(emission.component_distribution)
    return [emission.mixture_distribution.probs, *inner]
