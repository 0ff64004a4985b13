"""The answers of the compiled loops: one chain on the CPU, in float64, without gradients.

The functions are those of `hmmlib.engines.recursion`, which answers in their place where
scaling cannot represent a message. They take `Potentials`, or `Compact`, whose table is
read as it is.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.engines import chain, recursion
from hmmlib.engines.answers import (
    BestPath,
    Counts,
    Filtered,
    Smoothed,
    Totals,
    possible,
)
from hmmlib.engines.compact import Compact
from hmmlib.engines.threads import in_parallel, shares_of
from hmmlib.recursion import Potentials

NO_ROWS, NO_VALUES = np.empty((0, 0), np.int64), np.empty((0, 0))
NO_PROBS = np.empty((0, 0, 0))


class Arrays(NamedTuple):
    """Potentials as the loops take them, in float64, in the order of their arguments."""

    initial: np.ndarray  # (K,)
    matrices: np.ndarray  # (1 or T-1, K, K)
    scores: np.ndarray  # (R, K), (3, K) or (N T, K); see `hmmlib.engines.chain`
    rows: np.ndarray  # (N, T), or (0, 0)
    values: np.ndarray  # (N, T), or (0, 0)
    lengths: np.ndarray  # (N,)


class Passes(NamedTuple):
    """What `chain.passes` found; for one sequence or a batch, as its potentials are."""

    log_likelihood: Tensor
    probs: Tensor | None  # (T, K), filtered or smoothed, whichever was asked for
    starts: Tensor | None  # (K,), or (N, K) if counted for each of a batch
    moves: Tensor | None  # (K, K), or (N, K, K)
    uses: Tensor | None  # as the table


def log_likelihood(potentials: Potentials | Compact) -> Tensor:
    """log p(x), shape () or (N,)."""
    if passes := _passes(potentials):
        return passes.log_likelihood
    return recursion.log_likelihood(potentials)


def filter_states(potentials: Potentials | Compact) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1})."""
    passes = _passes(potentials, filtered=True)
    if not passes:
        return recursion.filter_states(potentials)
    total = possible(passes.log_likelihood)
    predicted = _predicted(potentials, passes.probs)
    if predicted is None:
        return recursion.filter_states(potentials)
    return Filtered(total, passes.probs, predicted)


def smooth_states(potentials: Potentials | Compact) -> Smoothed:
    """p(z_t | x)."""
    passes = _passes(potentials, smoothed=True)
    if not passes:
        return recursion.smooth_states(potentials)
    return Smoothed(possible(passes.log_likelihood), passes.probs)


def expected_counts(potentials: Potentials | Compact) -> Counts:
    """Expected starts, moves and visits."""
    passes = each(potentials)
    if not passes:
        return recursion.expected_counts(potentials)
    total = possible(passes.log_likelihood)
    return Counts(total, passes.starts, passes.moves, passes.probs)


def total_counts(potentials: Potentials | Compact) -> Totals:
    """Expected starts and moves of all sequences; `uses` as the table, or p(z_t | x)."""
    passes = totals(potentials)
    if not passes:
        return recursion.total_counts(potentials)
    total = possible(passes.log_likelihood).sum()
    return Totals(total, passes.starts, passes.moves, passes.uses)


def viterbi(potentials: Potentials | Compact) -> BestPath:
    """The best path and its log joint."""
    arrays, (num, steps, size), single = _arrays(potentials)
    log_joint, states = np.empty(num), np.empty((num, steps), dtype=np.int64)

    def work(first, last, share):
        chain.best_path(*arrays, first, last, log_joint, states)

    if num == 1:
        chain.best_path(*arrays, 0, 1, log_joint, states)
    else:
        in_parallel(work, num, shares_of(num, steps, size))
    if single:
        log_joint, states = log_joint.reshape(()), states[0]
    log_joint = torch.from_numpy(log_joint).to(potentials.log_initial.dtype)
    return BestPath(log_joint, torch.from_numpy(states))


def sample_states(
    potentials: Potentials | Compact, num_samples: int, seed: int | None
) -> Tensor:
    """Paths drawn from p(z | x)."""
    passes = _passes(potentials, filtered=True)
    if not passes:
        return recursion.sample_states(potentials, num_samples, seed)
    possible(passes.log_likelihood)
    alpha = passes.probs.log()
    messages = Potentials(*potentials[:2], alpha, potentials.lengths)
    return recursion.sampled(messages, alpha, num_samples, seed)


def each(potentials: Potentials | Compact) -> Passes | None:
    """log p(x), and counts of each sequence, 0 for an impossible one; None where scaling
    loses something.
    """
    return _passes(potentials, smoothed=True, counted=True)


def totals(potentials: Potentials | Compact) -> Passes | None:
    """log p(x), and counts of all sequences together; None where scaling loses something."""
    by_table = not isinstance(potentials.log_likelihoods, Tensor)
    passes = _passes(potentials, smoothed=not by_table, counted=True, together=True)
    if passes and not by_table:
        passes = passes._replace(uses=passes.probs)
    return passes


