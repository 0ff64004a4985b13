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

from hmmlib.emissions import log_likelihoods
from hmmlib.factorial.checks import check_memory
from hmmlib.factorial.messages import Chains
from hmmlib.inputs import knowing

WORKING_BLOCKS = 8  # that smoothing holds at once: starts, scores, alpha, beta, ...


class Series(NamedTuple):
    """One sequence, and what answers for it need of the model."""

    name: str  #: in messages
    blocks: tuple[Tensor, ...]  #: (B, *event_shape) each, B about sqrt(T)
    chains: Chains
    score: Callable[[Tensor], Tensor]  #: log p(x_t | z_t) of a block, (B, *S)
    labels: tuple[Tensor, ...] | None = None  #: (B, M) each, -1 where unknown

    @property
    def num_steps(self) -> int:
        """T."""
        return sum(len(block) for block in self.blocks)

    def scores(self, n: int) -> Tensor:
        """log p(x_t | z_t) of block n, (B, *S); -inf in states that are not the known ones."""
        scores = self.score(self.blocks[n])
        return scores if self.labels is None else knowing(scores, self.labels[n])


def series_of(
    values: Tensor,
    lengths: Tensor | None,
    chains: Chains,
    emission: Distribution,
    labels: Tensor | None = None,
) -> list[Series]:
    """Each sequence of (T, *event_shape) or (N, T, *event_shape), cut to its length.

    `labels` are (T, M) or (N, T, M).

    Raises ValueError if the messages of a block do not fit into memory.
    """
    steps = steps_of(values, emission)
    rows, ends, names = [values], [len(values)], ["the sequence"]
    if len(steps) == 2:
        rows = list(values)
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
    known = [None] * len(rows)
    if labels is not None:
        known = [labels] if len(steps) == 1 else list(labels)
        known = [
            x[:end].split(block_size(end)) for x, end in zip(known, ends, strict=True)
        ]
    return [
        Series(name, row[:end].split(block_size(end)), chains, score, each)
        for name, row, end, each in zip(names, rows, ends, known, strict=True)
    ]


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
