"""Mean and variance of what chains add up along the path, compiled, in one pass forwards.

Letters and axes as in `hmmlib.engines.chains`: S = prod(sizes) joint states, B steps of a
block, M chains of up to K states, and one sum for each.

Beside the log probability of each joint state stand the mean and the variance of each sum so
far, given that state and the readings. Where paths meet in a state, these are mixed by the
laws of total expectation and total variance. Variances are sums of squares about the mean, so
that nothing cancels; means are relative to those of one state, so that none grows.
"""

import numpy as np

from hmmlib.engines.chains import LONG, turn
from hmmlib.engines.joint_reading import joint_scores, steps_of
from hmmlib.engines.numbers import SMALL, exponentiate, logarithms, max_finite
from hmmlib.jit import compiled


@compiled
def forward_moments(
    message, moments, base, moves, kinds, sizes, reading, values, tables, on
):
    """Through a block, in place.

    message  (S,)            log p(z | readings so far) of the first step, up to a constant;
                             then of the last step, its reading counted, or, if `on`, of the
                             step after it
    moments  (2, M, S)       mean and variance of each sum before this step; then after it
    base     (M,)            what is added to the means
    moves, kinds             as in `hmmlib.engines.chains.joint_forward`
    values   (B,)            the readings; NaN where missing
    tables   (5, M, S)       see `add_step`
    """
    entered, mixed = np.empty_like(message), np.empty_like(moments)
    for t in range(steps_of(reading)):
        joint_scores(reading, t, sizes, entered, mixed[0, 0])
        for s in range(len(message)):
            message[s] += mixed[0, 0, s]
        top = max_finite(message)
        for s in range(len(message)):
            message[s] -= top
        add_step(moments, base, values[t], tables, np.argmax(message))
        if on or t < steps_of(reading) - 1:
            mix(message, moments, entered, mixed, moves[kinds[t + 1]], sizes)


@compiled
def add_step(moments, base, x, tables, likeliest):
    """Add what each chain draws in one step, given its joint state and the reading.

    tables  (5, M, S)  level of the chain; its share in what the reading is above the sum of
                       all levels; that sum; variance given the reading; variance without one

    What the sum is in the likeliest state goes into `base`.
    """
    known = x == x
    for m in range(moments.shape[1]):
        level, share, total = tables[0, m], tables[1, m], tables[2, m]
        mean, variance = moments[0, m], moments[1, m]
        for s in range(len(mean)):
            mean[s] += level[s] + (share[s] * (x - total[s]) if known else 0.0)
            variance[s] += tables[3, m, s] if known else tables[4, m, s]
        middle = mean[likeliest]
        base[m] += middle
        for s in range(len(mean)):
            mean[s] -= middle


@compiled
def mix(message, moments, entered, mixed, moves, sizes):
    """One move of all chains, in place; `entered` and `mixed` are room for the same.

    See `hmmlib.engines.chains.joint_sums` for why all is transposed on the way.
    """
    given, means = message, moments
    num_states, moved = len(message), 1
    for m in range(len(sizes) + 1):
        last = m == len(sizes)
        if last or num_states // (moved * sizes[m]) < LONG:
            turn(message, entered, moved)
            for r in range(moments.shape[1]):
                turn(moments[0, r], mixed[0, r], moved)
                turn(moments[1, r], mixed[1, r], moved)
            message, entered, moments, mixed = entered, message, mixed, moments
            moved = 1
        if not last:
            moved *= sizes[m]
            after = num_states // moved
            mix_of_chain(message, moments, entered, mixed, moves[:, m], sizes[m], after)
            message, entered, moments, mixed = entered, message, mixed, moments
    given[:] = message
    means[:] = moments


@compiled
def mix_of_chain(message, moments, entered, mixed, moves, size, after):
    """One chain moves, the others stay: `after` states of those behind it lie side by side."""
    tops, shifts, chances = np.empty(after), np.empty(after), np.empty((size, after))
    relative = np.empty((size, after))
    for b in range(0, len(message), size * after):
        tops[:] = -np.inf
        for i in range(size):
            here = message[b + i * after : b + (i + 1) * after]
            for a in range(after):
                tops[a] = max(tops[a], here[a])
        for a in range(after):
            tops[a] = tops[a] if tops[a] > -np.inf else 0.0
        for i in range(size):
            here = message[b + i * after : b + (i + 1) * after]
            for a in range(after):
                relative[i, a] = here[a] - tops[a]
        exponentiate(relative.reshape(-1))
        for j in range(size):
            to = b + j * after
            total = entered[to : to + after]
            shifts[:] = tops
            chances_of(message[b:], relative, moves, j, chances, total, shifts)
            meet(moments, b, chances, mixed, to)
            logarithms(total)
            for a in range(after):
                total[a] += shifts[a]


@compiled
def chances_of(message, relative, moves, j, chances, total, shifts):
    """p(i | j) of the states i that a chain may come from; p(j), relative to exp(shifts)."""
    size, after = relative.shape
    total[:] = 0.0
    for i in range(size):
        for a in range(after):
            chances[i, a] = relative[i, a] * moves[0, i, j]
            total[a] += chances[i, a]
    least = np.inf
    for a in range(after):
        least = min(least, total[a])
    if least < SMALL:  # term by term, relative to the largest term
        for a in range(after):
            if total[a] < SMALL:
                shifts[a] = -np.inf
                for i in range(size):
                    term = message[i * after + a] + moves[1, i, j]
                    shifts[a] = max(shifts[a], term)
                shifts[a] = shifts[a] if shifts[a] > -np.inf else 0.0
                total[a] = 0.0
                for i in range(size):
                    term = message[i * after + a] + moves[1, i, j]
                    chances[i, a] = np.exp(term - shifts[a])
                    total[a] += chances[i, a]
    factors = np.empty(after)
    for a in range(after):
        factors[a] = 1.0 / total[a] if total[a] > 0.0 else 0.0
    for i in range(size):
        for a in range(after):
            chances[i, a] *= factors[a]


@compiled
def meet(moments, start, chances, mixed, to):
    """Mean and variance of each sum in a mixture of states from `start` on.

    Written from entry `to` on. The arrays are whole ones, whose rows are known to have no gaps
    by the compiler.
    """
    size, after = chances.shape
    for m in range(moments.shape[1]):
        mean, variance = mixed[0, m, to : to + after], mixed[1, m, to : to + after]
        mean[:], variance[:] = 0.0, 0.0
        for i in range(size):
            here = moments[0, m, start + i * after : start + (i + 1) * after]
            for a in range(after):
                mean[a] += chances[i, a] * here[a]
        for i in range(size):
            here = moments[0, m, start + i * after : start + (i + 1) * after]
            wide = moments[1, m, start + i * after : start + (i + 1) * after]
            for a in range(after):
                apart = here[a] - mean[a]
                variance[a] += chances[i, a] * (wide[a] + apart * apart)
