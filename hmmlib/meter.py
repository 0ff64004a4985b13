"""Power over time as a pandas Series: read from a file, and checked before it is used.

Watts, one reading for each step of an even grid; NaN, or a stamp left out, is missing.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd

from hmmlib.checks import as_kind, told

UNITS = {"W": 1.0, "kW": 1000.0}
ENERGIES = {"Wh": 1.0, "kWh": 1000.0}  # used in each interval
WATTS_OF_A_HOUSE = (100.0, 100_000.0)  # where its largest reading is to be expected
LINES = 500_000  # of a file that are read at once
MOST_MISSING = (
    1_000_000,
    100,
)  # steps, and for each reading: beyond both, a stamp is wrong
FEW_GAPS = 10  # fewer do not show whether a series is regular
FEW_RISES, MOST_FALLS = 8, 0.05  # what a register has at least, and at most
MANY_RISES = 24  # for a part of a series, which may well be an hour that only rises
PACKED = {".bz2", ".gz", ".tar", ".xz", ".zip", ".zst"}
MIXED = "some stamps have an offset from UTC and some have none, needs all or none"
OFFSET = r"[T ]\d[\d:.]*\s*(?:[+-]\d\d?(?::?\d\d)?|[Zz])\s*$"
BLANK_LINES = r"(?:[ \t]*(?:\r\n|\n|\r))*"
ROUND = pd.to_timedelta(
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400],
    unit="s",
)


class Source(NamedTuple):
    """What a function was given, for messages that its caller can act on."""

    name: str = "power"
    series: str = "power"  # an expression for the readings as a Series
    reverse: str = "use power[::-1]"
    sort: str = "use sort_index() first"
    once: str = "power[~power.index.duplicated()]"
    then: str = ""


def check_power(power: pd.Series, step=None) -> pd.Series:
    """The readings as float watts on an even grid, stamps that were left out as NaN.

    `step` is the time between readings, by default the most frequent one. Raises
    ValueError for an index that is not of time, stamps that come twice, go back or are
    off the grid, readings that are no numbers, infinite or negative, and a register.
    """
    watts = checked(power, step, Source())
    refuse_register("power:", watts, WATTS_OF_A_HOUSE, MANY_RISES)
    return watts


def checked(power: pd.Series, step, source: Source) -> pd.Series:
    """`check_power` but for registers. Raises ValueError in the words of `source`."""
    index = power.index if isinstance(power, pd.Series) else power
    if not isinstance(power, pd.Series) or not isinstance(index, pd.DatetimeIndex):
        raise ValueError(
            f"power: got {type(index).__name__}, needs a Series with a DatetimeIndex"
        )
    step = None if step is None else as_time("step", step)
    if not len(power) or power.index.hasnans:
        found = "no reading" if not len(power) else "a stamp that is missing"
        raise ValueError(
            f"{source.name}: got {found}, needs one stamp for each reading"
        )
    _check_order(power, source)
    step = _grid(power.index, step, source)
    try:
        if power.dtype.kind == "c":
            raise TypeError("complex")
        watts = power.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{source.name}: got {power.dtype}, needs numbers: {error}"
        ) from error
    for what, wrong in (("infinite", np.isinf(watts)), ("negative", watts < 0)):
        if wrong.any():
            raise ValueError(
                f"{source.name}: {wrong.sum()} readings are {what},"
                f" {watts[wrong].iloc[0]:g} at {power.index[wrong][0]} for one; needs watts"
                " drawn (of a house with solar panels: net plus production), NaN where missing"
            )
    return watts.asfreq(step)


def _check_order(power: pd.Series, source: Source) -> None:
    """Raises ValueError for stamps that are newest first, come twice or go back."""
    stamps = power.index
    _refuse_newest_first(stamps, source)
    if stamps.has_duplicates:
        raise ValueError(f"{source.name}: {_twice(power, source)}")
    if not stamps.is_monotonic_increasing:
        back = stamps[1:][np.diff(stamps.asi8) < 0][0]
        raise ValueError(f"{source.name}: goes back in time at {back}; {source.sort}")


def _refuse_newest_first(stamps: pd.DatetimeIndex, source: Source) -> None:
    """Raises ValueError for stamps that nearly always go back."""
    back = np.diff(stamps.asi8) < 0
    if back.sum() > 0.75 * len(back):
        raise ValueError(
            f"{source.name}: goes back in time at {stamps[1:][back][0]}, and in"
            f" {back.sum()} of {len(back)} steps: the newest reading comes first, needs the"
            f" oldest first; {source.reverse}"
        )


def _twice(power: pd.Series, source: Source) -> str:
    """What is said of stamps that come twice: an hour in autumn, copies, or two readings."""
    stamps = power.index
    twice = stamps[stamps.duplicated()]
    found = f"{len(twice)} stamps come twice, the first {twice[0]}"
    readings = power[stamps.duplicated(keep=False)].astype(str)
    again = (readings == readings.shift()) & (
        np.diff(readings.index.asi8, prepend=-1) == 0
    )
    copies = again.any() or readings.groupby(level=0).nunique().max() == 1
    first, last = twice.min(), twice.max()
    night = last - first < pd.Timedelta("1h") and first.hour < 4
    autumn = stamps.tz is None and night and first.month in (3, 4, 9, 10, 11)
    if copies:
        found += f", in rows that are repeated; needs each once, such as {source.once}"
    elif autumn:
        found += "; needs each once"
    else:
        found += (
            ", with different readings; needs one each, such as"
            f" {source.series}.groupby(level=0).mean(){source.then}"
        )
    clock = ". An hour of clock time that is repeated in autumn needs time_zone in read_meter"
    return found + clock * autumn


def _grid(stamps: pd.DatetimeIndex, step, source: Source) -> pd.Timedelta:
    """The step of an even grid on which all stamps are. Raises ValueError where there is none."""
    gaps = pd.Series(stamps[1:] - stamps[:-1])
    usual = gaps.mode()[0] if len(gaps) else step or pd.Timedelta("1min")
    regular = len(gaps) < FEW_GAPS or 2 * (gaps == usual).sum() >= len(gaps)
    middle = gaps.median() if len(gaps) else usual
    about = len(gaps) and 2 * ((gaps - middle).abs() <= middle / 5).sum() >= len(gaps)
    wanted = step or (usual if regular else _round(middle))
    needs = (
        f"needs an even grid, such as {source.series}.resample"
        f'("{wanted.total_seconds():.15g}s")'
    )
    off = (stamps - stamps[0]) % (step or usual) != pd.Timedelta(0)
    if off.any() and gaps.min() >= pd.Timedelta("28D") and not step:
        raise ValueError(
            f"{source.name}: readings are {gaps.min().days} to {gaps.max().days} days"
            " apart, as calendar months are, which is no even grid; needs one, of days or"
            " less"
        )
    if not (regular or about) and (off.any() or not step):
        raise ValueError(
            f"{source.name}: readings are {_short(gaps.min())} to {_short(gaps.max())}"
            f" apart, as in a log that is written when a value changes; {needs}.ffill()"
            f"{source.then} (.mean() in its place leaves gaps where readings are missing)"
        )
    step = step or (usual if regular else wanted)
    if usual > step and regular and len(stamps) > 2:
        raise ValueError(
            f"{source.name}: most readings are {usual} apart, needs {step}: what happened"
            " between them cannot be made up"
        )
    if usual < step and regular:
        raise ValueError(
            f"{source.name}: most readings are {usual} apart, needs {step}, such as"
            f' {source.series}.resample("{step.total_seconds():.15g}s").mean()'
        )
    num_steps, (few, share) = (stamps[-1] - stamps[0]) / step, MOST_MISSING
    if num_steps > max(few, share * len(stamps)):
        raise ValueError(
            f"{source.name}: {len(stamps)} readings from {stamps[0]} to {stamps[-1]} are"
            f" {num_steps:,.0f} steps of {step}, needs nearly all of them; is a stamp wrong?"
        )
    off = (stamps - stamps[0]) % step != pd.Timedelta(0)
    if off.any():
        raise ValueError(
            f"{source.name}: {off.sum()} of {len(off)} stamps are not a whole number of"
            f" steps of {step} from the first, {stamps[off][0]} for one; {needs}.mean()"
            f"{source.then}"
        )
    return step


def _round(time: pd.Timedelta) -> pd.Timedelta:
    """The nearest round time."""
    return ROUND[np.abs(np.log(ROUND / time)).argmin()]


def _short(time: pd.Timedelta) -> str:
    """A time in few digits."""
    return f"{time.total_seconds():,.3g} s"


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
    `expected_watts` (another unit? a single appliance needs a lower bound), a register
    that counts up, and what `check_power` refuses.
    """
    if not isinstance(unit, str) or unit not in UNITS | ENERGIES:
        needs = ", ".join(UNITS | ENERGIES)
        raise ValueError(f"unit: got {told(unit)}, needs one of {needs}")
    for name, column in (("time_column", time_column), ("power_column", power_column)):
        as_kind(name, column, str)
    lowest, highest = _limits(expected_watts)
    source = _source(time_column, power_column)
    parts = []
    for table in _tables(file):
        _check_columns(table, time_column, power_column)
        readings = _numbers(table[power_column])
        parts.append(readings.set_axis(_stamps(table[time_column])))
    if len({part.index.tz is None for part in parts}) > 1:
        raise ValueError(f"file: {MIXED}")
    power = pd.concat(parts).rename(power_column)
    power = checked(_in_utc(power, time_zone, source), None, source)
    refuse_register(f"file: {told(power_column)}", power, (lowest, highest))
    power = _in_watts(power, unit)
    if power.notna().any() and not lowest <= power.max() <= highest:
        raise ValueError(
            f"file: the largest reading is {power.max():,g} W, expected are"
            f" {lowest:,.0f} to {highest:,.0f} W; is {power_column} in another unit than {unit}?"
            " If not, expected_watts= says what to expect"
        )
    return power


