"""What a state emits: any distribution of torch, with an honest log 0, taken apart and rebuilt.

An emission has one entry for each state, batch_shape (K,), or (K_1, ..., K_M) for several
chains. `Independent`, `MixtureSameFamily` and `TransformedDistribution` wrap other
distributions, whose parameters are named by their path: `component_distribution.loc`. Those
inside an `Independent` keep their own names.
"""

import copy
import inspect
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Distribution,
    Geometric,
    Independent,
    MixtureSameFamily,
    Multinomial,
    NegativeBinomial,
    OneHotCategorical,
    Poisson,
    TransformedDistribution,
    constraints,
)

from hmmlib.logs import log, logsumexp

# Names of one quantity, of which a distribution is given one
ALTERNATIVES = (
    ("probs", "logits"),
    ("scale_tril", "covariance_matrix", "precision_matrix"),
)


class Part(NamedTuple):
    """One parameter of an emission."""

    name: str  #: in the emission, such as "component_distribution.loc"
    owner: Distribution  #: the distribution that it belongs to
    attribute: str  #: its name there
    in_unit: bool  #: is it a location, in the unit of the observations?

    @property
    def value(self) -> Tensor:
        """The parameter itself, (K, ...)."""
        return getattr(self.owner, self.attribute)

    @property
    def constraint(self) -> constraints.Constraint:
        """The values that torch allows for it."""
        return self.owner.arg_constraints[self.attribute]


def log_prob(emission: Distribution, values: Tensor) -> Tensor:
    """log p(values | state): (..., 1, *event_shape) -> (..., K). -inf if impossible.

    It is `emission.log_prob`, with an honest log 0. torch keeps the probabilities of symbols
    and of successes at least 2e-16 from 0 and 1 (in float64), so that its log 0 is -36, or a
    multiple of that; and it refuses a value that only some states can emit.
    Raises ValueError for observations of a type that the family has no log_prob of.
    """
    if isinstance(emission, Independent):
        log_probs = log_prob(emission.base_dist, values)
        axes = emission.reinterpreted_batch_ndims
        return log_probs.flatten(-axes).sum(-1) if axes else log_probs
    if isinstance(emission, OneHotCategorical):
        return log_prob(emission._categorical, values.argmax(-1))
    if isinstance(emission, Categorical):
        table = symbol_log_probs(emission)  # (K, ..., V)
        states = (torch.arange(size, device=table.device) for size in table.shape[:-1])
        return table[(*torch.meshgrid(*states, indexing="ij"), values.long())]
    if isinstance(emission, MixtureSameFamily):
        padded = values.unsqueeze(-1 - len(emission.event_shape))
        inside = log_prob(emission.component_distribution, padded)
        return logsumexp(inside + symbol_log_probs(emission.mixture_distribution), -1)
    if isinstance(emission, Bernoulli):
        log_p, log_q = _log_odds(emission)
        return torch.where(values == 1, log_p, log_q)
    possible = in_support(emission, values)
    for family, count in COUNTS.items():
        if isinstance(emission, family):
            return count(emission, values).masked_fill(~possible, -torch.inf)
    try:
        if possible.all():
            return emission.log_prob(values)
        return _unchecked(emission).log_prob(values).masked_fill(~possible, -torch.inf)
    except RuntimeError as error:
        raise ValueError(
            f"emission: {type(emission).__name__} has no log_prob of {values.dtype}"
            f" observations: {' '.join(str(error).split())}"
        ) from error


def symbol_log_probs(emission: Categorical) -> Tensor:
    """log p(symbol | state); shape (K, V), with -inf for probability 0."""
    given = emission._param
    return log(given) if given is emission.probs else given


def _unchecked(emission: Distribution) -> Distribution:
    """A copy that scores any value, even one that only other states can emit."""
    emission = copy.copy(emission)
    emission._validate_args = False
    if hasattr(emission, "base_dist"):
        emission.base_dist = _unchecked(emission.base_dist)
    return emission


