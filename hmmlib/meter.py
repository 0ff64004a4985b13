"""Power over time as a pandas Series: read from a file, and checked before it is used.

Watts, one reading for each step of an even grid; NaN, or a stamp left out, is missing.
"""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

from hmmlib.checks import as_kind, told

UNITS = {"W": 1.0, "kW": 1000.0}
WATTS_OF_A_HOUSE = (100.0, 100_000.0)  # where its largest reading is to be expected
LINES = 500_000  # of a file that are read at once
MOST_MISSING = (
    1_000_000,
    100,
)  # steps, and for each reading: beyond both, a stamp is wrong
PACKED = {".bz2", ".gz", ".tar", ".xz", ".zip", ".zst"}
MIXED = "some stamps have an offset from UTC and some have none, needs all or none"


def check_power(power: pd.Series, step=None) -> pd.Series:
    """The readings as float watts on an even grid, stamps that were left out as NaN.

    `step` is the time between readings, by default the most frequent one. Raises
    ValueError for an index that is not of time, stamps that come twice, go back or are
    off the grid, and readings that are no numbers, infinite or negative.
    """
    index = power.index if isinstance(power, pd.Series) else power
    if not isinstance(power, pd.Series) or not isinstance(index, pd.DatetimeIndex):
        raise ValueError(
            f"power: got {type(index).__name__}, needs a Series with a DatetimeIndex"
        )
    step = None if step is None else as_time("step", step)
    if not len(power) or power.index.hasnans:
        found = "no reading" if not len(power) else "a stamp that is missing"
        raise ValueError(f"power: got {found}, needs one stamp for each reading")
    stamps = power.index
    if stamps.has_duplicates:
        twice = stamps[stamps.duplicated()]
        raise ValueError(
            f"power: {len(twice)} stamps come twice, the first {twice[0]}; needs each once."
            " An hour of clock time that is repeated in autumn needs time_zone in read_meter"
        )
    if not stamps.is_monotonic_increasing:
        back = stamps[1:][np.diff(stamps.asi8) < 0][0]
        raise ValueError(f"power: goes back in time at {back}; use sort_index() first")
    between = stamps[1:] - stamps[:-1]
    usual = pd.Series(between).mode()
    usual = usual[0] if len(usual) else step or pd.Timedelta("1min")
    step = step or usual
    cure = f'power.resample("{step.total_seconds():g}s").mean()'
    if usual > step and len(stamps) > 2:
        raise ValueError(
            f"power: most readings are {usual} apart, needs {step}: what happened between"
            " them cannot be made up"
        )
    if usual < step:
        raise ValueError(
            f"power: most readings are {usual} apart, needs {step}, such as {cure}"
        )
    num_steps, (few, share) = (stamps[-1] - stamps[0]) / step, MOST_MISSING
    if num_steps > max(few, share * len(stamps)):
        raise ValueError(
            f"power: {len(stamps)} readings from {stamps[0]} to {stamps[-1]} are"
            f" {num_steps:,.0f} steps of {step}, needs nearly all of them; is a stamp wrong?"
        )
    off = (stamps - stamps[0]) % step != pd.Timedelta(0)
    if off.any():
        raise ValueError(
            f"power: {off.sum()} of {len(off)} stamps are not a whole number of steps of"
            f" {step} from the first, {stamps[off][0]} for one; needs an even grid, such as"
            f" {cure}"
        )
    try:
        if power.dtype.kind == "c":
            raise TypeError("complex")
        watts = power.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"power: got {power.dtype}, needs numbers: {error}") from error
    for what, wrong in (("infinite", np.isinf(watts)), ("negative", watts < 0)):
        if wrong.any():
            raise ValueError(
                f"power: {wrong.sum()} readings are {what}, {watts[wrong].iloc[0]:g} at"
                f" {stamps[wrong][0]} for one; needs watts drawn, NaN where missing"
            )
    return watts.asfreq(step)


def as_time(name: str, value) -> pd.Timedelta:
    """`value` as a time above 0. Raises ValueError."""
    try:
        time = pd.Timedelta(value)
        right = time > pd.Timedelta(0)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        right = False
    if not right:
        raise ValueError(
            f"{name}: got {told(value)}, needs a time above 0, such as '1min'"
        )
    return time


def read_meter(
    file,
    time_column: str = "time",
    power_column: str = "power",
    unit: str = "W",
    time_zone: str | None = None,
    expected_watts: tuple[float, float] = WATTS_OF_A_HOUSE,
) -> pd.Series:
    """Watts of a house from a CSV file of stamps and readings, checked by `check_power`.

    Stamps are ISO 8601, such as 2026-02-23 18:05:00. Those with an offset from UTC, and
    local ones with a `time_zone` ("Europe/Paris"), come back in UTC, which knows no
    daylight saving; others stay as they are. Raises ValueError for a column that is
    missing, what cannot be read as a time or a number, a largest reading outside of
    `expected_watts` (another unit? a single appliance needs a lower bound), and what
    `check_power` refuses.
    """
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"unit: got {told(unit)}, needs one of {', '.join(UNITS)}")
    for name, column in (("time_column", time_column), ("power_column", power_column)):
        as_kind(name, column, str)
    lowest, highest = _limits(expected_watts)
    parts = []
    for table in _tables(file):
        _check_columns(table, time_column, power_column)
        readings = _numbers(table[power_column]) * UNITS[unit]
        parts.append(readings.set_axis(_stamps(table[time_column])))
    if len({part.index.tz is None for part in parts}) > 1:
        raise ValueError(f"file: {MIXED}")
    power = pd.concat(parts).rename(power_column)
    power = power.set_axis(_in_utc(power.index, time_zone))
    checked = check_power(power)
    if checked.notna().any() and not lowest <= checked.max() <= highest:
        raise ValueError(
            f"file: the largest reading is {checked.max():,g} W, expected are"
            f" {lowest:,.0f} to {highest:,.0f} W; is {power_column} in another unit than {unit}?"
        )
    return checked


