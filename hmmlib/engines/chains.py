"""The recursion of several chains and one sequence, compiled for the CPU, in float64.

Letters and axes as in `hmmlib.recursion`. All messages are logarithms. Sums over states are
taken as probabilities, relative to the largest entry of the message; where an entry too small
for that could not be refilled from others, because moves are forbidden, they are taken as
logarithms, relative to the largest of the entries that are summed.

S = prod(sizes) joint states, B steps of a block, M chains of up to K states.
"""

import numpy as np

from hmmlib.engines.numbers import SMALL, exponentiate, max_finite
from hmmlib.jit import compiled, compiled_max

LONG = 20  # entries below which an innermost loop is short
SMALLEST = 1e-290  # products above it are exact


@compiled
def joint_forward(start, moves, least, sizes, scores, best, messages, onward):
    """alpha of a block: alpha[t] = move(alpha[t-1]) + scores[t], and moved on once more.

    start     (S,)           move(alpha[-1]): what enters the first step of the block
    moves     (2, M, K, K)   transitions, of which (sizes[m], sizes[m]) count, and their
                             logarithms
    least     float          the least probability of a joint move; 0 if none is forbidden
    scores    (B, S)         log p(x_t | z_t)
    best      bool           keep the best path instead of the sum over paths
    messages  (B, S)   out   log p(x_{1:t}, z_t), or the log joint of the best path
    onward    (S,)     out   the last message, moved one step on
    """
    spare = np.empty_like(start)
    onward[:] = start
    for t in range(len(scores)):
        for s in range(len(start)):
            onward[s] += scores[t, s]
            messages[t, s] = onward[s]
        joint_move(onward, spare, moves, least, sizes, best)


@compiled
def joint_backward(moves, least, sizes, known, messages, onward):
    """beta of a block: beta[t] = move(known[t+1] + beta[t+1]), and that of the step before.

    moves, least             as above, transposed
    known     (B, S)         log p(x_t | z_t); in the last row, beta of that step is added
    messages  (B, S)   out   beta[t], with 0 in the last row
    onward    (S,)     out   beta of the last step of the block before
    """
    spare = np.empty(known.shape[1])
    onward[:] = 0.0
    for t in range(len(known) - 1, -1, -1):
        messages[t] = onward
        onward += known[t]
        joint_move(onward, spare, moves, least, sizes, False)


@compiled
def joint_move(message, spare, moves, least, sizes, best):
    """In place: reduce over the state left, one chain at a time. Cost M · K^(M+1).

    The innermost loop runs over the chains behind the one that moves. Before this loop
    becomes short, the message is transposed: the chains that have moved come behind the
    others. Once all have moved, they are in their first order again.
    """
    num_states, moved, top = len(message), 1, 0.0
    given = message
    if not best:
        top = max_finite(message)
        if least > 0.0 and lowest_of(message) - top < np.log(SMALLEST / least):
            joint_move_in_logs(message, spare, moves, sizes)
            return
        for s in range(num_states):
            message[s] -= top
        exponentiate(message)
    for m in range(len(sizes) + 1):
        last = m == len(sizes)
        if last or num_states // (moved * sizes[m]) < LONG:
            turn(message, spare, moved)
            message, spare, moved = spare, message, 1
        if not last:
            moved *= sizes[m]
            after = num_states // moved
            if best:
                joint_best_of_chain(message, spare, moves[1, m], sizes[m], after)
            else:
                joint_sum_of_chain(message, spare, moves[0, m], sizes[m], after)
            message, spare = spare, message
    if best:
        given[:] = message
    else:
        for s in range(num_states):
            given[s] = np.log(message[s]) + top


@compiled
def lowest_of(message):
    """The smallest entry that is not -inf; inf where all are."""
    lowest = np.inf
    for s in range(len(message)):
        possible = message[s] if message[s] > -np.inf else np.inf
        lowest = min(lowest, possible)
    return lowest


@compiled
def joint_move_in_logs(message, spare, moves, sizes):
    """In place, as `joint_move`, and exact whatever the message and the moves."""
    after = len(message)
    for m in range(len(sizes)):
        after //= sizes[m]
        for start in range(0, len(message), after * sizes[m]):
            for a in range(start, start + after):
                logsum_of_chain(message, spare, moves[:, m], sizes[m], a, after)
        message[:] = spare


@compiled
def logsum_of_chain(message, entered, moves, size, start, stride):
    """entered[j] = logsumexp_i(message[i] + log matrix[i, j]) of one chain, others fixed."""
    top, relative = -np.inf, np.empty(size)
    for i in range(size):
        top = max(top, message[start + i * stride])
    for i in range(size):
        apart = message[start + i * stride] - top
        relative[i] = np.exp(apart) if top > -np.inf else 0.0
    for j in range(size):
        total = 0.0
        for i in range(size):
            total += relative[i] * moves[0, i, j]
        shift = top
        if total < SMALL:  # term by term, relative to the largest term
            shift = -np.inf
            for i in range(size):
                shift = max(shift, message[start + i * stride] + moves[1, i, j])
            total = 0.0
            for i in range(size):
                term = message[start + i * stride] + moves[1, i, j] - shift
                total += np.exp(term) if shift > -np.inf else 0.0
        entered[start + j * stride] = np.log(total) + shift if total > 0.0 else -np.inf


@compiled
def turn(message, turned, rows):
    """turned[c, r] = message[r, c]."""
    message, turned = message.reshape(rows, -1), turned.reshape(-1, rows)
    for r in range(message.shape[0]):
        for c in range(message.shape[1]):
            turned[c, r] = message[r, c]


@compiled
def joint_sum_of_chain(message, entered, matrix, size, after):
    """entered[b, j, a] = sum_i message[b, i, a] * matrix[i, j]; two i at a time."""
    message, entered = (
        message.reshape(-1, size, after),
        entered.reshape(-1, size, after),
    )
    for b in range(message.shape[0]):
        for j in range(size):
            for a in range(after):
                entered[b, j, a] = message[b, 0, a] * matrix[0, j] if size % 2 else 0.0
            for i in range(size % 2, size, 2):
                v, w = matrix[i, j], matrix[i + 1, j]
                for a in range(after):
                    entered[b, j, a] += message[b, i, a] * v + message[b, i + 1, a] * w


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
                for a in range(after):
                    score = max(message[b, i, a] + v, message[b, i + 1, a] + w)
                    entered[b, j, a] = max(entered[b, j, a], score)


@compiled_max
def joint_path(messages, matrices, sizes, following, states):
    """The best joint states of a block, traced back from its messages.

    messages   (B, S)         of `joint_forward` with `best`
    matrices   (M, K, K)      log transitions
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


@compiled
def first_half(sizes, num_states):
    """The first chains, so many that their joint states are as many as the others', or more."""
    half, rows = 0, 1
    while rows * rows < num_states:
        rows *= sizes[half]
        half += 1
    return half, rows


@compiled
def joint_onward(matrices, sizes, chosen, scores):
    """Log probability of moving to `chosen` from each joint state, (prod(sizes),)."""
    length, scores[0] = 1, 0.0
    for m in range(len(sizes)):  # one chain more: an entry becomes `size` ones
        for b in range(length - 1, -1, -1):
            base = scores[b]
            for i in range(sizes[m] - 1, -1, -1):
                scores[b * sizes[m] + i] = base + matrices[m, i, chosen[m]]
        length *= sizes[m]
