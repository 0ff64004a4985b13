"""Intervals from the likelihood itself: how far can one number move before it falls too far?"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import told
from hmmlib.emissions import parts, rebuilt
from hmmlib.hmm import HMM
from hmmlib.learning.coordinates import Entry, name_of, named_values
from hmmlib.learning.errors import as_level, errors_of, interval
from hmmlib.learning.gradient import fit_gradient
from hmmlib.learning.information import Information, information
from hmmlib.transitions import SoftmaxTransitions

if TYPE_CHECKING:
    import pandas

MOST_STEPS = 8  # standard errors that the search for an end goes away from the estimate
TOLERANCE = 1e-4  # nats, of the height at which an interval ends


class ProfileInterval(NamedTuple):
    """The values of one parameter that the data do not contradict."""

    low: (
        float  #: the end below; the bound of the parameter if the likelihood stays high
    )
    high: float  #: the end above
    values: Tensor  #: (n,)  where the profile was computed, in increasing order
    log_likelihoods: Tensor  #: (n,)  the highest log p(x) of all models with that value


def profile_interval(
    hmm: HMM,
    observations,
    parameter: str,
    index,
    lengths=None,
    observed=None,
    *,
    level: float = 0.95,
    **options,
) -> ProfileInterval:
    """The values of one parameter whose profile likelihood is near the maximum.

    The profile of a value is log p(x) of the best model that has it: all others are learned
    anew. The interval holds the values whose profile is less than half of a chi-squared
    quantile below the maximum (1.92 nats for 95%). It need not be symmetric, respects the
    bounds of the parameter, and does not depend on how the parameter is written down. Costs
    some twenty fits by L-BFGS.

    Args:
        hmm: the end of a fit.
        observations, lengths, observed: what it was fitted to.
        parameter: its name in the table of `standard_errors`, such as "loc" or
            "transition_matrix".
        index: its place there, an integer or a tuple of integers.
        level: the share of repetitions in which the interval should hold the truth.
        options: inputs, labels, learn and tied, as for `standard_errors`.

    Raises:
        ValueError: for a parameter that there is not, that was held, or is an entry of a
            covariance matrix.

    Venzon & Moolgavkar 1988.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> found = profile_interval(coin, [0, 1, 1, 1] * 12, "probs", (0, 0))
        >>> round(found.low, 3), round(found.high, 3)
        (0.143, 0.383)
    """
    level = as_level(level)
    found = information(hmm, observations, lengths, observed, **options)
    place = (parameter, tuple(np.atleast_1d(index).tolist()))
    places = {(e.part, e.index): n for n, e in enumerate(found.where.entries)}
    if place not in places:
        names = sorted({e.part for e in found.where.entries})
        raise ValueError(
            f"parameter, index: got {told(place)}, needs a name of {names} and an index there"
        )
    return _profiled(found, places[place], level, options.get("tied"))


def profile(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    level: float = 0.95,
    **options,
) -> "pandas.DataFrame":
    """Profile intervals of all parameters; see `confidence_intervals`."""
    level = as_level(level)
    found = information(hmm, observations, lengths, observed, **options)
    table = errors_of(found).table
    ends = np.full((len(table), 2), np.nan)
    for n, error in enumerate(table["standard_error"]):
        if error == error and not _is_matrix(found, n):
            ends[n] = _profiled(found, n, level, options.get("tied"))[:2]
    return table.assign(low=ends[:, 0], high=ends[:, 1])


def _profiled(found: Information, which: int, level: float, tied) -> ProfileInterval:
    """The interval of one entry, by a search for both of its ends."""
    from scipy.optimize import brentq  # takes a while to load
    from scipy.special import chdtri

    entry = found.where.entries[which]
    row = errors_of(found).table.iloc[which]
    value, error = row["estimate"], row["standard_error"]
    if not error > 0 or _is_matrix(found, which):
        why = "is an entry of a covariance" if error > 0 else "was held"
        raise ValueError(f"parameter: {entry} {why}, needs one that moves by itself")
    best, drop = found.where.build(found.where.start), chdtri(1, 1 - level) / 2
    peak = best.log_likelihood(found.seen).sum().item()
    known = {value: (best, peak)}

    def height(at: float) -> float:
        """How far the profile of a value is above the height at which the interval ends."""
        if at not in known:
            near = min(known, key=lambda other: abs(other - at))
            known[at] = _refitted(known[near][0], found, entry, at, tied)
        return known[at][1] - peak + drop

    ends = []
    for side in (0, 1):
        inside, end = value, None
        for steps in range(2, MOST_STEPS + 1, 2):
            outside = interval(entry, value, steps * error)[side]
            if height(outside) < 0:
                reach = (min(inside, outside), max(inside, outside))
                end = brentq(height, *reach, xtol=1e-4 * error, rtol=1e-8)
                break
            inside = outside
        ends.append((entry.low, entry.high)[side] if end is None else end)
    values = sorted(known)
    profile = [known[at][1] for at in values]
    f8 = {"dtype": torch.float64}
    return ProfileInterval(
        *ends, torch.tensor(values, **f8), torch.tensor(profile, **f8)
    )


def _refitted(
    start: HMM, found: Information, entry: Entry, value: float, tied
) -> tuple[HMM, float]:
    """The best model with that value in the place of the entry, and its log p(x)."""
    import warnings

    model, learn = _held(start, found.learn, entry, value, tied)
    options = {"num_steps": 500, "method": "lbfgs", "tolerance": TOLERANCE / 10}
    if not learn:
        return model, model.log_likelihood(found.seen).sum().item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that ends on a plateau
        fit = fit_gradient(model, found.seen, learn=learn, tied=tied, **options)
    return fit.model, fit.log_likelihoods[-1].item()


def _held(hmm: HMM, learn: dict, entry: Entry, value: float, tied) -> tuple[HMM, dict]:
    """The model with the value, and what still moves: masks by part."""
    old = named_values(hmm)[entry.part]
    new, others = old.detach().clone(), torch.ones_like(old, dtype=torch.bool)
    which = entry.index
    if tied is not None and entry.part not in ("initial_probs", "transition_matrix"):
        alike = torch.as_tensor(tied) == torch.as_tensor(tied)[which[0]]
        which = (alike, *which[1:])
    if (entry.low, entry.high) == (0.0, 1.0) and _on_simplex(hmm, entry.part):
        rest = new[which[:-1]] / (1 - new[which])[..., None]
        new[which[:-1]] = rest * (1 - value)
    new[which], others[which] = value, False
    if entry.part in ("initial_probs", "transition_matrix"):
        tables = {"initial_probs": hmm.initial_probs}
        tables["transition_matrix"] = hmm.transition_matrix
        driven = isinstance(tables[entry.part], SoftmaxTransitions)
        tables[entry.part] = SoftmaxTransitions(new) if driven else new
        model = HMM(*tables.values(), hmm.emission, hmm.symbols)
        masks = learn | {entry.part: _both(learn[entry.part], others)}
        return model, {k: x for k, x in masks.items() if x is None or x.any()}
    emission = rebuilt(hmm.emission, {entry.part: new})
    model = HMM(hmm.initial_probs, hmm.transition_matrix, emission, hmm.symbols)
    given = learn["emission"]
    masks = {}
    for part in parts(emission):
        if part.constraint.is_discrete:
            continue
        mask = given.get(part.name, False) if isinstance(given, dict) else given
        if name_of(part) == entry.part and mask is not False:
            mask = _both(_whole(mask, others), others)
        if mask is not False:
            masks[part.name] = True if mask is None else _whole(mask, part.value)
    return model, learn | {"emission": masks}


def _whole(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask of states as one of the parameter's shape."""
    if mask is None or mask.ndim == like.ndim:
        return mask
    return mask.reshape(-1, *[1] * (like.ndim - 1)).expand(like.shape)


def _both(mask: Tensor | None, others: Tensor) -> Tensor:
    return others if mask is None else mask & others


def _on_simplex(hmm: HMM, part: str) -> bool:
    """Whether the parameter's rows sum to one."""
    if part in ("initial_probs", "transition_matrix"):
        return isinstance(getattr(hmm, part), Tensor)
    return any(name_of(p) == part and p.on_simplex for p in parts(hmm.emission))


def _is_matrix(found: Information, which: int) -> bool:
    """Whether the entry belongs to a covariance, whose entries bound each other."""
    hmm, name = found.where.build(found.where.start), found.where.entries[which].part
    return any(
        name_of(p) == name and p.constraint.event_dim == 2 for p in parts(hmm.emission)
    )