def refuse_register(
    name: str,
    power: pd.Series,
    expected_watts: tuple[float, float],
    few_rises: int = FEW_RISES,
) -> None:
    """Raises ValueError for readings that count up: energy so far, not power.

    Power falls about as often as it rises. Of a register at least `few_rises` readings rise,
    and at most MOST_FALLS of those that change fall, and no more than one a day, since it
    may be reset or replaced; and what it rises by, as Wh or kWh, is a power that can be
    expected. A load that ramps up each day, and is off most of the time, is no count of Wh.
    """
    change = power.dropna().diff()
    up, falls = change[change > 0], int((change < 0).sum())
    if len(up) < few_rises or falls > MOST_FALLS * (len(up) + falls):
        return
    hour, (lowest, highest) = pd.Timedelta("1h") / power.index.freq, expected_watts
    if falls > 1 + len(power) / hour / 24:
        return
    mean, peak = up.sum() / len(power) * hour, up.max() * hour
    idle = falls > 1 and 2 * (power == power.min()).sum() > power.count()
    units = [ENERGIES["kWh"]] if idle else ENERGIES.values()
    if any(lowest <= k * peak and k * mean <= highest / 3 for k in units):
        seldom = f"falls {falls} times" if falls else "never falls"
        raise ValueError(
            f"{name} rises {len(up)} times and {seldom}, as a register does that counts"
            " energy up; needs power, or the energy of each interval: take .diff() of the"
            " register, make negative differences blank, and read that by read_meter with"
            f" unit='kWh' or 'Wh' (multiplied by {1000 * hour:,g} or {hour:,g}, it is watts)"
        )


