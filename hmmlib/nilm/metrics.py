"""How far an estimate is from the truth: energies, and the measures of the field."""

import numpy as np
import pandas as pd

from hmmlib.checks import as_kind, as_number


def energy_kwh(watts: pd.DataFrame | pd.Series):
    """The energy in kWh of each column of watts, or of one Series; NaN counts as 0.

    Args:
        watts: with a DatetimeIndex. Each reading stands for the most frequent time between
            two stamps.

    Raises:
        ValueError: `watts` is neither a DataFrame nor a Series, or does not have two stamps
            in ascending order.

    Example:
        >>> index = pd.date_range("2026-02-23", periods=2, freq="30min")
        >>> float(energy_kwh(pd.Series([1000.0, 3000.0], index)))
        2.0
    """
    if not isinstance(watts, pd.DataFrame | pd.Series):
        raise ValueError(
            f"watts: got {type(watts).__name__}, needs a DataFrame or a Series"
        )
    return watts.sum() * _hours(watts.index) / 1000


def aligned(estimate: pd.DataFrame, truth: pd.DataFrame):
    """Both tables with the columns of `truth`, and only the rows that neither misses.

    Raises ValueError for a column that is missing, and for other stamps.
    """
    missing = [name for name in truth.columns if name not in estimate.columns]
    if missing or not estimate.index.equals(truth.index):
        what = f"no column for {missing}" if missing else "other stamps than truth"
        raise ValueError(f"estimate: {what}, needs the columns and stamps of truth")
    estimate = estimate[truth.columns]
    there = estimate.notna().all(axis=1) & truth.notna().all(axis=1)
    return estimate[there], truth[there]


def appliance_metrics(
    estimate: pd.DataFrame, truth: pd.DataFrame, on_watts: float = 10.0
) -> pd.DataFrame:
    """The errors of an estimate, a row for each column of `truth`. Batra et al. 2014.

    Args:
        estimate: watts of each appliance, with the columns and stamps of `truth`.
        truth: watts of each appliance, with a DatetimeIndex.
        on_watts: an appliance is on above so many watts.

    Returns:
        A table of these columns. Rows with NaN in either table are left out of all.

        * MAE, RMSE: mean absolute error, root of the mean squared error; watts
        * normalised error: sum of absolute errors / sum of the truth; always answering 0
          scores 1
        * F1: 2 TP / (2 TP + FP + FN), where positive means on
        * kWh, true kWh: energy

    Raises:
        ValueError: the columns or the stamps of the two tables do not match.
    """
    for name, table in (("estimate", estimate), ("truth", truth)):
        as_kind(name, table, pd.DataFrame)
    on_watts = as_number("on_watts", on_watts, "watts", lambda x: x == x)
    kwh = _hours(truth.index) / 1000
    estimate, truth = aligned(estimate, truth)
    error = estimate - truth
    hits = ((estimate > on_watts) & (truth > on_watts)).sum()
    wrong = ((estimate > on_watts) != (truth > on_watts)).sum()
    return pd.DataFrame(
        {
            "MAE": error.abs().mean(),
            "RMSE": (error**2).mean() ** 0.5,
            "normalised error": error.abs().sum() / truth.sum(),
            "F1": 2 * hits / (2 * hits + wrong),
            "kWh": estimate.sum() * kwh,
            "true kWh": truth.sum() * kwh,
        }
    )


def house_metrics(estimate: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Two numbers for all columns of `truth` together; 1 is perfect.

    energy correctly assigned  1 - sum |estimate - truth| / (2 sum truth), over all steps
                               and columns of `truth`. Kolter & Johnson 2011 divide by the
                               mains, the same where everything has a meter
    fraction assigned          sum over appliances of the smaller of its estimated and its
                               true share; blind to time; Batra et al. 2014

    Raises ValueError if the two do not fit.
    """
    estimate, truth = aligned(estimate, truth)
    wrong = (estimate - truth).abs().sum().sum()
    shares = [each.sum() / max(each.sum().sum(), 1e-9) for each in (estimate, truth)]
    return pd.Series(
        {
            "energy correctly assigned": 1 - wrong / (2 * truth.sum().sum()),
            "fraction assigned": np.minimum(*shares).sum(),
        }
    )


def _hours(index: pd.DatetimeIndex) -> float:
    """The most frequent time between two stamps, in hours. Raises ValueError."""
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 2:
        raise ValueError(
            f"index: got a {type(index).__name__} of length {len(index)}, needs a"
            " DatetimeIndex of at least two stamps, which tell the step"
        )
    if not index.is_monotonic_increasing:
        raise ValueError("index: goes back in time; use sort_index() first")
    return pd.Series(index).diff().mode()[0] / pd.Timedelta("1h")
