"""The recursion of one chain of few states, from both ends at once; compiled, in float64.

Letters and axes as in `hmmlib.recursion`, arguments as in `hmmlib.engines.chain`. Three
things make it fast:

    registers  a message is a tuple, whose length the compiler knows: it never leaves the CPU
    folding    transition and likelihood of a symbol are multiplied beforehand, also those
               of two symbols in a row
    both ends  each step waits for the one before, but alpha and beta not for each other

The evidence needs each of them up to the middle, posteriors need both everywhere. Messages
are divided by their sum every `OFTEN` steps. What may vanish in between is nothing that
counts, if every state can follow every other with a probability of at least `LEAST`; where
one cannot, or a message gets close to `TINY`, `exact` is False, and the loops of `chain`,
which look at each step, take over.
"""

import numpy as np

from hmmlib.engines.numbers import densities, evaluate, max_finite, to_probs
from hmmlib.engines.registers import move, rescaled, times, tuple_setitem
from hmmlib.jit import compiled, inlined

LEAST, TINY, OFTEN = 1e-50, 1e-120, 16
MOST = 4096  # numbers in the tables of two symbols, so that they stay in the cache
BLOCK = 128  # steps whose posteriors are computed at once


@compiled
def passes(zeros, log_initial, log_transitions, scores, rows, values, lengths, first, last,
           slot, evidence, exact, smoothed, starts, moves, uses):  # fmt: skip
    """Evidence of each sequence; posteriors and counts, if wanted, as in `chain.passes`.

    zeros  a tuple of K zeros
    """
    size, by_symbol, longest = len(zeros), len(rows) > 0, most(lengths)
    matrices = np.empty((2, 1, size, size))  # and transposed
    shift, _, _ = to_probs(log_transitions[0, 0], matrices[0, 0])
    fine, top = transpose(matrices[0], matrices[1]) > LEAST, max_finite(log_initial)
    initial = np.exp(log_initial - top)
    further = len(moves) > 0 or len(smoothed) > 0
    table = densities(scores) if len(values) else scores
    held = len(table) if by_symbol else longest
    likelihoods, shifts = np.empty((size, held)), np.empty(held)
    tables = matrices
    pairs = by_symbol and not further and size * size * held * held < MOST
    pairs = pairs and (last - first) * longest > 8 * held * held
    if by_symbol:
        evaluate(table, values, 0, 0, held, likelihoods, shifts)
        tables = folded(matrices[0, 0], likelihoods, pairs)
    codes = np.empty(longest, np.int64)
    alpha = np.empty((size, longest if further else 0))
    beta = np.empty_like(alpha)
    for n in range(first, last):
        exact[n] = fine
        if not fine:
            continue
        end, base = lengths[n], n if len(values) else n * (len(scores) // len(lengths))
        if not by_symbol:
            evaluate(table, values, base, 0, end, likelihoods, shifts)
        total = top + shift * (end - 1)
        total += read(rows, n, end, shifts, held, pairs, codes)
        near, far = (rows[n, 0], rows[n, end - 1]) if by_symbol else (0, end - 1)
        if further:
            total += travel(zeros, initial, tables, likelihoods, near, far, codes, by_symbol,
                            end, alpha, beta)  # fmt: skip
        else:
            total += meet(zeros, initial, matrices, tables, likelihoods, near, far, codes,
                          by_symbol, end, pairs)  # fmt: skip
        evidence[n], exact[n] = total, total == total
        if further and total > -np.inf:
            into = n if slot < 0 else slot
            exact[n] = combine(initial, matrices, likelihoods, alpha, beta, rows, values,
                               table, n, end, into, smoothed, starts, moves, uses)  # fmt: skip
        elif len(smoothed):
            smoothed[n] = 0.0


@compiled
def most(lengths):
    """The largest."""
    longest = 0
    for length in lengths:
        longest = max(longest, length)
    return longest


@compiled
def transpose(tables, turned):
    """Each table transposed; the smallest number in them."""
    least = np.inf
    for v in range(len(tables)):
        for i in range(tables.shape[1]):
            for j in range(tables.shape[2]):
                turned[v, j, i] = tables[v, i, j]
                least = min(least, tables[v, i, j])
    return least


@compiled
def folded(matrix, likelihoods, pairs):
    """transition[i, j] * likelihood[j] of each symbol, and transposed; (2, R, K, K).

    With `pairs`, first those of all two symbols in a row, (2, R R + R, K, K).
    """
    size, held = likelihoods.shape
    behind = held * held if pairs else 0
    tables = np.zeros((2, behind + held, size, size))
    for v in range(held):
        for i in range(size):
            for j in range(size):
                tables[0, behind + v, i, j] = matrix[i, j] * likelihoods[j, v]
    for code in range(behind):
        u, v = behind + code // held, behind + code % held
        for i in range(size):
            for k in range(size):
                for j in range(size):
                    tables[0, code, i, j] += tables[0, u, i, k] * tables[0, v, k, j]
    transpose(tables[0], tables[1])
    return tables


@compiled
def read(rows, n, end, shifts, held, pairs, codes):
    """Which table belongs to each step between the first and the last; the sum of shifts."""
    total, stride = 0.0, 2 if pairs else 1
    for t in range(end):
        total += shifts[rows[n, t] if len(rows) else t]
    if len(rows):
        for t in range(1, end - stride, stride):
            after = rows[n, t + 1] if pairs else 0
            codes[(t - 1) // stride] = rows[n, t] * (held if pairs else 1) + after
        if pairs and end % 2 and end > 2:
            codes[(end - 2) // 2] = held * held + rows[n, end - 2]
    return total


@inlined
def ends(zeros, initial, likelihoods, near):
    """The first alpha, and the last beta."""
    alpha, beta = zeros, zeros
    for j in range(len(zeros)):
        alpha = tuple_setitem(alpha, j, initial[j] * likelihoods[j, near])
        beta = tuple_setitem(beta, j, 1.0)
    return alpha, beta


@compiled
def meet(zeros, initial, matrices, tables, likelihoods, near, far, codes, by_symbol, end,
         pairs):  # fmt: skip
    """log p(x) but for shifts; NaN where it cannot say."""
    inner = max(end - 2, 0)  # codes between the ends
    inner = inner // 2 + inner % 2 if pairs else inner
    alpha, beta = ends(zeros, initial, likelihoods, near)
    total, half = 0.0, inner // 2
    if end > 1:
        beta = move(times(beta, likelihoods, far), matrices, 1, 0)
    for k in range(inner - half):
        q = inner - 1 - k
        if by_symbol:
            beta = move(beta, tables, 1, codes[q])
            if k < half:
                alpha = move(alpha, tables, 0, codes[k])
        else:
            beta = move(times(beta, likelihoods, q + 1), tables, 1, 0)
            if k < half:
                alpha = times(move(alpha, tables, 0, 0), likelihoods, k + 1)
        if k % OFTEN == OFTEN - 1:
            alpha, left = rescaled(alpha)
            beta, right = rescaled(beta)
            if 0.0 < min(left, right) < TINY:
                return np.nan
            total += np.log(left * right)
    norm = 0.0
    for j in range(len(zeros)):
        norm += alpha[j] * beta[j]
    return total + np.log(norm) if norm == 0.0 or norm > TINY * TINY else np.nan


@compiled
def travel(zeros, initial, tables, likelihoods, near, far, codes, by_symbol, end,
           all_alpha, all_beta):  # fmt: skip
    """All alpha and all beta, each known but for a factor; log p(x) but for shifts, or NaN."""
    alpha, beta = ends(zeros, initial, likelihoods, near)
    total = 0.0
    for j in range(len(zeros)):
        all_alpha[j, 0], all_beta[j, end - 1] = alpha[j], beta[j]
    for t in range(1, end):
        q = end - 1 - t
        if by_symbol:
            alpha = move(alpha, tables, 0, codes[t - 1] if t < end - 1 else far)
            beta = move(beta, tables, 1, codes[q] if t > 1 else far)
        else:
            alpha = times(move(alpha, tables, 0, 0), likelihoods, t)
            beta = move(times(beta, likelihoods, q + 1), tables, 1, 0)
        if t % OFTEN == 0:
            alpha, left = rescaled(alpha)
            beta, right = rescaled(beta)
            if 0.0 < min(left, right) < TINY:
                return np.nan
            total += np.log(left)
        for j in range(len(zeros)):
            all_alpha[j, t], all_beta[j, q] = alpha[j], beta[j]
    alpha, norm = rescaled(alpha)
    return total + np.log(norm) if norm == 0.0 or norm > TINY else np.nan


@compiled
def combine(initial, matrices, likelihoods, alpha, beta, rows, values, table, n, end,
            into, smoothed, starts, moves, uses):  # fmt: skip
    """Posteriors and counts, a block of steps at once: here nothing waits for anything.

    p(z_t | x) is (alpha[t-1] @ transition) * likelihood[t] * beta[t], normalised. False where
    a factor is too small to divide by.
    """
    size, matrix = len(initial), matrices[0, 0]
    left, entered = np.empty((size, BLOCK)), np.empty((size, BLOCK))
    right, norms = np.empty((size, BLOCK)), np.empty(BLOCK)
    for start in range(0, end, BLOCK):
        steps = min(BLOCK, end - start)
        for j in range(size):
            for t in range(steps):
                column = rows[n, start + t] if len(rows) else start + t
                right[j, t] = likelihoods[j, column] * beta[j, start + t]
                left[j, t] = alpha[j, start + t - 1]
            if start == 0:
                left[j, 0] = 0.0
        for t in range(steps):
            norms[t] = 0.0
        for j in range(size):
            for t in range(steps):
                entered[j, t] = left[0, t] * matrix[0, j]
            for i in range(1, size):
                for t in range(steps):
                    entered[j, t] += left[i, t] * matrix[i, j]
            if start == 0:
                entered[j, 0] = initial[j]
            for t in range(steps):
                norms[t] += entered[j, t] * right[j, t]
        for t in range(steps):
            if norms[t] < TINY * TINY:
                return False
        for j in range(size):
            for t in range(steps):
                right[j, t] /= norms[t]
                entered[j, t] *= right[j, t]  # from here on, p(z_t = j | x)
        if len(smoothed):
            for t in range(steps):
                for j in range(size):
                    smoothed[n, start + t, j] = entered[j, t]
        if len(moves):
            count(matrix, left, right, entered, start, steps, into, starts, moves)
        if len(uses):
            use(entered, rows, values, table, n, start, steps, into, uses)
    return True


@compiled
def count(matrix, left, right, probs, start, steps, into, starts, moves):
    """Add the moves into a block of steps, and the start if it is the first one."""
    for i in range(len(matrix)):
        for j in range(len(matrix)):
            total = 0.0
            for t in range(steps):
                total += left[i, t] * right[j, t]
            moves[into, 0, i, j] += total * matrix[i, j]
        if start == 0:
            starts[into, i] += probs[i, 0]


@compiled
def use(probs, rows, values, table, n, start, steps, into, uses):
    """Add p(z_t | x), (K, steps), to the symbols, or to the moments of the readings."""
    size = len(probs)
    if len(rows):
        for t in range(steps):
            row = rows[n, start + t]
            for j in range(size):
                uses[into, row, j] += probs[j, t]
        return
    for j in range(size):
        mass, first, second = 0.0, 0.0, 0.0
        for t in range(steps):
            apart = values[n, start + t] - table[1, j]
            seen = apart == apart
            prob, apart = probs[j, t] if seen else 0.0, apart if seen else 0.0
            mass += prob
            first += prob * apart
            second += prob * apart * apart
        uses[into, 0, j] += mass
        uses[into, 1, j] += first
        uses[into, 2, j] += second
