"""The recursion of several chains and one sequence, compiled for the CPU, in float64.

Letters and axes as in `hmmlib.recursion`. All messages are logarithms. Sums over states are
taken as probabilities, relative to the largest entry of the message; where an entry too small
for that could not be refilled from others, because moves are forbidden, they are taken as
logarithms, relative to the largest of the entries that are summed.

S = prod(sizes) joint states, B steps of a block, M chains of up to K states.
"""

import numpy as np

from hmmlib.engines.numbers import SMALL, exponentiate, logarithms, max_finite
from hmmlib.jit import compiled

LONG = 20  # entries below which an innermost loop is short
SMALLEST = 1e-290  # products above it are exact


@compiled
def joint_forward(start, moves, least, sizes, scores, messages, onward):
    """alpha of a block: alpha[t] = move(alpha[t-1]) + scores[t], and moved on once more.

    start     (S,)           move(alpha[-1]): what enters the first step of the block
    moves     (2, M, K, K)   transitions, of which (sizes[m], sizes[m]) count, and their
                             logarithms
    least     float          the least probability of a joint move; 0 if none is forbidden
    scores    (B, S)         log p(x_t | z_t)
    messages  (B, S)   out   log p(x_{1:t}, z_t)
    onward    (S,)     out   the last message, moved one step on
    """
    spare = np.empty_like(start)
    onward[:] = start
    for t in range(len(scores)):
        for s in range(len(start)):
            onward[s] += scores[t, s]
            messages[t, s] = onward[s]
        joint_move(onward, spare, moves, least, sizes)


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
        joint_move(onward, spare, moves, least, sizes)


@compiled
def joint_move(message, spare, moves, least, sizes):
    """In place: the sum over the state left, of logarithms."""
    top = max_finite(message)
    if least > 0.0 and lowest_of(message) - top < np.log(SMALLEST / least):
        joint_move_in_logs(message, spare, moves, sizes)
        return
    for s in range(len(message)):
        message[s] -= top
    exponentiate(message)
    entered, _ = joint_sums(message, spare, moves[0], sizes)
    logarithms(entered)
    for s in range(len(message)):
        message[s] = entered[s] + top


@compiled
def joint_sums(message, spare, matrices, sizes):
    """entered[j] = sum_i message[i] A[i, j], one chain at a time: it, and the other array.

    Both arrays are written to. Cost M · K^(M+1). The innermost loop runs over the chains
    behind the one that moves. Before this loop becomes short, the message is transposed: the
    chains that have moved come behind the others. Once all have moved, they are in their
    first order again.
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
            joint_sum_of_chain(message, spare, matrices[m], sizes[m], after)
            message, spare = spare, message
    return message, spare


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
