"""The answers of the compiled loops: one chain on the CPU, in float64, without gradients.

The functions are those of `hmmlib.engines.recursion`. Where scaling cannot represent a
message, the loops in logarithms answer. They take `Potentials`, or `Compact`, whose table is
read as it is.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.engines import chain, draws, em, few, few_best, in_logs
from hmmlib.engines.answers import (
    BestPath,
    Counts,
    Filtered,
    Smoothed,
    Totals,
    possible,
)
from hmmlib.engines.arrays import NO_VALUES, Arrays, arrays_of
from hmmlib.engines.compact import Compact, in_full
from hmmlib.engines.recursion import probs, uniform
from hmmlib.engines.threads import WORK, in_parallel, num_parts, parts_of
from hmmlib.recursion import Potentials

FEW, FEW_BEST = 8, 7  # states up to which the loops of `few` and `few_best` are faster
WRITTEN_OUT = (
    16  # states up to which the compiler shall know their number in `best_path`
)
MOST_NUMBERS = 2**24  # that the parts of a batch may count into
NO_PROBS, NO_MOVES = np.empty((0, 0, 0)), np.empty((0, 0, 0, 0))


class Passes(NamedTuple):
    """What `chain.passes` found; for one sequence or a batch, as its potentials are."""

    log_likelihood: Tensor
    probs: Tensor | None  # (T, K), filtered or smoothed, whichever was asked for
    starts: Tensor | None  # (K,), or (N, K) if counted for each of a batch
    moves: Tensor | None  # (K, K), or (N, K, K); with T-1 in front of K, K if for each
    uses: Tensor | None  # as the table


def log_likelihood(potentials: Potentials | Compact) -> Tensor:
    """log p(x), shape () or (N,)."""
    return _passes(potentials).log_likelihood


def filter_states(potentials: Potentials | Compact) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1})."""
    passes = _passes(potentials, filtered=True)
    if passes:
        possible(passes.log_likelihood)
        predicted = _predicted(potentials, passes.probs)
        if predicted is not None:
            return Filtered(passes.log_likelihood, passes.probs, predicted)
    arrays, shape, single = arrays_of(potentials)
    found = [each[0] if single else each for each in _in_logs(arrays, shape)]
    evidence, entering, alpha = (torch.as_tensor(each) for each in found)
    full = in_full(potentials)
    answers = possible(evidence), probs(full, alpha), probs(full, entering)
    return Filtered(*(each.to(potentials[0].dtype) for each in answers))


def smooth_states(potentials: Potentials | Compact) -> Smoothed:
    """p(z_t | x)."""
    passes = _passes(potentials, smoothed=True)
    return Smoothed(possible(passes.log_likelihood), passes.probs)


def expected_counts(potentials: Potentials | Compact) -> Counts:
    """Expected starts, moves and visits."""
    passes = each(potentials)
    total = possible(passes.log_likelihood)
    return Counts(total, passes.starts, passes.moves, passes.probs)


def pairwise_probs(potentials: Potentials | Compact) -> Tensor:
    """p(z_t, z_{t+1} | x)."""
    passes = pairs(potentials)
    possible(passes.log_likelihood)
    return passes.moves


def total_counts(potentials: Potentials | Compact, by_step: bool = False) -> Totals:
    """Expected starts and moves of all sequences; `uses` as the table, or p(z_t | x).

    If `by_step`, the moves are those of each sequence from each step.
    """
    passes = pairs(potentials) if by_step else totals(potentials)
    total, (_, probs, starts, moves, uses) = (
        possible(passes.log_likelihood).sum(),
        passes,
    )
    if by_step:
        starts, uses = starts.sum(0) if starts.ndim == 2 else starts, probs
    return Totals(total, starts, moves, uses)


def viterbi(potentials: Potentials | Compact) -> BestPath:
    """The best path and its log joint."""
    arrays, (num, steps, size), single = arrays_of(potentials)
    log_joint, states = np.empty(num), np.empty((num, steps), dtype=np.int64)
    take = chain.best_path
    zeros = (0.0,) * size if size <= WRITTEN_OUT else ()
    if size <= FEW_BEST and arrays.matrices.size == size * size:
        take = few_best.best_path

    def work(first, last, part):
        take(zeros, *arrays, first, last, log_joint, states)

    if num == 1:
        take(zeros, *arrays, 0, 1, log_joint, states)
    else:
        in_parallel(work, arrays.lengths, parts_of(num, steps, size))
    if single:
        log_joint, states = log_joint.reshape(()), states[0]
    best, dtype = torch.from_numpy(log_joint), potentials[0].dtype
    best = best if dtype is torch.float64 else best.to(dtype)
    return BestPath(best, torch.from_numpy(states))


