"""Clock time of a time zone as UTC, across the hour that is repeated in autumn."""

import pandas as pd

from hmmlib.checks import as_kind
from hmmlib.nilm.meters.order import refuse_newest_first, repeated
from hmmlib.nilm.meters.source import Source


def in_utc(power: pd.Series, time_zone: str | None, source: Source) -> pd.Series:
    """The readings with local stamps of `time_zone` in UTC.

    Unchanged if there is no time zone, or if the stamps have one. Raises ValueError for
    stamps that do not fit the zone.
    """
    if time_zone is not None:
        as_kind("time_zone", time_zone, str)
    stamps = power.index
    if time_zone is None or stamps.tz is not None or not len(stamps):
        return power
    refuse_newest_first(stamps, source)
    try:
        local = stamps.tz_localize(time_zone, ambiguous="infer")
    except (KeyError, ValueError) as error:
        if stamps.has_duplicates and not isinstance(error, KeyError):
            raise ValueError(f"file: {repeated(power, source)}") from error
        raise ValueError(
            f"time_zone: {time_zone!r} does not fit the stamps ({_first(error)}); needs the zone of"
            " the meter's clock, such as 'Europe/Paris', or 'UTC' for a clock that is not"
            " changed in summer, or stamps with an offset, such as 2026-10-25 02:30:00+01:00"
        ) from error
    return power.set_axis(local.tz_convert("UTC"))


def _first(error: Exception) -> str:
    """What pandas found, without its advice to whoever calls it."""
    found = " ".join(str(error).split()).strip("'\"")
    return found.split(". Try")[0][:150].replace("dst", "daylight saving")
