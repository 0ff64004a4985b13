"""Parameters as free numbers, which a gradient may move anywhere, and the way back.

Probabilities are squares of free numbers, divided by their sum, and what has probability 0
keeps it; locations in the unit of the observations are free in units of their spread; other
parameters go through the transform that their constraint names, and whole numbers, such as
a number of trials, stay.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, transform_to

from hmmlib.emissions import Part, bounds_of_support, parts, rebuilt
from hmmlib.emissions.weights import unit_of
from hmmlib.hmm import HMM
from hmmlib.learning.moving import as_tied
from hmmlib.transitions import SoftmaxTransitions


def unconstrained(
    hmm: HMM, learn: dict, values: Tensor, tied
) -> tuple[Callable[[], HMM], list[Tensor]]:
    """A function that builds the model from its leaves, and the leaves, which are free.

    States that are `tied` share their emission, see `hmmlib.learning.moving.as_tied`.
    """
    chain, emitted = Free(), Free()
    same = as_tied(tied, hmm)
    for part in ("initial_probs", "transition_matrix"):
        if part in learn and isinstance(table := getattr(hmm, part), Tensor):
            chain.add_probs(part, table, learn[part])
        elif part in learn:
            chain.add_weights(part, table, learn[part])
    if "emission" in learn:
        _free_emission(emitted, hmm.emission, values, learn["emission"])

    def build() -> HMM:
        """The model of the leaves as they are."""
        now, emission = chain.values(), hmm.emission
        if emitted.leaves:
            found = emitted.values()
            if same is not None:
                first = same.argmax(1)  # state of each group
                found = {name: value[first] for name, value in found.items()}
            emission = rebuilt(emission, found)
        return HMM(
            now.get("initial_probs", hmm.initial_probs),
            now.get("transition_matrix", hmm.transition_matrix),
            emission,
            hmm.symbols,
        )

    if emitted.leaves:
        refuse_edges(build().emission)
    return build, [*chain.leaves.values(), *emitted.leaves.values()]


class Free:
    """Parameters as free numbers: leaves by name, and the way back to their values."""

    def __init__(self):
        self.leaves: dict[str, Tensor] = {}
        self.back: dict[str, Callable] = {}

    def add(
        self,
        name: str,
        value: Tensor,
        forward: Callable,
        inverse: Callable,
        mask: Tensor | None = None,
    ):
        """Free `value`, where the mask is True. Raises ValueError on the edge of what it may
        be.
        """
        leaf, whole = inverse(value).detach().clone(), forward
        if mask is not None:
            leaf = leaf.where(mask, 0.0)

            def forward(x: Tensor) -> Tensor:
                return torch.where(mask, whole(x), value)

        if not leaf.isfinite().all():
            raise ValueError(
                f"emission: {name} {value.tolist()} stands on the edge of what it may be,"
                " needs values inside, or learn without the emission"
            )
        self.leaves[name], self.back[name] = leaf.requires_grad_(), forward

    def add_probs(self, name: str, value: Tensor, mask: Tensor | None = None):
        """Free rows of probabilities; what moves shares what the rest of its row leaves."""
        left = 1.0 if mask is None else (value * mask).sum(-1, keepdim=True)

        # Not a softmax: there 0 is infinitely far away, and near it gradients vanish.
        def as_rows(x: Tensor) -> Tensor:
            total = x.square().sum(-1, keepdim=True)
            return x.square() / total.masked_fill(total == 0, 1.0) * left

        self.add(name, value, as_rows, torch.sqrt, mask)

    def add_weights(self, name: str, moves: SoftmaxTransitions, mask: Tensor | None):
        """Free the weights of moves that inputs drive; what is forbidden stays so."""
        possible = ~moves.forbidden[..., None].expand(moves.weights.shape)
        mask = possible if mask is None else possible & mask
        self.add(name, moves.weights, torch.clone, torch.clone, mask)
        weights = self.back[name]
        self.back[name] = lambda leaf: SoftmaxTransitions(weights(leaf))

    def values(self) -> dict[str, Tensor]:
        """The parameters of the leaves as they are."""
        return {name: self.back[name](leaf) for name, leaf in self.leaves.items()}


def _free_emission(
    free: Free, emission: Distribution, values: Tensor, masks: Tensor | dict | None
) -> None:
    """Free the parameters of the emission. Raises ValueError if there are none."""
    unit = unit_of(values)
    for part in parts(emission):
        name, mask = part.name, masks
        if part.constraint.is_discrete:  # such as the number of trials
            continue
        if isinstance(masks, dict) and name not in masks:
            continue
        if masks is not None:
            mask = masks[name] if isinstance(masks, dict) else masks
        if mask is not None:
            axes = [1] * (part.value.ndim - mask.ndim)
            mask = mask.reshape(*mask.shape, *axes).expand(part.value.shape)
        if part.on_simplex:
            name = name.removesuffix(part.attribute) + "probs"
            free.add_probs(name, part.owner.probs, mask)
        elif part.in_unit:
            free.add(name, part.value, lambda x: x * unit, lambda x: x / unit, mask)
        else:
            transform = transform_of(part)
            free.add(name, part.value, transform, transform.inv, mask)
    if not free.leaves:
        raise ValueError(
            f"emission: got {type(emission).__name__}, which has no parameters that could be"
            " learned, needs learn without the emission"
        )


def refuse_edges(emission: Distribution) -> None:
    """Raise ValueError if parameters that are learned bound what a state can emit."""
    for owner, bound in bounds_of_support(emission):
        if bound.requires_grad:
            raise ValueError(
                f"emission: got {type(owner).__name__}, whose parameters bound what it can"
                " emit: at the bound the likelihood jumps, and has no gradient; needs learn"
                " without the emission"
            )


def transform_of(part: Part):
    """From free numbers to what the parameter may be. Raises ValueError if there is none."""
    try:
        return transform_to(part.constraint)
    except NotImplementedError as error:
        raise ValueError(
            f"emission: got {type(part.owner).__name__}, whose {part.name} cannot be freed,"
            " needs learn without the emission"
        ) from error
