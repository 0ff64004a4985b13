"""One block of a series, forwards or backwards: compiled where that serves, else in PyTorch.

Compiled sums over paths are of scaled probabilities, `hmmlib.engines.joint_smooth`; of
logarithms, `hmmlib.factorial.messages`, where moves are forbidden and where probabilities
might have lost something.

Letters: B steps of a block, S = (K_1, ..., K_M) joint states.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib import engines
from hmmlib.engines.moves import Reading
from hmmlib.factorial.messages import (
    Chains,
    backward_block,
    flat,
    forward_block,
    shaped,
)
from hmmlib.factorial.series import Series
from hmmlib.logs import logsumexp


class Forward(NamedTuple):
    """The messages of a block, on the way forwards."""

    alpha: Tensor | np.ndarray
    """(B, *S), log p(x_{1:t}, z_t) up to a constant, or the log joint of the best path; or
    (B, prod(S)), probabilities up to a factor of each step"""
    likely: np.ndarray | None
    """(B, prod(S)), p(x_t | z_t) up to a factor of each step; None where alpha is a logarithm"""
    gain: Tensor  #: (), log p(x of this block | blocks before), or what the best path gains
    onward: Tensor  #: (*S), what enters the next block, less the gain

    def logs(self, series: Series) -> Tensor:
        """alpha as logarithms, (B, *S)."""
        if self.likely is None:
            return self.alpha
        like = series.chains.log_initial
        alpha = torch.from_numpy(self.alpha).log().to(like.dtype)
        return alpha.reshape(-1, *like.shape)


def sums(series: Series, n: int, start: Tensor, keep: bool = True) -> Forward:
    """Block n, summed over paths. Without `keep`, alpha may be of its last step only."""
    chains, reading = series.at(n), reading_of(series, n)
    arrays, entering = chains.arrays, flat(start[None])
    if reading is not None and entering is not None and not arrays.apart:
        num_steps = len(series.blocks[n])
        rows = num_steps if keep else 1
        alpha, likely = np.empty((2, rows, entering.shape[1]))
        onward = np.empty(entering.shape[1])
        gain, exact = engines.joint_smooth.forward_sums(
            entering[0],
            *_moves(chains, arrays.moves, num_steps),
            reading,
            alpha,
            likely,
            onward,
        )
        if exact:
            total = torch.tensor(gain, dtype=start.dtype)
            return Forward(alpha, likely, total, shaped(onward, start))
    return _shifted(
        *forward_block(chains, start, series.scores(n), logsumexp), logsumexp
    )


def bests(series: Series, n: int, start: Tensor, keep: bool = True) -> Forward:
    """Block n, with the best path to each joint state in place of the sum over paths."""
    chains, reading = series.at(n), reading_of(series, n)
    arrays, entering = chains.arrays, flat(start[None])
    if reading is None or entering is None:
        scores = series.scores(n)
        found = forward_block(chains, start, scores, torch.amax)
        return _shifted(*found, torch.amax)
    num_steps = len(series.blocks[n])
    rows = num_steps if keep else 1
    alpha, onward = np.empty((rows, entering.shape[1])), np.empty(entering.shape[1])
    engines.joint_best.forward_best(
        entering[0],
        arrays.moves,
        chains.kinds_of(num_steps),
        arrays.sizes,
        reading,
        alpha,
        onward,
    )
    alpha = shaped(alpha, start.expand(rows, *start.shape))
    return _shifted(alpha, shaped(onward, start), torch.amax)


def smoothed(
    series: Series, n: int, start: Tensor, found: Forward, after: Tensor
) -> tuple[list[Tensor], Tensor]:
    """p(z_t^m | x) in block n, M of (B, K_m), and log p(this block and later ones | z), (*S).

    Args:
        start: (*S), what enters the block.
        found: what `sums` makes of it.
        after: (*S), log p(later blocks | z of the last step), up to a constant.
    """
    chains = series.at(n)
    if found.likely is not None:
        arrays, beta = chains.arrays, np.empty(found.alpha.shape[1])
        shares = np.empty((len(found.alpha), arrays.sizes.sum()))
        given = flat(after[None])[0], *_moves(chains, arrays.turned, len(shares))
        if engines.joint_smooth.backward_sums(
            *given, found.alpha, found.likely, shares, beta
        ):
            return _by_chain(shares, start), shaped(beta, start)
    scores = series.scores(n)
    alpha = found.alpha
    if found.likely is not None:
        alpha, _ = forward_block(chains, start, scores, logsumexp)
    # What later blocks say enters as one more likelihood of the last step.
    known = torch.cat([scores[:-1], scores[-1:] + after])
    beta, before = backward_block(chains, known)
    beta[-1] = after
    return marginals(alpha + beta), before - before.amax().nan_to_num(neginf=0.0)


def filtered(found: Forward, sizes) -> list[Tensor]:
    """p(z_t^m | x_{1:t}) in a block, M of (B, K_m), from what `sums` makes of it."""
    if found.likely is None:
        return marginals(found.alpha)
    sizes = np.array(sizes)
    shares = np.empty((len(found.alpha), sizes.sum()))
    engines.joint_smooth.shares_of_block(found.alpha, sizes, shares)
    return _by_chain(shares, found.onward)


def reading_of(series: Series, n: int) -> Reading | None:
    """Block n as the compiled loops take it; None where these do not serve."""
    arrays, block, gaussian = series.chains.arrays, series.blocks[n], series.gaussian
    if arrays is None:
        return None
    evidence = _padded(series.evidence[n], len(block), arrays.sizes)
    if gaussian is None:
        scores = flat(series.score(block))
        given = np.empty((3, 0)), np.empty(0), scores, evidence
    else:
        table, values = flat(gaussian), flat(block[None])
        if table is None or values is None:
            return None
        table = engines.numbers.densities(table)
        given = table, values[0], np.empty((0, table.shape[1])), evidence
    return None if any(each is None for each in given) else Reading(*given)


def _padded(evidence, num_steps: int, sizes: np.ndarray) -> np.ndarray | None:
    """The evidence of all chains, (M, B, K); (0, 0, 0) if there is none."""
    if all(each is None for each in evidence):
        return np.empty((0, 0, 0))
    padded = np.zeros((len(sizes), num_steps, sizes.max()))
    for m, each in enumerate(evidence):
        array = None if each is None else flat(each)
        if each is not None and array is None:
            return None
        if each is not None:
            padded[m, :, : sizes[m]] = array
    return padded


def _moves(chains: Chains, moves: np.ndarray, num_steps: int) -> tuple:
    arrays = chains.arrays
    return moves, chains.kinds_of(num_steps), arrays.enough, arrays.sizes


def _shifted(alpha: Tensor, onward: Tensor, reduce: Callable) -> Forward:
    """Messages as logarithms, and the gain taken off what enters the next block."""
    gain = reduce(alpha[-1].flatten(), -1)
    return Forward(alpha, None, gain, onward - gain.masked_fill(gain.isneginf(), 0.0))


def _by_chain(shares: np.ndarray, like: Tensor) -> list[Tensor]:
    """(B, sum of the K_m) as M of (B, K_m)."""
    return list(torch.from_numpy(shares).to(like.dtype).split(like.shape, dim=1))


def marginals(joint: Tensor) -> list[Tensor]:
    """Normalise joint scores (B, *S): the share of each chain, M of (B, K_m)."""
    probs, num_chains = (
        joint.flatten(1).softmax(-1).reshape(joint.shape),
        joint.ndim - 1,
    )
    others = [[1 + k for k in range(num_chains) if k != m] for m in range(num_chains)]
    return [probs.sum(axes) if axes else probs for axes in others]
