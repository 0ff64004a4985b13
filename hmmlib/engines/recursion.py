"""The answers of `hmmlib.recursion`: any number of chains, any device, any derivative.

The functions take `Potentials` that have been checked, or `Compact`; what they return is
said in `hmmlib.inference`.
"""

import torch
from torch import Tensor

from hmmlib.engines.answers import (
    BestPath,
    Counts,
    Filtered,
    Smoothed,
    Totals,
    possible,
)
from hmmlib.engines.compact import Compact, in_full, running
from hmmlib.logs import logsumexp
from hmmlib.recursion import Potentials, backward, by_step, forward, move, trace_back

# Entries of a (steps, K, K) array held in memory while counting moves
PAIRS_AT_ONCE = 10_000_000


def log_likelihood(potentials: Potentials | Compact) -> Tensor:
    """log p(x), shape () or (N,)."""
    potentials = in_full(potentials)
    return evidence(potentials, forward(potentials, logsumexp))


def filter_states(potentials: Potentials | Compact) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1})."""
    potentials = in_full(potentials)
    alpha = forward(potentials, logsumexp)
    total = possible(evidence(potentials, alpha))
    time = -1 - potentials.log_initial.ndim
    _, log_transitions, _ = by_step(potentials)
    messages = alpha.unbind(time)
    predicted = [potentials.log_initial.expand_as(messages[0])]
    steps = zip(messages, log_transitions, strict=False)
    predicted += [move(message, matrices, logsumexp) for message, matrices in steps]
    predicted = probs(potentials, torch.stack(predicted, time))
    return Filtered(total, probs(potentials, alpha), predicted)


def smooth_states(potentials: Potentials | Compact) -> Smoothed:
    """p(z_t | x)."""
    potentials = in_full(potentials)
    alpha, beta = forward(potentials, logsumexp), backward(potentials, logsumexp)
    total = possible(evidence(potentials, alpha))
    return Smoothed(total, probs(potentials, alpha + beta))


def pairwise_probs(potentials: Potentials | Compact) -> Tensor:
    """p(z_t, z_{t+1} | x) of one chain."""
    potentials = in_full(potentials)
    alpha, beta = forward(potentials, logsumexp), backward(potentials, logsumexp)
    possible(evidence(potentials, alpha))
    return pairs(potentials, alpha, beta, 0, alpha.shape[-2] - 1)


def expected_counts(potentials: Potentials | Compact) -> Counts:
    """Expected starts, moves and visits of one chain."""
    potentials = in_full(potentials)
    alpha, beta = forward(potentials, logsumexp), backward(potentials, logsumexp)
    total = possible(evidence(potentials, alpha))
    states = probs(potentials, alpha + beta)
    num_steps, num_states = alpha.shape[-2:]
    stride = max(1, PAIRS_AT_ONCE * num_steps // (alpha.numel() * num_states))
    moves = alpha.new_zeros(*alpha.shape[:-2], num_states, num_states)
    for start in range(0, num_steps - 1, stride):
        stop = min(start + stride, num_steps - 1)
        moves = moves + pairs(potentials, alpha, beta, start, stop).sum(-3)
    return Counts(total, states.select(-2, 0), moves, states)


def total_counts(potentials: Potentials | Compact, by_step: bool = False) -> Totals:
    """Expected starts and moves of all sequences; the statistics of a `Lookup`, or p(z_t | x).

    If `by_step`, the moves are those of each sequence from each step.
    """
    counts = expected_counts(potentials)
    starts, moves = counts.initial, counts.transitions
    if by_step:
        moves = pairwise_probs(potentials)
    if starts.ndim == 2:
        starts, moves = starts.sum(0), moves if by_step else moves.sum(0)
    states = counts.states
    by_table = isinstance(potentials, Compact)
    uses = potentials.scores.statistics(states) if by_table else states
    return Totals(counts.log_likelihood.sum(), starts, moves, uses)


def viterbi(potentials: Potentials | Compact) -> BestPath:
    """The best path and its log joint."""
    potentials = in_full(potentials)
    delta = forward(potentials, torch.amax)
    log_joint = last(potentials, delta).amax(-1)
    states = trace_back(potentials, delta, torch.argmax)
    behind = [1] * (states.ndim - log_joint.ndim)
    dead = log_joint.isneginf().reshape(*log_joint.shape, *behind)
    return BestPath(log_joint, states.masked_fill(dead, -1))


def sample_states(
    potentials: Potentials | Compact, num_samples: int, seed: int | None
) -> Tensor:
    """Paths drawn from p(z | x)."""
    potentials = in_full(potentials)
    alpha = forward(potentials, logsumexp)
    possible(evidence(potentials, alpha))
    shape = (
        num_samples,
        *potentials.log_likelihoods.shape[: -potentials.log_initial.ndim],
    )
    uniforms = reversed(uniform(shape, seed, alpha.device).unbind(-1))

    def draw(scores: Tensor, dim: int) -> Tensor:
        """A state with probability exp(scores), of each sample."""
        return fallen(scores, next(uniforms))

    return trace_back(potentials, alpha.expand(num_samples, *alpha.shape), draw)


def uniform(shape: tuple[int, ...], seed: int | None, device=None) -> Tensor:
    """Independent numbers on [0, 1); each engine draws a path from the same ones."""
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    return torch.rand(shape, dtype=torch.float64, device=device, generator=generator)


def fallen(scores: Tensor, uniforms: Tensor) -> Tensor:
    """An index with probability softmax(scores): where a uniform number falls."""
    heights = scores.double().softmax(-1).cumsum(-1)
    at = uniforms[..., None] * heights[..., -1:]
    # at < the last height; and on the right, since a state of probability 0 has no width.
    return torch.searchsorted(heights, at, right=True)[..., 0]


def last(potentials: Potentials, messages: Tensor) -> Tensor:
    """The last message, its states in one axis; (prod(S),) or (N, prod(S))."""
    num_chains = potentials.log_initial.ndim
    return messages.select(-1 - num_chains, -1).flatten(-num_chains)


def evidence(potentials: Potentials, alpha: Tensor) -> Tensor:
    """log p(x), from the forward messages."""
    return logsumexp(last(potentials, alpha), -1)


def probs(potentials: Potentials, scores: Tensor) -> Tensor:
    """Normalised over the states, and 0 behind the end of a sequence."""
    num_chains = potentials.log_initial.ndim
    if potentials.lengths is None:
        return scores.flatten(-num_chains).softmax(-1).reshape(scores.shape)
    here = running(potentials)
    scores = scores.masked_fill(~here, 0.0)  # softmax of nothing but -inf would be NaN
    return scores.flatten(-num_chains).softmax(-1).reshape(scores.shape) * here


def pairs(
    potentials: Potentials, alpha: Tensor, beta: Tensor, start: int, stop: int
) -> Tensor:
    """p(z_t, z_{t+1} | x) for the moves `start` to `stop`; (stop - start, K, K)."""
    (matrix,) = potentials.log_transitions
    left = alpha[..., start:stop, :, None]
    entered = (potentials.log_likelihoods + beta)[..., start + 1 : stop + 1, None, :]
    here = matrix[..., start:stop, :, :] if matrix.ndim > 2 else matrix
    scores = left + here + entered
    if potentials.lengths is None:
        return scores.flatten(-2).softmax(-1).reshape(scores.shape)
    here = running(potentials)[:, start + 1 : stop + 1, :, None]
    scores = scores.masked_fill(~here, 0.0)
    return scores.flatten(-2).softmax(-1).reshape(scores.shape) * here
