"""The free parameters of a model as one vector, each counted once, and the way back.

A row of probabilities is log-ratios to its largest, positive numbers are logarithms, and
covariances are Cholesky factors with logarithms on the diagonal. What is exactly 0 stays so.
Unlike the leaves of `hmmlib.learning.free`, which may be moved anywhere, no two vectors stand
for the same model: the curvature at a maximum has no flat direction but those of the model.

Letters: D coordinates, P entries of all parameters.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.emissions import Part, parameters, parts, rebuilt
from hmmlib.hmm import HMM
from hmmlib.learning.free import refuse_edges, transform_of
from hmmlib.learning.moving import as_tied
from hmmlib.transitions import SoftmaxTransitions

EDGE = 1e-6  # a probability this close to 0 or 1 stands on the boundary


class Entry(NamedTuple):
    """One number of a model."""

    part: str  #: "initial_probs", "transition_matrix", or the name of an emission's parameter
    index: tuple[int, ...]  #: its place there
    low: float = -torch.inf  #: what it has to be above
    high: float = torch.inf  #: what it has to be below

    def __str__(self) -> str:
        """Such as "transition_matrix[0, 1]"."""
        return f"{self.part}[{', '.join(map(str, self.index))}]"


class Coordinates(NamedTuple):
    """A model as a vector."""

    start: Tensor  #: (D,)  the model itself
    build: Callable[[Tensor], HMM]  #: the model of a vector (D,)
    entries: list[Entry]  #: P, in the order of `natural`
    names: list[Entry]  #: D, the entry behind each coordinate
    on_edge: list[
        Entry
    ]  #: what stands on its boundary, or nearly so, and is held there

    def natural(self, free: Tensor) -> Tensor:
        """All entries of the model of a vector, (P,)."""
        return torch.cat([x.flatten() for x in named_values(self.build(free)).values()])


class Leaf(NamedTuple):
    """One parameter, freed."""

    start: Tensor  # free numbers, shaped as the parameter
    free: Tensor  # booleans: which of them move
    back: Callable[[Tensor], Tensor]  # the parameter of free numbers
    on_edge: Tensor  # booleans: which entries stand on the boundary


def coordinates(hmm: HMM, learn: dict, tied=None) -> Coordinates:
    """The parts of the model that `learn` names, with their masks, as one vector.

    Args:
        hmm: in float64.
        learn: by part, see `hmmlib.learning.moving.as_moving`.
        tied: (K,) integers, the same for states that share their emission.

    Raises:
        ValueError: for a family whose parameters cannot be freed.
    """
    leaves, same = _leaves(hmm, learn), as_tied(tied, hmm)

    def model_of(values: dict[str, Tensor]) -> HMM:
        moves = values.pop("transition_matrix", None)
        if moves is not None and isinstance(hmm.transition_matrix, SoftmaxTransitions):
            moves = SoftmaxTransitions(moves)
        initial, emission = values.pop("initial_probs", None), hmm.emission
        if same is not None:
            values = {name: x[same.argmax(1)] for name, x in values.items()}
        return HMM.of_checked(
            hmm.initial_probs if initial is None else initial,
            hmm.transition_matrix if moves is None else moves,
            rebuilt(emission, values) if values else emission,
            hmm.symbols,
        )

    whole = torch.cat([leaf.start.flatten() for leaf in leaves.values()])
    moving = torch.cat([leaf.free.flatten() for leaf in leaves.values()])
    sizes = [leaf.start.numel() for leaf in leaves.values()]

    def build(free: Tensor, moving: Tensor) -> HMM:
        chunks = whole.masked_scatter(moving, free).split(sizes)
        given = zip(leaves.items(), chunks, strict=True)
        return model_of(
            {name: x.back(chunk.view_as(x.start)) for (name, x), chunk in given}
        )

    moving = _without_idle(moving, whole, build)
    cells = [
        Entry(name, index) for name, x in leaves.items() for index in places(x.start)
    ]
    on_edge = [flag for x in leaves.values() for flag in x.on_edge.flatten().tolist()]
    return Coordinates(
        whole[moving],
        partial(build, moving=moving),
        entries_of(hmm),
        list(itertools.compress(cells, moving.tolist())),
        list(itertools.compress(cells, on_edge)),
    )


def named_values(hmm: HMM) -> dict[str, Tensor]:
    """All parameters by name; symbols as probabilities, moves that inputs drive as weights."""
    moves = hmm.transition_matrix
    values = {
        "initial_probs": hmm.initial_probs,
        "transition_matrix": getattr(moves, "weights", moves),
    }
    for part in parts(hmm.emission):
        if part.on_simplex:
            values[name_of(part)] = part.owner.probs
        elif not part.constraint.is_discrete:
            values[part.name] = part.value
    return values


def entries_of(hmm: HMM) -> list[Entry]:
    """The entries of `named_values`, with the bounds of each."""
    driven = isinstance(hmm.transition_matrix, SoftmaxTransitions)
    bounds = {"initial_probs": _simplex, "transition_matrix": _simplex}
    if driven:
        bounds["transition_matrix"] = _anything
    for part in parts(hmm.emission):
        bounds[name_of(part)] = _simplex if part.on_simplex else partial(_bounds, part)
    return [
        Entry(name, index, *bounds[name](index))
        for name, value in named_values(hmm).items()
        for index in places(value)
    ]


def name_of(part: Part) -> str:
    """The name of a parameter, probabilities in the place of the logits of symbols."""
    if not part.on_simplex:
        return part.name
    return part.name.removesuffix(part.attribute) + "probs"


def places(value: Tensor) -> list[tuple[int, ...]]:
    """The indices of all entries, the last axis fastest."""
    return list(itertools.product(*map(range, value.shape)))


def _simplex(index) -> tuple[float, float]:
    return 0.0, 1.0


def _anything(index) -> tuple[float, float]:
    return -torch.inf, torch.inf


def _bounds(part: Part, index) -> tuple[float, float]:
    """What one entry has to be between."""
    constraint = part.constraint
    if constraint.event_dim == 2:  # a matrix, whose diagonal is positive
        return (0.0, torch.inf) if index[-1] == index[-2] else _anything(index)
    inner = getattr(constraint, "base_constraint", constraint)
    low = getattr(inner, "lower_bound", -torch.inf)
    return float(low), float(getattr(inner, "upper_bound", torch.inf))


def _leaves(hmm: HMM, learn: dict) -> dict[str, Leaf]:
    """Each parameter that moves, by its name in `named_values`."""
    leaves = {}
    for name in ("initial_probs", "transition_matrix"):
        table = getattr(hmm, name)
        if name in learn and isinstance(table, Tensor):
            leaves[name] = _rows(table, learn[name])
        elif name in learn:
            leaves[name] = _weights(table, learn[name])
    if "emission" not in learn:
        return leaves
    refuse_edges(
        rebuilt(
            hmm.emission,
            {
                k: x.clone().requires_grad_()
                for k, x in parameters(hmm.emission).items()
            },
        )
    )
    masks = learn["emission"]
    for part in parts(hmm.emission):
        known = isinstance(masks, dict) and part.name not in masks
        if part.constraint.is_discrete or known:
            continue
        mask = masks[part.name] if isinstance(masks, dict) else masks
        value = part.owner.probs if part.on_simplex else part.value
        if mask is not None:
            axes = [1] * (value.ndim - mask.ndim)
            mask = mask.reshape(*mask.shape, *axes).expand(value.shape)
        leaves[name_of(part)] = (
            _rows(value, mask) if part.on_simplex else _numbers(part, mask)
        )
    return leaves


def _rows(probs: Tensor, mask: Tensor | None) -> Leaf:
    """Rows of probabilities: log-ratios to the largest that moves."""
    probs = probs.detach()
    moving = torch.ones_like(probs, dtype=torch.bool) if mask is None else mask
    tiny = moving & (probs <= EDGE)
    moving = moving & ~tiny
    largest = probs.where(moving, -1.0).argmax(-1, keepdim=True)
    free = moving.scatter(-1, largest, False)
    # The largest of a row whose others are all on the edge is on it, too.
    at_one = moving & ~free.any(-1, keepdim=True) & tiny.any(-1, keepdim=True)
    left = (probs * moving).sum(-1, keepdim=True)

    def back(logs: Tensor) -> Tensor:
        odds = torch.where(moving, logs.exp(), 0.0)
        total = odds.sum(-1, keepdim=True)
        shares = odds / total.masked_fill(total == 0, 1.0) * left
        return torch.where(moving, shares, probs)

    logs = probs.masked_fill(~moving, 1.0).log()
    return Leaf(logs, free, back, tiny & (probs > 0) | at_one)


def _weights(moves: SoftmaxTransitions, mask: Tensor | None) -> Leaf:
    """Weights of moves that inputs drive; those of staying, or of the first move, are held."""
    possible = ~moves.forbidden
    stays = possible.diagonal()
    held = torch.where(stays, torch.arange(len(moves)), possible.int().argmax(1))
    free = possible.scatter(1, held[:, None], False)[..., None]
    free = free.expand(moves.weights.shape)
    free = free if mask is None else free & mask
    start = moves.weights.detach()
    none = torch.zeros_like(free)
    return Leaf(
        start.where(free, 0.0), free, lambda x: torch.where(free, x, start), none
    )


def _numbers(part: Part, mask: Tensor | None) -> Leaf:
    """Other parameters, through the transform that their constraint names."""
    value, transform = part.value.detach(), transform_of(part)
    start = transform.inv(value)
    low, high = _bounds(part, (0, 1) if part.constraint.event_dim == 2 else ())
    near = torch.zeros_like(value, dtype=torch.bool)
    if (low, high) == (0.0, 1.0):
        near = (value <= EDGE) | (value >= 1 - EDGE)
    near |= ~start.isfinite()
    free = ~near if mask is None else mask & ~near
    start = start.where(free, 0.0) if part.constraint.event_dim < 2 else start

    def back(x: Tensor) -> Tensor:
        return torch.where(free, transform(x), value)

    return Leaf(start, free, back, near if mask is None else near & mask)


def _without_idle(moving: Tensor, whole: Tensor, build: Callable) -> Tensor:
    """The coordinates on which the model depends, of those that move.

    Above the diagonal of a Cholesky factor, and of what states have in common, it does not.
    """

    def natural(free: Tensor) -> Tensor:
        values = named_values(build(free, moving)).values()
        return torch.cat([x.flatten() for x in values])

    if not moving.any():
        return moving
    slopes = torch.autograd.functional.jacobian(
        natural, whole[moving], vectorize=True
    )  # (P, D)
    return moving.masked_scatter(moving, (slopes != 0).any(0))
