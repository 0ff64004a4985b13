"""The answers of `hmmlib.durations.recursion`, compiled: one sequence on the CPU, in float64.

Letters, axes and messages as on that page, with two differences. log p(x_t | x_{1:t-1}) is
subtracted at each step, so that messages stay near 0. Windows are slices of one long row,
which moves along it by one place a step. Sums over durations are taken as probabilities
relative to the largest entry, and again in logarithms if they are tiny beside it.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.engines.answers import BestPath, Filtered, StayCounts, possible
from hmmlib.engines.draws import to_weights, where
from hmmlib.engines.in_logs import LARGE, count, largest, logsumexp, prepare, sums
from hmmlib.engines.numbers import SMALL, exponentiate, max_finite, move_best
from hmmlib.jit import compiled, compiled_max


class Run(NamedTuple):
    """The arrays of the loops: the model, and the forward messages once they are there."""

    initial: np.ndarray  # (K,)
    transitions: np.ndarray  # (1, K, K)
    durations: np.ndarray  # (K, D)
    survivor: np.ndarray  # (K, D)
    scores: (
        np.ndarray
    )  # (T, K)  log-likelihoods; after the forward pass, less its norms
    entering: np.ndarray  # (T, K)
    leaving: np.ndarray  # (T, K)
    predicted: np.ndarray  # (T, K)


@compiled
def forward(initial, transitions, durations, survivor, scores, entering, leaving,
            predicted):  # fmt: skip
    """Fills the messages, and returns log p(x_{1:T}) with the last stay going on."""
    (num_steps, size), longest = scores.shape, durations.shape[1]
    window = np.full(
        (size, num_steps + longest), -np.inf
    )  # the latest stay comes first
    lasts, survives = np.exp(durations), np.exp(survivor)
    matrices, weights = np.empty((2, size, size)), np.empty(longest)
    shift, here, total = prepare(transitions[0], matrices), np.empty((1, size)), 0.0
    entering[0] = initial
    for t in range(num_steps):
        at, n = num_steps - 1 - t, min(longest, t + 1)
        if t > 0:
            sums(leaving, t - 1, transitions, 0, 0, matrices, shift, entering[t])
        for k in range(size):
            window[k, at] = entering[t, k]
            began = window[k, at : at + n]
            top = relative(began, weights[:n])
            leaving[t, k] = log_sum(began, durations[k], weights, lasts[k], top)
            predicted[t, k] = log_sum(began, survivor[k], weights, survives[k], top)
            here[0, k] = predicted[t, k] + scores[t, k]
        norm = logsumexp(here, 0)
        if norm == -np.inf:
            return norm
        total += norm
        for k in range(size):
            scores[t, k] -= norm
            leaving[t, k] += scores[t, k]
            for i in range(at, at + n):
                window[k, i] += scores[t, k]
    return total


@compiled
def backward(transitions, durations, scores, entering, leaving, censored, evidence, states,
             moves, lasting):  # fmt: skip
    """Adds to p(z_t | x), (K, T), and to the expected moves (1, 1, K, K) and stays (K, D).

    A window is indexed by the step at which the stay ends. `evidence` is relative.
    """
    (num_steps, size), longest = scores.shape, durations.shape[1]
    window = np.full((size, num_steps + longest), 0.0 if censored else -np.inf)
    lasts, weights = np.exp(durations), np.empty(longest)
    matrices, onward = np.empty((2, size, size)), np.zeros(size)
    shift, beginning = prepare(transitions[0], matrices), np.empty((1, size))
    for t in range(num_steps - 1, -1, -1):
        for k in range(size):
            window[k, t] = onward[k]
            ending = window[k, t : t + longest]
            for i in range(longest):
                ending[i] += scores[t, k]
            top = relative(ending, weights)
            beginning[0, k] = log_sum(ending, durations[k], weights, lasts[k], top)
            if entering[t, k] + beginning[0, k] == -np.inf:
                continue
            factor = np.exp(entering[t, k] + top - evidence)
            if factor < LARGE:
                for i in range(longest):
                    weights[i] *= lasts[k, i] * factor
            else:
                for i in range(longest):
                    stay = ending[i] + durations[k, i]
                    weights[i] = np.exp(entering[t, k] + stay - evidence)
            for i in range(longest):
                lasting[k, i] += weights[i]
            longer = 0.0
            for i in range(longest - 1, -1, -1):
                longer += weights[i]
                if t + i < num_steps:
                    states[k, t + i] += longer
        if t > 0:
            if largest(leaving, t - 1) > -np.inf and largest(beginning, 0) > -np.inf:
                count(leaving, t - 1, transitions, 0, matrices, shift, beginning,
                      evidence, moves, 0)  # fmt: skip
            sums(beginning, 0, transitions, 0, 1, matrices, shift, onward)


@compiled
def forward_best(initial, transitions, durations, survivor, scores, entering, leaving,
                 predicted):  # fmt: skip
    """`forward` for the best paths: its norms, summed. Only the last row is predicted."""
    (num_steps, size), longest = scores.shape, durations.shape[1]
    window = np.full((size, num_steps + longest), -np.inf)
    entering[0], total = initial, 0.0
    for t in range(num_steps):
        at, n = num_steps - 1 - t, min(longest, t + 1)
        if t > 0:
            move_best((), leaving[t - 1], transitions[0], entering[t])
        norm = max_finite(scores[t])
        total += norm
        for k in range(size):
            scores[t, k] -= norm
            window[k, at] = entering[t, k]
            began = window[k, at : at + n]
            if t == num_steps - 1:
                predicted[t, k] = add_and_best(began, 0.0, survivor[k])
            leaving[t, k] = add_and_best(began, scores[t, k], durations[k])
    return total


@compiled
def trace_back(transitions, durations, last_scores, last_durations, scores, entering,
               leaving, uniforms, paths):  # fmt: skip
    """A path for each row of uniform numbers, (R, 2 T); the best one where they are -1."""
    (num_steps, size), longest = scores.shape, durations.shape[1]
    of_states, of_durations = np.empty(size), np.empty(longest)
    for r in range(len(paths)):
        end, after, drawn = num_steps, 0, 0
        while end > 0:
            for k in range(size):
                if end == num_steps:
                    of_states[k] = last_scores[k]
                else:
                    of_states[k] = leaving[end - 1, k] + transitions[0, k, after]
            state, emitted = chosen(of_states, uniforms[r, drawn]), 0.0
            n = min(longest, end)
            for i in range(n):
                begin = end - 1 - i
                emitted += scores[begin, state]
                given = durations[state, i]
                if end == num_steps:
                    given = last_durations[state, i]
                of_durations[i] = entering[begin, state] + emitted + given
            lasted = chosen(of_durations[:n], uniforms[r, drawn + 1]) + 1
            paths[r, end - lasted : end] = state
            end, after, drawn = end - lasted, state, drawn + 2


@compiled
def chosen(scores, uniform):
    """An index with probability softmax(scores); of the largest, if uniform is below 0."""
    if uniform < 0.0:
        return np.argmax(scores)
    total = to_weights(scores)
    return where(scores, 0, len(scores), uniform * total)[0]


@compiled
def log_sum(window, log_probs, weights, probs, top):
    """logsumexp(window + log_probs), from weights = exp(window - top)."""
    total = 0.0
    for i in range(len(window)):
        total += weights[i] * probs[i]
    if total > SMALL:
        return np.log(total) + top
    best, total = -np.inf, 0.0
    for i in range(len(window)):
        best = max(best, window[i] + log_probs[i])
    if best > -np.inf:
        for i in range(len(window)):
            total += np.exp(window[i] + log_probs[i] - best)
    return best + np.log(total) if best > -np.inf else best


@compiled
def relative(window, weights):
    """weights = exp(window - top); returns top, the largest entry, or 0 if all are -inf."""
    top = best_of(window)
    top = top if top > -np.inf else 0.0
    for i in range(len(window)):
        weights[i] = window[i] - top
    exponentiate(weights)
    return top


@compiled_max
def best_of(window):
    """The largest entry."""
    best = -np.inf
    for i in range(len(window)):
        best = max(best, window[i])
    return best


@compiled_max
def add_and_best(window, score, log_probs):
    """window += score; the largest entry of window + log_probs."""
    best = -np.inf
    for i in range(len(window)):
        window[i] += score
        best = max(best, window[i] + log_probs[i])
    return best


def log_likelihood(stays) -> Tensor:
    """log p(x_{1:T}), ()."""
    return _forward(stays)[1]


def filter_states(stays) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1}), (T, K)."""
    run, evidence, _ = _forward(stays)
    possible(evidence)
    filtered, predicted = map(
        torch.from_numpy, (run.predicted + run.scores, run.predicted)
    )
    return Filtered(evidence, filtered.softmax(-1), predicted.softmax(-1))


