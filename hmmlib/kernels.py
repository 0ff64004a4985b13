"""The recursion of `hmmlib.recursion`, compiled for the CPU: the same loops, in floats.

Letters and axes as there; everything is float64, of one chain, with N sequences in front.
Messages are kept as probabilities that sum to one, and what is divided away is summed up
as a logarithm. That is exact unless a message underflows that nothing can refill, behind
a forbidden move; the kernels see it and say so (`exact` is False), and the caller takes
the logarithms of `recursion` instead. Nothing is compiled before it is called, and what
is compiled is kept on disk.
"""

import itertools
import threading

import numpy as np
from numba import njit
from torch import Tensor

TINY = 1e-280  # below it, a message is as good as lost
DENSE = 1e-100  # with moves above it, each state is refilled from any other
WORK = 5e5  # multiplications that are worth a second thread

compiled = njit(cache=True, nogil=True, error_model="numpy")


@compiled
def forward(
    log_initial,  # (K,)
    log_transitions,  # (1, K, K), or (T-1, K, K) when they change with time
    scores,  # (R, K) log p(x | z): a row for each step, or for each symbol
    likelihoods,  # (R, K) exp(scores - shifts)
    shifts,  # (R,) the largest score of each row
    rows,  # (N, T) the row of each step; or (0, 0): step t of sequence n is row n T + t
    lengths,  # (N,)
    first,  # sequences from `first`
    last,  # to before `last` are done
    alpha,  # (N, T, K) out: p(z_t | x_{1:t}); or (N, 1, K): only the last one
    evidence,  # (N,) out: log p(x_{1:T}), -inf if impossible
    exact,  # (N,) out: False where scaling lost something
):
    """alpha[t+1] = (alpha[t] @ transition) * likelihood[t+1], divided by its sum."""
    num_states, num_sequences = len(log_initial), len(lengths)
    keep, varying = alpha.shape[1] > 1, len(log_transitions) > 1
    matrix = np.empty((num_states, num_states))
    message, entered = np.empty(num_states), np.empty(num_states)
    shift, dense, representable = to_probs(log_transitions[0], matrix)
    top = max_finite(log_initial)
    for n in range(first, last):
        total, scale, kept = top, 1.0, True
        for j in range(num_states):
            entered[j] = np.exp(log_initial[j] - top)
        for t in range(lengths[n]):
            if t > 0:
                if varying:
                    shift, dense, representable = to_probs(
                        log_transitions[t - 1], matrix
                    )
                kept &= representable
                move(message, matrix, entered)
                total += shift
            row = rows[n, t] if len(rows) else n * (len(scores) // num_sequences) + t
            norm = 0.0
            for j in range(num_states):
                message[j] = entered[j] * likelihoods[row, j]
                norm += message[j]
            if norm < TINY:
                for j in range(num_states):
                    if entered[j] > 0.0 and scores[row, j] > -np.inf:
                        kept = False  # not impossible, only too small
                total = -np.inf
                break
            for j in range(num_states):
                message[j] /= norm
                small = message[j] < TINY and not dense
                if small and entered[j] > 0.0 and scores[row, j] > -np.inf:
                    kept = False
                alpha[n, t if keep else 0, j] = message[j]
            total += shifts[row]
            scale *= norm
            if scale < 1e-100 or scale > 1e100:
                total += np.log(scale)
                scale = 1.0
        evidence[n] = total + np.log(scale)
        exact[n] = kept


@compiled
def backward(
    log_transitions,  # as for forward
    alpha,  # (N, T, K) of forward
    likelihoods,  # (R, K) and rows, as for forward
    rows,
    evidence,  # (N,) of forward; an impossible sequence is left out
    lengths,
    first,
    last,
    smoothed,  # (N, T, K) out: p(z_t | x_{1:T}); may be `alpha` itself
    moves,  # (N, K, K) out: expected moves; or (N, 0, 0): not counted
):
    """beta[t] = transition @ (likelihood[t+1] * beta[t+1]), and what alpha makes of it."""
    num_sequences, num_states = len(lengths), alpha.shape[2]
    counting, varying = moves.shape[1] > 0, len(log_transitions) > 1
    matrix = np.empty((num_states, num_states))
    turned = np.empty((num_states, num_states))
    beta, onward = np.empty(num_states), np.empty(num_states)
    pairs = np.empty((num_states, num_states))
    to_probs(log_transitions[0], matrix)
    turned[:] = matrix.T
    for n in range(first, last):
        if evidence[n] == -np.inf:
            smoothed[n], moves[n] = 0.0, 0.0
            continue
        beta[:] = 1.0
        pairs[:] = 0.0
        for t in range(lengths[n] - 1, -1, -1):
            if t < lengths[n] - 1:
                if varying:
                    to_probs(log_transitions[t], matrix)
                    turned[:] = matrix.T
                move(onward, turned, beta)
            norm, largest = 0.0, 0.0
            for i in range(num_states):
                norm += alpha[n, t, i] * beta[i]
                if alpha[n, t, i] > 0.0:  # what cannot be reached does not count
                    largest = max(largest, beta[i])
            if counting and t < lengths[n] - 1:
                for i in range(num_states):
                    weight = alpha[n, t, i] / norm
                    if weight > 0.0:
                        for j in range(num_states):
                            pairs[i, j] += (
                                weight * onward[j] * (matrix[i, j] if varying else 1.0)
                            )
            row = (
                rows[n, t] if len(rows) else n * (len(likelihoods) // num_sequences) + t
            )
            for i in range(num_states):
                onward[i] = 0.0
                if alpha[n, t, i] > 0.0:
                    onward[i] = likelihoods[row, i] * beta[i] / largest
                smoothed[n, t, i] = alpha[n, t, i] * beta[i] / norm
        if counting:
            for i in range(num_states):
                for j in range(num_states):
                    moves[n, i, j] = pairs[i, j] * (1.0 if varying else matrix[i, j])


@compiled
def best_path(
    log_initial, log_transitions, scores, rows, lengths, first, last, log_joint, states
):  # fmt: skip
    """delta[t+1] = max(delta[t] + log_transition) + score[t+1], traced back.

    No back-pointers: the scores of one column are computed again along the path.
    """
    num_states, num_steps = len(log_initial), states.shape[1]
    varying = len(log_transitions) > 1
    delta = np.empty((num_steps, num_states))
    message, entered = np.empty(num_states), np.empty(num_states)
    matrix = log_transitions[0]
    for n in range(first, last):
        end = lengths[n]
        for t in range(end):
            if t == 0:
                entered[:] = log_initial
            else:
                if varying:
                    matrix = log_transitions[t - 1]
                move_best(message, matrix, entered)
            row = rows[n, t] if len(rows) else n * num_steps + t
            for j in range(num_states):
                message[j] = entered[j] + scores[row, j]
                delta[t, j] = message[j]
        at = np.argmax(message)
        log_joint[n] = message[at]
        states[n, end:] = -1
        if log_joint[n] == -np.inf:
            states[n] = -1
            continue
        states[n, end - 1] = at
        for t in range(end - 2, -1, -1):
            if varying:
                matrix = log_transitions[t]
            best, chosen = -np.inf, 0
            for i in range(num_states):
                score = delta[t, i] + matrix[i, at]
                if score > best:
                    best, chosen = score, i
            at = chosen
            states[n, t] = at


@compiled
def move(message, matrix, entered):
    """entered[j] = sum_i message[i] * matrix[i, j]."""
    num_states = len(message)
    if num_states <= 8:
        for j in range(num_states):
            total = 0.0
            for i in range(num_states):
                total += message[i] * matrix[i, j]
            entered[j] = total
    else:
        entered[:] = 0.0
        for i in range(num_states):
            weight = message[i]
            if weight != 0.0:
                for j in range(num_states):
                    entered[j] += weight * matrix[i, j]


@compiled
def move_best(message, matrix, entered):
    """entered[j] = max_i message[i] + matrix[i, j]."""
    num_states = len(message)
    if num_states <= 8:
        for j in range(num_states):
            best = -np.inf
            for i in range(num_states):
                score = message[i] + matrix[i, j]
                if score > best:
                    best = score
            entered[j] = best
    else:
        entered[:] = -np.inf
        for i in range(num_states):
            score = message[i]
            for j in range(num_states):
                entered[j] = max(entered[j], score + matrix[i, j])


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


def gathered(table: Tensor, rows: Tensor) -> Tensor:
    """table[rows]; (R, K) and (...) integers make (..., K), which remembers its origin."""
    scores = table.index_select(0, rows.flatten()).reshape(*rows.shape, -1)
    if not scores.is_inference():  # those do not count their changes
        scores.gathered_from = table, rows, scores._version
    return scores


def origin(scores: Tensor) -> tuple[Tensor, Tensor | None]:
    """The table and the rows that `scores` was gathered from; itself and None otherwise.

    Kernels then read R rows that fit into the cache. A tensor that was changed in place has
    another version, and has forgotten.
    """
    if not hasattr(scores, "gathered_from"):
        return scores, None
    table, rows, version = scores.gathered_from
    return (table, rows) if version == scores._version else (scores, None)


def in_parallel(work, num_sequences: int, cost: float, num_threads: int) -> None:
    """`work(first, last)` for all sequences, shared among threads where it is worth it.

    `cost` counts multiplications. Kernels let go of the interpreter's lock, so that plain
    threads suffice, and several processes do not meet.
    """
    shares = int(min(num_threads, num_sequences, max(cost // WORK, 1)))
    edges = [num_sequences * share // shares for share in range(shares + 1)]
    ranges = list(itertools.pairwise(edges))
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
    for t in range(len(scores)):
        for s in range(len(start)):
            messages[t, s] = (start if t == 0 else onward)[s] + scores[t, s]
        onward[:] = messages[t]
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
    """In place: reduce over the state left, one chain at a time. Rows M K^(M+1)."""
    top = 0.0
    if not best:
        top = max_finite(message)
        for s in range(len(message)):
            message[s] = np.exp(message[s] - top)
    before, after = 1, len(message)
    for m in range(len(sizes)):
        size = sizes[m]
        after //= size
        for b in range(before):
            for j in range(size):
                into = (b * size + j) * after
                for i in range(size):
                    out_of, weight = (b * size + i) * after, matrices[m, i, j]
                    if best and i == 0:
                        for a in range(after):
                            spare[into + a] = message[out_of + a] + weight
                    elif best:
                        for a in range(after):
                            score = message[out_of + a] + weight
                            spare[into + a] = max(spare[into + a], score)
                    elif i == 0:
                        for a in range(after):
                            spare[into + a] = message[out_of + a] * weight
                    else:
                        for a in range(after):
                            spare[into + a] += message[out_of + a] * weight
        before *= size
        message[:] = spare
    if not best:
        for s in range(len(message)):
            message[s] = np.log(message[s]) + top


@compiled
def joint_path(messages, matrices, sizes, following, states):
    """The best joint states of a block, (B, M), from its messages of `joint_forward`.

    `following` (M,) are the states after the block, -1 at the very end; `matrices` are
    log transitions. No back-pointers: scores are computed again, along the path.
    """
    num_steps, num_states = messages.shape
    scores, chosen = np.empty(num_states), following.copy()
    for t in range(num_steps - 1, -1, -1):
        scores[0] = 0.0
        if chosen[0] >= 0:
            length = 1
            for m in range(
                len(sizes)
            ):  # one chain more: each entry becomes `size` ones
                size = sizes[m]
                for b in range(length - 1, -1, -1):
                    base = scores[b]
                    for i in range(size - 1, -1, -1):
                        scores[b * size + i] = base + matrices[m, i, chosen[m]]
                length *= size
        else:
            scores[:] = 0.0
        best, at = -np.inf, 0
        for s in range(num_states):
            score = scores[s] + messages[t, s]
            if score > best:
                best, at = score, s
        for m in range(len(sizes) - 1, -1, -1):
            chosen[m] = at % sizes[m]
            at //= sizes[m]
        states[t] = chosen
