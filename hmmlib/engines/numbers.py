"""The small loops inside the large ones: exp, likelihoods of a block, one move, a maximum.

Letters as in `hmmlib.recursion`. Probabilities here are all divided by some factor, whose
logarithm is summed up beside them.
"""

import math

import numpy as np
from numba import njit

from hmmlib.jit import compiled, compiled_max, inlined

SMALL = 1e-200  # a sum above it has lost nothing that counts
TINY = 1e-280  # a smaller message is as good as lost
DENSE = 1e-100  # with moves above it, each state is refilled from any other

# exp(r) to the last bit for |r| < log(2) / 2; log 2 in two parts, the first one short
INVERSE_FACTORIALS = tuple(1 / math.factorial(k) for k in range(14))
SQRT_HALF = np.float64(0.5**0.5).view(np.int64).item()  # the bits of it
HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)
LOG2_E, LN2_HIGH, LN2_LOW = (
    1 / math.log(2),
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
)


@compiled
def max_finite(row):
    """The largest entry, or 0 where all are -inf."""
    best = -np.inf
    for j in range(len(row)):
        best = max(best, row[j])
    return best if best > -np.inf else 0.0


@compiled
def logs_of_symbols(probs):
    """(K, V) probabilities as logarithms, (V, K); -inf for 0."""
    scores = np.empty(probs.shape[::-1])
    for k in range(probs.shape[0]):
        for v in range(probs.shape[1]):
            scores[v, k] = np.log(probs[k, v])
    return scores


@compiled
def logs_of(initial_probs, transition_matrix, probs):
    """The logarithms of all three; of the probabilities of symbols (K, V) transposed, (V, K)."""
    return np.log(initial_probs), np.log(transition_matrix), logs_of_symbols(probs)


@compiled
def to_probs(log_matrix, matrix):
    """exp(log_matrix - shift) into matrix; shift, all above DENSE?, nothing lost?"""
    shift = -np.inf
    for i in range(log_matrix.shape[0]):
        shift = max(shift, max_finite(log_matrix[i]))
    smallest, representable = np.inf, True
    for i in range(log_matrix.shape[0]):
        for j in range(log_matrix.shape[1]):
            matrix[i, j] = np.exp(log_matrix[i, j] - shift)
            smallest = min(smallest, matrix[i, j])
            if matrix[i, j] < TINY and log_matrix[i, j] > -np.inf:
                representable = False
    return shift, smallest > DENSE, representable


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def exponentiate(x):
    """exp in place, for x at most 0 and with 0 below exp(-700): 2^n times a polynomial.

    Written out because a loop without calls is one that the compiler turns into vectors.
    """
    bits = x.view(np.int64)
    for i in range(len(x)):
        y = max(x[i], -700.0)
        n = np.floor(y * LOG2_E + 0.5)
        r = (y - n * LN2_HIGH) - n * LN2_LOW
        p = INVERSE_FACTORIALS[13]
        p = p * r + INVERSE_FACTORIALS[12]
        p = p * r + INVERSE_FACTORIALS[11]
        p = p * r + INVERSE_FACTORIALS[10]
        p = p * r + INVERSE_FACTORIALS[9]
        p = p * r + INVERSE_FACTORIALS[8]
        p = p * r + INVERSE_FACTORIALS[7]
        p = p * r + INVERSE_FACTORIALS[6]
        p = p * r + INVERSE_FACTORIALS[5]
        p = p * r + INVERSE_FACTORIALS[4]
        p = p * r + INVERSE_FACTORIALS[3]
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        low = x[i] < -700.0
        x[i] = p
        bits[i] = 0 if low else bits[i] + (np.int64(np.int32(n)) << 52)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def logarithms(x):
    """log in place, of 0 and of numbers above 1e-300, to a few units in the last place.

    x = 2^n m with m about 1, and log m = 2 artanh((m - 1) / (m + 1)); no calls, as above.
    """
    bits = x.view(np.int64)
    for i in range(len(x)):
        zero = x[i] == 0.0
        n = (bits[i] - SQRT_HALF) >> 52
        bits[i] -= n << 52
        r = (x[i] - 1.0) / (x[i] + 1.0)
        q = r * r
        p = 1.0 / 23
        p = p * q + 1.0 / 21
        p = p * q + 1.0 / 19
        p = p * q + 1.0 / 17
        p = p * q + 1.0 / 15
        p = p * q + 1.0 / 13
        p = p * q + 1.0 / 11
        p = p * q + 1.0 / 9
        p = p * q + 1.0 / 7
        p = p * q + 1.0 / 5
        p = p * q + 1.0 / 3
        found = 2.0 * r + (2.0 * r * q * p + n * LN2_LOW) + n * LN2_HIGH
        x[i] = -np.inf if zero else found


@compiled
def densities(gaussian):
    """Mean and scale of each state, (2, K), as log density at the mean, mean, 1 / scale."""
    table = np.empty((3, gaussian.shape[1]))
    for j in range(gaussian.shape[1]):
        table[0, j] = -np.log(gaussian[1, j]) - HALF_LOG_2_PI
        table[1, j], table[2, j] = gaussian[0, j], 1.0 / gaussian[1, j]
    return table