def _passes(
    potentials: Potentials | Compact,
    filtered: bool = False,
    smoothed: bool = False,
    counted: bool = False,
    together: bool = False,
) -> Passes | None:
    """Forwards, and backwards if asked; None where scaling loses something.

    Starts and moves are counted for each sequence, or for all together, and then the uses
    of a table, too.
    """
    arrays, (num, steps, size), single = _arrays(potentials)
    shares = shares_of(num, steps, size)
    wanted, starts, moves, uses = NO_PROBS, NO_VALUES, NO_PROBS, NO_PROBS
    if filtered or smoothed:
        make = np.empty if potentials.lengths is None else np.zeros
        wanted = make((num, steps, size))
    slots = shares if together else num
    if counted:
        starts, moves = np.zeros((slots, size)), np.zeros((slots, size, size))
    if together and not smoothed:
        uses = np.zeros((slots, *arrays.scores.shape))
    evidence, exact = np.empty(num), np.empty(num, dtype=np.bool_)
    outputs = (NO_PROBS, wanted) if smoothed else (wanted, NO_PROBS)

    def work(first, last, share):
        slot = share if together else -1
        chain.passes(
            *arrays, first, last, slot, evidence, exact, *outputs, starts, moves, uses
        )

    in_parallel(work, num, shares)
    if not exact.all():
        return None
    found = [evidence, wanted, starts, moves, uses]
    if together:
        found[2:] = [each.sum(0) if len(each) else each for each in found[2:]]
    if single:
        found[:2] = evidence.reshape(()), wanted.reshape(wanted.shape[1:])
        if counted and not together:
            found[2:4] = starts[0], moves[0]
    dtype = potentials.log_initial.dtype
    return Passes(*(_tensor(each, dtype) for each in found))


def _tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor | None:
    """The array as a tensor; None if it was not asked for."""
    if not array.size:
        return None
    tensor = torch.from_numpy(np.asarray(array))
    return tensor if dtype is torch.float64 else tensor.to(dtype)


def _arrays(potentials: Potentials | Compact) -> tuple[Arrays, tuple, bool]:
    """The arrays; N, T, K; and whether it is one sequence and no batch."""
    log_initial, (matrix,), scores, lengths = potentials
    rows = values = None
    if isinstance(scores, Tensor):
        steps, table = scores.shape[:-1], scores.flatten(0, -2)
    else:
        table, rows, values = scores
        steps = (values if rows is None else rows).shape
    num, num_steps = (1, *steps) if len(steps) == 1 else steps
    size = len(log_initial)
    if matrix.ndim == 2:
        matrix = matrix[None]
    elif num_steps == 1:  # time-varying, but there is no move
        matrix = log_initial.new_zeros(1, size, size)
    try:
        arrays = []
        for x in (log_initial, matrix, table):
            arrays.append(np.ascontiguousarray(x.detach().numpy(), dtype=np.float64))
        rows = NO_ROWS if rows is None else rows.numpy().reshape(num, num_steps)
        values = NO_VALUES if values is None else values.detach().double().numpy()
    except RuntimeError as error:
        raise ValueError(
            "potentials: got tensors whose numbers cannot be read, as inside of"
            " torch.func.vmap and jvp; needs a batch of sequences (N, T), or reverse mode:"
            " torch.func.grad, torch.autograd.functional.hessian"
        ) from error
    if values is not NO_VALUES:
        values = np.ascontiguousarray(values).reshape(num, num_steps)
    ends = np.full(num, num_steps) if lengths is None else lengths.numpy()
    arrays = Arrays(*arrays, rows, values, ends)
    return arrays, (num, num_steps, size), len(steps) == 1


def _predicted(potentials: Potentials | Compact, filtered: Tensor) -> Tensor | None:
    """p(z_t | x_{1:t-1}), from the filtered probabilities; None where one is lost."""
    (matrix,) = potentials.log_transitions
    if not matrix.numel():  # time-varying, but there is no move
        return potentials.log_initial.softmax(-1).expand_as(filtered)
    dtype, filtered, matrix = filtered.dtype, filtered.double(), matrix.double()
    moves = (matrix - matrix.amax().clamp(min=-1e300)).exp()
    first = potentials.log_initial.double().softmax(-1)
    first = first.expand_as(filtered[..., :1, :])
    if matrix.ndim == 2:
        later = filtered[..., :-1, :] @ moves
    else:
        later = torch.einsum("...ti,tij->...tj", filtered[..., :-1, :], moves)
    predicted = torch.cat([first, later], -2)
    if potentials.lengths is not None:
        here = torch.arange(predicted.shape[1]) < potentials.lengths[:, None]
        predicted = predicted * here[..., None]
    sums = predicted.sum(-1, keepdim=True)
    lost = sums < 1e-200
    if lost.any() and potentials.lengths is None:
        return None
    return (predicted / sums.masked_fill(lost, 1.0)).to(dtype)