def sample_states(
    potentials: Potentials | Compact, num_samples: int, seed: int | None
) -> Tensor:
    """Paths drawn from p(z | x)."""
    arrays, shape, single = arrays_of(potentials)
    evidence, exact, alpha, *_ = _run(chain.passes, arrays, shape, filtered=True)
    if not exact.all():
        evidence, _, alpha = _in_logs(arrays, shape)
    possible(torch.from_numpy(evidence.reshape(()) if single else evidence))
    num, steps, size = shape
    shape = num_samples, num, steps
    uniforms = uniform(shape, seed).numpy()
    states = np.empty(shape, dtype=np.int64)
    given = arrays.matrices, alpha, not exact.all(), arrays.lengths, uniforms

    def work(first, last, part):
        draws.draws(*given, first, last, states)

    cost = float(num_samples) * num * steps * (size + 10)
    in_parallel(work, np.ones(num_samples), num_parts(num_samples, cost))
    return torch.from_numpy(states[:, 0] if single else states)


def learn(
    compact: Compact,
    tables: tuple[Tensor, Tensor, Tensor],
    moving: list[bool],
    pseudo_count: float,
    min_scale: float,
    num_iters: int,
    tolerance: float,
) -> tuple[list[Tensor], list[tuple[float, float]], bool] | None:
    """`em.run` of a model: its three tables after it, the history, and is it the end?

    None for a chain that the run does not take: of many states, or so long that calling a
    step costs nothing beside it.
    """
    arrays, (num, steps, size), _ = arrays_of(compact)
    if not _are_few(arrays) or num * steps * (size * size + 10) > WORK:
        return None
    initial, matrix, emitted = (
        np.array(x.detach().numpy(), np.float64, order="C") for x in tables
    )
    history = np.empty((num_iters + 1, 2))
    known, ended = em.run(
        _zeros(arrays), initial[None], matrix, emitted, *arrays[3:], np.array(moving), pseudo_count,
        min_scale, num_iters, tolerance, history)  # fmt: skip
    tables = [torch.from_numpy(each) for each in (initial, matrix, emitted)]
    return tables, history[:known].tolist(), ended


def each(potentials: Potentials | Compact) -> Passes:
    """log p(x), and counts of each sequence, 0 for an impossible one."""
    return _passes(potentials, smoothed=True, counted=True)


def totals(potentials: Potentials | Compact) -> Passes:
    """log p(x), and counts of all sequences together."""
    by_table = isinstance(potentials, Compact)
    passes = _passes(potentials, smoothed=not by_table, counted=True, together=True)
    return passes if by_table else passes._replace(uses=passes.probs)


def pairs(potentials: Potentials | Compact) -> Passes:
    """As `each`, with p(z_t, z_{t+1} | x) in the place of their sum over steps."""
    potentials = in_full(potentials)
    (matrix,), num_steps = (
        potentials.log_transitions,
        potentials.log_likelihoods.shape[-2],
    )
    if matrix.ndim == 2:
        matrix = matrix.expand(num_steps - 1, *matrix.shape)
        potentials = potentials._replace(log_transitions=(matrix,))
    passes = _passes(potentials, smoothed=True, counted=True, paired=True)
    if passes.moves is not None:
        return passes
    probs = passes.probs  # of one step, from which nothing moves
    return passes._replace(
        moves=probs.new_zeros(*probs.shape[:-2], 0, *probs.shape[-1:] * 2)
    )


def _passes(
    potentials: Potentials | Compact,
    filtered: bool = False,
    smoothed: bool = False,
    counted: bool = False,
    together: bool = False,
    paired: bool = False,
) -> Passes | None:
    """Forwards, and backwards if asked; None if `filtered`, and scaling loses something.

    Starts and moves are counted for each sequence, or for all together, and then the uses
    of a table, too; moves of all steps, or, if `paired`, of each.
    """
    arrays, shape, single = arrays_of(potentials)
    outputs = filtered, smoothed, counted, together, paired
    for take in _takers(arrays, filtered):
        evidence, exact, wanted, *counts = _run(take, arrays, shape, *outputs)
        if all(exact.tolist()):
            break
    else:
        return None
    if single:
        evidence, wanted = evidence.reshape(()), wanted[0] if len(wanted) else wanted
    if counted:
        starts, moves, *uses = counts
        moves = moves[:, : shape[1] - 1] if paired else moves[:, 0]
        counts = [starts, moves, *uses]
        if single or together:
            counts = [each.sum(0) for each in counts]
    dtype = potentials[0].dtype
    return Passes(*[_tensor(each, dtype) for each in (evidence, wanted, *counts)])


