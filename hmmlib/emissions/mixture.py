"""Mixtures: each state emits from one of several components, chosen anew each time.

The M-step is one step of a generalised EM: the responsibility of each component for each
value, computed with the emission before the step, shares out the weight of the value; each
component is then fitted by its own family. The step improves the weighted log-likelihood;
repeated, it reaches a maximum.
"""

import torch
from torch.distributions import Categorical, MixtureSameFamily

from hmmlib.emissions.categorical import symbol_log_probs
from hmmlib.emissions.multivariate_normal import TiedNormal
from hmmlib.emissions.parts import at, parameters, rebuilt
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    counted_probs,
    fit,
    has_clusters,
    in_support,
    log_prob,
    misses_parts,
    needed,
    num_free,
    widened,
)
from hmmlib.emissions.weights import normalised
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


@fit.register
def _(emission: MixtureSameFamily, values, weights, limits=NO_LIMITS):
    inner = emission.component_distribution
    if isinstance(inner, TiedNormal):
        raise ValueError(
            "emission: no weighted fit for a mixture of TiedNormal, needs components of"
            " MultivariateNormal or SphericalNormal, or fit_gradient"
        )
    shares = _by_component(emission, values.unsqueeze(1)).softmax(-1)  # (n, K, C)
    # NaN where a state cannot emit the value, and has no weight on it
    shares = weights.unsqueeze(-1) * shares.nan_to_num(0.0)
    odds = emission.mixture_distribution.probs
    odds = normalised(shares.sum(0), odds, limits.pseudo_count)
    fitted = [
        parameters(fit(at(inner, (slice(None), c)), values, share, limits))
        for c, share in enumerate(shares.unbind(-1))
    ]
    moved = {
        name: torch.stack([each[name] for each in fitted], 1) for name in fitted[0]
    }
    return MixtureSameFamily(Categorical(probs=odds), rebuilt(inner, moved))


@needed.register
def _(emission: MixtureSameFamily):
    return needed(emission.component_distribution)


@misses_parts.register
def _(emission: MixtureSameFamily):
    return misses_parts(emission.component_distribution)


@has_clusters.register
def _(emission: MixtureSameFamily):
    return has_clusters(emission.component_distribution)


@widened.register
def _(emission: MixtureSameFamily, min_scale):
    inner = widened(emission.component_distribution, min_scale)
    return MixtureSameFamily(emission.mixture_distribution, inner)


@num_free.register
def _(emission: MixtureSameFamily):
    odds = emission.mixture_distribution.probs
    return odds[:, 1:].numel() + num_free(emission.component_distribution)


@counted_probs.register
def _(emission: MixtureSameFamily):
    inner = counted_probs(emission.component_distribution)
    return [emission.mixture_distribution.probs, *inner]
