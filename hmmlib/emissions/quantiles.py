"""Quantiles of distributions of single numbers: of a mixture, no mixture of quantiles.

And the probability of less, or of more, than a value, with the digits of both tails.
"""

import math
from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Exponential,
    Gamma,
    MixtureSameFamily,
    Normal,
    StudentT,
)

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
def _(emission: Normal, values):
    return _normals((values - emission.loc) / emission.scale)


@cdf.register
def _(emission: StudentT, values):
    return _students(emission, (values - emission.loc) / emission.scale)


@singledispatch
def survival(emission: Distribution, values: Tensor) -> Tensor:
    """p(x > value | state) of a density: 1 - cdf, with the digits of the upper tail."""
    return 1 - cdf(emission, values)


@survival.register
def _(emission: MixtureSameFamily, values):
    each = survival(emission.component_distribution, values.unsqueeze(-1))
    return (each * emission.mixture_distribution.probs).sum(-1)


@survival.register
def _(emission: Normal, values):
    return _normals((emission.loc - values) / emission.scale)


@survival.register
def _(emission: StudentT, values):
    return _students(emission, (emission.loc - values) / emission.scale)


@survival.register
def _(emission: Gamma, values):
    scaled = emission.rate * values.clamp(min=0)
    return torch.special.gammaincc(emission.concentration.expand_as(scaled), scaled)


@survival.register
def _(emission: Exponential, values):
    return (-emission.rate * values.clamp(min=0)).exp()


def _normals(apart: Tensor) -> Tensor:
    """p(z <= apart) of a standard normal; `torch.special.ndtr` is 0 from -9 on."""
    return torch.erfc(-apart / math.sqrt(2)) / 2


def _students(emission: StudentT, apart: Tensor) -> Tensor:
    """p(t <= apart) of Student's t."""
    from scipy.special import stdtr  # takes a while to load

    found = stdtr(emission.df.numpy(force=True), apart.numpy(force=True))
    return torch.from_numpy(found).to(apart)


def below_and_above(emission: Distribution, values: Tensor) -> tuple[Tensor, ...]:
    """p(x < value), p(x <= value), p(x > value) and p(x >= value) in each state, (..., K).

    Of a density the first two are the same, and so are the last. Each of them keeps its
    digits where it is small.

    Args:
        emission: of single numbers, batch_shape (K,).
        values: (..., 1), which the family can emit.

    Raises:
        ValueError: for a density whose cdf is not known.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> below_and_above(Bernoulli(torch.tensor([0.25])), torch.tensor([[0.0]]))[:2]
        (tensor([[0.]]), tensor([[0.7500]]))
    """
    if not emission.support.is_discrete:
        up_to, above = cdf(emission, values), survival(emission, values)
        return up_to, up_to, above, above
    masses = _masses(emission, int(values.max()))
    up_to, beyond = masses.cumsum(0), masses.flip(0).cumsum(0).flip(0)
    none = torch.zeros_like(masses[:1])
    at = values[..., 0].long()
    return (
        torch.cat([none, up_to])[at],
        up_to[at],
        torch.cat([beyond, none])[at + 1],
        beyond[at],
    )


def _masses(emission: Distribution, most: int) -> Tensor:
    """p(x) for x = 0, 1, ... until almost nothing is left behind, and beyond `most`; (V, K)."""
    top = getattr(emission.support, "upper_bound", None)
    size = 2 * most + 64
    while True:
        size = size if top is None else int(torch.as_tensor(top).max()) + 1
        counts = torch.arange(size).double().unsqueeze(-1)
        masses = log_prob(emission, counts).exp()
        if top is not None or (masses.sum(0) > 1 - 1e-6).all():
            return masses
        size *= 2


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
