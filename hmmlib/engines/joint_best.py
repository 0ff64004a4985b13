"""The best path of several chains and one sequence, compiled, in logarithms.

Letters and axes as in `hmmlib.engines.chains`: S = prod(sizes) joint states, B steps of a
block, M chains of up to K states.
"""

import numpy as np

from hmmlib.engines.chains import LONG, first_half, joint_onward, turn
from hmmlib.engines.joint_reading import joint_scores, steps_of
from hmmlib.jit import compiled, compiled_max


@compiled
def forward_best(start, moves, kinds, sizes, reading, messages, onward):
    """The score of the best path up to each joint state of a block.

    start     (S,)             what enters the first step of the block
    moves, kinds               as in `hmmlib.engines.chains.joint_forward`
    messages  (B or 1, S) out  the log joint of the best path; of one row only, the last step
    onward    (S,)        out  the last message, moved one step on
    """
    message, spare = start.copy(), np.empty_like(start)
    for t in range(steps_of(reading)):
        here = messages[t % len(messages)]
        joint_scores(reading, t, sizes, spare, here)
        for s in range(len(here)):
            here[s] += message[s]
            message[s] = here[s]
        message, spare = joint_best(message, spare, moves[kinds[t + 1], 1], sizes)
    onward[:] = message


@compiled
def joint_best(message, spare, matrices, sizes):
    """max over i of message[i] + A[i, j], one chain at a time: it, and the other array.

    See `hmmlib.engines.chains.joint_sums` for why messages are transposed.
    """
    num_states, moved = len(message), 1
    for m in range(len(sizes) + 1):
        last = m == len(sizes)
        if last or num_states // (moved * sizes[m]) < LONG:
            turn(message, spare, moved)
            message, spare, moved = spare, message, 1
        if not last:
            moved *= sizes[m]
            after = num_states // moved
            joint_best_of_chain(message, spare, matrices[m], sizes[m], after)
            message, spare = spare, message
    return message, spare


@compiled_max
def joint_best_of_chain(message, entered, matrix, size, after):
    """entered[b, j, a] = max_i message[b, i, a] + matrix[i, j]; two i at a time."""
    message, entered = (
        message.reshape(-1, size, after),
        entered.reshape(-1, size, after),
    )
    for b in range(message.shape[0]):
        for j in range(size):
            if size % 2:
                for a in range(after):
                    entered[b, j, a] = message[b, 0, a] + matrix[0, j]
            else:
                for a in range(after):
                    entered[b, j, a] = -np.inf
            for i in range(size % 2, size, 2):
                v, w = matrix[i, j], matrix[i + 1, j]
                if max(v, w) == -np.inf:
                    continue
                for a in range(after):
                    score = max(message[b, i, a] + v, message[b, i + 1, a] + w)
                    entered[b, j, a] = max(entered[b, j, a], score)


@compiled_max
def joint_path(messages, moves, kinds, sizes, following, states):
    """The best joint states of a block, traced back from its messages.

    messages   (B, S)         of `forward_best`
    moves, kinds              as in `forward_best`
    following  (M,)           the states of the step after the block; -1 if there is none
    states     (B, M)   out   the path

    There are no back-pointers: the scores of one column are computed again along the path,
    as sums of a part for the first chains (`left`) and a part for the others (`right`).
    """
    num_states = messages.shape[1]
    half, rows = first_half(sizes, num_states)
    messages = messages.reshape(len(messages), rows, -1)
    left, right = np.zeros(rows), np.zeros(num_states // rows)
    chosen = following.copy()
    for t in range(len(messages) - 1, -1, -1):
        if chosen[0] >= 0:
            matrices = moves[kinds[t + 1], 1]
            joint_onward(matrices[:half], sizes[:half], chosen[:half], left)
            joint_onward(matrices[half:], sizes[half:], chosen[half:], right)
        best, row = -np.inf, 0
        for r in range(len(left)):
            top = -np.inf
            for c in range(len(right)):
                top = max(top, messages[t, r, c] + right[c])
            if top + left[r] > best:
                best, row = top + left[r], r
        column = np.argmax(messages[t, row] + right)
        at = row * len(right) + column
        for m in range(len(sizes) - 1, -1, -1):
            chosen[m] = at % sizes[m]
            at //= sizes[m]
        states[t] = chosen