def expected_counts(stays) -> StayCounts:
    """p(z_t | x), and the expected moves and stays."""
    run, evidence, relative = _forward(stays)
    possible(evidence)
    num_steps, size = run.scores.shape
    states, lasting = np.zeros((size, num_steps)), np.zeros(run.durations.shape)
    moves = np.zeros((1, 1, size, size))
    backward(run.transitions, run.durations, run.scores, run.entering, run.leaving,
             stays.censored, relative, states, moves, lasting)  # fmt: skip
    states = torch.from_numpy(states / states.sum(0)).mT.contiguous()
    counts = torch.from_numpy(moves[0, 0]), torch.from_numpy(lasting)
    return StayCounts(evidence, states, *counts)


def viterbi(stays) -> BestPath:
    """The most probable path and its log joint."""
    run = _run(stays)
    total = forward_best(*run)
    last = _last(run, stays.censored)
    log_joint = torch.tensor(total + last.max(), dtype=torch.float64)
    if log_joint.isneginf():
        return BestPath(log_joint, torch.full((len(run.scores),), -1))
    uniforms = np.full((1, 2 * len(run.scores)), -1.0)
    return BestPath(log_joint, _paths(stays, run, last, uniforms)[0])


def sample_states(stays, uniforms: Tensor) -> Tensor:
    """Paths drawn from p(z | x), (R, T), from independent uniform numbers (R, 2 T)."""
    run, evidence, _ = _forward(stays)
    possible(evidence)
    return _paths(stays, run, _last(run, stays.censored), uniforms.numpy())


