"""Intervals for an appliance's energy that hold on days which the house has not seen."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from hmmlib.checks import as_count, as_kind, as_number
from hmmlib.nilm.energies import energy_moments
from hmmlib.nilm.house import House
from hmmlib.nilm.metrics import energy_kwh
from hmmlib.nilm.sub_meters import REST, learn_house

# Of an appliance's energy on a usual day: no standard deviation is smaller.
LEAST = 0.02


class Widening(NamedTuple):
    """By how much the model's intervals of daily energy are widened, and why."""

    level: float  #: of the intervals
    table: pd.DataFrame
    """A row for each appliance: least_kwh and factor, so that the interval is the mean
    +- factor * sqrt(variance + least_kwh^2); the shares of the held-out days that raw
    intervals covered (raw), and those that widened intervals of the other days did
    (widened)."""


def energy_intervals(
    house: House,
    power: pd.Series,
    widening: Widening | None = None,
    by: str = "D",
    level: float = 0.9,
) -> pd.DataFrame:
    """The energy of each appliance in each period, with an interval; kWh.

    Without `widening` an interval says what the model does not know of the states. It knows
    nothing of what the model has wrong, and so is too narrow on real houses.

    Args:
        house, power: as for `energy_moments`.
        widening: what `learn_widening` found; appliances it does not name are left as they
            are. Its level counts.
        by: a period of pandas, such as "D" for days.
        level: the probability of an interval, if there is no `widening`.

    Returns:
        A row for each period and appliance; the columns are low, mean and high.

    Raises:
        ValueError: as `energy_moments`.
    """
    moments = energy_moments(house, power, by)
    if widening is None:
        level = as_number(
            "level", level, "a share between 0 and 1", lambda x: 0 < x < 1
        )
        given = pd.DataFrame({"factor": {}, "least_kwh": {}})
    else:
        level, given = widening.level, widening.table
    names = moments.index.get_level_values(-1)
    factor = given["factor"].reindex(names).fillna(ndtri((1 + level) / 2)).to_numpy()
    least = given["least_kwh"].reindex(names).fillna(0.0).to_numpy()
    half = factor * np.sqrt(moments["variance"] + least**2)
    low = (moments["mean"] - half).clip(lower=0)
    return pd.DataFrame(
        {"low": low, "mean": moments["mean"], "high": moments["mean"] + half}
    )


def learn_widening(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    level: float = 0.9,
    num_folds: int = 3,
    **options,
) -> Widening:
    """How wide intervals of daily energy need to be, from days that the house has not seen.

    The days are cut into folds. For each, a house is learned from the others, and its
    standardised errors on the fold's days are collected: the factor is their quantile, by
    the rule of conformal prediction. If the errors of one house are exchangeable, that rule
    holds on a new day with probability `level` or more; here it is an approximation, since
    each fold has a house of its own. Vovk et al. 2005; standardised errors: Lei et al. 2018.

    Args:
        table, num_states, mains, options: as for `learn_house`.
        level: the probability that an interval shall hold.
        num_folds: the number of folds.

    Raises:
        ValueError: as `learn_house`; or fewer days than folds.
    """
    as_kind("table", table, pd.DataFrame)
    level = as_number("level", level, "a share between 0 and 1", lambda x: 0 < x < 1)
    num_folds = as_count("num_folds", num_folds, least=2)
    days = table.index.normalize()
    folds = np.array_split(days.unique().sort_values(), num_folds)
    if min(map(len, folds)) == 0:
        raise ValueError(
            f"table: got readings of {len(days.unique())} days, needs one or more for each of"
            f" {num_folds} folds"
        )
    names = [name for name in num_states if name != REST]
    parts = []
    for fold in folds:
        held = days.isin(fold)
        house = learn_house(table[~held], num_states, mains, **options)
        found = energy_moments(house, table.loc[held, mains], by="D").loc[
            (slice(None), names), :
        ]
        true = table.loc[held, names].groupby(days[held]).apply(energy_kwh).stack()
        parts.append(found.assign(true=true.to_numpy()))
    errors = pd.concat(parts)
    rows = {name: _row(errors.xs(name, level=1), level) for name in names}
    return Widening(level, pd.DataFrame(rows).T)


def _row(errors: pd.DataFrame, level: float) -> dict:
    """One appliance's row of `Widening.table`, from moments and truth of held-out days."""
    used = errors["true"][errors["true"] > 0]
    least = LEAST * (used.median() if len(used) else 0.0)
    wrong = (errors["true"] - errors["mean"]).abs().to_numpy()
    error = wrong / np.sqrt(errors["variance"].to_numpy() + least**2).clip(1e-12)
    raw = wrong <= ndtri((1 + level) / 2) * np.sqrt(errors["variance"])
    others = [np.delete(error, day) for day in range(len(error))]
    widened = [
        mine <= _quantile(rest, level) for mine, rest in zip(error, others, strict=True)
    ]
    return {
        "least_kwh": least,
        "factor": _quantile(error, level),
        "raw": raw.mean(),
        "widened": np.mean(widened),
    }


def _quantile(errors: np.ndarray, level: float) -> float:
    """The smallest error that a new one does not exceed with probability `level`.

    The largest, if there are too few for that.
    """
    rank = min(math.ceil((len(errors) + 1) * level), len(errors))
    return float(np.sort(errors)[rank - 1])