def in_support(emission: Distribution, values: Tensor) -> Tensor:
    """Whether each state can emit the values: (..., 1, *event_shape) -> (..., K), booleans.

    A mixture can emit what any of its components can; torch asks that all of them can. A
    multinomial emits whole numbers that sum to its total; torch asks only that they do not
    exceed it.
    """
    if isinstance(emission, Multinomial):
        whole = ((values >= 0) & (values % 1 == 0)).all(-1)
        fits = whole & (values.sum(-1) == emission.total_count)
        shape = torch.broadcast_shapes(fits.shape, emission.batch_shape)
        return fits.expand(shape)
    if isinstance(emission, MixtureSameFamily):
        padded = values.unsqueeze(-1 - len(emission.event_shape))
        return in_support(emission.component_distribution, padded).any(-1)
    return emission.support.check(values)


def innermost(emission: Distribution) -> Distribution:
    """The distribution inside any number of nested `Independent`."""
    return (
        innermost(emission.base_dist) if isinstance(emission, Independent) else emission
    )


def parts(
    emission: Distribution, prefix: str = "", in_unit: bool = True
) -> Iterator[Part]:
    """The parameters that a distribution was given, each quantity once."""
    if isinstance(emission, Independent):
        yield from parts(emission.base_dist, prefix, in_unit)
        return
    yield from (
        Part(prefix + name, emission, name, in_unit and _is_location(emission, name))
        for name in _names(emission)
    )
    transformed = type(emission) is TransformedDistribution
    for name in _inner(emission):
        inner, at = getattr(emission, name), f"{prefix}{name}."
        yield from parts(inner, at, in_unit and not transformed)


def parameters(emission: Distribution) -> dict[str, Tensor]:
    """The parameters that a distribution was given, by name: each quantity once."""
    return {part.name: part.value for part in parts(emission)}


def of_valid(family: type, **parameters: Tensor) -> Distribution:
    """The distribution, without checking its parameters; it still checks observed values."""
    distribution = family(**parameters, validate_args=False)
    del distribution._validate_args
    return distribution


def rebuilt(emission: Distribution, parameters: dict[str, Tensor]) -> Distribution:
    """The same distribution, with new values for the parameters that are named.

    Raises ValueError for one that cannot be constructed from its own attributes.
    """
    if isinstance(emission, Independent):
        base = rebuilt(emission.base_dist, parameters)
        return Independent(base, emission.reinterpreted_batch_ndims)
    try:
        return type(emission)(**arguments(emission, parameters))
    except (TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"emission: got {type(emission).__name__}, which cannot be made anew with other"
            f" parameters ({error}); needs a distribution of torch.distributions"
        ) from error


def arguments(emission: Distribution, parameters: dict[str, Tensor]) -> dict:
    """The family's keyword arguments, with new values for the parameters that are named."""
    inner = {}
    for name in _inner(emission):
        given = {
            key.removeprefix(f"{name}."): value
            for key, value in parameters.items()
            if key.startswith(f"{name}.")
        }
        inner[name] = rebuilt(getattr(emission, name), given)
    if isinstance(emission, MixtureSameFamily):
        return inner
    if type(emission) is TransformedDistribution:
        transforms = list(emission.transforms)
        return {"base_distribution": inner["base_dist"], "transforms": transforms}
    names, known = _names(emission), set(emission.arg_constraints)
    for same in ALTERNATIVES:  # probs in the place of logits that were given
        if set(same) & set(parameters):
            names = [name for name in names if name not in same]
    values = {name: getattr(emission, name) for name in names}
    for name in inspect.signature(type(emission).__init__).parameters:
        if name not in known | {"self", "validate_args"} and hasattr(emission, name):
            values[name] = getattr(emission, name)  # such as a total_count
    return values | parameters


