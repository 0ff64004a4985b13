"""The order of stamps: oldest first, each once."""

import numpy as np
import pandas as pd

from hmmlib.nilm.meters.source import Source

AUTUMN = (3, 4, 9, 10, 11)  # the months in which clocks go back, in either hemisphere


def check_order(power: pd.Series, source: Source) -> None:
    """Raises ValueError for stamps that come newest first, come twice or go back."""
    stamps = power.index
    refuse_newest_first(stamps, source)
    if stamps.has_duplicates:
        raise ValueError(f"{source.name}: {repeated(power, source)}")
    if not stamps.is_monotonic_increasing:
        back = stamps[1:][np.diff(stamps.asi8) < 0][0]
        raise ValueError(f"{source.name}: goes back in time at {back}; {source.sort}")


def check_forward(power: pd.Series, source: Source) -> None:
    """Raises ValueError for stamps that go back; the same stamp may come twice in a row."""
    stamps = power.index
    refuse_newest_first(stamps, source)
    if not stamps.is_monotonic_increasing:
        check_order(power, source)


def refuse_newest_first(stamps: pd.DatetimeIndex, source: Source) -> None:
    """Raises ValueError for stamps that go back in more than three of four steps."""
    back = np.diff(stamps.asi8) < 0
    if back.sum() > 0.75 * len(back):
        raise ValueError(
            f"{source.name}: goes back in time at {stamps[1:][back][0]}, and in"
            f" {back.sum()} of {len(back)} steps: the newest reading comes first, needs the"
            f" oldest first; {source.reverse}"
        )


def repeated(power: pd.Series, source: Source) -> str:
    """What is wrong with stamps that come twice, with the cure for the likely cause.

    The cause is copied rows, an hour of clock time repeated in autumn, or two readings.
    """
    stamps = power.index
    twice = stamps[stamps.duplicated()]
    found = f"{len(twice)} stamps come twice, the first {twice[0]}"
    autumn = stamps.tz is None and _within_an_autumn_night(twice)
    if _has_copies(power[stamps.duplicated(keep=False)]):
        found += f", in repeated rows; needs each once, such as {source.once}"
    elif autumn:
        found += "; needs each once"
    else:
        found += (
            ", with different readings; needs one each, such as"
            f" {source.series}.groupby(level=0).mean(){source.then}"
        )
    return found + _of_the_clock(source) * autumn


def _of_the_clock(source: Source) -> str:
    """The cure for an hour that comes twice because a clock went back."""
    cure = 'power.tz_localize("Europe/Paris", ambiguous="infer")'
    if source.given is not None:
        cure = source.call(time_zone="Europe/Paris")
    return (
        f", or, for an hour of clock time that is repeated in autumn, its zone: {cure}"
    )


def _has_copies(power: pd.Series) -> bool:
    """Whether two neighbours agree in stamp and reading, or all readings of each stamp do."""
    readings = power.astype(str)
    same_stamp = np.diff(readings.index.asi8, prepend=-1) == 0
    if (same_stamp & (readings == readings.shift())).any():
        return True
    return readings.groupby(level=0).nunique().max() == 1


def _within_an_autumn_night(stamps: pd.DatetimeIndex) -> bool:
    """Whether all stamps lie within one hour of a night in which a clock may go back."""
    first, last = stamps.min(), stamps.max()
    one_hour = last - first < pd.Timedelta("1h")
    return one_hour and first.hour < 4 and first.month in AUTUMN