def _run(stays) -> Run:
    """The arrays in float64; the log-likelihoods are a copy, which the loops change."""
    initial, moves, durations, survivor, scores = (
        np.array(x.detach().numpy(), np.float64, order="C") for x in stays[:5]
    )
    messages = (np.empty(scores.shape) for _ in range(3))
    return Run(initial, moves[None], durations, survivor, scores, *messages)


def _forward(stays) -> tuple[Run, Tensor, float]:
    """The forward pass; log p(x), and the same relative to a last stay that goes on."""
    run, relative = _run(stays), 0.0
    total = forward(*run)
    if not stays.censored and total > -np.inf:
        relative = logsumexp(run.leaving, len(run.scores) - 1)
    return run, torch.tensor(total + relative, dtype=torch.float64), relative


def _last(run: Run, censored: bool) -> np.ndarray:
    """log p(x_{1:T}, z_T), up to a constant; (K,)."""
    return run.predicted[-1] + run.scores[-1] if censored else run.leaving[-1]


def _paths(stays, run: Run, last: np.ndarray, uniforms: np.ndarray) -> Tensor:
    """A path for each row of uniform numbers, (R, T)."""
    paths = np.empty((len(uniforms), len(run.scores)), dtype=np.int64)
    given = run.survivor if stays.censored else run.durations
    trace_back(run.transitions, run.durations, last, given, run.scores, run.entering,
               run.leaving, uniforms, paths)  # fmt: skip
    return torch.from_numpy(paths)
