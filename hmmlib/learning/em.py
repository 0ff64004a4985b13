"""Baum-Welch: expected counts, normalised; again and again.

Letters and axes as in `hmmlib.recursion`. Every function takes one sequence (T, ...) or a
batch (N, T, ...) with `lengths`; NaN and `observed=False` are missing observations.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.checks import as_count, as_number
from hmmlib.emissions import (
    Limits,
    m_step,
    of_table,
    seen_steps,
    table_of,
    widened,
)
from hmmlib.engines import pick
from hmmlib.engines.answers import Totals
from hmmlib.engines.compact import Compact
from hmmlib.hmm import HMM
from hmmlib.learning.moving import Learn, as_tied, kept, moved
from hmmlib.learning.result import (
    PARTS,
    Fit,
    as_options,
    as_tolerance,
    cast,
    log_prior,
    report,
    warn_of_equal_states,
)
from hmmlib.observations import Observed
from hmmlib.recursion import Potentials
from hmmlib.transitions import SoftmaxTransitions


def em_step(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    learn: Learn = PARTS,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    *,
    inputs=None,
    labels=None,
    tied=None,
) -> tuple[HMM, Tensor]:
    """One step of Baum-Welch: the new model, and log p(x) of the old one, shape ().

    initial_probs and transition_matrix become the expected starts and moves, normalised;
    emission the maximum-likelihood fit in which observation t counts p(z_t | x) times. Where
    inputs drive moves or readings, these are regressions, weighted alike.

    `learn` names the parts that move, or is a dict with a mask for each: booleans of its
    shape, or one for each state, as for the emission. States with the same integer in `tied`,
    (K,), share their emission. `pseudo_count` is added to each possible start, move and
    symbol, which is a Dirichlet(1 + pseudo_count) prior. What has probability 0 keeps it,
    and a state that is never visited keeps its parameters. No scale is narrower than
    `min_scale`, a standard deviation in the unit of the observations. log p(x), plus the log
    prior, never falls, if the scales of `hmm` are at least `min_scale`. Raises ValueError
    for impossible observations, and for a family without a weighted fit. Rabiner 1989, eqs.
    40a-c and 109-111. Taught in chapter 5.
    """
    learn, pseudo_count = as_options(hmm, learn, pseudo_count)
    limits, same = Limits(pseudo_count, as_scale(min_scale)), as_tied(tied, hmm)
    seen = hmm.read(observations, lengths, observed, inputs, labels)
    short = hmm.compact(seen)
    with torch.no_grad():
        driven = type(hmm.transition_matrix) is not Tensor
        counts = pick(short).total_counts(short, by_step=driven)
        initial, moves, emission = (getattr(hmm, part) for part in PARTS)
        if "initial_probs" in learn:
            initial = moved(
                counts.initial, initial, learn["initial_probs"], pseudo_count
            )
        if "transition_matrix" in learn:
            step = partial(_driven, inputs=seen.inputs) if driven else moved
            given = counts.transitions, moves, learn["transition_matrix"], pseudo_count
            moves = step(*given)
        if "emission" in learn:
            fitted = _refitted(emission, seen, short, counts, limits, same)
            emission = kept(fitted, emission, learn["emission"])
    model = HMM.of_checked(initial, moves, emission, hmm.symbols)
    return model, counts.log_likelihood


def fit_em(
    hmm: HMM,
    observations,
    lengths=None,
    num_iters: int = 100,
    tolerance: float = 1e-6,
    *,
    observed=None,
    inputs=None,
    labels=None,
    learn: Learn = PARTS,
    tied=None,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    progress: bool = False,
) -> Fit:
    """Baum-Welch from `hmm` until a step gains less than `tolerance` nats.

    A model, its log-likelihoods from the start on, and whether it converged; if `num_iters`
    steps were not enough, a warning says by how much the last one still moved, and another
    one names states that no step has told apart. Options as in `em_step`; a start that is
    narrower than `min_scale` is widened first. `progress` shows a bar. Taught in chapter 5.
    """
    num_iters = as_count("num_iters", num_iters, least=0)
    tolerance, min_scale = as_tolerance(tolerance), as_scale(min_scale)
    learn, pseudo_count = as_options(hmm, learn, pseudo_count)
    dtype, model = hmm.initial_probs.dtype, cast(hmm, torch.float64)
    if "emission" in learn and min_scale:
        model = replace(model, emission=widened(model.emission, min_scale))
    seen = model.read(observations, lengths, observed, inputs, labels)
    options, same = (learn, pseudo_count, min_scale), as_tied(tied, model)
    scores, ended, whole = [], False, all(mask is None for mask in learn.values())
    if whole and not progress and same is None:
        model, scores, ended = _in_one_run(model, seen, options, num_iters, tolerance)
    if not ended:
        step = partial(em_step, tied=tied)
        model = _step_by_step(
            model, seen, options, num_iters, tolerance, scores, progress, step
        )
    gain = scores[-1][1] - scores[-2][1] if num_iters else torch.inf
    warn_of_equal_states("fit_em", hmm, model, learn, tied)
    return report("fit_em", cast(model, dtype), scores, gain, tolerance)


def _in_one_run(
    model: HMM, seen: Observed, options: tuple, num_iters: int, tolerance: float
) -> tuple[HMM, list, bool]:
    """As many steps as a compiled run can take: the model, its scores, and is it the end?

    A score is log p(x), and the same with the log prior. Where it is not the end, the score
    of the model itself is still to be computed.
    """
    learn, pseudo_count, min_scale = options
    emitted, short = table_of(model.emission), model.compact(seen)
    if (
        emitted is None
        or not isinstance(short, Compact)
        or model.initial_probs.device.type != "cpu"
    ):
        return model, [], False
    from hmmlib.engines import compiled  # takes a while to load

    found = compiled.learn(
        short,
        (model.initial_probs, model.transition_matrix, emitted),
        [part in learn for part in PARTS],
        float(pseudo_count),
        float(min_scale),
        num_iters,
        tolerance,
    )
    if found is None:
        return model, [], False
    (initial, matrix, emitted), history, ended = found
    emission = of_table(model.emission, emitted)
    return HMM.of_checked(initial, matrix, emission, model.symbols), history, ended


def _step_by_step(
    model: HMM,
    seen: Observed,
    options: tuple,
    num_iters: int,
    tolerance: float,
    scores: list,
    progress: bool,
    step_from: Callable,
) -> HMM:
    """The rest of `num_iters` steps; adds to `scores`, of which the last is the model's."""
    from tqdm.auto import tqdm  # takes a while to load

    learn, pseudo_count, min_scale = options
    for _ in tqdm(range(num_iters - len(scores)), disable=not progress):
        step, score = step_from(model, seen, None, None, learn, pseudo_count, min_scale)
        score = score.item()
        prior = log_prior(model, learn, pseudo_count).item()
        scores.append((score, score + prior))
        if len(scores) > 1 and scores[-1][1] - scores[-2][1] < tolerance:
            return model
        model = step
    score = model.log_likelihood(seen).sum().item()
    scores.append((score, score + log_prior(model, learn, pseudo_count).item()))
    return model


