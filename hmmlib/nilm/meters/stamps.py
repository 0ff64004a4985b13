"""Cells as times: ISO 8601, dates with the day or the month first, seconds since 1970."""

import re

import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.source import Source

MIXED = "some stamps have an offset from UTC and some do not, needs all or none"
OFFSET = r"[T ]\d[\d:.]*\s*(?:[+-]\d\d?(?::?\d\d)?|[Zz])\s*$"
A_TIME = "2008-02-23 18:05:00"
DATE = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?!\d)")
CLOCK = re.compile(
    r"(?P<gap>[T ,]+)\d{1,2}:\d\d(?P<seconds>:\d\d)?(?P<part>\.\d+)?"
    r"(?P<blank>\s*)(?P<noon>[AaPp][Mm])?(?P<offset> ?(?:[+-]\d\d:?\d\d|[Zz]))?$"
)
SINCE_1970 = {"s": (1e8, 1e10), "ms": (1e11, 1e13)}  # 1973 to 2286


def joined(table: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The cells of the columns, as they are for one, joined by a blank for several."""
    first, *others = (table[name] for name in names)
    if not others:
        return first
    cells = first.astype(str).str.strip()
    for other in others:
        cells = cells + " " + other.astype(str).str.strip()
    return cells


def day_comes_first(cells: pd.Series, source: Source) -> bool | None:
    """Whether dates such as 23/02/2026 begin with the day; None if they are other dates.

    Raises ValueError where both are possible, as in 03/04/2026.
    """
    first = str(cells.iloc[0]).strip() if len(cells) else ""
    if not (date := DATE.match(first)):
        return None
    if date[2] == ".":
        return True
    numbers = cells.astype(str).str.extract(r"^\s*(\d+)[/-](\d+)").astype(float)
    if (numbers > 12).any(axis=None):
        return bool((numbers[0] > 12).any())
    one, two = (
        f"{date[4]}-{int(x):02d}-{int(y):02d}"
        for x, y in (date.group(3, 1), date.group(1, 3))
    )
    raise ValueError(
        f"file: {told(first)} in line {cells.index[0]} is {one} or {two}, and no other date"
        f" tells; needs {source.call(day_first=True)} or {source.call(day_first=False)}"
    )


def stamps(
    cells: pd.Series, day_first: bool | None, source: Source
) -> pd.DatetimeIndex:
    """The cells as times, in UTC where they have an offset or are seconds since 1970.

    Raises ValueError for others.
    """
    if cells.dtype.kind in "iuf" and len(cells):
        return _since_1970(cells)
    zoned = cells.astype(str).str.contains(OFFSET)
    written = (
        _written(str(cells.iloc[0]).strip(), day_first) if len(cells) else "ISO8601"
    )
    if written != "ISO8601":
        cells = cells.astype(str).str.strip()
    times = pd.to_datetime(
        cells, errors="coerce", utc=bool(zoned.any()), format=written
    )
    times = times.mask(cells.isin(["now", "today"]))  # which pandas takes for times
    if times.isna().any():
        line = times.isna().idxmax()
        raise ValueError(
            f"file: {told(cells[line])} in line {line} is not a time, needs one such as"
            f" {A_TIME}" + _other_order(cells[line], day_first, source)
        )
    if zoned.any() and not zoned.all():
        line = zoned.idxmin()
        raise ValueError(f"file: {told(cells[line])} in line {line}; {MIXED}")
    return pd.DatetimeIndex(times)


def _since_1970(cells: pd.Series) -> pd.DatetimeIndex:
    """Seconds or milliseconds since 1970 in UTC."""
    for unit, (least, most) in SINCE_1970.items():
        if cells.between(least, most).all():
            return pd.DatetimeIndex(
                pd.to_datetime(cells, unit=unit, utc=True).dt.round("ms")
            )
    least, most = SINCE_1970["s"]
    wrong = ~cells.between(least, most)
    line = wrong.idxmax()
    raise ValueError(
        f"file: {cells.name} {cells[line]} in line {line} is a number, needs a time such as"
        f" {A_TIME}, or seconds since 1970 such as 1203789900 in each line"
    )


def _written(cell: str, day_first: bool | None) -> str:
    """How a cell is written, as `pd.to_datetime` calls it."""
    date = DATE.match(cell)
    if day_first is None or not date:
        return "ISO8601"
    day, month = ("%d", "%m") if day_first else ("%m", "%d")
    year = "%Y" if len(date[4]) == 4 else "%y"
    written = day + date[2] + month + date[2] + year
    if not (clock := CLOCK.match(cell[date.end() :])):
        return written
    hour = "%I" if clock["noon"] else "%H"
    written += f"{clock['gap']}{hour}:%M" + ":%S" * bool(clock["seconds"])
    written += ".%f" * bool(clock["part"]) + clock["blank"] + "%p" * bool(clock["noon"])
    if offset := clock["offset"]:
        written += " " * (offset[0] == " ") + "%z"
    return written


def _other_order(cell, day_first: bool | None, source: Source) -> str:
    """The cure for a date that would be one in the other order of day and month."""
    date = DATE.match(str(cell).strip())
    if day_first is None or not date or not 12 < int(date[3 if day_first else 1]) < 32:
        return ""
    return f"; or {source.call(day_first=not day_first)}"
