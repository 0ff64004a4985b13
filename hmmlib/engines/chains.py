"""The recursion of several chains and one sequence, compiled for the CPU, in float64.

Letters and axes as in `hmmlib.recursion`. All messages are logarithms. Sums over states are
taken as probabilities, relative to the largest entry of the message; of the first chains, where
moves are forbidden, as `hmmlib.engines.rows` says.

S = prod(sizes) joint states, B steps of a block, M chains of up to K states.
"""

import numpy as np

from hmmlib.engines.numbers import exponentiate
from hmmlib.engines.rows import add_rows, rows_in_logs, rows_relative
from hmmlib.jit import compiled

LONG = 20  # entries below which an innermost loop is short


@compiled
def joint_forward(start, moves, kinds, apart, sizes, scores, messages, onward):
    """alpha of a block: alpha[t] = move(alpha[t-1]) + scores[t], and moved on once more.

    start     (S,)           move(alpha[-1]): what enters the first step of the block
    moves     (H, 2, M, K, K) transitions, of which (sizes[m], sizes[m]) count, and their
                             logarithms, of each kind of step
    kinds     (B + 1,)       the kind of the step before the block, and of its steps: of the
                             move that leaves it
    apart     int            how many of the first chains move as `hmmlib.engines.rows` says
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
        joint_move(onward, spare, moves[kinds[t + 1]], apart, sizes)


@compiled
def joint_backward(moves, kinds, apart, sizes, known, messages, onward):
    """beta of a block: beta[t] = move(known[t+1] + beta[t+1]), and that of the step before.

    moves, kinds, apart      as above, `moves` transposed
    known     (B, S)         log p(x_t | z_t); in the last row, beta of that step is added
    messages  (B, S)   out   beta[t], with 0 in the last row
    onward    (S,)     out   beta of the last step of the block before
    """
    spare = np.empty(known.shape[1])
    onward[:] = 0.0
    for t in range(len(known) - 1, -1, -1):
        messages[t] = onward
        onward += known[t]
        joint_move(onward, spare, moves[kinds[t]], apart, sizes)


@compiled
def joint_move(message, spare, moves, apart, sizes):
    """In place: the sum over the state left, of logarithms.

    The first `apart` chains move as `hmmlib.engines.rows` says.
    """
    given, rows = message, 1
    for m in range(apart):
        rows *= sizes[m]
    top, onward, after = np.empty(rows), np.empty(rows), rows
    rows_relative(message, top)
    exponentiate(message)
    for m in range(apart):
        after //= sizes[m]
        add_rows(message, spare, top, onward, moves[:, m], sizes[m], after)
        message, spare, top, onward = spare, message, onward, top
    message, _ = joint_sums(message, spare, moves[0], sizes, apart)
    rows_in_logs(message, top)
    given[:] = message


@compiled
def joint_sums(message, spare, matrices, sizes, first):
    """entered[j] = sum_i message[i] A[i, j], one chain at a time: it, and the other array.

    Both arrays are written to. Cost M · K^(M+1). The innermost loop runs over the chains
    behind the one that moves. Before this loop becomes short, the message is transposed: the
    chains that have moved come behind the others. Once all have moved, they are in their
    first order again. The chains before `first` stay where they are.
    """
    num_states, moved = len(message), 1
    for m in range(first):
        moved *= sizes[m]
    for m in range(first, len(sizes) + 1):
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
