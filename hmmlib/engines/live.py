"""One step at a time, compiled, for observations that arrive one by one.

Messages are logarithms over all joint states, (S,), S = prod(sizes); one chain is the case
M = 1 of several. Moves as in `hmmlib.engines.chains`.
"""

import numpy as np

from hmmlib.engines.chains import joint_move
from hmmlib.engines.numbers import HALF_LOG_2_PI, exponentiate
from hmmlib.jit import compiled


@compiled
def moved(message, moves, apart, sizes):
    """log sum_i exp(message[i]) A[i, j] for each joint state j."""
    entered = message.copy()
    joint_move(entered, np.empty_like(message), moves, apart, sizes)
    return entered


@compiled
def absorbed(entered, scores):
    """entered + scores, normalised, and the logarithm of what was divided away.

    Entries of the same state, as many for each, share its score.
    """
    message, top, total = np.empty_like(entered), -np.inf, 0.0
    each = len(message) // len(scores)
    for s in range(len(message)):
        message[s] = entered[s] + scores[s // each]
        top = max(top, message[s])
    if top == -np.inf:
        return message, top
    weights = message - top
    exponentiate(weights)
    for s in range(len(message)):
        total += weights[s]
    norm = top + np.log(total)
    for s in range(len(message)):
        message[s] -= norm
    return message, norm


@compiled
def density(x, mean, scale):
    """log p(x | z) of a Gaussian reading in each state, (K,)."""
    scores = np.empty(len(mean))
    for j in range(len(mean)):
        apart = (x - mean[j]) / scale[j]
        scores[j] = -0.5 * apart * apart - np.log(scale[j]) - HALF_LOG_2_PI
    return scores
