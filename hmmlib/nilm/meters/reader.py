"""A meter's CSV file, read as watts."""

import re

import pandas as pd

from hmmlib.checks import as_kind, told
from hmmlib.nilm.meters.clock import in_utc
from hmmlib.nilm.meters.columns import MIXED, check_columns, numbers, stamps
from hmmlib.nilm.meters.csv_file import tables
from hmmlib.nilm.meters.register import ENERGIES, refuse_register
from hmmlib.nilm.meters.series import WATTS_OF_A_HOUSE, checked
from hmmlib.nilm.meters.source import Source

UNITS = {"W": 1.0, "kW": 1000.0}


def read_meter(
    file,
    time_column: str = "time",
    power_column: str = "power",
    unit: str = "W",
    time_zone: str | None = None,
    expected_watts: tuple[float, float] = WATTS_OF_A_HOUSE,
) -> pd.Series:
    r"""The watts of a house from a CSV file, on an even grid; NaN where missing.

    Args:
        file: a path, or an open file.
        time_column: ISO 8601 stamps; those with an offset from UTC come back in UTC.
        power_column: the readings, in `unit`.
        unit: "W" or "kW", or "Wh" or "kWh" for the energy of each interval.
        time_zone: of a clock that shows no offset, such as "Europe/Paris"; its stamps come
            back in UTC. None leaves them as they are.
        expected_watts: the range of the largest reading; outside of it, the unit is
            probably another one. A single appliance needs a lower one.

    Raises:
        ValueError: the file lacks a column; a cell is not a time or a number; the largest
            reading is out of range; or `check_power` refuses the readings.

    Example:
        >>> import io
        >>> file = io.StringIO("time,kW\n2026-02-23 18:00,0.34\n2026-02-23 18:01,1.4\n")
        >>> read_meter(file, power_column="kW", unit="kW").tolist()
        [340.0, 1400.0]
    """
    _check_unit(unit)
    for name, column in (("time_column", time_column), ("power_column", power_column)):
        as_kind(name, column, str)
    limits = _limits(expected_watts)
    source = _source(time_column, power_column)
    power = _readings(file, time_column, power_column)
    power = checked(in_utc(power, time_zone, source), None, source)
    refuse_register(f"file: {told(power_column)}", power, limits)
    power = _in_watts(power, unit)
    _check_largest(power, unit, limits)
    return power


def _check_unit(unit) -> None:
    """Raises ValueError for a unit that is not listed."""
    if not isinstance(unit, str) or unit not in UNITS | ENERGIES:
        needs = ", ".join(UNITS | ENERGIES)
        raise ValueError(f"unit: got {told(unit)}, needs one of {needs}")


def _limits(expected_watts) -> tuple[float, float]:
    """`expected_watts` as two floats. Raises ValueError."""
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


def _source(time_column: str, power_column: str) -> Source:
    """The words for a caller who can read the file with pandas and repair it."""
    table = f"pd.read_csv(file, index_col={told(time_column)}, parse_dates=True)"
    return Source(
        name="file",
        series=f"{table}[{told(power_column)}]",
        reverse="reverse its lines, such as pd.read_csv(file)[::-1]",
        sort=f"sort its lines, such as pd.read_csv(file).sort_values({told(time_column)})",
        once="pd.read_csv(file).drop_duplicates()",
        then=", passed in watts to check_power",
    )


def _readings(file, time_column: str, power_column: str) -> pd.Series:
    """The numbers of the power column, with the stamps of the time column as index."""
    parts = []
    for table in tables(file):
        check_columns(table, time_column, power_column)
        readings = numbers(table[power_column])
        parts.append(readings.set_axis(stamps(table[time_column])))
    if len({part.index.tz is None for part in parts}) > 1:
        raise ValueError(f"file: {MIXED}")
    return pd.concat(parts).rename(power_column)


def _in_watts(power: pd.Series, unit: str) -> pd.Series:
    """Readings of `unit` in watts; the energy of an interval is divided by its length."""
    if unit in UNITS:
        if named := re.search(r"(?<![a-z])(k?Wh)(?![a-z])", str(power.name), re.I):
            raise ValueError(
                f"unit: got {unit!r} for the column {told(power.name)}, which names an"
                f" energy, {named[1]}; needs unit='kWh' or 'Wh', the energy of each interval"
            )
        return power * UNITS[unit]
    if len(power) < 2:
        raise ValueError(
            f"unit: {unit!r} is the energy of an interval, and a single reading does not"
            " tell how long the interval is; needs two readings"
        )
    return power * ENERGIES[unit] * (pd.Timedelta("1h") / power.index.freq)


def _check_largest(power: pd.Series, unit: str, limits: tuple[float, float]) -> None:
    """Raises ValueError if the largest reading is outside the limits."""
    lowest, highest = limits
    if power.notna().any() and not lowest <= power.max() <= highest:
        raise ValueError(
            f"file: the largest reading is {power.max():,g} W, expected are"
            f" {lowest:,.0f} to {highest:,.0f} W; is {power.name} in another unit than {unit}?"
            " If not, expected_watts= says what to expect"
        )
