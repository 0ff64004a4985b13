"""Baum-Welch as one compiled run, for few states and families that are one small table.

An iteration costs its arithmetic and nothing else. Called from Python, a short one would
cost the call above all. The M-steps are those of `hmmlib.emissions.loops`.
"""

import numpy as np

from hmmlib.emissions.loops import fit_gaussians, normalise
from hmmlib.engines import few
from hmmlib.jit import compiled


@compiled
def run(
    zeros,  # a tuple of K zeros
    initial,  # (1, K), in and out
    matrix,  # (K, K), in and out
    emitted,  # in and out: (K, V) probabilities, or (2, K) mean and scale
    rows, values, lengths,  # the observations, as in `hmmlib.engines.chain`
    learn,  # (3,) booleans: which of the three tables move
    pseudo_count, min_scale, num_iters, tolerance,
    history,  # (num_iters + 1, 2) out: log p(x), and that with the log prior
):  # fmt: skip
    """Iterate until one gains less than `tolerance`.

    Returns:
        How many rows of `history` are known, the last one that of the tables, and whether
        that is the end. It is not where the loops or the statistics do not suffice: the
        caller has to take the next step.
    """
    num, gaussian = len(lengths), len(values) > 0
    log_matrix, scores, uses = tables_for(emitted, gaussian)
    starts, moves = np.empty_like(initial), np.empty_like(log_matrix)
    evidence, exact = np.empty(num), np.empty(num, np.bool_)
    for step in range(num_iters + 1):
        log_matrix[0, 0] = np.log(matrix)
        if gaussian:
            scores[:] = emitted
        else:
            scores[:-1] = np.log(emitted.T)
        starts[:], moves[:], uses[:] = 0.0, 0.0, 0.0
        few.passes(zeros, np.log(initial[0]), log_matrix, scores, rows, values, lengths, 0,
                   num, 0, evidence, exact, moves[0, :0], starts, moves, uses)  # fmt: skip
        score = evidence.sum()
        if not exact.all() or score == -np.inf:
            return step, False
        history[step] = score
        if pseudo_count > 0.0:
            prior = log_prior(initial, matrix, emitted, learn, gaussian)
            history[step, 1] += pseudo_count * prior
        gain = history[step, 1] - history[step - 1, 1]
        if step == num_iters or (step > 0 and gain < tolerance):
            return step + 1, True
        if gaussian and learn[2]:
            if not fit_gaussians(uses[0], emitted, min_scale, emitted):
                return step, False
        elif learn[2]:
            normalise(uses[0].T, emitted, pseudo_count, emitted)
        if learn[0]:
            normalise(starts, initial, pseudo_count, initial)
        if learn[1]:
            normalise(moves[0, 0], matrix, pseudo_count, matrix)
    return num_iters + 1, True  # never reached


@compiled
def tables_for(emitted, gaussian):
    """Room for the logarithms of transitions and emissions, and for the uses of these.

    Symbols have one row more, for a missing one, whose logarithms are 0.
    """
    size = emitted.shape[1] if gaussian else len(emitted)
    scores = np.empty((2, size)) if gaussian else np.zeros((emitted.shape[1] + 1, size))
    uses = np.empty((1, 3 if gaussian else len(scores), size))
    return np.empty((1, 1, size, size)), scores, uses


@compiled
def log_prior(initial, matrix, emitted, learn, gaussian):
    """The logarithms of all that is possible, summed up over the tables that move."""
    total = sum_of_logs(initial) if learn[0] else 0.0
    total += sum_of_logs(matrix) if learn[1] else 0.0
    return total + sum_of_logs(emitted) if learn[2] and not gaussian else total


@compiled
def sum_of_logs(probs):
    """Without those of zeros."""
    total = 0.0
    for row in probs:
        for p in row:
            total += np.log(p) if p > 0.0 else 0.0
    return total
