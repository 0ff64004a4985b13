"""One step of a chain of stays, compiled, for observations that arrive one by one.

With how long the stay has lasted beside the state, the chain is an ordinary one of K · D
states: a stay goes on, or ends, with a probability that depends on how long it has lasted.
A message (K · D,) is the logarithm over them, a state's D entries together; a step costs
K (K + D).
"""

from collections.abc import Callable

import numpy as np

from hmmlib.engines.in_logs import prepare, sums
from hmmlib.engines.stays import log_sum, relative
from hmmlib.jit import compiled


@compiled
def moved(message, stays, moves, shift):
    """log p(z_{t+1}) from log p(z_t): each stay goes on, or ends and another one begins."""
    ends, log_ends, goes_on = stays
    size, longest = ends.shape
    after, weights = np.empty_like(message), np.empty(longest)
    leaving, entering = np.empty((1, size)), np.empty(size)
    for k in range(size):
        lasted = message[k * longest : (k + 1) * longest]
        top = relative(lasted, weights)
        leaving[0, k] = log_sum(lasted, log_ends[k], weights, ends[k], top)
        for i in range(longest - 1):
            after[k * longest + i + 1] = lasted[i] + goes_on[k, i]
    sums(leaving, 0, moves, 0, 0, moves[1:], shift, entering)
    for k in range(size):
        after[k * longest] = entering[k]
    return after


@compiled
def turned(onward, stays, moves, shift):
    """log p(what follows | z_t) from log p(what follows | z_{t+1})."""
    ends, log_ends, goes_on = stays
    size, longest = ends.shape
    before, leaving = np.empty_like(onward), np.empty(size)
    entering = np.empty((1, size))
    for k in range(size):
        entering[0, k] = onward[k * longest]
    sums(entering, 0, moves, 0, 1, moves[1:], shift, leaving)
    for k in range(size):
        for i in range(longest):
            s = k * longest + i
            before[s] = log_ends[k, i] + leaving[k]
            if i < longest - 1:
                before[s] = np.logaddexp(before[s], goes_on[k, i] + onward[s + 1])
    return before


def chain_of(
    initial_probs: np.ndarray, transition_matrix: np.ndarray, durations: np.ndarray
) -> tuple[np.ndarray, Callable, Callable]:
    """log p(z_1), (K · D,), and `moved` and `turned` as functions of the message alone."""
    survivor = np.cumsum(durations[:, ::-1], 1)[:, ::-1]
    longer = np.pad(survivor[:, 1:], ((0, 0), (0, 1)))
    ends, goes_on = (
        np.divide(x, survivor, out=np.zeros_like(x), where=survivor > 0)
        for x in (durations, longer)
    )
    start, moves = np.zeros_like(durations), np.empty((3, *transition_matrix.shape))
    begins = survivor[:, 0]  # 1, but for rounding
    start[:, 0] = initial_probs * begins
    with np.errstate(divide="ignore"):
        start, moves[0] = np.log(start), np.log(transition_matrix * begins)
        stays = np.stack([ends, np.log(ends), np.log(goes_on)])
    shift = prepare(moves[0], moves[1:])
    return (
        start.reshape(-1),
        lambda message, _: moved(message, stays, moves, shift),
        lambda onward, _: turned(onward, stays, moves, shift),
    )
