"""A long series of several chains, taken in blocks of about sqrt(T) steps.

A joint message has prod(S) entries. Storing one for each step would need T · prod(S)
numbers; stored at the start of each block alone, and computed again inside of a block when
they are needed, messages need sqrt(T) · prod(S). Short series store all of them.

Letters: B steps of a block, S = (K_1, ..., K_M) joint states.
"""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.engines.threads import one_thread
from hmmlib.factorial.messages import (
    backward_block,
    best_states,
    drawn_states,
    forward_block,
)
from hmmlib.factorial.series import Series
from hmmlib.logs import logsumexp

STORED = 4e6  # numbers: messages of a series up to that size are all stored


def calmly(answer: Callable) -> Callable:
    """The same, on one thread of torch where the compiled loops do the work."""

    @wraps(answer)
    def answered(series: Series, *args, **kwargs):
        if series.chains.arrays is None:
            return answer(series, *args, **kwargs)
        with one_thread():
            return answer(series, *args, **kwargs)

    return answered


class Stored(NamedTuple):
    """What a pass forwards leaves behind for the way back."""

    starts: Tensor  #: (number of blocks, *S)  what enters the first step of each
    messages: list[Tensor]  #: (B, *S) of each block; empty for a long series
    total: Tensor  #: ()  log p(x_{1:T}), or the log joint of the best path


@calmly
def log_likelihood(series: Series, progress: bool = False) -> tuple[Tensor]:
    """log p(x_{1:T}), shape (); -inf if impossible."""
    for _, alpha in _forwards(series, logsumexp, progress):
        last = alpha[-1]
    return (logsumexp(last.flatten(), -1),)


@calmly
def filtered(series: Series, progress: bool = False) -> tuple[Tensor, ...]:
    """log p(x), M of p(z_t^m | x_{1:t}) and M of p(z_t^m | x_{1:t-1}), each (T, K_m).

    Raises ValueError if the series is impossible.
    """
    probs, start = _empty_marginals(series), 0
    for _, alpha in _forwards(series, logsumexp, progress):
        _write_marginals(alpha, probs, start)
        start += len(alpha)
    evidence = _possible(series, logsumexp(alpha[-1].flatten(), -1))
    # Chains move on their own, so that a chain's share is all that its next state needs.
    first = [share.new_empty(1, share.shape[1]) for share in probs]
    _write_marginals(series.chains.log_initial[None], first, 0)
    moves = [matrix.exp() for matrix in series.chains.log_matrices]
    predicted = [
        torch.cat([p_first, share[:-1] @ matrix])
        for p_first, share, matrix in zip(first, probs, moves, strict=True)
    ]
    return evidence, *probs, *predicted


@calmly
def smoothed(series: Series, progress: bool = False) -> tuple[Tensor, ...]:
    """log p(x) and M of p(z_t^m | x_{1:T}), each (T, K_m).

    Raises ValueError if the series is impossible.
    """
    stored = _store(series, logsumexp, progress)
    evidence = _possible(series, stored.total)
    marginals, end = _empty_marginals(series), series.num_steps
    beta_of_end = torch.zeros_like(stored.starts[0])
    for n in _backwards(series, progress):
        scores = series.scores(n)
        alpha = _recall(series, stored, n, logsumexp, scores)
        # What later blocks say enters as one more likelihood of the last step.
        known = torch.cat([scores[:-1], scores[-1:] + beta_of_end])
        beta, beta_before = backward_block(series.chains, known)
        beta[-1] = beta_of_end
        end -= len(scores)
        _write_marginals(alpha + beta, marginals, end)
        beta_of_end = beta_before
    return evidence, *marginals


@calmly
def best_path(series: Series, progress: bool = False) -> tuple[Tensor, Tensor]:
    """The log joint () of the best joint path, and its states (T, M); -1 if impossible."""
    stored = _store(series, torch.amax, progress)
    trace = partial(best_states, series.chains)
    states = _trace(series, stored, torch.amax, trace, progress)
    if stored.total.isneginf():
        states = torch.full_like(states, -1)
    return stored.total, states


