"""Expected counts of several chains: what learning needs, summed up along a long series.

Compiled where every joint move is likely enough. Else messages are logarithms, and counts a
gradient: the derivative of log p(x) in the logarithm of a move is how often it is expected.

Letters: B steps of a block, S = (K_1, ..., K_M) joint states.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.engines.answers import possible
from hmmlib.engines.joint_counts import LIKELY, backward_counts, forward_counts
from hmmlib.engines.threads import one_thread
from hmmlib.factorial import passes
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


def expected_counts(all_series: Sequence[Series]) -> JointCounts:
    """The expected counts of all sequences together; a thread for each, as far as they go.

    Raises ValueError for a sequence that is impossible.
    """
    sizes = all_series[0].chains.log_initial.shape
    threads = min(torch.get_num_threads(), len(all_series))
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        found = pool.map(_sums, all_series)
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
def _sums(series: Series) -> Sums:
    return _scaled(series) or _in_logs(series)


def _scaled(series: Series) -> Sums | None:
    """By the compiled loops; None where these do not serve, or might have lost something."""
    arrays, like = series.chains.arrays, series.chains.log_initial
    if arrays is None or _least(arrays.moves[0, 0], arrays.sizes) < LIKELY:
        return None
    start, starts, evidence = like.exp().double().flatten().numpy(), [], 0.0
    for n in range(len(series.blocks)):
        starts.append(start.copy())
        gain, reading, *kept = _forwards(series, n, start)
        start, evidence = kept[1][-1, -1], evidence + gain
    if np.isnan(evidence):
        return None
    after, first, uses = (
        np.zeros(len(start)),
        np.empty(len(start)),
        np.zeros((3, len(start))),
    )
    pairs = np.zeros_like(arrays.moves[0, 0])
    sums = after, pairs, uses, first
    for n in reversed(range(len(starts))):
        if n < len(starts) - 1:  # those of the last block are still there
            _, reading, *kept = _forwards(series, n, starts[n])
        if not backward_counts(
            arrays.turned[0, 0], arrays.sizes, reading, *kept, *sums
        ):
            return None
    pairs *= arrays.moves[0, 0]
    return Sums(
        torch.tensor(evidence, dtype=like.dtype),
        torch.from_numpy(first).to(like.dtype).reshape(like.shape),
        [
            torch.from_numpy(pairs[m, :k, :k]).to(like.dtype)
            for m, k in enumerate(like.shape)
        ],
        None if series.gaussian is None else torch.from_numpy(uses).to(like.dtype),
    )


def _forwards(series: Series, n: int, start: np.ndarray):
    """Block n: log p(its readings | those before), NaN if lost; its reading, the likelihoods
    (B, prod(S)) and the messages (B, M+1, prod(S)).
    """
    arrays, reading = series.chains.arrays, passes.reading_of(series, n)
    num_steps, num_chains = len(series.blocks[n]), len(arrays.sizes)
    likely = np.empty((num_steps, len(start)))
    messages = np.empty((num_steps, num_chains + 1, len(start)))
    given = start, arrays.moves[0, 0], arrays.sizes, reading
    return forward_counts(*given, likely, messages), reading, likely, messages


def _least(moves: np.ndarray, sizes: np.ndarray) -> float:
    """The probability of the least likely joint move."""
    least = [moves[m, :size, :size].min() for m, size in enumerate(sizes)]
    return float(np.prod(least))


def _in_logs(series: Series) -> Sums:
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
        uses = _added(uses, series, n, probs)
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


def _added(uses: Tensor | None, series: Series, n: int, probs: Tensor) -> Tensor | None:
    """`uses` (3, prod(S)), and those of block n, whose p(z_t | x) are `probs` (B, prod(S))."""
    if series.gaussian is None:
        return None
    seen = ~series.blocks[n].isnan()
    apart = series.blocks[n][seen, None] - series.gaussian[0]
    more = torch.stack([(probs[seen] * apart**power).sum(0) for power in range(3)])
    return more if uses is None else uses + more
