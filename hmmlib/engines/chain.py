"""The recursion of one chain, compiled, in float64, with N sequences in front.

Letters and axes as in `hmmlib.recursion`. In `passes`, messages are probabilities up to a
factor, which is divided away when it becomes small or large and summed up as a logarithm.
That is exact unless an entry underflows that nothing can refill, behind a forbidden move;
the loops notice it (`exact` is False), and the caller uses the logarithms of `recursion`.
`best_path` works in logarithms.

Log-likelihoods come in one of three forms (see `hmmlib.emissions.protocol.Lookup`):

    by symbol  scores (R, K) log p(x | z) of each symbol, rows (N, T) which symbol
    Gaussian   scores (2, K) mean and scale, values (N, T), NaN where one is missing
    in full    scores (N T, K), one row for each step

where an absent `rows` or `values` is an empty array, (0, 0).
"""

import numpy as np

from hmmlib.engines.numbers import (
    add_products,
    add_uses,
    densities,
    evaluate,
    max_finite,
    may_be_lost,
    move,
    move_best,
    nothing_lost,
    to_probs,
)
from hmmlib.jit import compiled, inlined

BLOCK = 128  # steps whose likelihoods are computed at once


@compiled
def passes(
    log_initial,  # (K,)
    log_transitions,  # (1 or N, 1 or T-1, K, K): they may differ by sequence and change
    scores,  # the log-likelihoods, as above
    rows,
    values,
    lengths,  # (N,)
    first,  # sequences from `first`
    last,  # to before `last`
    slot,  # where counts go that are summed over sequences; -1: each its own
    evidence,  # (N,) out: log p(x_{1:T}), -inf if impossible
    exact,  # (N,) out: False where scaling lost something
    filtered,  # (N, T, K) out: p(z_t | x_{1:t}); or (0, 0, 0): not wanted
    smoothed,  # (N, T, K) out: p(z_t | x_{1:T}); or (0, 0, 0)
    starts,  # (slots, K), added to: p(z_1 | x_{1:T}); or (0, 0)
    moves,  # (slots, 1 or T-1, K, K), added to: expected moves, of each step if T-1;
    #       or (0, 0, 0, 0)
    uses,  # (slots, R or 3, K), added to: p(z_t | x_{1:T}) of each symbol, or its
):  #        zeroth, first and second moment about the mean; or (0, 0, 0)
    """Forward over each sequence, and backward where an output needs it."""
    size, num = len(log_initial), len(lengths)
    counting, full = len(moves) > 0, len(rows) + len(values) == 0
    table = densities(scores) if len(values) else scores
    held = len(scores) if len(rows) else BLOCK
    likelihoods, shifts = np.empty((size, held)), np.empty(held)
    if len(rows):
        evaluate(table, values, 0, 0, len(table), likelihoods, shifts)
    keep = counting or len(smoothed) > 0 or len(filtered) > 0
    alpha = np.empty((lengths.max() if keep else 1, size))
    width = padded(size)
    matrix, turned = np.zeros((width, width)), np.zeros((width, width))
    for n in range(first, last):
        if len(smoothed):
            alpha = smoothed[n]
        elif len(filtered):
            alpha = filtered[n]
        base = n * (len(scores) // num) if full else n
        moving = log_transitions[n % len(log_transitions)]
        evidence[n], exact[n] = forward(
            log_initial, moving, table, rows, values, base, n, lengths[n], matrix,
            turned, likelihoods, shifts, keep, alpha)  # fmt: skip
        if evidence[n] == -np.inf:
            alpha[:] = 0.0
        elif exact[n] and (counting or len(smoothed)):
            backward(
                moving, table, rows, values, base, n, lengths[n],
                n if slot < 0 else slot, alpha, matrix, likelihoods, shifts, smoothed,
                starts, moves, uses)  # fmt: skip


@inlined
def padded(size):
    """As many entries as fill whole vectors; those beyond `size` stay 0, and cost less."""
    return size if size <= 8 else (size + 3) // 4 * 4


@compiled
def forward(log_initial, log_transitions, table, rows, values, base, n, end, matrix,
            turned, likelihoods, shifts, keep, alpha):  # fmt: skip
    """alpha[t+1] = (alpha[t] @ transition) * likelihood[t+1]; log p(x), and exact?"""
    size, varying = len(log_initial), len(log_transitions) > 1
    message, entered = np.zeros(len(matrix)), np.zeros(len(matrix))
    shift, dense, exact = to_probs(log_transitions[0], matrix)
    turned[:] = matrix.T
    total, norm = max_finite(log_initial), 1.0
    for j in range(size):
        entered[j] = np.exp(log_initial[j] - total)
    for t in range(end):
        if t > 0:
            if varying:
                shift, dense, held = to_probs(log_transitions[t - 1], matrix)
                turned[:] = matrix.T
                exact &= held
            move(message, turned, entered)
            total += shift
        row = rows[n, t] if len(rows) else t % BLOCK
        if not len(rows) and row == 0:
            stop = min(t + BLOCK, end)
            evaluate(table, values, base, t, stop, likelihoods, shifts)
        norm, lowest = 0.0, np.inf
        for j in range(size):
            message[j] = entered[j] * likelihoods[j, row]
            norm += message[j]
            lowest = min(lowest, message[j])
        total += shifts[row]
        if may_be_lost(norm, lowest, dense):
            symbol = row if len(rows) else base + t
            exact &= nothing_lost(entered, message, norm, table, symbol, len(values))
            if norm == 0.0:
                return -np.inf, exact
        if keep:
            for j in range(size):
                alpha[t, j] = message[j] / norm
        if norm < 1e-40 or norm > 1e40:
            total += np.log(norm)
            for j in range(size):
                message[j] /= norm
            norm = 1.0
    return total + np.log(norm), exact


@compiled
def backward(log_transitions, table, rows, values, base, n, end, into, alpha, matrix,
             likelihoods, shifts, smoothed, starts, moves, uses):  # fmt: skip
    """beta[t] = transition @ (likelihood[t+1] * beta[t+1]), and what alpha makes of it."""
    size, varying, counting = alpha.shape[1], len(log_transitions) > 1, len(moves) > 0
    # Nothing is entered from the last step: `onward` begins with zeros.
    width, probs = len(matrix), np.empty((1, size))
    beta, onward = np.ones(width), np.zeros(width)
    left = np.zeros((BLOCK if counting else 1, width))  # alpha, and what it is moved to
    entered, pairs = np.zeros_like(left), np.zeros((width, width))
    for t in range(end - 1, -1, -1):
        if t < end - 1:
            if varying:
                to_probs(log_transitions[t], matrix)
            move(onward, matrix, beta)
        slot = t % BLOCK
        row = rows[n, t] if len(rows) else slot
        if not len(rows) and (t == end - 1 or slot == BLOCK - 1):
            evaluate(table, values, base, t - slot, t + 1, likelihoods, shifts)
        if counting:
            entered[slot] = onward
        norm, largest = 0.0, 0.0
        for i in range(size):
            reached = beta[i] if alpha[t, i] > 0.0 else 0.0  # the others do not count
            probs[0, i] = alpha[t, i] * beta[i]
            norm += probs[0, i]
            largest = max(largest, reached)
            onward[i] = likelihoods[i, row] * reached
        scale = 1.0 / norm
        for i in range(size):
            probs[0, i] *= scale
        if counting:
            for i in range(size):
                left[slot, i] = alpha[t, i] * scale
            if t == 0:
                starts[into] += probs[0]
            if varying:
                add_pairs(left, entered, slot, matrix, moves, into, t)
            elif slot == 0:
                add_products(left, entered, pairs)
                left[:] = 0.0
        if len(smoothed):  # in the place of alpha, which is not needed any more
            for i in range(size):
                smoothed[n, t, i] = probs[0, i]
        if len(uses):
            add_uses(probs, 0, rows, values, n, t, table, uses, into)
        if largest < 1e-10 or largest > 1e10:
            onward /= largest
    if counting and not varying:
        moves[into, 0] += (pairs * matrix)[:size, :size]


@compiled
def add_pairs(left, entered, slot, matrix, moves, into, t):
    """moves[i, j] += left[i] * matrix[i, j] * entered[j], of the move from step t."""
    at = t % moves.shape[1]
    for i in range(moves.shape[2]):
        for j in range(moves.shape[2]):
            moves[into, at, i, j] += left[slot, i] * matrix[i, j] * entered[slot, j]


@compiled
def best_path(zeros, log_initial, log_transitions, scores, rows, values, lengths, first, last,
              log_joint, states):  # fmt: skip
    """delta[t+1] = max(delta[t] + log_transition) + score[t+1], traced back.

    No maximum is stored with where it came from: the scores of one column are computed
    again along the path, which costs 1/K of the way there. `zeros` as in `move_best`.
    """
    num, width = len(lengths), len(zeros) if len(zeros) else padded(len(log_initial))
    delta = np.full((states.shape[1], width), -np.inf)
    matrix, entered = np.full((width, width), -np.inf), np.full(width, -np.inf)
    table = densities(scores) if len(values) else scores
    for n in range(first, last):
        end = lengths[n]
        base = n if len(rows) + len(values) else n * (len(scores) // num)
        moving = log_transitions[n % len(log_transitions)]
        best_messages(zeros, log_initial, moving, table, rows, values, base, n, end,
                      matrix, entered, delta)  # fmt: skip
        at = np.argmax(delta[end - 1])
        log_joint[n] = delta[end - 1, at]
        states[n, end:] = -1
        if log_joint[n] == -np.inf:
            states[n] = -1
            continue
        states[n, end - 1] = at
        for t in range(end - 2, -1, -1):
            at = best_before(delta, moving, t, at)
            states[n, t] = at


@compiled
def best_messages(zeros, log_initial, log_transitions, table, rows, values, base, n, end,
                  matrix, entered, delta):  # fmt: skip
    """delta of all steps."""
    size, varying = len(log_initial), len(log_transitions) > 1
    entered[:size] = log_initial
    for t in range(end):
        if t > 0:
            if varying or t == 1:
                matrix[:size, :size] = log_transitions[t - 1 if varying else 0]
            move_best(zeros, delta[t - 1], matrix, entered)
        if len(values):
            here, seen = values[n, t], values[n, t] == values[n, t]
            for j in range(size):
                apart = (here - table[1, j]) * table[2, j]
                density = table[0, j] - 0.5 * apart * apart
                delta[t, j] = entered[j] + (density if seen else 0.0)
        else:
            row = rows[n, t] if len(rows) else base + t
            for j in range(size):
                delta[t, j] = entered[j] + table[row, j]


@inlined
def best_before(delta, log_transitions, t, at):
    """The state that the best path to state `at` leaves at step `t`."""
    varying = t if len(log_transitions) > 1 else 0
    best, chosen = -np.inf, 0
    for i in range(log_transitions.shape[1]):
        score = delta[t, i] + log_transitions[varying, i, at]
        chosen = i if score > best else chosen
        best = score if score > best else best
    return chosen
