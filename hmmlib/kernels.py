"""The recursion of `hmmlib.recursion`, compiled for the CPU, in float64.

Letters and axes as there. The functions named `joint_...` take several chains and one
sequence, in logarithms; the others take one chain, with N sequences in front. `best_path`
works in logarithms too. In `passes`, messages are probabilities up to a factor, which is
divided away when they become small or large and summed up as a logarithm. That is exact
unless an entry underflows that nothing can refill, behind a forbidden move; the loops notice
it and report it (`exact` is False), and the caller uses the logarithms of `recursion`
instead. A function is compiled at its first call, and cached on disk where that is possible.

The log-likelihoods of `passes` and `best_path` come in one of three forms (see
`hmmlib.scores`):

    gathered  scores (R, K) log p(x | z) of each symbol, rows (N, T) which symbol
    Gaussian  scores (3, K), values (N, T), NaN where one is missing
    in full   scores (N T, K), one row for each step

where an absent `rows` or `values` is an empty array, (0, 0).
"""

import atexit
import itertools
import math
import shutil
import tempfile
import threading

import numpy as np
from numba import config, njit

TINY = 1e-280  # below it, a message is as good as lost
DENSE = 1e-100  # with moves above it, each state is refilled from any other
BLOCK = 128  # steps whose likelihoods are worked out at once
LONG = 20  # steps below which an innermost loop is short
FEW = 8  # states up to which back-pointers are kept
WORK = 5e5  # multiplications that are worth a second thread

# exp(r) to the last bit for |r| < log(2) / 2; log 2 in two parts, the first one short
INVERSE_FACTORIALS = tuple(1 / math.factorial(k) for k in range(14))
LOG2_E, LN2_HIGH, LN2_LOW = (
    1 / math.log(2),
    6.93147180369123816490e-01,
    1.90821492927058770002e-10,
)


def find_cache() -> None:
    """Use a temporary cache where neither this folder nor the user's own can be written."""
    try:
        njit(cache=True)(find_cache)  # refused where there is no place to keep it
    except RuntimeError:
        config.CACHE_DIR = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, config.CACHE_DIR, ignore_errors=True)


find_cache()

FAST = {"contract", "reassoc", "nsz"}  # sums in any order, a * b + c in one go
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
# Where there is no NaN, and -inf only ever added to, a maximum is a single instruction.
compiled_max = njit(
    cache=True, nogil=True, error_model="numpy", fastmath=FAST | {"nnan"}
)


