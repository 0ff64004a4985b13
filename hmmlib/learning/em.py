"""Baum-Welch: expected counts, normalised; again and again.

Letters and axes as in `hmmlib.recursion`. Every function takes one sequence (T, ...) or a
batch (N, T, ...) with `lengths`; NaN and `observed=False` are missing observations.
"""

from collections.abc import Collection
from dataclasses import replace

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
from hmmlib.emissions.weights import normalised
from hmmlib.engines import pick
from hmmlib.engines.answers import Totals
from hmmlib.engines.compact import Compact
from hmmlib.hmm import HMM
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


def em_step(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    learn: Collection[str] = PARTS,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
) -> tuple[HMM, Tensor]:
    """One step of Baum-Welch: the new model, and log p(x) of the old one, shape ().

    initial_probs and transition_matrix become the expected starts and moves, normalised;
    emission the maximum-likelihood fit in which observation t counts p(z_t | x) times.
    `learn` names the parts that move. `pseudo_count` is added to each possible start, move
    and symbol, which is a Dirichlet(1 + pseudo_count) prior. What has probability 0 keeps
    it, and a state that is never visited keeps its parameters. No scale is narrower
    than `min_scale`, a standard deviation in the unit of the observations. log p(x), plus
    the log prior, never falls, if the scales of `hmm` are at least `min_scale`. Raises
    ValueError for impossible observations, and for a family without a weighted fit.
    Rabiner 1989, eqs. 40a-c and 109-111. Taught in chapter 5.
    """
    options = as_options(hmm, learn, pseudo_count)
    limits = Limits(options.pseudo_count, as_scale(min_scale))
    seen = hmm.read(observations, lengths, observed)
    short = hmm.compact(seen)
    with torch.no_grad():
        counts = pick(short).total_counts(short)
        initial, moves = hmm.initial_probs, hmm.transition_matrix
        emission = hmm.emission
        if "initial_probs" in learn:
            initial = normalised(counts.initial, initial, limits.pseudo_count)
        if "transition_matrix" in learn:
            moves = normalised(counts.transitions, moves, limits.pseudo_count)
        if "emission" in learn:
            emission = _refitted(emission, seen, short, counts, limits)
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
    learn: Collection[str] = PARTS,
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
    seen = model.read(observations, lengths, observed)
    options = learn, pseudo_count, min_scale
    scores, ended = [], False
    if not progress:
        model, scores, ended = _in_one_run(model, seen, options, num_iters, tolerance)
    if not ended:
        model = _step_by_step(
            model, seen, options, num_iters, tolerance, scores, progress
        )
    gain = scores[-1][1] - scores[-2][1] if num_iters else torch.inf
    warn_of_equal_states("fit_em", hmm, model, learn)
    return report("fit_em", cast(model, dtype), scores, gain, tolerance)


def _in_one_run(
    model: HMM, seen: Observed, options: tuple, num_iters: int, tolerance: float
) -> tuple[HMM, list, bool]:
    """As many steps as a compiled run can take: the model, its scores, and is it the end?

    A score is log p(x), and the same with the log prior. Where it is not the end, the score
    of the model itself is still to be computed.
    """
    learn, pseudo_count, min_scale = options
    emitted = table_of(model.emission)
    if emitted is None or model.initial_probs.device.type != "cpu":
        return model, [], False
    from hmmlib.engines import compiled  # takes a while to load

    found = compiled.learn(
        model.compact(seen),
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
) -> HMM:
    """The rest of `num_iters` steps; adds to `scores`, of which the last is the model's."""
    from tqdm.auto import tqdm  # takes a while to load

    learn, pseudo_count, min_scale = options
    for _ in tqdm(range(num_iters - len(scores)), disable=not progress):
        step, score = em_step(model, seen, None, None, learn, pseudo_count, min_scale)
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
) -> Distribution:
    """The emission that fits best, each observation counted by its posterior."""
    states = counts.uses
    if isinstance(short, Compact):
        fitted = m_step(emission, states, limits)
        if fitted is not None:
            return fitted
        # The statistics do not suffice: every step is needed.
        states = pick(short).expected_counts(short).states
    return refitted(emission, seen, states, limits)


def refitted(
    emission: Distribution, seen: Observed, states: Tensor, limits: Limits
) -> Distribution:
    """The emission that fits best where step t counts p(z_t | x), (T, K) or (N, T, K)."""
    values = seen.values.to(states.dtype)
    there = seen_steps(emission, values)
    if seen.lengths is not None:
        steps = torch.arange(there.shape[1], device=there.device)
        there = there & (steps < seen.lengths[:, None])
    return emissions.fit(emission, values[there], states[there], limits)


def as_scale(min_scale: float) -> float:
    """`min_scale` as a number of at least 0, finite. Raises ValueError."""
    needs = "a standard deviation of at least 0"
    return as_number("min_scale", min_scale, needs, lambda x: 0 <= x < torch.inf)
