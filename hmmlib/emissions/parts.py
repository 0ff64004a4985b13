"""Distributions taken apart and rebuilt: their parameters by name, each quantity once.

`Independent`, `MixtureSameFamily` and `TransformedDistribution` wrap other distributions,
whose parameters are named by their path: `component_distribution.loc`. Those inside an
`Independent` keep their own names.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    TransformedDistribution,
    constraints,
)

from hmmlib.logs import log

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

    @property
    def on_simplex(self) -> bool:
        """Whether it stands for probabilities that sum to one, as probs or as logits."""
        probs = self.owner.arg_constraints.get("probs")
        return self.attribute in ALTERNATIVES[0] and probs is constraints.simplex


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
    for name, inner in _inner(emission).items():
        yield from parts(inner, f"{prefix}{name}.", in_unit and not transformed)


def parameters(emission: Distribution) -> dict[str, Tensor]:
    """The parameters that a distribution was given, by name: each quantity once.

    Example:
        >>> from torch.distributions import Normal
        >>> parameters(Normal(torch.tensor([0.0, 5.0]), 1.0))
        {'loc': tensor([0., 5.]), 'scale': tensor([1., 1.])}
    """
    return {part.name: part.value for part in parts(emission)}


def rows(emission: Distribution) -> Tensor:
    """All parameters of each state in one row, symbols as probabilities; (K, D)."""
    size = emission.batch_shape[0]
    values = [
        part.owner.probs if part.attribute == "logits" else part.value
        for part in parts(emission)
    ]
    columns = [value.reshape(size, -1) for value in values]
    return torch.cat(columns or [torch.arange(size).double()[:, None]], 1)


def of_valid(family: type, **parameters: Tensor) -> Distribution:
    """The distribution, without a check of its parameters; observed values it still checks."""
    distribution = family(**parameters, validate_args=False)
    del distribution._validate_args  # of torch: falls back on the default of the class
    return distribution


def unchecked(emission: Distribution) -> Distribution:
    """The same distribution, which scores any value, even one that it cannot emit."""
    return rebuilt(emission, {}, lambda d: partial(type(d), validate_args=False))


def rebuilt(
    emission: Distribution,
    parameters: dict[str, Tensor],
    family_of: Callable[[Distribution], Callable] = type,
) -> Distribution:
    """The same distribution, with new values for the parameters that are named.

    `family_of` says what to build in place of each distribution, by default its own class.

    Raises:
        ValueError: for a distribution that its own attributes do not construct.
    """
    if isinstance(emission, Independent):
        base = rebuilt(emission.base_dist, parameters, family_of)
        return family_of(emission)(base, emission.reinterpreted_batch_ndims)
    try:
        return family_of(emission)(**arguments(emission, parameters, family_of))
    except (TypeError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"emission: got {type(emission).__name__}, which cannot be made anew with other"
            f" parameters ({error}); needs a distribution of torch.distributions"
        ) from error


def arguments(
    emission: Distribution,
    parameters: dict[str, Tensor],
    family_of: Callable[[Distribution], Callable] = type,
) -> dict:
    """The family's keyword arguments, with new values for the parameters that are named."""
    inner = {}
    for name, distribution in _inner(emission).items():
        given = {
            key.removeprefix(f"{name}."): value
            for key, value in parameters.items()
            if key.startswith(f"{name}.")
        }
        inner[name] = rebuilt(distribution, given, family_of)
    return _keywords(emission, inner, parameters)


def constructed_with(emission: Distribution) -> dict:
    """The keyword arguments that construct the distribution."""
    if isinstance(emission, Independent):
        base, dims = emission.base_dist, emission.reinterpreted_batch_ndims
        return {"base_distribution": base, "reinterpreted_batch_ndims": dims}
    return _keywords(emission, _inner(emission), {})


def _keywords(
    emission: Distribution,
    inner: dict[str, Distribution],
    parameters: dict[str, Tensor],
) -> dict:
    """Keyword arguments: `inner` for the distributions that it is made of, or its own
    parameters, new ones where named, and what else the family asks for.
    """
    if hasattr(emission, "arguments_of"):  # a distribution of our own
        return emission.arguments_of(inner)
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


