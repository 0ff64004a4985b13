"""Expectation-maximisation for chains whose stays have explicit durations.

Letters and axes as in `hmmlib.durations.recursion`. The functions are those of
`hmmlib.learning.em`, with one table more to learn.
"""

from dataclasses import replace

import torch
from torch import Tensor

from hmmlib.checks import as_count
from hmmlib.durations import HSMM
from hmmlib.emissions import Limits, widened
from hmmlib.learning.em import as_scale, refitted
from hmmlib.learning.moving import Learn, kept, moved
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

PARTS_OF_HSMM = (*PARTS, "durations")


def hsmm_em_step(
    hsmm: HSMM,
    observations,
    lengths=None,
    observed=None,
    learn: Learn = PARTS_OF_HSMM,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    *,
    censored: bool = True,
    inputs=None,
    labels=None,
) -> tuple[HSMM, Tensor]:
    """One step of EM: the new model, and log p(x) of the old one, summed over sequences; ().

    Options and errors as in `em_step`. The row of a state in `durations` becomes its
    expected number of stays of each duration, normalised; with `censored=True` the last
    stay counts as the durations, from the least it lasts on, that it may have. log p(x),
    plus the log prior, never falls. Ferguson 1980; Rabiner 1989, eqs. 76-80; Guédon 2003.

    Example:
        >>> from hmmlib.durations import HSMM
        >>> lamp = HSMM([1, 0], [[0, 1], [1, 0]], [[1, 0], [0, 1]], [[0.5, 0.5]] * 2)
        >>> hsmm_em_step(lamp, [0, 1, 1, 0, 1], censored=False)[0].durations
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """
    learn, pseudo_count = as_options(hsmm, learn, pseudo_count, HSMM, PARTS_OF_HSMM)
    limits = Limits(pseudo_count, as_scale(min_scale))
    seen = hsmm.read(observations, lengths, observed, inputs, labels)
    with torch.no_grad():
        counts = hsmm.expected_counts(seen, censored=censored)
        evidence, states, *tables = counts
        if states.ndim == 3:
            tables = [table.sum(0) for table in tables]
        starts = states.select(-2, 0).reshape(-1, hsmm.num_states).sum(0)
        names = "initial_probs", "transition_matrix", "durations"
        learned = {
            name: moved(table, getattr(hsmm, name), learn[name], limits.pseudo_count)
            for name, table in zip(names, (starts, *tables), strict=True)
            if name in learn
        }
        if "emission" in learn:
            fitted = refitted(hsmm.emission, seen, states, limits)
            learned["emission"] = kept(fitted, hsmm.emission, learn["emission"])
    return replace(hsmm, **learned), evidence.sum()


def fit_hsmm(
    hsmm: HSMM,
    observations,
    lengths=None,
    num_iters: int = 100,
    tolerance: float = 1e-6,
    *,
    observed=None,
    learn: Learn = PARTS_OF_HSMM,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    censored: bool = True,
    inputs=None,
    labels=None,
    progress: bool = False,
) -> Fit:
    """EM from `hsmm` until a step gains less than `tolerance` nats: see `fit_em`.

    A duration whose probability is 0 at the start keeps it; a table that is learned from few
    stays needs a `pseudo_count`, which is added to each possible duration too.

    Raises:
        TypeError: for what is no HSMM.
        ValueError: for odd options, and observations that are impossible or unreadable.
    """
    from tqdm.auto import tqdm  # takes a while to load

    num_iters = as_count("num_iters", num_iters, least=0)
    tolerance, min_scale = as_tolerance(tolerance), as_scale(min_scale)
    learn, pseudo_count = as_options(hsmm, learn, pseudo_count, HSMM, PARTS_OF_HSMM)
    dtype, model = hsmm.initial_probs.dtype, cast(hsmm, torch.float64)
    if "emission" in learn and min_scale:
        model = replace(model, emission=widened(model.emission, min_scale))
    seen = model.read(observations, lengths, observed, inputs, labels)
    scores, gain = [], torch.inf
    options = None, None, learn, pseudo_count, min_scale
    for left in tqdm(range(num_iters, -1, -1), disable=not progress):
        if left:
            step, score = hsmm_em_step(model, seen, *options, censored=censored)
        else:
            score = model.log_likelihood(seen, censored=censored).sum()
        prior = log_prior(model, learn, pseudo_count)
        scores.append((score.item(), (score + prior).item()))
        gain = scores[-1][1] - scores[-2][1] if len(scores) > 1 else gain
        if gain < tolerance or not left:
            break
        model = step
    warn_of_equal_states("fit_hsmm", hsmm, model, learn)
    return report("fit_hsmm", cast(model, dtype), scores, gain, tolerance)
