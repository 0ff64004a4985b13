"""Expected counts of several chains: what learning needs, summed up along a long series.

Compiled where every joint move is likely enough. Else messages are logarithms, and counts a
gradient: the derivative of log p(x) in the logarithm of a move is how often it is expected.

Letters: B steps of a block, S = (K_1, ..., K_M) joint states.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions import at, lookup
from hmmlib.engines.answers import possible
from hmmlib.engines.joint_counts import LIKELY, backward_counts, forward_counts
from hmmlib.engines.threads import one_thread
from hmmlib.factorial.messages import backward_block, forward_block
from hmmlib.factorial.series import Series
from hmmlib.logs import logsumexp
from hmmlib.recursion import move


class JointCounts(NamedTuple):
    """How often each start, move and joint state is used, on average over the posterior."""

    log_likelihood: Tensor  #: ()  log p(x), summed over sequences
    starts: tuple[Tensor, ...]  #: M of (K_m,)  expected starts
    moves: tuple[Tensor, ...]  #: M of (K_m, K_m)  expected moves
    uses: Tensor | None
    """(3, *S)  the sums of p(z_t | x) times 1, x_t - mean and (x_t - mean)^2, over steps with
    a reading; None for emissions other than `Normal`"""


class Sums(NamedTuple):
    """The same of one sequence, its starts those of joint states."""

    log_likelihood: Tensor  #: ()
    starts: Tensor  #: (*S)
    moves: list[Tensor]  #: M of (K_m, K_m)
    uses: Tensor | None  #: (3, prod(S))


def expected_counts(
    all_series: Sequence[Series], emission: Distribution
) -> JointCounts:
    """The expected counts of all sequences together; a thread for each, as far as they go.

    Raises ValueError for a sequence that is impossible.
    """
    sizes = emission.batch_shape
    joint = torch.unravel_index(torch.arange(sizes.numel()), sizes)
    flat = at(emission, joint)
    threads = min(torch.get_num_threads(), len(all_series))
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        found = pool.map(_sums, all_series, repeat(flat))
    evidence, starts, moves, uses = zip(*found, strict=True)
    starts = sum(starts)
    shares = [
        starts.movedim(m, 0).reshape(size, -1).sum(1) for m, size in enumerate(sizes)
    ]
    return JointCounts(
        sum(evidence),
        tuple(shares),
        tuple(sum(each) for each in zip(*moves, strict=True)),
        None if uses[0] is None else sum(uses).reshape(3, *sizes),
    )


@torch.no_grad()  # a thread has a switch of its own
def _sums(series: Series, flat: Distribution) -> Sums:
    return _scaled(series, flat) or _in_logs(series, flat)


def _scaled(series: Series, flat: Distribution) -> Sums | None:
    """By the compiled loops; None where these do not serve, or might have lost something."""
    arrays, like = series.chains.arrays, series.chains.log_initial
    if arrays is None or _least(arrays.moves[0, 0], arrays.sizes) < LIKELY:
        return None
    moves, sizes, evidence = arrays.moves[0, 0], arrays.sizes, 0.0
    start, starts, uses = like.exp().double().flatten().numpy(), [], None
    for n in range(len(series.blocks)):
        starts.append(start.copy())
        scores, messages = _rooms(series, n, len(sizes))
        evidence += forward_counts(start, moves, sizes, scores, messages)
        start = messages[-1, -1]
    after, pairs = np.zeros(like.numel()), np.zeros_like(moves)
    for n in reversed(range(len(starts))):
        if n < len(starts) - 1:  # those of the last block are still there
            scores, messages = _rooms(series, n, len(sizes))
            forward_counts(starts[n], moves, sizes, scores, messages)
        posterior, given = np.empty_like(scores), (arrays.turned[0, 0], sizes, scores)
        exact = backward_counts(*given, messages, after, pairs, posterior)
        if np.isnan(evidence) or not exact:
            return None
        probs = torch.from_numpy(posterior).to(like.dtype)
        uses = _added(uses, flat, series.blocks[n], probs)
    pairs = torch.from_numpy(pairs * moves).to(like.dtype)
    counts = [pairs[m, :size, :size] for m, size in enumerate(like.shape)]
    total = torch.tensor(evidence, dtype=like.dtype)
    return Sums(total, probs[0].reshape(like.shape), counts, uses)


def _least(moves: np.ndarray, sizes: np.ndarray) -> float:
    """The probability of the least likely joint move."""
    least = [moves[m, :size, :size].min() for m, size in enumerate(sizes)]
    return float(np.prod(least))


def _rooms(series: Series, n: int, num_chains: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores of block n, (B, prod(S)), and room for messages, (B, M+1, prod(S))."""
    scores = series.scores(n).double().flatten(1).contiguous().numpy()
    return scores, np.empty((len(scores), num_chains + 1, scores.shape[1]))


def _in_logs(series: Series, flat: Distribution) -> Sums:
    """Exact whatever the moves. Raises ValueError for an impossible sequence."""
    chains, uses = series.chains, None
    starts = [chains.log_initial]
    for n in range(len(series.blocks)):
        given = chains, starts[-1], series.scores(n), logsumexp
        alpha, onward = forward_block(*given)
        starts.append(onward)
    total = possible(logsumexp(alpha[-1].flatten(), -1))
    counts = [torch.zeros_like(matrix) for matrix in chains.log_matrices]
    ahead, following = torch.zeros_like(chains.log_initial), alpha[:0]
    for n in reversed(range(len(series.blocks))):
        scores = series.scores(n)
        alpha, _ = forward_block(chains, starts[n], scores, logsumexp)
        known = torch.cat([scores[:-1], scores[-1:] + ahead])
        beta, before = backward_block(chains, known)
        beta[-1] = ahead
        probs = (alpha + beta).flatten(1).softmax(-1)
        uses = _added(uses, flat, series.blocks[n], probs)
        entered = torch.cat([(scores + beta)[1:], following])
        moves = _moves(chains.log_matrices, alpha[: len(entered)], entered)
        counts = [sum(pair) for pair in zip(counts, moves, strict=True)]
        ahead, following = before, (scores + beta)[:1]
    return Sums(total, probs[0].reshape(ahead.shape), counts, uses)


def _moves(log_matrices: Sequence[Tensor], left: Tensor, entered: Tensor):
    """Expected moves of each chain: d log p(x) / d log(move), summed up over steps.

    Args:
        left: (B, *S), log p(x_{1:t}, z_t).
        entered: (B, *S), log p(x_{t+1:T} | z_{t+1}).
    """
    free = [matrix.detach().clone().requires_grad_() for matrix in log_matrices]
    with torch.enable_grad():
        joint = move(left, free, logsumexp) + entered
        return torch.autograd.grad(logsumexp(joint.flatten(1), -1).sum(), free)


def _added(
    uses: Tensor | None, flat: Distribution, values: Tensor, probs: Tensor
) -> Tensor | None:
    """`uses` (3, prod(S)) and those of a block of readings, whose p(z_t | x) are `probs`."""
    table = lookup(flat, values)
    if table is None or table.values is None:
        return None
    more = table.statistics(probs)
    return more if uses is None else uses + more