def _source(time_column: str, power_column: str) -> Source:
    """What the caller of `read_meter` can do: read the file by pandas, and mend it."""
    table = f"pd.read_csv(file, index_col={told(time_column)}, parse_dates=True)"
    return Source(
        name="file",
        series=f"{table}[{told(power_column)}]",
        reverse="reverse its lines, such as pd.read_csv(file)[::-1]",
        sort=f"sort its lines, such as pd.read_csv(file).sort_values({told(time_column)})",
        once="pd.read_csv(file).drop_duplicates()",
        then=", passed in watts to check_power",
    )


def _in_watts(power: pd.Series, unit: str) -> pd.Series:
    """Readings of `unit` in watts: an energy is divided by its interval."""
    if unit in UNITS:
        if named := re.search(r"(?<![a-z])(k?Wh)(?![a-z])", str(power.name), re.I):
            raise ValueError(
                f"unit: got {unit!r} for the column {told(power.name)}, which names an"
                f" energy, {named[1]}; needs unit='kWh' or 'Wh', the energy of each interval"
            )
        return power * UNITS[unit]
    if len(power) < 2:
        raise ValueError(
            f"unit: {unit!r} is the energy of an interval, and one reading does not tell how"
            " long it is; needs two"
        )
    return power * ENERGIES[unit] * (pd.Timedelta("1h") / power.index.freq)


