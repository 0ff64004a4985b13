"""The best path of one chain of few states, from both ends at once, joined in the middle.

Letters and axes as in `hmmlib.recursion`, arguments as in `hmmlib.engines.chain`, `zeros` as in
`hmmlib.engines.few`. All in logarithms, so that nothing can be lost.
"""

import numpy as np

from hmmlib.engines.few import most
from hmmlib.engines.numbers import densities, score
from hmmlib.engines.registers import best_move, plus, tuple_setitem
from hmmlib.jit import compiled


@compiled
def best_path(zeros, log_initial, log_transitions, scores, rows, values, lengths, first, last,
              log_joint, states):  # fmt: skip
    """The best way to each state from the front, and from the end, joined in the middle."""
    size, longest = len(zeros), most(lengths)
    tables = np.empty((2, size, size))
    for i in range(size):
        for j in range(size):
            tables[0, i, j] = tables[1, j, i] = log_transitions[0, 0, i, j]
    table = densities(scores) if len(values) else scores
    columns = np.empty((size, len(table) if len(rows) else longest))
    if len(rows):
        score(table, values, 0, 0, len(table), columns)
    chosen = np.empty((longest, size), np.uint8)
    for n in range(first, last):
        end, base = lengths[n], n if len(values) else n * (len(scores) // len(lengths))
        if not len(rows):
            score(table, values, base, 0, end, columns)
        half = (end - 1) // 2
        at, log_joint[n] = best_messages(
            zeros, log_initial, tables, columns, rows, n, end, half, chosen)  # fmt: skip
        possible = log_joint[n] > -np.inf
        for t in range(end if possible else 0, states.shape[1]):
            states[n, t] = -1
        if not possible:
            continue
        here = there = at
        states[n, half] = at
        for k in range(1, end - half):
            if k <= half:
                here = chosen[half - k, here]
                states[n, half - k] = here
            there = chosen[half + k - 1, there]
            states[n, half + k] = there


@compiled
def best_messages(zeros, log_initial, tables, columns, rows, n, end, half, chosen):
    """The state in the middle of the best path, and its log joint.

    chosen[t] is, up to the middle, the state at t that the best way to each state at t + 1
    comes from, and behind it the state at t + 1 that the best way from each state at t
    leads to.
    """
    delta, onward = zeros, zeros
    column = rows[n, 0] if len(rows) else 0
    for j in range(len(zeros)):
        delta = tuple_setitem(delta, j, log_initial[j] + columns[j, column])
    for k in range(end - 1 - half):
        q = end - 1 - k
        column = rows[n, q] if len(rows) else q
        onward = best_move(plus(onward, columns, column), tables, 1, chosen, q - 1)
        if k < half:
            column = rows[n, k + 1] if len(rows) else k + 1
            delta = plus(best_move(delta, tables, 0, chosen, k), columns, column)
    at, best = 0, -np.inf
    for j in range(len(zeros)):
        total = delta[j] + onward[j]
        at, best = (j, total) if total > best else (at, best)
    return at, best
