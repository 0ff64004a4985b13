"""The moves of M chains, and readings that they share, as the compiled loops take them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOST = 1e-270  # a small share of it, 1e-20, is as small as 1e6 entries that floats cannot hold
REFILLED = 1e-250  # with joint moves above it, each state is refilled from any other


class Moves(NamedTuple):
    """The transition matrices of M chains, padded with 0 to the size of the largest.

    Where inputs drive the moves, steps of one kind have the same inputs.
    """

    sizes: np.ndarray  #: (M,)
    moves: np.ndarray  #: (H, 2, M, K, K), and their logarithms; H kinds of steps
    turned: np.ndarray  #: the same, each matrix transposed
    apart: int
    """How many of the first chains move apart: up to the last one that has forbidden moves,
    so that the others refill each state from any other."""
    enough: float
    """What the sum of a message must not fall below, if no chain moves apart. The entries
    that are lost then, below 1e-300, are a share of 1e-20 at most of what the states are
    refilled with."""


def moves_of(matrices: Sequence[np.ndarray]) -> Moves:
    """From M of (K_m, K_m) or (H, K_m, K_m) probabilities."""
    sizes = np.array([matrix.shape[-1] for matrix in matrices])
    kinds = max(matrix.size // matrix.shape[-1] ** 2 for matrix in matrices)
    moves = np.zeros((kinds, 2, len(matrices), sizes.max(), sizes.max()))
    for m, matrix in enumerate(matrices):
        moves[:, 0, m, : sizes[m], : sizes[m]] = matrix
    with np.errstate(divide="ignore"):
        moves[:, 1] = np.log(moves[:, 0])
    turned = np.ascontiguousarray(moves.swapaxes(3, 4))
    # The least probable joint move of the last chain, of the last two, and so on
    least = np.cumprod([float(matrix.min()) for matrix in matrices[::-1]])
    apart = int((least <= REFILLED).sum())
    return Moves(sizes, moves, turned, apart, LOST / max(least[-1], REFILLED))


class Reading(NamedTuple):
    """log p(x_t | z_t) of a block: a Gaussian and its values, or all the scores.

    S = prod(sizes) joint states, B steps, M chains of up to K states.
    """

    gaussian: np.ndarray
    """(3, S), log density at the mean, mean, 1 / scale; (3, 0) where `scores` are given"""
    values: np.ndarray  #: (B,), NaN where missing; (0,) where `scores` are given
    scores: np.ndarray  #: (B, S), or (0, S)
    evidence: np.ndarray  #: (M, B, K), of each chain, added; (0, 0, 0) if there is none