@compiled
def score(table, values, base, start, stop, scores):
    """log p(x_t | z_t) of the steps `start` to `stop`, a column each.

    Time is the inner loop, the one that becomes vectors: there are few states and many
    steps.
    """
    here = values[base, start:stop] if len(values) else values[:0, 0]
    said = table[base + start : base + stop]
    for j in range(len(scores)):
        if len(values):
            for t in range(stop - start):
                apart = (here[t] - table[1, j]) * table[2, j]
                density = table[0, j] - 0.5 * apart * apart
                scores[j, t] = density if apart == apart else 0.0  # NaN is missing
        else:
            for t in range(stop - start):
                scores[j, t] = said[t, j]


@compiled
def evaluate(table, values, base, start, stop, likelihoods, shifts):
    """exp(log p(x_t | z_t) - shift) of the steps `start` to `stop`, a column each."""
    steps = stop - start
    score(table, values, base, start, stop, likelihoods)
    shifts[:steps] = -np.inf
    for j in range(len(likelihoods)):
        for t in range(steps):
            best = likelihoods[j, t]
            shifts[t] = best if best > shifts[t] else shifts[t]
    for t in range(steps):
        shifts[t] = shifts[t] if shifts[t] > -np.inf else 0.0
    for j in range(len(likelihoods)):
        for t in range(steps):
            likelihoods[j, t] -= shifts[t]
        exponentiate(likelihoods[j, :steps])


@compiled
def add_products(left, entered, pairs):
    """pairs += left.T @ entered, of a multiple of eight steps.

    A loop, and not a call of a library, since that starts threads for so small a product,
    and then waits for them where the machine is busy.
    """
    for s in range(0, len(left), 8):
        for i in range(len(pairs)):
            a, b, c, d = left[s, i], left[s + 1, i], left[s + 2, i], left[s + 3, i]
            e, f, g, h = left[s + 4, i], left[s + 5, i], left[s + 6, i], left[s + 7, i]
            for j in range(len(pairs)):
                one = a * entered[s, j] + b * entered[s + 1, j]
                two = c * entered[s + 2, j] + d * entered[s + 3, j]
                three = e * entered[s + 4, j] + f * entered[s + 5, j]
                four = g * entered[s + 6, j] + h * entered[s + 7, j]
                pairs[i, j] += (one + two) + (three + four)


@inlined
def add_uses(probs, at, rows, values, n, t, table, uses, into):
    """Add p(z_t | x), row `at` of `probs`, to its symbol, or to its reading's moments."""
    size = probs.shape[1]
    if len(rows):
        row = rows[n, t]
        for i in range(size):
            uses[into, row, i] += probs[at, i]
    elif values[n, t] == values[n, t]:
        for i in range(size):
            apart = values[n, t] - table[1, i]
            uses[into, 0, i] += probs[at, i]
            uses[into, 1, i] += probs[at, i] * apart
            uses[into, 2, i] += probs[at, i] * apart * apart


@compiled
def move(message, turned, entered):
    """entered[j] = sum_i message[i] * transition[i, j]; `turned` is the transition's .T."""
    for j in range(len(message)):
        total = 0.0
        for i in range(len(message)):
            total += turned[j, i] * message[i]
        entered[j] = total


@compiled
def may_be_lost(norm, lowest, dense):
    """Is a message, or an entry that nothing can refill, close to what floats cannot hold?"""
    return norm < 1e-140 or (lowest < TINY and not dense)


@compiled
def nothing_lost(entered, message, norm, scores, symbol, gaussian):
    """Is each entry that vanished impossible, and not only too small?"""
    fine = True
    for j in range(len(entered)):
        if entered[j] > 0.0 and (norm < 1e-140 or message[j] < TINY):
            fine &= not gaussian and scores[symbol, j] == -np.inf
    return fine


@compiled_max
def move_best(zeros, message, matrix, entered):
    """entered[j] = max_i message[i] + matrix[i, j].

    `zeros`, a tuple of K, tells the compiler K, which writes the loops out; where it is empty,
    four rows are taken at a time.
    """
    if len(zeros):
        for j in range(len(zeros)):
            best = -np.inf
            for i in range(len(zeros)):
                best = max(best, message[i] + matrix[i, j])
            entered[j] = best
        return
    size = len(message)
    entered[:] = -np.inf
    whole = size - size % 4
    for i in range(0, whole, 4):
        a, b, c, d = message[i], message[i + 1], message[i + 2], message[i + 3]
        for j in range(size):
            one = max(a + matrix[i, j], b + matrix[i + 1, j])
            two = max(c + matrix[i + 2, j], d + matrix[i + 3, j])
            entered[j] = max(entered[j], max(one, two))
    for i in range(whole, size):
        for j in range(size):
            entered[j] = max(entered[j], message[i] + matrix[i, j])