def _inner(emission: Distribution) -> tuple[str, ...]:
    """The attributes of this distribution that are distributions themselves."""
    if isinstance(emission, MixtureSameFamily):
        return "mixture_distribution", "component_distribution"
    return ("base_dist",) if type(emission) is TransformedDistribution else ()


def _names(emission: Distribution) -> list[str]:
    """The names of its own parameters, each quantity once."""
    if _inner(emission):
        return []
    names = set(emission.arg_constraints)
    if {"probs", "logits"} <= names:
        names -= {"logits" if _as_probs(emission) else "probs"}
    if "scale_tril" in names:
        names -= {"covariance_matrix", "precision_matrix"}
    return sorted(names)


def _as_probs(emission: Distribution) -> bool:
    """Whether it was constructed from probs, not logits."""
    holder = getattr(emission, "base_dist", emission)  # of relaxed ones
    holder = getattr(holder, "_categorical", holder)  # of OneHotCategorical and others
    given = getattr(holder, "_param", None)
    if given is not None:
        return given is holder.probs
    return "probs" in vars(holder) or "logits" not in vars(holder)


def _is_location(emission: Distribution, name: str) -> bool:
    """Whether the parameter is a location: adding to it shifts the observations by as much."""
    try:
        support = emission.support
    except NotImplementedError:
        return False
    return name == "loc" and support in (constraints.real, constraints.real_vector)


def _log_odds(emission: Distribution) -> tuple[Tensor, Tensor]:
    """log p and log (1 - p), with p the probability of a success."""
    if _as_probs(emission):
        return log(emission.probs), log(1 - emission.probs)
    logsigmoid = torch.nn.functional.logsigmoid
    return logsigmoid(emission.logits), logsigmoid(-emission.logits)


def _times(counts: Tensor, log_probs: Tensor) -> Tensor:
    """counts * log_probs, where 0 log 0 is 0."""
    counts, log_probs = torch.broadcast_tensors(counts, log_probs)
    none = counts == 0
    return (counts * log_probs.masked_fill(none, 0.0)).masked_fill(none, 0.0)


def _binomial(emission: Binomial, values: Tensor) -> Tensor:
    log_p, log_q = _log_odds(emission)
    hits = torch.minimum(values.clamp(min=0), emission.total_count)
    misses = emission.total_count - hits
    ways = [torch.lgamma(n + 1) for n in (emission.total_count, hits, misses)]
    return ways[0] - ways[1] - ways[2] + _times(hits, log_p) + _times(misses, log_q)


def _negative_binomial(emission: NegativeBinomial, values: Tensor) -> Tensor:
    log_p, log_q = _log_odds(emission)
    failures, hits = torch.broadcast_tensors(emission.total_count, values.clamp(min=0))
    certain = failures + hits == 0  # no failure to wait for
    ways = torch.lgamma((failures + hits).masked_fill(certain, 1.0))
    ways = ways - torch.lgamma(hits + 1) - torch.lgamma(failures)
    scores = ways + _times(hits, log_p) + _times(failures, log_q)
    return scores.masked_fill(certain, 0.0)


def _geometric(emission: Geometric, values: Tensor) -> Tensor:
    log_p, log_q = _log_odds(emission)
    return _times(values.clamp(min=0), log_q) + log_p


def _poisson(emission: Poisson, values: Tensor) -> Tensor:
    counts = values.clamp(min=0)
    return _times(counts, log(emission.rate)) - emission.rate - torch.lgamma(counts + 1)


def _multinomial(emission: Multinomial, values: Tensor) -> Tensor:
    values = values.clamp(min=0)
    log_p = log(emission.probs) if _as_probs(emission) else emission.logits
    ways = torch.lgamma(values.sum(-1) + 1) - torch.lgamma(values + 1).sum(-1)
    return ways + _times(values, log_p).sum(-1)


COUNTS = {
    Binomial: _binomial,
    NegativeBinomial: _negative_binomial,
    Geometric: _geometric,
    Multinomial: _multinomial,
    Poisson: _poisson,
}
