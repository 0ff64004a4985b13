"""Sums over states that forbidden moves keep exact, whatever floats can hold.

A probability that is too small for a float, beside the largest, is no loss where another state
can lead to the same one. Where moves are forbidden, it may be all there is. So the joint
states are taken in rows: a row for each joint state of the first chains, those up to the last
one with forbidden moves, and each row has a scale of its own. Within a row, every entry is
refilled from the row's largest by the moves of the other chains. Between rows, only sums
relative to the largest row that leads to a row are needed, and moves that are forbidden, or
that add nothing a float can show, cost nothing.
"""

import numpy as np

from hmmlib.engines.numbers import logarithms
from hmmlib.jit import compiled

NOTHING = -745.0  # exp of less is 0


@compiled
def rows_relative(message, top):
    """In place: each row less its largest entry, which is written to `top`, (rows,)."""
    message = message.reshape(len(top), -1)
    for r in range(len(top)):
        top[r] = -np.inf
        for v in range(message.shape[1]):
            top[r] = max(top[r], message[r, v])
        if top[r] > -np.inf:
            for v in range(message.shape[1]):
                message[r, v] -= top[r]


@compiled
def add_rows(message, entered, top, onward, moves, size, after):
    """One of the first chains moves: entered[b, j, c] = sum_i message[b, i, c] * matrix[i, j].

    message, entered  (S,)      probabilities relative to the scale of their row
    top, onward       (rows,)   logarithms of these scales; `onward` is written
    moves             (2, K, K) of this chain: probabilities and logarithms
    after             int       joint states of the first chains behind this one
    """
    top, onward = top.reshape(-1, size, after), onward.reshape(-1, size, after)
    width = message.size // top.size
    message = message.reshape(-1, size, after, width)
    entered = entered.reshape(-1, size, after, width)
    for b in range(len(top)):
        for j in range(size):
            for c in range(after):
                high = -np.inf
                for i in range(size):
                    high = max(high, top[b, i, c] + moves[1, i, j])
                onward[b, j, c] = high
                for v in range(width):
                    entered[b, j, c, v] = 0.0
                for i in range(size):
                    apart = top[b, i, c] + moves[1, i, j] - high
                    if apart > NOTHING:
                        weight = np.exp(apart)
                        for v in range(width):
                            entered[b, j, c, v] += weight * message[b, i, c, v]


@compiled
def rows_in_logs(message, top):
    """In place: the logarithm of each entry, the scale of its row added."""
    logarithms(message)
    message = message.reshape(len(top), -1)
    for r in range(len(top)):
        for v in range(message.shape[1]):
            message[r, v] += top[r]