def at(emission: Distribution, index: tuple) -> Distribution:
    """The emission of the states at `index` alone: batch_shape (K_1, ..., K_M) to that of
    its entries.
    """
    return rebuilt(emission, {k: v[index] for k, v in parameters(emission).items()})


def log_probs_given(emission: Distribution) -> Tensor:
    """log p of each symbol, (K, V), as given or by `log`: -inf for probability 0."""
    if not given_as_probs(emission):
        return emission.logits
    return log(emission.probs) if emission.probs.requires_grad else emission.probs.log()


def by_logits(emission: Distribution) -> dict[str, Tensor]:
    """Its probabilities as logits, -inf for 0, under the names that `rebuilt` takes."""
    found = {}
    for part in parts(emission):
        if part.attribute == "probs":
            name, p = part.name.removesuffix("probs") + "logits", part.value
            found[name] = log(p) if part.on_simplex else log(p) - log(1 - p)
    return found


def given_as_probs(emission: Distribution) -> bool:
    """Whether it was constructed from probs, not from logits."""
    # torch's own record of what was given: the other of the two is computed from it, with
    # probabilities of 0 and 1 moved inwards.
    given = vars(emission).get("_param")
    if given is not None:
        return given is emission.probs
    holder = getattr(emission, "base_dist", emission)  # of relaxed distributions
    wrapped = (x for x in vars(holder).values() if isinstance(x, Categorical))
    holder = next(wrapped, holder)  # of Multinomial and others made of a Categorical
    given = vars(holder).get("_param")
    if given is not None:
        return given is holder.probs
    return "probs" in vars(holder) or "logits" not in vars(holder)


def _restored(emission: Distribution, name: str, value: Tensor) -> None:
    """Set probs or logits to exactly `value`: torch normalises what it is given, which may
    change the last bit of what was normalised before.
    """
    if name in vars(emission):
        setattr(emission, name, value)
        if hasattr(emission, "_param"):  # see `given_as_probs`
            emission._param = value
        return
    for inner in vars(emission).values():  # of those that wrap a Categorical
        if isinstance(inner, Distribution):
            _restored(inner, name, value)


def construct(family: type, given: dict) -> Distribution:
    """The opposite of `constructed_with`, to the last bit."""
    emission = family(**given)
    for name in ("probs", "logits"):
        if name in given:
            _restored(emission, name, given[name])
    return emission


def bounds_of_support(emission: Distribution) -> Iterator[tuple[Distribution, Tensor]]:
    """The tensors that bound what a distribution can emit, each with its owner."""
    for part in parts(emission):
        for bound in vars(part.owner.support).values():
            if isinstance(bound, Tensor):
                yield part.owner, bound


def _inner(emission: Distribution) -> dict[str, Distribution]:
    """The distributions that this one is made of, by attribute."""
    if hasattr(emission, "factors"):
        return {f"factor{i}": each for i, each in enumerate(emission.factors)}
    if isinstance(emission, MixtureSameFamily):
        names = "mixture_distribution", "component_distribution"
    else:
        names = ("base_dist",) if type(emission) is TransformedDistribution else ()
    return {name: getattr(emission, name) for name in names}


def _names(emission: Distribution) -> list[str]:
    """The names of its own parameters, each quantity once."""
    if _inner(emission):
        return []
    names = set(emission.arg_constraints)
    if {"probs", "logits"} <= names:
        names -= {"logits" if given_as_probs(emission) else "probs"}
    if "scale_tril" in names:
        names -= {"covariance_matrix", "precision_matrix"}
    return sorted(names)


def _is_location(emission: Distribution, name: str) -> bool:
    """Whether the parameter is a location: adding to it shifts the observations by as much."""
    try:
        support = emission.support
    except NotImplementedError:
        return False
    return name == "loc" and support in (constraints.real, constraints.real_vector)