def weighted_fit(
    emission: Distribution,
    values: Tensor,
    weights: Tensor,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
) -> Distribution:
    """argmax over parameters of sum_n weights[n, k] log p(values[n] | k); the same family.

    `values` is (n, *event_shape), `weights` (n, K): see `hmmlib.emissions.fit`.
    """
    return emissions.fit(emission, values, weights, Limits(pseudo_count, min_scale))


def _refitted(
    emission: Distribution,
    seen: Observed,
    short: Compact | Potentials,
    counts: Totals,
    limits: Limits,
    same: Tensor | None,
) -> Distribution:
    """The emission that fits best, each observation counted by its posterior.

    States that are the `same` share what they are counted by, and so their parameters.
    """
    states = counts.uses if same is None else counts.uses @ same.to(counts.uses)
    if isinstance(short, Compact):
        fitted = m_step(emission, states, limits)
        if fitted is not None:
            return fitted
        # The statistics do not suffice: every step is needed.
        states = pick(short).expected_counts(short).states
        states = states if same is None else states @ same.to(states)
    return refitted(emission, seen, states, limits)


def _driven(
    pairs: Tensor, moves: SoftmaxTransitions, mask: Tensor | None, _, inputs: Tensor
) -> SoftmaxTransitions:
    """The moves that fit best, each counted by its posterior at its own inputs."""
    size, num = len(moves), moves.num_inputs
    free = torch.ones_like(moves.weights, dtype=torch.bool) if mask is None else mask
    rows = inputs[..., :-1, :].reshape(-1, num).to(moves.weights)
    return moves.fitted(pairs.reshape(-1, size, size).to(rows), rows, free)


def refitted(
    emission: Distribution, seen: Observed, states: Tensor, limits: Limits
) -> Distribution:
    """The emission that fits best where step t counts p(z_t | x), (T, K) or (N, T, K)."""
    there = counted_steps(emission, seen)
    values = seen.values.to(states.dtype)
    return emissions.fit(emission, values[there], states[there], limits)


def counted_steps(emission: Distribution, seen: Observed) -> Tensor:
    """Which steps say anything, and come before the end of their sequence; (T,) or (N, T)."""
    there = seen_steps(emission, seen.values)
    if seen.lengths is not None:
        steps = torch.arange(there.shape[1], device=there.device)
        there = there & (steps < seen.lengths[:, None])
    return there


def as_scale(min_scale: float) -> float:
    """`min_scale` as a number of at least 0, finite. Raises ValueError."""
    needs = "a standard deviation of at least 0"
    return as_number("min_scale", min_scale, needs, lambda x: 0 <= x < torch.inf)