@calmly
def sampled_paths(
    series: Series,
    num_samples: int,
    generator: torch.Generator | None,
    progress: bool = False,
) -> tuple[Tensor]:
    """Joint paths drawn from the posterior, (num_samples, T, M).

    Raises ValueError if the series is impossible.
    """
    stored = _store(series, logsumexp, progress)
    _possible(series, stored.total)
    trace = partial(
        drawn_states, series.chains, num_samples=num_samples, generator=generator
    )
    return (_trace(series, stored, logsumexp, trace, progress),)


def _forwards(
    series: Series, reduce: Callable, progress: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each block, what enters its first step, (*S), and its messages, (B, *S)."""
    from tqdm.auto import tqdm  # takes a while to load

    start = series.chains.log_initial
    numbers = range(len(series.blocks))
    for n in tqdm(numbers, disable=not progress, desc="forwards"):
        scores = series.scores(n)
        alpha, onward = forward_block(series.chains, start, scores, reduce)
        yield start, alpha
        start = onward


def _backwards(series: Series, progress: bool) -> Iterator[int]:
    """The numbers of the blocks, from the last one to the first."""
    from tqdm.auto import tqdm

    numbers = range(len(series.blocks))[::-1]
    return tqdm(numbers, disable=not progress, desc="backwards")


def _store(series: Series, reduce: Callable, progress: bool) -> Stored:
    """A pass forwards, and the messages that the way back starts from."""
    initial = series.chains.log_initial
    # One array, since many small ones would keep the heap from shrinking.
    starts = initial.new_empty(len(series.blocks), *initial.shape)
    short, messages = series.num_steps * initial.numel() < STORED, []
    for n, (start, alpha) in enumerate(_forwards(series, reduce, progress)):
        starts[n] = start
        if short:
            messages.append(alpha)
    return Stored(starts, messages, reduce(alpha[-1].flatten(), -1))


def _recall(series: Series, stored: Stored, n: int, reduce, scores=None) -> Tensor:
    """The messages of block n, stored or computed again, (B, *S)."""
    if stored.messages:
        return stored.messages[n]
    if scores is None:
        scores = series.scores(n)
    return forward_block(series.chains, stored.starts[n], scores, reduce)[0]


def _trace(
    series: Series, stored: Stored, reduce: Callable, trace: Callable, progress: bool
) -> Tensor:
    """A path, (..., T, M), that `trace(alpha, following)` finds block by block.

    One array, for the same reason as in `_store`.
    """
    path, following, end = None, None, series.num_steps
    for n in _backwards(series, progress):
        states = trace(_recall(series, stored, n, reduce), following)
        if path is None:
            path = states.new_empty(*states.shape[:-2], end, states.shape[-1])
        start = end - states.shape[-2]
        path[..., start:end, :] = states
        following, end = states[..., 0, :].clone(), start
    return path


def _empty_marginals(series: Series) -> list[Tensor]:
    """Whole arrays, (T, K_m) for each chain, for the same reason as in `_store`."""
    initial = series.chains.log_initial
    return [initial.new_empty(series.num_steps, size) for size in initial.shape]


def _write_marginals(joint: Tensor, marginals: list[Tensor], start: int) -> None:
    """Normalise joint scores (B, *S), and write each chain's share from row `start` on."""
    probs = joint.flatten(1).softmax(-1).reshape(joint.shape)
    for m, marginal in enumerate(marginals):
        others = [1 + k for k in range(len(marginals)) if k != m]
        share = probs.sum(others) if others else probs
        marginal[start : start + len(share)] = share


def _possible(series: Series, evidence: Tensor) -> Tensor:
    """The evidence. Raises ValueError where it is -inf: no posterior exists."""
    if evidence.isneginf():
        raise ValueError(
            f"observations: {series.name} has probability 0 under this model, no posterior"
            " exists"
        )
    return evidence
