"""Products: components that are independent given the state, of one kind or of several.

`Independent(base, 1)` of torch reads a vector whose components are of one family, such as
a Gaussian with a diagonal covariance. `Product` reads one component of each of several
families, such as a number and a word. A component that is NaN is missing, alone.
"""

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from hmmlib.emissions.condensed import by_column, condensed
from hmmlib.emissions.parts import at
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    counted_probs,
    draw,
    fallback_for,
    fit,
    has_clusters,
    in_support,
    log_prob,
    misses_parts,
    num_free,
    randomised,
    widened,
)


class Product(Distribution):
    """One component for each factor: p(x | z) = p(x_1 | z) p(x_2 | z) ...

    Args:
        factors: distributions of single values, each with batch_shape (K,).

    Observations are (T, D), a column for each factor, with NaN where one is missing.

    Example:
        >>> from torch.distributions import Categorical, Normal
        >>> words = Categorical(torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
        >>> both = Product([Normal(torch.tensor([0.0, 5.0]), 1.0), words])
        >>> log_prob(both, torch.tensor([5.0, 1.0]))
        tensor([-15.7215,  -1.1421])
    """

    arg_constraints: ClassVar = {}

    def __init__(self, factors: Sequence[Distribution], validate_args=None):
        factors = tuple(factors)
        if not factors or any(each.event_shape for each in factors):
            found = [tuple(each.event_shape) for each in factors]
            raise ValueError(
                f"factors: got event shapes {found}, needs distributions of single values"
            )
        shapes = {tuple(each.batch_shape) for each in factors}
        if len(shapes) > 1:
            raise ValueError(
                f"factors: got batch shapes {sorted(shapes)}, needs the same for all"
            )
        self.factors = factors
        (batch_shape,) = shapes
        super().__init__(
            torch.Size(batch_shape), torch.Size([len(factors)]), validate_args=False
        )

    @property
    def support(self):
        """Each component within the support of its factor."""
        return constraints.cat([f.support for f in self.factors], -1, [1] * len(self))

    def __len__(self) -> int:
        return len(self.factors)

    def sample(self, sample_shape=()) -> Tensor:
        """(*sample_shape, *batch_shape, D)."""
        drawn = [factor.sample(sample_shape) for factor in self.factors]
        dtype = torch.promote_types(torch.float32, drawn[0].dtype)
        for each in drawn:
            dtype = torch.promote_types(dtype, each.dtype)
        return torch.stack([each.to(dtype) for each in drawn], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(value), summed over the components that are not NaN."""
        return log_prob(self, value)

    def arguments_of(self, inner: dict) -> dict:
        """How the product is rebuilt from other factors."""
        return {"factors": tuple(inner.values())}


def _components(values: Tensor):
    """Columns of (..., D), filled where NaN, and where they are missing."""
    flat = values.reshape(-1, values.shape[-1])
    filled = fallback_for(flat).reshape(values.shape)
    return filled.unbind(-1), values.isnan().unbind(-1)


@log_prob.register
def _(emission: Product, values):
    columns = zip(emission.factors, *_components(values), strict=True)
    return sum(
        log_prob(factor, column).masked_fill(missing, 0.0)
        for factor, column, missing in columns
    )


@log_prob.register
def _(emission: Independent, values):
    axes = emission.reinterpreted_batch_ndims
    missing = values.isnan() if axes == len(emission.event_shape) else None
    if missing is not None and missing.any():
        flat = values.reshape(-1, *values.shape[values.ndim - axes :])
        scores = log_prob(emission.base_dist, fallback_for(flat).reshape(values.shape))
        scores = scores.masked_fill(missing, 0.0)
    else:
        scores = log_prob(emission.base_dist, values)
    return scores.flatten(-axes).sum(-1) if axes else scores


@in_support.register
def _(emission: Product, values):
    columns = zip(emission.factors, *_components(values), strict=True)
    within = [in_support(factor, x) | missing for factor, x, missing in columns]
    return torch.stack(within, -1).all(-1)


@in_support.register
def _(emission: Independent, values):
    axes = emission.reinterpreted_batch_ndims
    if not axes:
        return in_support(emission.base_dist, values)
    if axes == len(emission.event_shape):
        flat = values.reshape(-1, *values.shape[values.ndim - axes :])
        values = fallback_for(flat).reshape(values.shape)
    return in_support(emission.base_dist, values).flatten(-axes).all(-1)


@fit.register
def _(emission: Product, values, weights, limits=NO_LIMITS):
    fitted = []
    for factor, column in zip(emission.factors, values.unbind(-1), strict=True):
        seen = ~column.isnan()
        fitted.append(fit(factor, column[seen], weights[seen], limits))
    return Product(fitted)


@fit.register
def _(emission: Independent, values, weights, limits=NO_LIMITS):
    base = fit(emission.base_dist, values, weights, limits)
    return Independent(base, emission.reinterpreted_batch_ndims)


@condensed.register
def _(emission: Product, values, weights):
    columns = zip(emission.factors, values.unbind(-1), strict=True)
    found = [_of_column(*each, weights) for each in columns]
    return by_column(found, emission.event_shape)


@condensed.register
def _(emission: Independent, values, weights):
    base, event = emission.base_dist, emission.event_shape
    if emission.reinterpreted_batch_ndims != len(event):
        return None
    found = []
    for index in itertools.product(*map(range, event)):
        at_index = (slice(None), *index)
        found.append(_of_column(at(base, at_index), values[at_index], weights))
    return by_column(found, event)


def _of_column(factor: Distribution, column: Tensor, weights: Tensor):
    """`condensed`, of the values of one component that are not missing."""
    seen = ~column.isnan()
    return condensed(factor, column[seen], weights[seen])


@misses_parts.register(Product)
@misses_parts.register(Independent)
def _(emission):
    return True


@has_clusters.register
def _(emission: Independent):
    return has_clusters(emission.base_dist)


@has_clusters.register
def _(emission: Product):
    return any(has_clusters(factor) for factor in emission.factors)


@draw.register
def _(emission: Product, states):
    drawn = [draw(factor, states) for factor in emission.factors]
    return torch.stack([each.double() for each in drawn], -1)


@randomised.register
def _(emission: Independent, evenly, generator):
    base = randomised(emission.base_dist, evenly, generator)
    return Independent(base, emission.reinterpreted_batch_ndims)


@randomised.register
def _(emission: Product, evenly, generator):
    return Product([randomised(each, evenly, generator) for each in emission.factors])


@widened.register
def _(emission: Independent, min_scale):
    base = widened(emission.base_dist, min_scale)
    return Independent(base, emission.reinterpreted_batch_ndims)


@widened.register
def _(emission: Product, min_scale):
    return Product([widened(each, min_scale) for each in emission.factors])


@counted_probs.register
def _(emission: Independent):
    return counted_probs(emission.base_dist)


@counted_probs.register
def _(emission: Product):
    return [table for each in emission.factors for table in counted_probs(each)]


@num_free.register
def _(emission: Independent):
    return num_free(emission.base_dist)


@num_free.register
def _(emission: Product):
    return sum(num_free(each) for each in emission.factors)