def _tables(file) -> Iterator[pd.DataFrame]:
    """The table of a CSV file, LINES at a time. Raises ValueError for what is none."""
    if not isinstance(file, str | os.PathLike) and not hasattr(file, "read"):
        raise ValueError(
            f"file: got {type(file).__name__}, needs a path or an open file"
        )
    with _opened(file) as opened:
        yield from _pieces(opened)


class _Text:
    """A text file without its first lines, if they are blank; it counts them.

    It refuses zero bytes: some pandas end a cell there, and lose the rest.
    """

    def __init__(self, file):
        self.file, self.num_blank, self.begun = file, 0, False

    def __iter__(self):
        return iter(self.file)

    def read(self, size=-1):
        text = self.file.read(size)
        while text and not self.begun:
            start = re.match(BLANK_LINES, text).end()
            self.num_blank += len(text[:start].splitlines())
            self.begun = start < len(text)
            text = text[start:] or self.file.read(size)
            if self.begun and re.match("#[^,]*$", text, re.M):
                raise ValueError(
                    f"file: line {self.num_blank + 1} is a comment, needs a line of column"
                    " names first"
                )
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
    """Tables without blank lines; the index of a row is its line in the file."""
    tables = None
    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                if tables is None:
                    tables = pd.read_csv(
                        file,
                        index_col=False,
                        chunksize=LINES,
                        low_memory=False,
                        skip_blank_lines=False,
                    )
                table = next(tables)
        except StopIteration:
            return
        except pd.errors.EmptyDataError as error:
            raise ValueError(
                "file: it is empty, or its first line is, needs a line of column names"
            ) from error
        except UnicodeError as error:
            raise ValueError(
                f"file: no UTF-8 text, {error}; hand over open(..., encoding=...) of a text"
                " in another encoding"
            ) from error
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            found = re.sub(
                r"(?<=line )\d+",
                lambda line: str(int(line[0]) + getattr(file, "num_blank", 0)),
                " ".join(str(error).split())[:200],
            )
            raise ValueError(
                "file: needs as many cells in each line as there are column names, commas"
                f" between them and points in numbers: {found}"
            ) from error
        table.index += 2 + getattr(file, "num_blank", 0)
        first = table.iloc[:, 0][table.iloc[:, 1:].isna().all(axis=1)]
        blank = first.isna() | (first.astype(str).str.strip() == "")
        yield table.drop(first.index[blank])


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
            f"file: {column.name} {told(column[line])} in line {line} is no number"
        )
    return numbers


def _stamps(column: pd.Series) -> pd.DatetimeIndex:
    """Times of a column of text; in UTC where their offset is known."""
    if column.dtype.kind in "iuf" and len(column):
        raise ValueError(
            f"file: {column.iloc[0]} is no time but a number, needs"
            " pd.to_datetime(..., unit='s') and check_power"
        )
    zoned = column.astype(str).str.contains(OFFSET)
    times = pd.to_datetime(
        column, errors="coerce", utc=bool(zoned.any()), format="ISO8601"
    )
    times = times.mask(column.isin(["now", "today"]))  # which pandas takes for times
    if times.isna().any():
        line = times.isna().idxmax()
        raise ValueError(
            f"file: {told(column[line])} in line {line} is no time; write"
            " 2008-02-23 18:05:00"
        )
    if zoned.any() and not zoned.all():
        line = zoned.idxmin()
        raise ValueError(f"file: {told(column[line])} in line {line}; {MIXED}")
    return pd.DatetimeIndex(times)


def _in_utc(power: pd.Series, time_zone: str | None, source: Source) -> pd.Series:
    """Local times of a zone in UTC; as they are without one, or with their own."""
    if time_zone is not None:
        as_kind("time_zone", time_zone, str)
    stamps = power.index
    if time_zone is None or stamps.tz is not None or not len(stamps):
        return power
    _refuse_newest_first(stamps, source)
    try:
        local = stamps.tz_localize(time_zone, ambiguous="infer")
    except (KeyError, ValueError) as error:
        if stamps.has_duplicates and not isinstance(error, KeyError):
            raise ValueError(f"file: {_twice(power, source)}") from error
        raise ValueError(
            f"time_zone: {time_zone!r} does not fit: {error}; stamps with their offset from"
            " UTC, such as 2026-10-25 02:30:00+01:00, always do"
        ) from error
    return power.set_axis(local.tz_convert("UTC"))
