"""Which parts of a model move when it learns: by name, by a mask, and tied to each other."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.checks import as_tensor, told
from hmmlib.emissions import Part, parts, rows
from hmmlib.emissions.weights import normalised

Learn = Collection[str] | Mapping[str, object]


def as_moving(learn: Learn, model, names: tuple[str, ...]) -> dict:
    """What moves, by part: None for all of it, or a mask; of the emission also a dict.

    Args:
        learn: names of parts, or a dict: True, False or booleans for each part, shaped as
            the part, or (K,), one for each state; for the emission (K,), or a dict with the
            same for its parameters, such as {"loc": True}.
        model: an `HMM` or `HSMM`.
        names: of the parts that there are.

    Raises:
        ValueError: for anything else, and where nothing moves.
    """
    among = isinstance(learn, list | tuple | set | frozenset | dict) and len(learn)
    if not among or not all(isinstance(part, str) and part in names for part in learn):
        raise ValueError(f"learn: got {told(learn)}, needs some of {names}")
    given = learn if isinstance(learn, dict) else dict.fromkeys(learn)
    moving = {}
    for name, mask in given.items():
        if name == "emission":
            shapes = {part.name: part.value.shape for part in parts(model.emission)}
            mask = _of_emission(mask, shapes, model.num_states)
        else:
            table = getattr(model, name)
            shape = getattr(table, "weights", table).shape
            mask = _as_mask(f"learn[{name!r}]", mask, shape)
        if mask is not False:
            moving[name] = mask
    if not moving:
        raise ValueError("learn: nothing moves, needs a part or an entry that does")
    return moving


def moved(
    counts: Tensor, old: Tensor, mask: Tensor | None, pseudo_count: float
) -> Tensor:
    """Rows of counts as probabilities; where the mask is False they are those of `old`.

    What moves shares what the fixed entries of its row leave.
    """
    if mask is None:
        return normalised(counts, old, pseudo_count)
    left = (old * mask).sum(-1, keepdim=True)
    share = torch.where(left > 0, old * mask / left, 0.0)
    free = normalised((counts * mask).to(share), share, pseudo_count)
    return torch.where(mask, free * left, old)


def kept(
    new: Distribution, old: Distribution, mask: Tensor | dict | None
) -> Distribution:
    """The new emission, with the parameters of the old one in states where `mask` is False.

    Raises:
        ValueError: for a family whose states have parameters in common, and for masks of
            single parameters.
    """
    if mask is None:
        return new
    if isinstance(mask, dict):
        raise ValueError(
            f"learn['emission']: got parameters, {sorted(mask)}; EM moves whole states,"
            " needs booleans (K,), or fit_gradient, which moves single parameters"
        )
    owners = {_prefix(part): part.owner for part in parts(old)}
    values = {}
    for part in parts(new):
        was = getattr(owners[_prefix(part)], part.attribute)  # probs of logits, too
        here = mask.reshape(-1, *[1] * (part.value.ndim - 1))
        values[part.name] = torch.where(here, part.value, was.to(part.value))
    mixed = emissions.rebuilt(new, values)
    for part in parts(mixed):
        if not torch.isclose(part.value, values[part.name]).all():
            raise ValueError(
                f"learn: a mask of states, but all states of {type(new).__name__} have one"
                f" {part.attribute}; needs all of the emission to move, or none"
            )
    return mixed


def _prefix(part: Part) -> str:
    """The name of the distribution that a parameter belongs to, in the emission."""
    return part.name.removesuffix(part.attribute)


def as_tied(tied, model) -> Tensor | None:
    """Which states emit alike, (K, K) of 0 and 1; None where each emits on its own.

    Args:
        tied: (K,) integers, the same for states that share their emission; or None.
        model: an `HMM`, whose states that are tied start alike.

    Raises:
        ValueError: for anything else.
    """
    if tied is None:
        return None
    groups = as_tensor("tied", tied)
    if tuple(groups.shape) != (model.num_states,) or groups.is_floating_point():
        raise ValueError(
            f"tied: got {told(tied)}, needs {model.num_states} integers, one a state: the"
            " same for states that share their emission"
        )
    same = groups[:, None] == groups
    emitted = rows(model.emission)
    unlike = same & (emitted[:, None] != emitted).any(-1)
    if unlike.any():
        raise ValueError(
            f"tied: states {unlike.nonzero()[0].tolist()} emit differently at the start, needs"
            " the same parameters for states that share their emission"
        )
    return same.to(emitted)


def _of_emission(mask, shapes: dict, num_states: int):
    """None, False, a mask of states (K,), or a dict of masks by parameter."""
    if not isinstance(mask, dict):
        return _as_mask("learn['emission']", mask, (num_states,))
    if not mask or set(mask) - set(shapes):
        raise ValueError(
            f"learn['emission']: got {sorted(mask)}, needs some of {sorted(shapes)}"
        )
    found = {
        k: _as_mask(f"learn['emission'][{k!r}]", x, shapes[k]) for k, x in mask.items()
    }
    found = {k: x for k, x in found.items() if x is not False}
    return found or False


def _as_mask(name: str, mask, shape: tuple[int, ...]) -> Tensor | bool | None:
    """None for True, False, or booleans of `shape`. Raises ValueError."""
    if mask is None or mask is True:
        return None
    if mask is False:
        return False
    found = as_tensor(name, mask)
    while found.ndim < len(shape) and found.shape == shape[: found.ndim]:
        found = found[..., None].expand(*found.shape, shape[found.ndim])
    if found.dtype != torch.bool or tuple(found.shape) != tuple(shape):
        raise ValueError(
            f"{name}: got {found.dtype} of shape {tuple(found.shape)}, needs booleans of"
            f" shape {tuple(shape)}, or True or False"
        )
    if not found.any():
        return False
    return None if found.all() else found
