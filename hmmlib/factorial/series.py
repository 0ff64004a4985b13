"""Sequences one by one, cut into blocks, and their answers put together as a batch.

Letters: B steps of a block, S = (K_1, ..., K_M) joint states.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions import log_likelihoods, lookup
from hmmlib.factorial.checks import check_memory
from hmmlib.factorial.messages import Chains
from hmmlib.inputs import beside, from_labels
from hmmlib.observations import Observed

WORKING_BLOCKS = 8  # that smoothing holds at once: starts, scores, alpha, beta, ...


class Series(NamedTuple):
    """One sequence, and what answers for it need of the model."""

    name: str  #: in messages
    blocks: tuple[Tensor, ...]  #: (B, *event_shape) each, B about sqrt(T)
    chains: Chains  #: where inputs drive the moves, of the first block
    score: Callable[[Tensor], Tensor]  #: log p(x_t | z_t) of a block, (B, *S)
    evidence: tuple[tuple[Tensor | None, ...], ...]
    """What else tells the states of each chain, of each block: M of None or (B, K_m)."""

    gaussian: Tensor | None = None
    """(2, prod(S)), mean and scale of a reading in each joint state; None: another family."""

    driven: Callable[[Tensor], Chains] | None = None
    """The chains in a block, from its inputs (B + 1, P), where inputs drive the moves."""
    inputs: tuple[Tensor, ...] = ()  #: of each block, those of the step before it first

    def at(self, n: int) -> Chains:
        """The chains in block n."""
        return self.chains if self.driven is None else self.driven(self.inputs[n])

    @property
    def num_steps(self) -> int:
        """T."""
        return sum(len(block) for block in self.blocks)

    def scores(self, n: int) -> Tensor:
        """log p(x_t | z_t) of block n, other evidence added, (B, *S)."""
        return beside(self.score(self.blocks[n]), self.evidence[n])


def series_of(
    seen: Observed,
    chains: Chains,
    emission: Distribution,
    driven: Callable[[Tensor], Chains] | None = None,
) -> list[Series]:
    """Each sequence of what was observed, cut to its length; `driven` as in `Series`.

    Raises ValueError if the messages of a block do not fit into memory.
    """
    values, lengths = seen.values, seen.lengths
    steps = steps_of(values, emission)
    evidence = evidence_of(seen, tuple(chains.log_initial.shape))
    given = values, seen.inputs, *evidence
    rows, ends, names = [given], [len(values)], ["the sequence"]
    if len(steps) == 2:
        each = [[None] * steps[0] if x is None else x for x in given]
        rows = list(zip(*each, strict=True))
        ends = [steps[1]] * steps[0] if lengths is None else lengths.tolist()
        names = [f"sequence {n}" for n in range(steps[0])]
    check_memory(
        "initial_probs",
        tuple(chains.log_initial.shape),
        WORKING_BLOCKS * block_size(max(ends)),
        "the messages of a block",
        "a shorter series, mean_field or coordinate_ascent",
    )
    score = partial(log_likelihoods, emission, dtype=chains.log_initial.dtype)
    table = lookup(emission, values)
    gaussian = None if table is None or table.values is None else table.table
    found = []
    for name, row, end in zip(names, rows, ends, strict=True):
        blocks, inputs, *told = (_cut(x, end) for x in row)
        told = tuple(zip(*told, strict=True))
        if driven is None:
            inputs = ()
        else:  # the inputs of the step before, too
            before = (inputs[0][:1], *(x[-1:] for x in inputs[:-1]))
            inputs = tuple(map(torch.cat, zip(before, inputs, strict=True)))
        given = blocks, chains, score, told, gaussian, driven, inputs
        found.append(Series(name, *given))
    return found


def evidence_of(seen: Observed, sizes: tuple[int, ...]) -> tuple[Tensor | None, ...]:
    """Evidence and labels together, M of None, (T, K_m) or (N, T, K_m)."""
    evidence = (None,) * len(sizes) if seen.evidence is None else seen.evidence
    if seen.labels is None:
        return evidence
    known = from_labels(seen.labels, sizes)
    pairs = zip(known, evidence, strict=True)
    return tuple(x if more is None else x.to(more) + more for x, more in pairs)


def _cut(values: Tensor | None, end: int) -> tuple[Tensor | None, ...]:
    """The first `end` rows, block by block; None for each block where there are none."""
    size = block_size(end)
    if values is None:
        return (None,) * math.ceil(end / size)
    return values[:end].split(size)


def block_size(num_steps: int) -> int:
    """The square root of `num_steps`, rounded up."""
    return math.isqrt(num_steps - 1) + 1


def steps_of(values: Tensor, emission: Distribution) -> torch.Size:
    """(T,) or (N, T): the shape of the observations without that of one of them."""
    return values.shape[: values.ndim - len(emission.event_shape)]


def stacked(answers: Sequence[Tensor], steps: tuple[int, ...]) -> Tensor:
    """The answers of all sequences as that of a batch; of one sequence alone, its own.

    The axis of time, the last but one of an answer, is padded to T: probabilities with 0,
    states with -1. N comes in front of it.
    """
    if len(steps) == 1:
        return answers[0]
    if answers[0].ndim == 0:
        return torch.stack(list(answers))
    blank = 0.0 if answers[0].is_floating_point() else -1
    padded = [
        torch.nn.functional.pad(x, (0, 0, 0, steps[1] - x.shape[-2]), value=blank)
        for x in answers
    ]
    return torch.stack(padded, dim=-3)
