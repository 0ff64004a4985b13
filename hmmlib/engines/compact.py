"""A model and its observations in short: as `Potentials`, without an array over all steps."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.emissions.protocol import Lookup
from hmmlib.logs import log
from hmmlib.recursion import Potentials


class Compact(NamedTuple):
    """A model of one chain and its observations: its own tables, which are not logarithms."""

    initial_probs: Tensor  #: (K,)
    transition_matrix: Tensor  #: (K, K)
    scores: Lookup
    lengths: Tensor | None = None  #: (N,)


def in_full(potentials: Potentials | Compact) -> Potentials:
    """The same as `Potentials`: every log-likelihood computed, 0 behind each end."""
    if isinstance(potentials, Potentials):
        return potentials
    initial, matrix, scores, lengths = potentials
    full = Potentials(log(initial), (log(matrix),), scores.dense(), lengths)
    return full if full.lengths is None else without_rest(full)


def without_rest(potentials: Potentials) -> Potentials:
    """The potentials of a ragged batch, with log-likelihoods 0 behind each end."""
    scores = potentials.log_likelihoods.masked_fill(~running(potentials), 0.0)
    return potentials._replace(log_likelihoods=scores)


def running(potentials: Potentials) -> Tensor:
    """Which steps of a ragged batch come before the end of their sequence; (N, T, 1...)."""
    num_steps = potentials.log_likelihoods.shape[1]
    steps = torch.arange(num_steps, device=potentials.lengths.device)
    here = steps < potentials.lengths[:, None]
    return here.reshape(*here.shape, *[1] * potentials.log_initial.ndim)
