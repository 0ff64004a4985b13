"""The even grid of a series: one step between readings, and all stamps on it."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.source import Source

FEW_GAPS = 10  # fewer do not show whether a series is regular
# A stamp is wrong if a series spans more steps than this, and more for each reading.
MOST_MISSING = (1_000_000, 100)
MONTH = pd.Timedelta("28D")
ROUND = pd.to_timedelta(
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400],
    unit="s",
)


class Gaps(NamedTuple):
    """The times between neighbouring stamps, summarised."""

    shortest: pd.Timedelta
    longest: pd.Timedelta
    usual: pd.Timedelta  #: the most frequent one
    median: pd.Timedelta
    regular: bool  #: at least half equal `usual`, or there are too few to tell
    jittered: bool  #: at least half lie within a fifth of the median


def as_time(name: str, value) -> pd.Timedelta:
    """`value` as a positive time. Raises ValueError."""
    try:
        time = pd.Timedelta(value)
        positive = time > pd.Timedelta(0)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        positive = False
    if not positive:
        raise ValueError(
            f"{name}: got {told(value)}, needs a time above 0, such as '1min'"
        )
    return time


def grid_step(
    stamps: pd.DatetimeIndex, step: pd.Timedelta | None, source: Source
) -> pd.Timedelta:
    """The step of an even grid on which all stamps lie.

    Args:
        stamps: in ascending order, each once.
        step: the one that is wanted; None for the most frequent one.
        source: the words for messages.

    Raises:
        ValueError: the stamps lie on no even grid, or on one with another step.
    """
    if len(stamps) == 1:
        return step or pd.Timedelta("1min")
    gaps = _summary(stamps)
    if step is None:
        _refuse_months(stamps, gaps, source)
    grid = step or (gaps.usual if gaps.regular else _nearest_round(gaps.median))
    steady = gaps.regular or gaps.jittered
    if not steady and (step is None or _off(stamps, step).any()):
        raise ValueError(_change_log(gaps, grid, source))
    if gaps.regular:
        _check_usual(stamps, gaps.usual, grid, source)
    check_span(stamps, grid, source)
    _check_on_grid(stamps, grid, source)
    return grid


def _summary(stamps: pd.DatetimeIndex) -> Gaps:
    """The `Gaps` between two or more stamps."""
    gaps = pd.Series(stamps[1:] - stamps[:-1])
    usual, median = gaps.mode()[0], gaps.median()
    near = (gaps - median).abs() <= median / 5
    return Gaps(
        gaps.min(),
        gaps.max(),
        usual,
        median,
        regular=len(gaps) < FEW_GAPS or 2 * (gaps == usual).sum() >= len(gaps),
        jittered=2 * near.sum() >= len(gaps),
    )


def _off(stamps: pd.DatetimeIndex, step: pd.Timedelta) -> np.ndarray:
    """Where a stamp is not a whole number of steps after the first; (T,) booleans."""
    return (stamps - stamps[0]) % step != pd.Timedelta(0)


def _refuse_months(stamps: pd.DatetimeIndex, gaps: Gaps, source: Source) -> None:
    """Raises ValueError for stamps a calendar month or more apart."""
    if gaps.shortest >= MONTH and _off(stamps, gaps.usual).any():
        raise ValueError(
            f"{source.name}: readings are {gaps.shortest.days} to {gaps.longest.days} days"
            " apart, like calendar months, and lie on no even grid; needs a fixed step of"
            " days or less"
        )


def _change_log(gaps: Gaps, grid: pd.Timedelta, source: Source) -> str:
    """The message about gaps of all sizes."""
    return (
        f"{source.name}: readings are {_short(gaps.shortest)} to {_short(gaps.longest)}"
        " apart, as in a log written only when the value changes; needs an even grid, such"
        f" as {_resampled(grid, 'ffill', source)}"
    )


def _check_usual(
    stamps: pd.DatetimeIndex, usual: pd.Timedelta, grid: pd.Timedelta, source: Source
) -> None:
    """Raises ValueError where most readings are further apart than the grid, or closer."""
    if usual > grid and len(stamps) > 2:
        raise ValueError(
            f"{source.name}: most readings are {usual} apart, needs {grid}: the readings"
            " between them cannot be recovered"
        )
    if usual < grid:
        raise ValueError(
            f"{source.name}: most readings are {usual} apart, needs {grid}, such as"
            f" {_resampled(grid, 'mean', source)}"
        )


def check_span(stamps: pd.DatetimeIndex, grid: pd.Timedelta, source: Source) -> None:
    """Raises ValueError for a series that is nearly all gaps."""
    num_steps, (few, per_reading) = (stamps[-1] - stamps[0]) / grid, MOST_MISSING
    if num_steps > max(few, per_reading * len(stamps)):
        after = (stamps[1:] - stamps[:-1]).argmax()
        raise ValueError(
            f"{source.name}: {len(stamps)} readings span {num_steps:,.0f} steps of {grid},"
            f" with none from {stamps[after]} to {stamps[after + 1]}; needs readings at nearly"
            " all steps; is a stamp wrong?"
        )


def _check_on_grid(
    stamps: pd.DatetimeIndex, grid: pd.Timedelta, source: Source
) -> None:
    """Raises ValueError for stamps between the steps of the grid."""
    off = _off(stamps, grid)
    if off.any():
        raise ValueError(
            f"{source.name}: {off.sum()} of {len(off)} stamps are not a whole number of"
            f" steps of {grid} from the first, for example {stamps[off][0]};"
            f" needs an even grid, such as {_resampled(grid, 'mean', source)}"
        )


def _resampled(grid: pd.Timedelta, how: str, source: Source) -> str:
    """The expression that puts the readings on the grid."""
    seconds = f"{grid.total_seconds():.15g}s"
    if source.given is not None:
        return f"{source.call(step=seconds)}, the mean of each step"
    means = " (.mean() instead would leave gaps between readings)" * (how == "ffill")
    return f'{source.series}.resample("{seconds}").{how}(){source.then}{means}'


def _nearest_round(time: pd.Timedelta) -> pd.Timedelta:
    """The round time whose ratio to `time` is closest to 1."""
    return ROUND[np.abs(np.log(ROUND / time)).argmin()]


def _short(time: pd.Timedelta) -> str:
    """A time in three digits."""
    return f"{time.total_seconds():,.3g} s"
