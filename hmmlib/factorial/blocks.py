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
from hmmlib.factorial import passes
from hmmlib.factorial.messages import best_states, drawn_states
from hmmlib.factorial.passes import Forward, bests, sums
from hmmlib.factorial.series import Series

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
    messages: list[Forward]  #: of each block; empty for a long series
    total: Tensor  #: ()  log p(x_{1:T}), or the log joint of the best path


@calmly
def log_likelihood(series: Series, progress: bool = False) -> tuple[Tensor]:
    """log p(x_{1:T}), shape (); -inf if impossible."""
    return (sum(found.gain for _, found in forwards(series, sums, progress, False)),)


@calmly
def filtered(series: Series, progress: bool = False) -> tuple[Tensor, ...]:
    """log p(x), M of p(z_t^m | x_{1:t}) and M of p(z_t^m | x_{1:t-1}), each (T, K_m).

    Raises ValueError if the series is impossible.
    """
    sizes = series.chains.log_initial.shape
    probs, start, evidence = _empty_marginals(series), 0, 0.0
    onward = [passes.marginals(series.chains.log_initial[None])]
    for n, (_, found) in enumerate(forwards(series, sums, progress)):
        shares = passes.filtered(found, sizes)
        start += _write(shares, probs, start)
        evidence = evidence + found.gain
        # Chains move on their own, so that a chain's share is all that its next state needs.
        moves = [matrix.exp() for matrix in series.at(n).log_matrices]
        pairs = zip(shares, moves, strict=True)
        onward.append([(x[:, None] @ matrix).squeeze(1) for x, matrix in pairs])
    _possible(series, evidence)
    predicted = [torch.cat(each)[:-1] for each in zip(*onward, strict=True)]
    return evidence, *probs, *predicted


@calmly
def smoothed(series: Series, progress: bool = False) -> tuple[Tensor, ...]:
    """log p(x) and M of p(z_t^m | x_{1:T}), each (T, K_m).

    Raises ValueError if the series is impossible.
    """
    stored = _store(series, sums, progress)
    evidence = _possible(series, stored.total)
    probs, end = _empty_marginals(series), series.num_steps
    after = torch.zeros_like(stored.starts[0])
    for n in backwards(series, progress):
        found = _recall(series, stored, n, sums)
        shares, after = passes.smoothed(series, n, stored.starts[n], found, after)
        end -= _write(shares, probs, end - len(shares[0]))
    return evidence, *probs


@calmly
def best_path(series: Series, progress: bool = False) -> tuple[Tensor, Tensor]:
    """The log joint () of the best joint path, and its states (T, M); -1 if impossible."""
    stored = _store(series, bests, progress)
    states = _trace(series, stored, bests, best_states, progress)
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
    stored = _store(series, sums, progress)
    _possible(series, stored.total)
    trace = partial(drawn_states, num_samples=num_samples, generator=generator)
    return (_trace(series, stored, sums, trace, progress),)


def forwards(
    series: Series, run: Callable, progress: bool = False, keep: bool = True
) -> Iterator[tuple[Tensor, Forward]]:
    """For each block, what enters its first step, (*S), and what `run` makes of it."""
    from tqdm.auto import tqdm  # takes a while to load

    start = series.chains.log_initial
    for n in tqdm(range(len(series.blocks)), disable=not progress, desc="forwards"):
        found = run(series, n, start, keep)
        yield start, found
        start = found.onward


def backwards(series: Series, progress: bool) -> Iterator[int]:
    """The numbers of the blocks, from the last one to the first."""
    from tqdm.auto import tqdm

    numbers = range(len(series.blocks))[::-1]
    return tqdm(numbers, disable=not progress, desc="backwards")


def _store(series: Series, run: Callable, progress: bool) -> Stored:
    """A pass forwards, and the messages that the way back starts from."""
    initial = series.chains.log_initial
    # One array, since many small ones would keep the heap from shrinking.
    starts = initial.new_empty(len(series.blocks), *initial.shape)
    short, messages, total = series.num_steps * initial.numel() < STORED, [], 0.0
    for n, (start, found) in enumerate(forwards(series, run, progress, short)):
        starts[n], total = start, total + found.gain
        if short:
            messages.append(found)
    return Stored(starts, messages, total)


def _recall(series: Series, stored: Stored, n: int, run: Callable) -> Forward:
    """The messages of block n, stored or computed again."""
    return stored.messages[n] if stored.messages else run(series, n, stored.starts[n])


def _trace(
    series: Series, stored: Stored, run: Callable, trace: Callable, progress: bool
) -> Tensor:
    """A path, (..., T, M), that `trace(chains, alpha, following)` finds block by block.

    One array, for the same reason as in `_store`.
    """
    path, following, end = None, None, series.num_steps
    for n in backwards(series, progress):
        alpha = _recall(series, stored, n, run).logs(series)
        states = trace(series.at(n), alpha, following)
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


def _write(shares: list[Tensor], probs: list[Tensor], start: int) -> int:
    """Write what is known of each chain in a block from row `start` on. Returns B."""
    for share, whole in zip(shares, probs, strict=True):
        whole[start : start + len(share)] = share
    return len(shares[0])


def _possible(series: Series, evidence: Tensor) -> Tensor:
    """The evidence. Raises ValueError where it is -inf: no posterior exists."""
    if evidence.isneginf():
        raise ValueError(
            f"observations: {series.name} has probability 0 under this model, no posterior"
            " exists"
        )
    return evidence
