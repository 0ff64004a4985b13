"""A few weighted values in the place of many: what EM keeps of data that it has left behind.

The weighted fit of an exponential family knows its values by a few sums. `condensed` finds a
few values with the same sums, so that `fit` of these is the fit of all. They add up: those
of two parts, one behind the other, are condensed again. Each family registers its answer in
its own file.

Letters as in `hmmlib.emissions.protocol`: K states, n values, and m of them in their place.
"""

from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions.weights import weighted_mean

Weighted = tuple[Tensor, Tensor]


@singledispatch
def condensed(
    emission: Distribution, values: Tensor, weights: Tensor
) -> Weighted | None:
    """A few values (m, *event_shape), and weights (m, K), whose fit is that of all.

    None for a family whose fit has to see all values at once, such as a mixture.

    Args:
        emission: batch_shape (K,); the one that the fit will start from.
        values: (n, *event_shape).
        weights: (n, K), at least 0.

    Example:
        >>> from torch.distributions import Poisson
        >>> one = Poisson(torch.tensor([1.0]))
        >>> condensed(one, torch.tensor([2.0, 3.0, 7.0]), torch.ones(3, 1))
        (tensor([4.]), tensor([[3.]]))
    """
    return None


@singledispatch
def restated(emission: Distribution, statistics: Tensor) -> Weighted | None:
    """The same from the statistics of a `Lookup`, which a compiled loop sums up on its way.

    None where these do not suffice, and every step is needed.
    """
    return None


def at_means(values: Tensor, weights: Tensor, old: Tensor) -> Weighted:
    """For a fit that asks for the mean alone: the mean of each state, as heavy as all."""
    return weighted_mean(values, weights, old), weights.sum(0).diag()


def two_each(low: Tensor, high: Tensor, mass: Tensor) -> Weighted:
    """Two values for each state, (K, ...) both, which share its weight (K,)."""
    half = mass.diag() / 2
    return torch.cat([low, high]), torch.cat([half, half])


def by_column(columns: list[Weighted | None], event_shape: tuple[int, ...]):
    """Values of one component each, the others NaN; None if a component has no answer.

    Args:
        columns: an answer of `condensed` for each component, in their order.
        event_shape: of the whole.
    """
    if any(each is None for each in columns):
        return None
    weights = torch.cat([weights for _, weights in columns])
    flat = weights.new_full((len(weights), len(columns)), torch.nan)
    start = 0
    for d, (values, _) in enumerate(columns):
        flat[start : start + len(values), d] = values.to(flat)
        start += len(values)
    return flat.reshape(len(weights), *event_shape), weights
