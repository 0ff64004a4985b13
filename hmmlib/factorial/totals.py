"""What each chain adds up along the path: its exact mean and variance, without samples."""

from collections.abc import Sequence

import numpy as np
import torch

from hmmlib import engines
from hmmlib.factorial import passes
from hmmlib.factorial.driven import chains_for
from hmmlib.factorial.messages import backward_block
from hmmlib.factorial.model import FactorialHMM
from hmmlib.factorial.series import Series, block_size, series_of


@torch.no_grad()
def moments_of_totals(
    model: FactorialHMM,
    observations,
    levels: np.ndarray,
    spreads: np.ndarray,
    lengths: Sequence[int] | None = None,
    evidence=None,
    inputs=None,
) -> np.ndarray:
    """Mean and variance of what each chain adds up, given all readings; (G, 2, M).

    In each joint state, chain m draws Normal(levels[s, m], spreads[s, m]), and a reading is
    the sum over chains. So a reading tells more than the levels: what it is above their sum
    is shared out in proportion to the variances.

    Args:
        model: its emission is the sum, such as `additive_gaussian` makes.
        observations: one series of numbers (T,), NaN where missing.
        levels, spreads: (prod(S), M), for each joint state.
        lengths: the steps of G stretches that follow each other, each with totals of its own;
            None for one stretch.
        evidence, inputs: as for the verbs of the model.

    Raises:
        ValueError: for impossible observations, since no posterior exists.

    Cost M^2 · K^(M+1) a step; with several stretches, one more pass, backwards.
    """
    seen = model.read(observations, evidence=evidence, inputs=inputs)
    parts = model.initial_probs, model.transition_matrices, seen.inputs
    chains, driven = chains_for(*parts)
    (series,) = series_of(seen, chains, model.emission, driven)
    series, closing = _cut(series, lengths or [series.num_steps])
    after, tables, found = _afters(series, closing), _tables(levels, spreads), []
    message = series.chains.log_initial.double().flatten().numpy().copy()
    moments, base = np.zeros((2, *levels.T.shape)), np.zeros(levels.shape[1])
    for n, block in enumerate(series.blocks):
        chains = series.at(n)
        arrays, kinds = chains.arrays, chains.kinds_of(len(block))
        given = arrays.moves, kinds, arrays.sizes, passes.reading_of(series, n)
        given = *given, block.double().numpy(), tables, not closing[n]
        engines.joint_moments.forward_moments(message, moments, base, *given)
        if closing[n]:
            found.append(_closed(message + after[n], moments, series.name))
            found[-1][0] += base
            moments[:], base[:] = 0.0, 0.0
            moves = arrays.moves[kinds[-1]], arrays.apart, arrays.sizes
            engines.chains.joint_move(message, np.empty_like(message), *moves)
    return np.stack(found)


def _cut(series: Series, lengths: Sequence[int]) -> tuple[Series, list[bool]]:
    """The series in blocks none of which is part of two stretches; which of them end one."""
    sizes, closing = [], []
    for length in lengths:
        pieces = torch.ones(length).split(block_size(series.num_steps))
        sizes += [len(piece) for piece in pieces]
        closing += [False] * (len(pieces) - 1) + [True]
    evidence = [
        [None] * len(sizes) if each[0] is None else torch.cat(each).split(sizes)
        for each in zip(*series.evidence, strict=True)
    ]
    blocks = torch.cat(series.blocks).split(sizes)
    told = tuple(zip(*evidence, strict=True))
    inputs = series.inputs
    if inputs:
        rows = torch.cat([inputs[0], *(x[1:] for x in inputs[1:])])
        ends = np.cumsum(sizes)
        inputs = tuple(
            rows[end - size : end + 1] for size, end in zip(sizes, ends, strict=True)
        )
    return series._replace(blocks=blocks, evidence=told, inputs=inputs), closing


def _afters(series: Series, closing: list[bool]) -> dict[int, np.ndarray]:
    """log p(later blocks | z), up to a constant, at the end of each stretch; (prod(S),)."""
    after, found = torch.zeros_like(series.chains.log_initial), {}
    last = len(closing) - 1
    for n in range(last, -1, -1):
        if closing[n]:
            found[n] = after.double().flatten().numpy()
        if sum(closing) > 1:
            scores = series.scores(n)
            scores[-1] += after
            after = backward_block(series.at(n), scores)[1]
            after = after - after.amax().nan_to_num(neginf=0.0)
    return found


def _tables(levels: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """What a chain draws in each joint state, as the loops take it; (5, M, prod(S))."""
    variances = spreads**2
    whole = variances.sum(1, keepdims=True)
    total = np.broadcast_to(levels.sum(1, keepdims=True), levels.shape)
    given = variances * ((whole - variances) / whole)
    tables = np.stack([levels, variances / whole, total, given, variances])
    return np.ascontiguousarray(tables.swapaxes(1, 2))


def _closed(weights: np.ndarray, moments: np.ndarray, name: str) -> np.ndarray:
    """Mean and variance (2, M) over the joint states, whose log weights are (prod(S),).

    Raises ValueError where none is possible.
    """
    top = weights.max()
    if top == -np.inf:
        raise ValueError(
            f"observations: {name} has probability 0 under this model, no posterior exists"
        )
    probs = np.exp(weights - top)
    probs /= probs.sum()
    mean = moments[0] @ probs
    return np.stack([mean, (moments[1] + (moments[0] - mean[:, None]) ** 2) @ probs])
