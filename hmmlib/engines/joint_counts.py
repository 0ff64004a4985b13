"""Expected counts of several chains and one sequence, compiled, by scaled probabilities.

Letters and axes as in `hmmlib.engines.chains`: S = prod(sizes) joint states, B steps of a
block, M chains of up to K states.

A joint move is M moves, one chain after the other, and so are its expected counts. Between
two steps, let f_m be the message forwards in which the chains before m have moved, and g_m
the message backwards in which m and the chains behind it have moved back. Then chain m moves
from i to j with probability sum f_m[i] A_m[i, j] g_{m+1}[j], over the states of the others.
A step costs M · K^(M+1), as a message does.

Chain m is the first axis of f_m; once moved, it becomes the last one, so that all loops are
long. When all have moved, they are in their first order again.

Nothing is lost where each joint move is likely enough: then each state is refilled from any
other. Other chains need logarithms.
"""

import numpy as np

from hmmlib.engines.chains import joint_sum_of_chain, turn
from hmmlib.engines.joint_reading import joint_scores, steps_of
from hmmlib.engines.numbers import exponentiate
from hmmlib.jit import compiled

LIKELY = 1e-100  # joint moves above it lose nothing
LOST = 1e-200  # a sum below it may have lost something


@compiled
def forward_counts(start, moves, sizes, reading, likely, messages):
    """The messages of a block. Returns log p(its readings | those before); NaN if lost.

    start     (S,)               what enters the first step, p(z_1 | readings before)
    moves     (M, K, K)          transitions, of which (sizes[m], sizes[m]) count
    reading                      `hmmlib.engines.moves.Reading`
    likely    (B, S)       out   p(x_t | z_t), divided by the largest of those that can be
    messages  (B, M+1, S)  out   f_m of each step; f_0 is p(z_t | x_{1:t}), and f_M enters
                                 the next step
    """
    size, total, spare = len(start), 0.0, np.empty_like(start)
    for t in range(steps_of(reading)):
        joint_scores(reading, t, sizes, spare, likely[t])
        entering = start if t == 0 else messages[t - 1, -1]
        top, norm = -np.inf, 0.0
        for s in range(size):
            if entering[s] > 0.0:
                top = max(top, likely[t, s])
        if not np.isfinite(top):
            return np.nan
        for s in range(size):  # above 0 only where nothing enters
            likely[t, s] = min(likely[t, s] - top, 0.0)
        exponentiate(likely[t])
        for s in range(size):
            messages[t, 0, s] = entering[s] * likely[t, s]
            norm += messages[t, 0, s]
        if not norm > LOST:
            return np.nan
        total += np.log(norm) + top
        for s in range(size):
            messages[t, 0, s] /= norm
        for m in range(len(sizes)):
            others = size // sizes[m]
            joint_sum_of_chain(messages[t, m], spare, moves[m], sizes[m], others)
            turn(spare, messages[t, m + 1], sizes[m])
    return total


@compiled
def backward_counts(
    turned, sizes, reading, likely, messages, after, pairs, uses, first
):
    """Add the moves from each step of a block, and its uses. Returns whether all is exact.

    turned    (M, K, K)          transitions, each transposed
    reading, likely, messages    as in `forward_counts`
    after     (S,)         both  p(x_{t+1:T} | z_{t+1}), up to a factor, at the last step of
                                 the block; all 0 if nothing follows. Out: the same for the
                                 block before
    pairs     (M, K, K)    both  expected moves, each divided by its probability
    uses      (3, S)       both  sums of p(z_t | x) times 1, x_t - mean and (x_t - mean)^2
                                 over the steps with a reading
    first     (S,)         out   p(z_t | x) at the first step of the block
    """
    size, follows = len(after), after.any()
    entered, left = np.empty_like(after), np.empty_like(after)
    for t in range(len(messages) - 1, -1, -1):
        left[:] = 1.0
        if follows:
            norm = 0.0
            for s in range(size):
                norm += messages[t, -1, s] * after[s]
            if not norm > LOST:
                return False
            for s in range(size):
                left[s] = after[s] / norm
            for m in range(len(sizes) - 1, -1, -1):
                others = size // sizes[m]
                turn(left, entered, others)  # chain m first again
                add_pairs(messages[t, m], entered, sizes[m], pairs[m])
                joint_sum_of_chain(entered, left, turned[m], sizes[m], others)
        follows, top = True, 0.0
        for s in range(size):
            first[s] = messages[t, 0, s] * left[s]
            after[s] = left[s] * likely[t, s]
            top = max(top, after[s])
        for s in range(size):
            after[s] /= top
        if len(reading.values) and reading.values[t] == reading.values[t]:
            for s in range(size):
                apart = reading.values[t] - reading.gaussian[1, s]
                uses[0, s] += first[s]
                uses[1, s] += first[s] * apart
                uses[2, s] += first[s] * apart * apart
    return True


@compiled
def add_pairs(left, entered, size, pairs):
    """pairs[i, j] += sum_a left[i, a] * entered[j, a]."""
    left, entered = left.reshape(size, -1), entered.reshape(size, -1)
    for i in range(size):
        for j in range(size):
            total = 0.0
            for a in range(left.shape[1]):
                total += left[i, a] * entered[j, a]
            pairs[i, j] += total
