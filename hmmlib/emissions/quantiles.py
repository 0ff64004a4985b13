"""Quantiles of distributions of single numbers: of a mixture, no mixture of quantiles."""

from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, StudentT

from hmmlib.checks import as_tensor, told
from hmmlib.emissions.parts import unchecked
from hmmlib.emissions.protocol import log_prob

FURTHEST = 710.0  # its sinh is beyond every float


@singledispatch
def cdf(emission: Distribution, values: Tensor) -> Tensor:
    """p(x <= value | state) of a density, for values that broadcast with its batch_shape.

    Raises:
        ValueError: for a family whose cdf torch does not know.
    """
    try:
        found, within = unchecked(emission).cdf(values), emission.support.check(values)
        return torch.where(within, found, (values > emission.mean).to(found))
    except NotImplementedError as error:
        name = type(emission).__name__
        raise ValueError(
            f"emission: torch has no cdf of {name}, needs another family"
        ) from error


@cdf.register
def _(emission: MixtureSameFamily, values):
    each = cdf(emission.component_distribution, values.unsqueeze(-1))
    return (each * emission.mixture_distribution.probs).sum(-1)


@cdf.register
def _(emission: StudentT, values):
    from scipy.special import stdtr  # takes a while to load

    apart = (values - emission.loc) / emission.scale
    found = stdtr(emission.df.numpy(force=True), apart.numpy(force=True))
    return torch.from_numpy(found).to(apart)


@torch.no_grad()
def quantiles(distribution: Distribution, levels) -> Tensor:
    """The least x with p(X <= x) >= level, for L levels; (L, *batch_shape), float64.

    Raises:
        ValueError: for vectors, for levels outside of (0, 1), and for a family of densities
            whose cdf is not known.

    Example:
        >>> from torch.distributions import Normal
        >>> quantiles(Normal(torch.zeros(2), torch.tensor([1.0, 2.0])), [0.9, 0.975])
        tensor([[1.2816, 2.5631],
                [1.9600, 3.9199]], dtype=torch.float64)
    """
    levels, shape = as_tensor("levels", levels).double(), distribution.batch_shape
    if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(
            f"levels: got {told(levels.tolist())}, needs some above 0, below 1"
        )
    if distribution.event_shape:
        size = tuple(distribution.event_shape)
        raise ValueError(f"distribution: got vectors, {size}, needs single numbers")
    levels = levels.reshape(-1, *[1] * len(shape))
    if distribution.support.is_discrete:
        return _of_counts(distribution, levels)
    high = torch.full((len(levels), *shape), FURTHEST, dtype=torch.float64)
    low = -high
    for _ in range(70):  # halvings leave one float
        middle = (low + high) / 2
        below = cdf(distribution, middle.sinh()) < levels
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return high.sinh()


def _of_counts(distribution: Distribution, levels: Tensor) -> Tensor:
    """The same of integers from 0 on, whose probabilities are summed up."""
    size, total = 1, torch.zeros(1)
    while (total[-1] < levels.max()).any():
        size *= 2
        values = torch.arange(size).double().reshape(-1, *[1] * (levels.ndim - 1))
        total = log_prob(distribution, values).exp().cumsum(0)
    return (total < levels[:, None]).sum(1).double()
