"""Paths drawn from the posterior, compiled: from forward messages, the last state first.

Letters and axes as in `hmmlib.recursion`; R samples. Each state is drawn from
p(z_t | z_{t+1}, x), which is the message times the move: where a uniform number falls in the
sum. A sum too small for that is taken again in logarithms.
"""

import numpy as np

from hmmlib.engines.chains import first_half, joint_onward
from hmmlib.engines.numbers import SMALL, exponentiate, max_finite, to_probs
from hmmlib.jit import compiled


@compiled
def draws(log_transitions, alpha, in_logs, lengths, uniforms, first, last, states):
    """Paths of one chain, for each of N sequences.

    log_transitions  (1 or N, 1 or T-1, K, K)
    alpha     (N, T, K)       p(z_t | x_{1:t}), or its logarithm up to a constant if `in_logs`
    lengths   (N,)
    uniforms  (R, N, T)       independent, uniform on [0, 1)
    first, last               samples from `first` to before `last`
    states    (R, N, T)  out  the paths; -1 behind the end of a sequence
    """
    size = alpha.shape[2]
    message, weights = np.empty(size), np.empty(size)
    matrix = np.empty((size, size))
    for n in range(len(lengths)):
        moves = log_transitions[n % len(log_transitions)]
        varying = len(moves) > 1
        if n < len(log_transitions):
            to_probs(moves[0], matrix)
        for r in range(first, last):
            states[r, n, lengths[n] :] = -1
        for t in range(lengths[n] - 1, -1, -1):
            moving, end = t if varying else 0, t == lengths[n] - 1
            if varying and not end:
                to_probs(moves[t], matrix)
            top = max_finite(alpha[n, t]) if in_logs else 0.0
            for i in range(size):
                given = alpha[n, t, i]
                message[i] = np.exp(given - top) if in_logs else given
            for r in range(first, last):
                after, total = 0 if end else states[r, n, t + 1], 0.0
                for i in range(size):
                    weights[i] = message[i] if end else message[i] * matrix[i, after]
                    total += weights[i]
                if total < SMALL:
                    for i in range(size):
                        given = alpha[n, t, i]
                        weights[i] = given if in_logs else np.log(given)
                        weights[i] += moves[moving, i, after]
                    total = to_weights(weights)
                states[r, n, t] = where(weights, 0, size, uniforms[r, n, t] * total)[0]


@compiled
def joint_draws(messages, moves, kinds, sizes, following, uniforms, states):
    """Joint paths of M chains through a block of B steps.

    messages   (B, S)         log p(x_{1:t}, z_t), up to a constant for each step
    moves, kinds              as in `hmmlib.engines.chains.joint_forward`
    following  (R, M)         the states of the step after the block; -1 if there is none
    uniforms   (R, B)         independent, uniform on [0, 1)
    states     (R, B, M) out  the paths

    A message is a table: first a row is drawn, and then a state in it.
    """
    num_states, chosen = messages.shape[1], following.copy()
    half, rows = first_half(sizes, num_states)
    columns = num_states // rows
    left, right, sums = np.ones(rows), np.ones(columns), np.empty(rows)
    weights, table = np.empty((2, num_states))
    for t in range(len(messages) - 1, -1, -1):
        top = max_finite(messages[t])
        for s in range(num_states):
            table[s] = messages[t, s] - top
        exponentiate(table)
        matrices = moves[kinds[t + 1], 1]
        for r in range(len(states)):
            if chosen[r, 0] >= 0:
                leading_to(matrices[:half], sizes[:half], chosen[r, :half], left)
                leading_to(matrices[half:], sizes[half:], chosen[r, half:], right)
            total = 0.0
            for b in range(rows):
                sums[b] = 0.0
                for c in range(columns):
                    sums[b] += table[b * columns + c] * right[c]
                sums[b] *= left[b]
                total += sums[b]
            if total > SMALL:
                place = uniforms[r, t] * total
                row, below = where(sums, 0, rows, place)
                start = row * columns
                for c in range(columns):
                    weights[start + c] = table[start + c] * right[c]
                place = (place - below) / left[row]
                at, _ = where(weights, start, start + columns, place)
            else:
                joint_onward(matrices, sizes, chosen[r], weights)
                for s in range(num_states):
                    weights[s] += messages[t, s]
                total = to_weights(weights)
                at, _ = where(weights, 0, num_states, uniforms[r, t] * total)
            for m in range(len(sizes) - 1, -1, -1):
                states[r, t, m] = chosen[r, m] = at % sizes[m]
                at //= sizes[m]


@compiled
def leading_to(log_moves, sizes, chosen, probs):
    """The probability of moving to `chosen` from each joint state, (prod(sizes),)."""
    joint_onward(log_moves, sizes, chosen, probs)
    for s in range(len(probs)):
        probs[s] = np.exp(probs[s])


@compiled
def where(weights, start, stop, place):
    """The entry in whose share of the sum `place` lies, and the sum of those before it.

    Never an entry of 0.
    """
    chosen, before, below = start, 0.0, 0.0
    for s in range(start, stop):
        if weights[s] > 0.0:
            chosen, before = s, below
            below += weights[s]
            if below > place:
                break
    return chosen, before


@compiled
def to_weights(scores):
    """exp in place, relative to the largest; their sum."""
    top, total = -np.inf, 0.0
    for s in range(len(scores)):
        top = max(top, scores[s])
    for s in range(len(scores)):
        scores[s] = np.exp(scores[s] - top)
        total += scores[s]
    return total
