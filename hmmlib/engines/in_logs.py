"""The recursion of one chain in logarithms, compiled: for messages that scaling cannot hold.

Letters and axes as in `hmmlib.recursion`, arguments as in `hmmlib.engines.chain`. Sums over
states are taken as probabilities relative to the largest entry, as long as the sum is not
tiny beside it; then the entries that were too small for floats do not count. A sum that is
tiny is taken again in logarithms, term by term. This is how a left-to-right chain is
answered, whose early states fall behind by thousands of nats.
"""

import numpy as np

from hmmlib.engines.numbers import SMALL, add_uses, densities, score, to_probs
from hmmlib.jit import compiled

BLOCK = 128  # steps whose likelihoods are computed at once
LARGE = 1e100  # a factor below it brings nothing back that was lost


@compiled
def passes(log_initial, log_transitions, scores, rows, values, lengths, first, last, slot,
           evidence, exact, smoothed, starts, moves, uses):  # fmt: skip
    """Evidence of each sequence; posteriors and counts, if wanted, as in `chain.passes`."""
    size, further = len(log_initial), len(moves) > 0 or len(smoothed) > 0
    table = densities(scores) if len(values) else scores
    matrices = np.empty((2, size, size))  # and transposed
    longest = 0
    for n in range(first, last):
        longest = max(longest, lengths[n])
    alpha, here = np.empty((longest, size)), np.empty((longest, size))
    entering = np.empty((1, size))
    for n in range(first, last):
        end, full = lengths[n], len(rows) + len(values) == 0
        base = n * (len(scores) // len(lengths)) if full else n
        read(table, rows, values, base, n, end, here)
        exact[n] = True
        moving = log_transitions[n % len(log_transitions)]
        evidence[n] = forward(log_initial, moving, matrices, here, end, entering, alpha)
        if further and evidence[n] > -np.inf:
            into = n if slot < 0 else slot
            backward(moving, matrices, here, alpha, rows, values, table, n, end,
                     into, smoothed, starts, moves, uses)  # fmt: skip
        elif len(smoothed):
            smoothed[n] = 0.0


@compiled
def messages(log_initial, log_transitions, scores, rows, values, lengths, first, last,
             evidence, entering, alpha):  # fmt: skip
    """Evidence; and log p(x_{1:t-1}, z_t), log p(x_{1:t}, z_t) of all steps, (N, T, K)."""
    size, full = len(log_initial), len(rows) + len(values) == 0
    table = densities(scores) if len(values) else scores
    matrices, here = np.empty((2, size, size)), np.empty(alpha.shape[1:])
    for n in range(first, last):
        base = n * (len(scores) // len(lengths)) if full else n
        read(table, rows, values, base, n, lengths[n], here)
        moving = log_transitions[n % len(log_transitions)]
        evidence[n] = forward(log_initial, moving, matrices, here, lengths[n],
                              entering[n], alpha[n])  # fmt: skip


@compiled
def read(table, rows, values, base, n, end, here):
    """log p(x_t | z_t) of all steps, (T, K)."""
    size = here.shape[1]
    block = np.empty((size, BLOCK))
    for start in range(0, end, BLOCK):
        stop = min(start + BLOCK, end)
        if not len(rows):
            score(table, values, base, start, stop, block)
        for t in range(start, stop):
            for j in range(size):
                if len(rows):
                    here[t, j] = table[rows[n, t], j]
                else:
                    here[t, j] = block[j, t - start]


@compiled
def forward(log_initial, log_transitions, matrices, here, end, entering, alpha):
    """alpha of all steps, and log p(x); what enters each step, or the last of them alone."""
    size, shift = len(log_initial), prepare(log_transitions[0], matrices)
    entering[0] = log_initial
    for t in range(end):
        entered = entering[t if len(entering) > 1 else 0]
        if t > 0:
            moving = t - 1 if len(log_transitions) > 1 else 0
            if moving > 0:
                shift = prepare(log_transitions[moving], matrices)
            sums(alpha, t - 1, log_transitions, moving, 0, matrices, shift, entered)
        for j in range(size):
            alpha[t, j] = entered[j] + here[t, j]
    return logsumexp(alpha, end - 1)


@compiled
def backward(log_transitions, matrices, here, alpha, rows, values, table, n, end, into,
             smoothed, starts, moves, uses):  # fmt: skip
    """beta step by step, and p(z_t | x); adds to what is counted."""
    size, varying = alpha.shape[1], len(log_transitions) > 1
    beta, onward, joint = np.zeros(size), np.empty((1, size)), np.empty((1, size))
    probs, shift = np.empty((1, size)), 0.0
    for t in range(end - 1, -1, -1):
        moving = t if varying else 0
        if t < end - 1:
            for j in range(size):
                onward[0, j] = here[t + 1, j] + beta[j]
            if varying or t == end - 2:
                shift = prepare(log_transitions[moving], matrices)
            sums(onward, 0, log_transitions, moving, 1, matrices, shift, beta)
        for i in range(size):
            joint[0, i] = alpha[t, i] + beta[i]
        norm = logsumexp(joint, 0)
        for i in range(size):
            probs[0, i] = np.exp(joint[0, i] - norm)
            if len(smoothed):
                smoothed[n, t, i] = probs[0, i]
            if len(moves) and t == 0:
                starts[into, i] += probs[0, i]
        if len(moves) and t < end - 1:
            count(
                alpha,
                t,
                log_transitions,
                moving,
                matrices,
                shift,
                onward,
                norm,
                moves,
                into,
            )
        if len(uses):
            add_uses(probs, 0, rows, values, n, t, table, uses, into)


@compiled
def prepare(log_matrix, matrices):
    """Its entries as probabilities, and transposed, up to a factor; the factor's logarithm."""
    shift, _, _ = to_probs(log_matrix, matrices[0])
    for i in range(len(log_matrix)):
        for j in range(len(log_matrix)):
            matrices[1, j, i] = matrices[0, i, j]
    return shift


@compiled
def sums(messages, t, log_transitions, moving, side, matrices, shift, entered):
    """entered[j] = logsumexp_i(message[i] + log_matrix[i, j]); of its transpose if `side`."""
    size, top = len(entered), largest(messages, t)
    relative = np.empty(size)
    for i in range(size):
        relative[i] = np.exp(messages[t, i] - top) if top > -np.inf else 0.0
    for j in range(size):
        total = 0.0
        for i in range(size):
            total += matrices[1 - side, j, i] * relative[i]
        if total > SMALL:
            entered[j] = np.log(total) + top + shift
            continue
        best, total = -np.inf, 0.0
        for i in range(size):
            move = (
                log_transitions[moving, j, i] if side else log_transitions[moving, i, j]
            )
            best = max(best, messages[t, i] + move)
        if best > -np.inf:
            for i in range(size):
                move = (
                    log_transitions[moving, j, i]
                    if side
                    else log_transitions[moving, i, j]
                )
                total += np.exp(messages[t, i] + move - best)
        entered[j] = best + np.log(total) if best > -np.inf else best


@compiled
def count(
    alpha, t, log_transitions, moving, matrices, shift, onward, norm, moves, into
):
    """Add p(z_t, z_{t+1} | x)."""
    size, at = alpha.shape[1], t % moves.shape[1]
    left, right = largest(alpha, t), largest(onward, 0)
    factor = np.exp(left + right + shift - norm)
    for i in range(size):
        here = np.exp(alpha[t, i] - left) * factor
        for j in range(size):
            if factor < LARGE:
                pair = here * matrices[0, i, j] * np.exp(onward[0, j] - right)
            else:
                move = log_transitions[moving, i, j]
                pair = np.exp(alpha[t, i] + move + onward[0, j] - norm)
            moves[into, at, i, j] += pair


@compiled
def largest(messages, t):
    """The largest entry."""
    top = -np.inf
    for i in range(messages.shape[1]):
        top = max(top, messages[t, i])
    return top


@compiled
def logsumexp(messages, t):
    """log of the sum of exp; -inf where all are."""
    top, total = largest(messages, t), 0.0
    if top == -np.inf:
        return top
    for i in range(messages.shape[1]):
        total += np.exp(messages[t, i] - top)
    return top + np.log(total)