def _in_logs(arrays: Arrays, shape: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    """Evidence, log p(x_{1:t-1}, z_t) and log p(x_{1:t}, z_t) of all steps."""
    answers = np.empty(shape[0]), np.empty(shape), np.empty(shape)

    def work(first, last, part):
        in_logs.messages(*arrays, first, last, *answers)

    in_parallel(work, arrays.lengths, parts_of(*shape))
    return answers


def _takers(arrays: Arrays, filtered: bool) -> list[Callable]:
    """The loops that may take the chain, the fastest first; the last one always can."""
    if filtered:
        return [chain.passes]
    takers = [chain.passes, in_logs.passes]
    return (
        [partial(few.passes, _zeros(arrays)), *takers] if _are_few(arrays) else takers
    )


def _run(
    take: Callable,
    arrays: Arrays,
    shape: tuple[int, int, int],
    filtered: bool = False,
    smoothed: bool = False,
    counted: bool = False,
    together: bool = False,
    paired: bool = False,
) -> tuple[np.ndarray, ...]:
    """What the loops have filled: evidence, exact, wanted, starts, moves, uses."""
    num, steps, size = shape
    parts = parts_of(num, steps, size)
    wanted, starts, moves, uses = NO_PROBS, NO_VALUES, NO_MOVES, NO_PROBS
    if filtered or smoothed:
        ragged = num > 1 and arrays.lengths.min() < steps
        wanted = (np.zeros if ragged else np.empty)((num, steps, size))
    if counted:
        if together:
            numbers = (steps if paired else 1) * size * size
            parts = min(parts, max(MOST_NUMBERS // numbers, 2))
        slots = parts if together else num
        starts = np.zeros((slots, size))
        moves = np.zeros((slots, max(steps - 1, 1) if paired else 1, size, size))
        if together and not smoothed:
            by_symbol = len(arrays.rows) > 0
            uses = np.zeros((slots, len(arrays.scores) if by_symbol else 3, size))
    evidence, exact = np.empty(num), np.empty(num, dtype=np.bool_)
    probs = (NO_PROBS, wanted) if smoothed else (wanted, NO_PROBS)

    def work(first, last, part):
        slot = part if together else -1
        counts = probs[1], starts, moves, uses
        if filtered or take is chain.passes:
            counts = probs[0], *counts
        take(*arrays, first, last, slot, evidence, exact, *counts)

    in_parallel(work, arrays.lengths, parts)
    return evidence, exact, wanted, starts, moves, uses


def _zeros(arrays: Arrays) -> tuple[float, ...]:
    """K zeros, in the form that tells the compiler K."""
    return (0.0,) * len(arrays.initial)


def _are_few(arrays: Arrays) -> bool:
    """Whether the loops for few states take the chain."""
    size = len(arrays.initial)
    return size <= FEW and arrays.matrices.size == size * size


def _tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor | None:
    """The array as a tensor; None if it was not asked for."""
    if not array.size:
        return None
    tensor = torch.from_numpy(array)
    return tensor if dtype is torch.float64 else tensor.to(dtype)


def _predicted(potentials: Potentials | Compact, filtered: Tensor) -> Tensor | None:
    """p(z_t | x_{1:t-1}), from the filtered probabilities; None where one is lost."""
    (initial, matrix, *_), _, _ = arrays_of(potentials)
    initial, matrix = torch.from_numpy(initial), torch.from_numpy(matrix)
    first = initial.softmax(-1).expand_as(filtered[..., :1, :])
    moves = (matrix - matrix.amax().clamp(min=-1e300)).exp()
    later, dtype = filtered[..., :-1, :].double(), filtered.dtype
    batch = later if later.ndim == 3 else later[None]
    later = torch.einsum("nti,ntij->ntj", batch, moves).reshape(later.shape)
    predicted = torch.cat([first, later], -2)
    if potentials.lengths is not None:
        here = torch.arange(predicted.shape[1]) < potentials.lengths[:, None]
        predicted = predicted * here[..., None]
    sums = predicted.sum(-1, keepdim=True)
    lost = sums < 1e-200
    if lost.any() and potentials.lengths is None:
        return None
    return (predicted / sums.masked_fill(lost, 1.0)).to(dtype)