def _tables(file) -> Iterator[pd.DataFrame]:
    """The table of a CSV file, LINES at a time. Raises ValueError for what is none."""
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "read"):
        raise ValueError(
            f"file: got {type(file).__name__}, needs a path or an open file"
        )
    with _opened(file) as opened:
        yield from _pieces(opened)


class _Text:
    """A text file that refuses zero bytes: some pandas end a cell there, and lose the rest."""

    def __init__(self, file):
        self.file = file

    def __iter__(self):
        return iter(self.file)

    def read(self, size=-1):
        text = self.file.read(size)
        if "\0" in text:
            raise ValueError(
                "file: holds zero bytes, needs text; was it cut off, or is it in another"
                " encoding than UTF-8?"
            )
        return text


@contextmanager
def _opened(file) -> Iterator:
    """The file as text; what is packed, or lies elsewhere, is for pandas to open."""
    if not hasattr(file, "read"):
        suffix = os.path.splitext(os.fspath(file))[1].lower()
        if suffix in PACKED or not os.path.isfile(file):
            yield file
            return
        with open(file, encoding="utf-8", newline="") as opened:
            yield _Text(opened)
    elif isinstance(file.read(0), bytes):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield _Text(text)
        finally:
            text.detach()  # it is the caller's to close
    else:
        yield _Text(file)


def _pieces(file) -> Iterator[pd.DataFrame]:
    tables = None
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                if tables is None:
                    tables = pd.read_csv(
                        file, index_col=False, chunksize=LINES, low_memory=False
                    )
                table = next(tables)
        except StopIteration:
            return
        except pd.errors.EmptyDataError as error:
            raise ValueError(
                "file: it is empty, needs a line of column names"
            ) from error
        except UnicodeError as error:
            raise ValueError(
                f"file: no UTF-8 text, {error}; hand over open(..., encoding=...) of a text"
                " in another encoding"
            ) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise ValueError(
                "file: needs as many cells in each line as there are column names, commas"
                f" between them and points in numbers: {' '.join(str(error).split())[:200]}"
            ) from error
        yield table


def _check_columns(table: pd.DataFrame, *names: str) -> None:
    for name in names:
        if name not in table.columns:
            others = ", ".join(told(column) for column in table.columns[:8])
            more = f" and {len(table.columns) - 8} more" * (len(table.columns) > 8)
            apart = " needs commas between columns;" * (len(table.columns) == 1)
            raise ValueError(
                f"file: no column {name!r}, it has {others}{more};{apart}"
                " name them with time_column and power_column"
            )
        if f"{name}.1" in table.columns:
            raise ValueError(f"file: more than one column {name!r}, needs one")


def _limits(expected_watts) -> tuple[float, float]:
    try:
        lowest, highest = map(float, expected_watts)
        right = lowest <= highest
    except (TypeError, ValueError, OverflowError, RuntimeError):
        right = False
    if not right:
        raise ValueError(
            f"expected_watts: got {told(expected_watts)}, needs two numbers, lowest first"
        )
    return lowest, highest


def _numbers(column: pd.Series) -> pd.Series:
    """A column of text as floats, NaN where a cell is empty."""
    try:
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
    except OverflowError:  # thousands of digits
        numbers = column.map(
            lambda cell: float("inf" if len(str(cell)) > 308 else cell)
        )
    unread = numbers.isna() & column.notna()
    if unread.any():
        line = unread.idxmax()
        raise ValueError(
            f"file: {column.name} {told(column[line])} in line {line + 2} is no number"
        )
    return numbers


def _stamps(column: pd.Series) -> pd.DatetimeIndex:
    """Times of a column of text; in UTC where their offset is known."""
    if column.dtype.kind in "iuf" and len(column):
        raise ValueError(
            f"file: {column.iloc[0]} is no time but a number, needs"
            " pd.to_datetime(..., unit='s') and check_power"
        )
    zoned = column.astype(str).str.contains(r"(?:[+-]\d\d:?\d\d|Z)\s*$")
    times = pd.to_datetime(
        column, errors="coerce", utc=bool(zoned.any()), format="ISO8601"
    )
    if times.isna().any():
        line = times.isna().idxmax()
        raise ValueError(
            f"file: {told(column[line])} in line {line + 2} is no time; write"
            " 2008-02-23 18:05:00"
        )
    if zoned.any() and not zoned.all():
        line = zoned.idxmin()
        raise ValueError(f"file: {told(column[line])} in line {line + 2}; {MIXED}")
    return pd.DatetimeIndex(times)


def _in_utc(stamps: pd.DatetimeIndex, time_zone: str | None) -> pd.DatetimeIndex:
    """Local times of a zone in UTC; as they are without one, or with their own."""
    if time_zone is None:
        return stamps
    as_kind("time_zone", time_zone, str)
    if stamps.tz is not None:
        return stamps
    try:
        return stamps.tz_localize(time_zone, ambiguous="infer").tz_convert("UTC")
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"time_zone: {time_zone!r} does not fit: {error}; stamps with their offset from"
            " UTC, such as 2026-10-25 02:30:00+01:00, always do"
        ) from error
