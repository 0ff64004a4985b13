"""The moves of M chains as the compiled loops read them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TINY = 1e-300  # what moves that are less probable together count as
REFILLED = 1e-250  # with joint moves above it, each state is refilled from any other


class Moves(NamedTuple):
    """The transition matrices of M chains, padded with 0 to the size of the largest."""

    sizes: np.ndarray  #: (M,)
    moves: np.ndarray  #: (2, M, K, K), and their logarithms
    turned: np.ndarray  #: the same, each matrix transposed
    least: float
    """The least probable joint move that is not forbidden; 0 if every state is refilled from
    any other, so that sums of probabilities are exact."""


def moves_of(matrices: Sequence[np.ndarray]) -> Moves:
    """From M of (K_m, K_m) probabilities."""
    sizes = np.array([len(matrix) for matrix in matrices])
    moves = np.zeros((2, len(matrices), sizes.max(), sizes.max()))
    for m, matrix in enumerate(matrices):
        moves[0, m, : len(matrix), : len(matrix)] = matrix
    with np.errstate(divide="ignore"):
        moves[1] = np.log(moves[0])
    turned = np.ascontiguousarray(moves.swapaxes(2, 3))
    least = np.prod([matrix[matrix > 0].min() for matrix in matrices])
    dense = all(matrix.all() for matrix in matrices) and least > REFILLED
    return Moves(sizes, moves, turned, 0.0 if dense else max(least, TINY))