@compiled
def passes(
    log_initial,  # (K,)
    log_transitions,  # (1, K, K), or (T-1, K, K) when they change with time
    scores,  # what the states say of the observations, as above
    rows,
    values,
    lengths,  # (N,)
    first,  # sequences from `first`
    last,  # to before `last` are done
    slot,  # where counts go that are summed over sequences; -1: each its own
    evidence,  # (N,) out: log p(x_{1:T}), -inf if impossible
    exact,  # (N,) out: False where scaling lost something
    filtered,  # (N, T, K) out: p(z_t | x_{1:t}); or (0, 0, 0): not wanted
    smoothed,  # (N, T, K) out: p(z_t | x_{1:T}); or (0, 0, 0)
    starts,  # (slots, K), added to: p(z_1 | x_{1:T}); or (0, 0)
    moves,  # (slots, K, K), added to: expected moves; or (0, 0, 0)
    uses,  # (slots, *scores.shape), added to: p(z_t | x_{1:T}) for each symbol, or its
):  #        zeroth, first and second moment about the mean; or (0, 0, 0)
    """Forward over each sequence, and backward where an output is wanted that needs it."""
    size, num = len(log_initial), len(lengths)
    counting = len(moves) > 0
    full = len(rows) + len(values) == 0
    matrix, turned = np.empty((size, size)), np.empty((size, size))
    held = len(scores) if len(rows) else BLOCK
    likelihoods, shifts = np.empty((size, held)), np.empty(held)
    if len(rows):
        evaluate(scores, values, 0, 0, len(scores), likelihoods, shifts)
    keep = counting or len(smoothed) > 0 or len(filtered) > 0
    scratch = np.empty((lengths.max() if keep else 1, size))
    for n in range(first, last):
        alpha = scratch
        if len(smoothed):
            alpha = smoothed[n]
        elif len(filtered):
            alpha = filtered[n]
        base = n * (len(scores) // num) if full else n
        evidence[n], exact[n] = forward(
            log_initial, log_transitions, scores, rows, values, base, n, lengths[n],
            matrix, turned, likelihoods, shifts, keep, alpha)  # fmt: skip
        if evidence[n] == -np.inf:
            alpha[:] = 0.0
        elif exact[n] and (counting or len(smoothed)):
            into = n if slot < 0 else slot
            backward(
                log_transitions, scores, rows, values, base, n, lengths[n], into, alpha,
                matrix, likelihoods, shifts, smoothed, starts, moves, uses)  # fmt: skip


@compiled
def forward(log_initial, log_transitions, scores, rows, values, base, n, end, matrix,
            turned, likelihoods, shifts, keep, alpha):  # fmt: skip
    """alpha[t+1] = (alpha[t] @ transition) * likelihood[t+1]; log p(x), and exact?"""
    size, varying = len(log_initial), len(log_transitions) > 1
    message, entered = np.empty(size), np.empty(size)
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
        if len(rows):
            row = rows[n, t]
        else:
            row = t % BLOCK
            if row == 0:
                stop = min(t + BLOCK, end)
                evaluate(scores, values, base, t, stop, likelihoods, shifts)
        norm, lowest = 0.0, np.inf
        for j in range(size):
            message[j] = entered[j] * likelihoods[j, row]
            norm += message[j]
            lowest = min(lowest, message[j])
        total += shifts[row]
        if norm < 1e-140 or (lowest < TINY and not dense):
            for j in range(size):  # impossible, or only too small?
                if entered[j] > 0.0 and (norm < 1e-140 or message[j] < TINY):
                    symbol = rows[n, t] if len(rows) else base + t
                    exact &= not len(values) and scores[symbol, j] == -np.inf
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
def backward(log_transitions, scores, rows, values, base, n, end, into, alpha, matrix,
             likelihoods, shifts, smoothed, starts, moves, uses):  # fmt: skip
    """beta[t] = transition @ (likelihood[t+1] * beta[t+1]), and what alpha makes of it."""
    size, varying, counting = alpha.shape[1], len(log_transitions) > 1, len(moves) > 0
    # Nothing is entered from the last step: `onward` begins with zeros.
    beta, onward, probs = np.ones(size), np.zeros(size), np.empty(size)
    left = np.zeros((BLOCK if counting else 1, size))  # alpha, and what it is moved to
    entered = np.zeros_like(left)
    pairs = np.zeros((size, size))
    for t in range(end - 1, -1, -1):
        if t < end - 1:
            if varying:
                to_probs(log_transitions[t], matrix)
            move(onward, matrix, beta)
        slot = t % BLOCK
        row = rows[n, t] if len(rows) else slot
        if not len(rows) and (t == end - 1 or slot == BLOCK - 1):
            evaluate(scores, values, base, t - slot, t + 1, likelihoods, shifts)
        norm, largest = 0.0, 0.0
        if counting:
            entered[slot] = onward
        for i in range(size):
            here = alpha[t, i]
            reached = beta[i] if here > 0.0 else 0.0  # the others do not count
            probs[i] = here * beta[i]
            norm += probs[i]
            largest = max(largest, reached)
            onward[i] = likelihoods[i, row] * reached
        scale = 1.0 / norm
        if counting:
            for i in range(size):
                left[slot, i] = alpha[t, i] * scale
                probs[i] *= scale
        if len(smoothed):
            for i in range(size):
                smoothed[n, t, i] = alpha[t, i] * beta[i] * scale
        if len(uses) and len(rows):
            for i in range(size):
                uses[into, row, i] += probs[i]
        elif len(uses) and values[n, t] == values[n, t]:
            for i in range(size):
                apart = values[n, t] - scores[1, i]
                uses[into, 0, i] += probs[i]
                uses[into, 1, i] += probs[i] * apart
                uses[into, 2, i] += probs[i] * apart * apart
        if counting and varying:
            for i in range(size):
                for j in range(size):
                    moves[into, i, j] += left[slot, i] * matrix[i, j] * entered[slot, j]
        if counting and t == 0:
            for i in range(size):
                starts[into, i] += probs[i]
        if counting and slot == 0 and not varying:
            pairs += np.dot(left.T, entered)
            left[:] = 0.0
        if largest < 1e-10 or largest > 1e10:
            for i in range(size):
                onward[i] /= largest
    if counting and not varying:
        for i in range(size):
            for j in range(size):
                moves[into, i, j] += pairs[i, j] * matrix[i, j]


@compiled
def best_path(log_initial, log_transitions, scores, rows, values, lengths, first, last,
              log_joint, states):  # fmt: skip
    """delta[t+1] = max(delta[t] + log_transition) + score[t+1], traced back.

    Up to FEW states, the state that each maximum came from is kept; above, the scores of
    one column are computed again along the path, which costs 1/K of the way there.
    """
    size, num_steps, num = len(log_initial), states.shape[1], len(lengths)
    varying, few = len(log_transitions) > 1, size <= FEW
    full = len(rows) + len(values) == 0
    came_from = np.empty((num_steps if few else 0, size), np.uint8)
    delta = np.empty((0 if few else num_steps, size))
    message, entered = np.empty(size), np.empty(size)
    matrix = log_transitions[0]
    for n in range(first, last):
        base, end = n * (len(scores) // num) if full else n, lengths[n]
        for t in range(end):
            if varying and t > 0:
                matrix = log_transitions[t - 1]
            if t == 0:
                entered[:] = log_initial
            elif few:
                for j in range(size):
                    best, chosen = message[0] + matrix[0, j], 0
                    for i in range(1, size):
                        score = message[i] + matrix[i, j]
                        chosen = i if score > best else chosen
                        best = score if score > best else best
                    entered[j] = best
                    came_from[t, j] = chosen
            else:
                move_best(message, matrix, entered)
            if len(values):
                here, seen = values[n, t], values[n, t] == values[n, t]
                for j in range(size):
                    apart = (here - scores[1, j]) * scores[2, j]
                    score = scores[0, j] - 0.5 * apart * apart
                    message[j] = entered[j] + (score if seen else 0.0)
            else:
                row = rows[n, t] if len(rows) else base + t
                for j in range(size):
                    message[j] = entered[j] + scores[row, j]
            if not few:
                delta[t] = message
        at = np.argmax(message)
        log_joint[n] = message[at]
        states[n, end:] = -1
        if log_joint[n] == -np.inf:
            states[n] = -1
            continue
        states[n, end - 1] = at
        for t in range(end - 2, -1, -1):
            if few:
                at = came_from[t + 1, at]
            else:
                if varying:
                    matrix = log_transitions[t]
                best, chosen = -np.inf, 0
                for i in range(size):
                    score = delta[t, i] + matrix[i, at]
                    if score > best:
                        best, chosen = score, i
                at = chosen
            states[n, t] = at


@compiled
def move(message, turned, entered):
    """entered[j] = sum_i message[i] * transition[i, j]; `turned` is the transition's .T."""
    for j in range(len(message)):
        total = 0.0
        for i in range(len(message)):
            total += turned[j, i] * message[i]
        entered[j] = total


@compiled_max
def move_best(message, matrix, entered):
    """entered[j] = max_i message[i] + matrix[i, j], four rows at a time."""
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


@compiled
def evaluate(scores, values, base, start, stop, likelihoods, shifts):
    """exp(log p(x_t | z_t) - shift) of the steps `start` to `stop`, a column each.

    Time is the inner loop, the one that becomes vectors: there are few states and many
    steps.
    """
    steps = stop - start
    here = values[base, start:stop] if len(values) else values[:0, 0]
    said = scores[base + start : base + stop]
    shifts[:steps] = -np.inf
    for j in range(len(likelihoods)):
        if len(values):
            for t in range(steps):
                apart = (here[t] - scores[1, j]) * scores[2, j]
                score = scores[0, j] - 0.5 * apart * apart
                likelihoods[j, t] = score if apart == apart else 0.0  # NaN is missing
        else:
            for t in range(steps):
                likelihoods[j, t] = said[t, j]
        for t in range(steps):
            score = likelihoods[j, t]
            shifts[t] = score if score > shifts[t] else shifts[t]
    for t in range(steps):
        shifts[t] = shifts[t] if shifts[t] > -np.inf else 0.0
    for j in range(len(likelihoods)):
        for t in range(steps):
            likelihoods[j, t] -= shifts[t]
        exponentiate(likelihoods[j, :steps])


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


@compiled
def max_finite(row):
    """The largest entry, or 0 where all are -inf."""
    best = -np.inf
    for j in range(len(row)):
        best = max(best, row[j])
    return best if best > -np.inf else 0.0


@compiled
def below_infinity(log_initial, log_transitions, scores):
    """No NaN and no +inf?"""
    fine = True
    for x in (log_initial, log_transitions.reshape(-1), scores.reshape(-1)):
        for i in range(len(x)):
            fine &= x[i] < np.inf
    return fine


@compiled
def normalise(counts, old, pseudo_count, probs):
    """Rows of counts (R, C) as probabilities; zeros stay; a row without a count stays `old`."""
    for i in range(len(counts)):
        total = 0.0
        for j in range(counts.shape[1]):
            probs[i, j] = counts[i, j] + (pseudo_count if old[i, j] > 0.0 else 0.0)
            total += probs[i, j]
        for j in range(counts.shape[1]):
            probs[i, j] = probs[i, j] / total if total > 0.0 else old[i, j]


@compiled
def fit_gaussians(moments, loc, scale, smallest, least, new_loc, new_scale):
    """Means and scales (K,) from moments (3, K) about `loc`, as `passes` sums them up.

    A state without weight keeps its own. No scale is below `least`. Returns False, and the
    caller computes from the observations themselves, where a variance may have lost its
    digits to cancellation and `least` is too small to cover that, or where a scale is not
    above twice `smallest` times that of all observations.
    """
    everything, middle, around, safe = 0.0, 0.0, 0.0, True
    for k in range(len(loc)):
        everything += moments[0, k]
        middle += moments[1, k] + moments[0, k] * loc[k]
    middle /= everything
    for k in range(len(loc)):
        new_loc[k], new_scale[k] = loc[k], scale[k]
        if moments[0, k] > 0.0:
            shift, square = moments[1, k] / moments[0, k], moments[2, k] / moments[0, k]
            variance = square - shift * shift
            safe &= max(variance, least * least) > 1e-6 * square
            new_loc[k], new_scale[k] = loc[k] + shift, np.sqrt(max(variance, 0.0))
            new_scale[k] = max(new_scale[k], least)
            apart = new_loc[k] - middle
            around += moments[0, k] * (variance + apart * apart)
    for k in range(len(loc)):  # `around` is the variance of all, by its law of total
        if moments[0, k] > 0.0:
            safe &= new_scale[k] > 2.0 * smallest * np.sqrt(around / everything)
    return safe


@compiled
def sum_to_one(probs, tolerance):
    """Is each row of (R, C) a distribution?"""
    for i in range(len(probs)):
        total = 0.0
        for j in range(probs.shape[1]):
            if not probs[i, j] >= 0.0:
                return False
            total += probs[i, j]
        if not abs(total - 1.0) <= tolerance:
            return False
    return True


@compiled
def copied_rows(symbols, num_symbols, rows):
    """Copy integers; are all of them from 0 to below `num_symbols`?"""
    symbols, rows = symbols.reshape(-1), rows.reshape(-1)
    fine = True
    for i in range(len(symbols)):
        rows[i] = symbols[i]
        fine &= (rows[i] >= 0) & (rows[i] < num_symbols)
    return fine


@compiled
def copied_values(readings, values):
    """Copy numbers; is each of them finite?"""
    readings, values = readings.reshape(-1), values.reshape(-1)
    fine = True
    for i in range(len(readings)):
        values[i] = readings[i]
        fine &= abs(values[i]) < np.inf
    return fine


def num_shares(num_sequences: int, cost: float, num_threads: int) -> int:
    """How many threads to use for sequences that take `cost` multiplications in all."""
    return int(min(num_threads, num_sequences, max(cost // WORK, 1)))


def in_parallel(work, num_sequences: int, shares: int) -> None:
    """`work(first, last, share)` for all sequences, a thread for each share.

    Kernels release the interpreter's lock, so plain threads suffice.
    """
    if shares == 1:
        work(0, num_sequences, 0)
        return
    edges = [num_sequences * share // shares for share in range(shares + 1)]
    ranges = [(*edge, share) for share, edge in enumerate(itertools.pairwise(edges))]
    threads = [threading.Thread(target=work, args=each) for each in ranges[1:]]
    for thread in threads:
        thread.start()
    work(*ranges[0])
    for thread in threads:
        thread.join()


@compiled
def joint_forward(start, matrices, sizes, scores, best, messages, onward):
    """Messages of several chains over a block of steps, in logarithms.

    start     (S,)           the message before the block's first score, S = prod(sizes)
    matrices  (M, K, K)      log transitions, padded; sizes (M,) says how much counts
    scores    (B, S)         log p(x_t | z_t)
    best      bool           keep the best path instead of adding up
    messages  (B, S)   out   log p(x_{1:t}, z_t), or the score of the best path
    onward    (S,)     out   the last message, moved one step on
    """
    spare = np.empty_like(start)
    onward[:] = start
    for t in range(len(scores)):
        for s in range(len(start)):
            onward[s] += scores[t, s]
            messages[t, s] = onward[s]
        joint_move(onward, spare, matrices, sizes, best)


@compiled
def joint_backward(matrices, sizes, known, messages, onward):
    """beta of a block, backwards: `known` is (B, S), log p(x_t | z_t), with all that later
    blocks say added to its last row; `matrices` are turned round. Out as for forward.
    """
    spare = np.empty(known.shape[1])
    onward[:] = 0.0
    for t in range(len(known) - 1, -1, -1):
        messages[t] = onward
        onward += known[t]
        joint_move(onward, spare, matrices, sizes, False)


@compiled
def joint_move(message, spare, matrices, sizes, best):
    """In place: reduce over the state left, one chain at a time. Cost M · K^(M+1).

    The innermost loop runs over all chains behind the one that moves. Before it becomes
    short, the message is turned, and chains that have moved come behind the others; once
    all have moved, they are in order again.
    """
    num_states, moved, top = len(message), 1, 0.0
    kept = message
    if not best:
        top = max_finite(message)
        for s in range(num_states):
            message[s] -= top
        exponentiate(message)
    for m in range(len(sizes) + 1):
        last = m == len(sizes)
        if last or num_states // (moved * sizes[m]) < LONG:
            turn(message, spare, moved)
            message, spare, moved = spare, message, 1
        if not last:
            moved *= sizes[m]
            after = num_states // moved
            if best:
                joint_best_of_chain(message, spare, matrices[m], sizes[m], after)
            else:
                joint_sum_of_chain(message, spare, matrices[m], sizes[m], after)
            message, spare = spare, message
    if best:
        kept[:] = message
    else:
        for s in range(num_states):
            kept[s] = np.log(message[s]) + top


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


@compiled_max
def joint_best_of_chain(message, entered, matrix, size, after):
    """entered[b, j, a] = max_i message[b, i, a] + matrix[i, j]; two i at a time."""
    message, entered = (
        message.reshape(-1, size, after),
        entered.reshape(-1, size, after),
    )
    for b in range(message.shape[0]):
        for j in range(size):
            if size % 2:
                for a in range(after):
                    entered[b, j, a] = message[b, 0, a] + matrix[0, j]
            else:
                for a in range(after):
                    entered[b, j, a] = -np.inf
            for i in range(size % 2, size, 2):
                v, w = matrix[i, j], matrix[i + 1, j]
                for a in range(after):
                    score = max(message[b, i, a] + v, message[b, i + 1, a] + w)
                    entered[b, j, a] = max(entered[b, j, a], score)


@compiled_max
def joint_path(messages, matrices, sizes, following, states):
    """The best joint states of a block, (B, M), from its messages of `joint_forward`.

    `following` (M,) are the states after the block, -1 at the very end; `matrices` are
    log transitions. No back-pointers: scores are computed again, along the path. They are
    sums of one part for the first chains and one for the others, rows and columns.
    """
    num_states, half, rows = messages.shape[1], 0, 1
    while rows * rows < num_states:
        rows *= sizes[half]
        half += 1
    messages = messages.reshape(len(messages), rows, -1)
    left, right = np.zeros(rows), np.zeros(num_states // rows)
    chosen = following.copy()
    for t in range(len(messages) - 1, -1, -1):
        if chosen[0] >= 0:
            joint_onward(matrices[:half], sizes[:half], chosen[:half], left)
            joint_onward(matrices[half:], sizes[half:], chosen[half:], right)
        best, row = -np.inf, 0
        for r in range(len(left)):
            top = -np.inf
            for c in range(len(right)):
                top = max(top, messages[t, r, c] + right[c])
            if top + left[r] > best:
                best, row = top + left[r], r
        column = np.argmax(messages[t, row] + right)
        at = row * len(right) + column
        for m in range(len(sizes) - 1, -1, -1):
            chosen[m] = at % sizes[m]
            at //= sizes[m]
        states[t] = chosen


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
