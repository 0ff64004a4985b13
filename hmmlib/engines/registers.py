"""A message of few states as a tuple: the compiler knows its length, so it stays in registers.

Tables are (2, R, K, K), of which the first half is for messages from the front, and the
second, transposed, for those from the end; of best paths, (2, K, K).
"""

# The tuple with one entry replaced. Numba has no public name for it, and uses it for its own
# indexing; arrays in its place give the same answers, and take twice as long.
from numba.cpython.unsafe.tuple import tuple_setitem

from hmmlib.jit import inlined


@inlined
def move(message, tables, side, code):
    """message @ table."""
    moved = message
    for j in range(len(message)):
        total = 0.0
        for i in range(len(message)):
            total += message[i] * tables[side, code, i, j]
        moved = tuple_setitem(moved, j, total)
    return moved


@inlined
def times(message, likelihoods, t):
    """message * likelihood."""
    for j in range(len(message)):
        message = tuple_setitem(message, j, message[j] * likelihoods[j, t])
    return message


@inlined
def rescaled(message):
    """The message divided by its sum, and the sum. One of zeros stays as it is."""
    norm = 0.0
    for j in range(len(message)):
        norm += message[j]
    factor = 1.0 / norm if norm > 0.0 else 1.0
    for j in range(len(message)):
        message = tuple_setitem(message, j, message[j] * factor)
    return message, norm


@inlined
def plus(message, columns, column):
    """message + score."""
    for j in range(len(message)):
        message = tuple_setitem(message, j, message[j] + columns[j, column])
    return message


@inlined
def best_move(message, tables, side, chosen, t):
    """max_i message[i] + table[i, j], and that i in chosen[t, j]."""
    moved = message
    for j in range(len(message)):
        best, which = message[0] + tables[side, 0, j], 0
        for i in range(1, len(message)):
            found = message[i] + tables[side, i, j]
            which = i if found > best else which
            best = found if found > best else best
        moved = tuple_setitem(moved, j, best)
        chosen[t, j] = which
    return moved
