"""How far a score could be off by chance: days drawn anew, with replacement."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from hmmlib.checks import as_count, as_kind, as_number, as_seed


def day_bootstrap(
    measure: Callable[..., pd.Series],
    truth: pd.DataFrame,
    *estimates: pd.DataFrame,
    level: float = 0.9,
    num_draws: int = 500,
    seed: int | None = 0,
) -> pd.DataFrame:
    """An interval for each number of `measure(*estimates, truth)`, over drawn days.

    Minutes of a day go together, days hardly depend on each other: so whole days are drawn,
    with replacement, as many as there are, and the same days of all tables. For the
    difference of two answers, `measure` takes both. Efron & Tibshirani 1993.

    Args:
        measure: a function of the estimates and the truth, such as `energy_scores`, that
            answers with a Series.
        truth: watts of each appliance, with a DatetimeIndex.
        estimates: tables with the stamps of `truth`.
        level: the share of the draws that the interval holds.
        num_draws: the number of draws.
        seed: the same seed gives the same days.

    Returns:
        The columns are low, value and high; a row for each number of the measure. The value
        is that of all days, each once.

    Raises:
        ValueError: the tables have other stamps than `truth`, or only one day.
    """
    level = as_number("level", level, "a share between 0 and 1", lambda x: 0 < x < 1)
    num_draws, seed = as_count("num_draws", num_draws), as_seed(seed)
    tables = [*estimates, truth]
    days, step = _days(tables), _step(truth.index)
    random, drawn = np.random.default_rng(seed), []
    for _ in range(num_draws):
        chosen = random.integers(len(days), size=len(days))
        rows = np.concatenate([days[day] for day in chosen])
        stamps = pd.date_range(truth.index[0], periods=len(rows), freq=step)
        drawn.append(measure(*(table.iloc[rows].set_axis(stamps) for table in tables)))
    low, high = (
        pd.DataFrame(drawn).quantile([(1 - level) / 2, (1 + level) / 2]).to_numpy()
    )
    return pd.DataFrame({"low": low, "value": measure(*tables), "high": high})


def _days(tables: list[pd.DataFrame]) -> list[np.ndarray]:
    """The rows of each day. Raises ValueError for unequal stamps, and for one day alone."""
    index = as_kind("truth", tables[-1], pd.DataFrame).index
    for table in tables:
        if not as_kind("estimates", table, pd.DataFrame).index.equals(index):
            raise ValueError("estimates: other stamps than truth, needs the same")
    days = list(tables[-1].groupby(index.normalize()).indices.values())
    if len(days) < 2:
        raise ValueError("truth: got one day, needs two or more to draw from")
    return days


def _step(index: pd.DatetimeIndex) -> pd.Timedelta:
    """The most frequent time between two stamps."""
    return pd.Series(index).diff().mode()[0]
