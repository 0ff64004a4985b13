"""A meter's file, read as watts."""

import re

import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.clock import in_utc
from hmmlib.nilm.meters.csv_file import head, opened
from hmmlib.nilm.meters.formats import recognised
from hmmlib.nilm.meters.grid import as_time
from hmmlib.nilm.meters.layout import Layout
from hmmlib.nilm.meters.options import UNITS, Demands, demands, with_options
from hmmlib.nilm.meters.order import check_forward
from hmmlib.nilm.meters.readings import readings
from hmmlib.nilm.meters.register import ENERGIES, counted_power, refuse_register
from hmmlib.nilm.meters.series import WATTS_OF_A_HOUSE, as_watts, checked
from hmmlib.nilm.meters.source import Source, of_file
from hmmlib.nilm.meters.steps import mean_per_step


def read_meter(
    file,
    time_column=None,
    power_column=None,
    unit: str | None = None,
    time_zone: str | None = None,
    expected_watts: tuple[float, float] = WATTS_OF_A_HOUSE,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    skip_lines: int | None = None,
    day_first: bool | None = None,
    cumulative: bool | None = None,
    missing=None,
    signed: bool = False,
    step=None,
    hold=None,
) -> pd.Series | pd.DataFrame:
    r"""The watts of a house from a CSV file, on an even grid; NaN where missing.

    Files of Home Assistant, Green Button, UK-DALE, REDD, REFIT and HomeWizard are
    recognised, and `.attrs["meter"]` of the answer says as what; options that are passed
    count more. For files of others, `hmmlib.nilm.meters.formats` lists the call of each.

    Args:
        file: a path, or an open file.
        time_column: "time" if None; a list for date and time of day in columns of their
            own. Stamps are ISO 8601, dates such as 23/02/2026 or seconds since 1970; those
            with an offset, and seconds, come back in UTC.
        power_column: the readings, in `unit`; "power" if None. A list gives a DataFrame.
        unit: "W" or "kW", or "Wh" or "kWh" for the energy of each interval; "W" if None.
        time_zone: of a clock that shows no offset, such as "Europe/Paris"; its stamps come
            back in UTC. None leaves them as they are.
        expected_watts: the range of the largest reading; outside of it, the unit is
            probably another one. A single appliance needs a lower one.
        separator: between cells: ",", ";", a tab, or " " for any blanks.
        decimal: the mark in numbers, "." or ",".
        skip_lines: how many lines come before the one of column names.
        day_first: whether 03/04/2026 is 3 April; None where the file tells by itself.
        cumulative: whether the readings are those of a register, which counts Wh or kWh up.
            The power from one to the next stands at the first.
        missing: cells that stand for a missing reading, such as ["unavailable", -1].
        signed: whether readings may be negative, where more is fed into the grid than is
            drawn. What the house draws is then the answer plus the production.
        step: None for readings on an even grid; or "1min" for the mean of each minute, of
            readings at any time, such as a log of changes. A reading holds until the next.
        hold: the longest time that a reading holds; "1h" if None.

    Raises:
        ValueError: the file lacks a column; a cell is not a time or a number; the largest
            reading is out of range; `check_power` refuses the readings; or the file can be
            read in two ways, with the call for each.

    Example:
        >>> import io
        >>> file = io.StringIO("time,kW\n2026-02-23 18:00,0.34\n2026-02-23 18:01,1.4\n")
        >>> read_meter(file, power_column="kW", unit="kW").tolist()
        [340.0, 1400.0]
        >>> log = "Zeit;Watt\n23.2.2026 18:00:00;340,5\n23.2.2026 18:00:30;1400,5\n"
        >>> read_meter(
        ...     io.StringIO(log), "Zeit", "Watt", separator=";", decimal=",", step="1min"
        ... ).tolist()
        [870.5]
    """
    options = {
        "time_column": time_column, "power_column": power_column, "unit": unit,
        "time_zone": time_zone, "separator": separator, "decimal": decimal,
        "skip_lines": skip_lines, "day_first": day_first, "cumulative": cumulative,
        "missing": missing, "step": step, "hold": hold, "signed": signed or None,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    wanted = demands(given, expected_watts, signed)
    with_options(Layout(), given)  # before the file is opened
    with opened(file) as text:
        layout = with_options(recognised(head(text)) or Layout(), given)
        source = of_file(given, layout)
        columns = readings(text, layout, wanted.names, source)
    power = (
        _total(columns, layout, wanted, source)
        if layout.total
        else _each(columns, layout, wanted, source)
    )
    _check_largest(power, layout, wanted, source)
    if layout.name:
        power.attrs["meter"] = layout.told()
    return power


def _each(
    columns: dict[str, pd.Series], layout: Layout, wanted: Demands, source: Source
) -> pd.Series | pd.DataFrame:
    """The power of the only column, or of each as a table."""
    watts = {name: _watts(x, layout, wanted, source) for name, x in columns.items()}
    if not wanted.several:
        return next(iter(watts.values()))
    table = pd.DataFrame({name: watts[name] for name in wanted.names})
    steps = [each.index.freq for each in watts.values()]
    return table.rename_axis(next(iter(watts.values())).index.name).asfreq(steps[0])


def _total(
    columns: dict[str, pd.Series], layout: Layout, wanted: Demands, source: Source
) -> pd.Series:
    """The power of all columns together, less what is fed into the grid."""
    drawn, fed = (
        (
            _watts(sum(columns[name] for name in names), layout, wanted, source)
            for names in (layout.power, layout.export)
            if names
        )
        if layout.export
        else (
            _watts(sum(columns[name] for name in layout.power), layout, wanted, source),
            None,
        )
    )
    if fed is None or not (fed > 0).any():
        return drawn.rename("power")
    if not wanted.signed:
        one = len(layout.power) == 1
        power = layout.power[0] if one else list(layout.power)
        alone = source.call(power_column=power)
        alone += "" if one else f".sum(axis=1, min_count={len(power)})"
        raise ValueError(
            f"file: up to {fed.max():,.0f} W are fed into the grid, as by solar panels, so"
            " that the meter does not see all that the house draws; needs a decision:"
            f" {source.call(signed=True)} for the net power, to which the production is to"
            f" be added, or {alone} for what is drawn from the grid"
        )
    return (drawn - fed).rename("power")


def _watts(
    power: pd.Series, layout: Layout, wanted: Demands, source: Source
) -> pd.Series:
    """Readings of the unit of `layout` as watts on an even grid."""
    if not len(power):
        raise ValueError("file: got no reading, needs one stamp for each reading")
    power = in_utc(power, wanted.time_zone, source)
    if layout.cumulative:
        return _of_register(power, layout, source)
    if layout.step is None or layout.unit in ENERGIES:
        even = checked(power, None, source, wanted.signed)
    else:
        even = _means(as_watts(power, source, wanted.signed), layout, source)
    refuse_register(
        f"file: {told(power.name)}", even, wanted.expected_watts, source=source
    )
    watts = _in_watts(even, layout, source)
    if layout.step is None or layout.unit in UNITS:
        return watts
    return _means(watts, layout, source)


def _of_register(power: pd.Series, layout: Layout, source: Source) -> pd.Series:
    """The power of a register, in watts on an even grid."""
    if layout.step is None:
        register = checked(power, None, source)
    else:
        register = as_watts(power, source).dropna()
        check_forward(register, source)
        register = register[~register.index.duplicated(keep="last")]
    if len(register) < 2:
        raise ValueError("file: got a single reading of a register, needs two")
    watts = counted_power(register, layout.unit, source)
    return watts if layout.step is None else _means(watts, layout, source)


def _means(power: pd.Series, layout: Layout, source: Source) -> pd.Series:
    """The means of the steps of `layout`."""
    step, hold = as_time("step", layout.step), as_time("hold", layout.hold)
    if power.index.freq is not None:  # each reading is an interval
        hold = max(hold, pd.Timedelta(power.index.freq))
    return mean_per_step(power, step, hold, source)


def _in_watts(power: pd.Series, layout: Layout, source: Source) -> pd.Series:
    """Readings in watts; the energy of an interval is divided by its length."""
    unit = layout.unit
    if unit in UNITS:
        if named := re.search(r"(?<![a-z])(k?Wh)s?(?![a-z])", str(power.name), re.I):
            energy = "Wh" if named[1].lower() == "wh" else "kWh"
            raise ValueError(
                f"unit: got {unit!r} for the column {told(power.name)}, which names an"
                f" energy, {named[1]}; needs unit='kWh' or 'Wh', the energy of each"
                f" interval: {source.call(unit=energy)}; or, for a register that counts up,"
                f" {source.call(unit=energy, cumulative=True)}"
            )
        return power * UNITS[unit]
    if len(power) < 2:
        raise ValueError(
            f"unit: {unit!r} is the energy of an interval, and a single reading does not"
            " tell how long the interval is; needs two readings"
        )
    return power * ENERGIES[unit] * (pd.Timedelta("1h") / power.index.freq)


def _check_largest(
    power: pd.Series | pd.DataFrame, layout: Layout, wanted: Demands, source: Source
) -> None:
    """Raises ValueError if the largest reading is outside the limits."""
    (lowest, highest), largest = wanted.expected_watts, power.abs().max(axis=None)
    if pd.isna(largest) or lowest <= largest <= highest:
        return
    what = power.name if isinstance(power, pd.Series) else " or ".join(power.columns)
    others = [
        unit
        for unit, factor in (UNITS | ENERGIES).items()
        if (unit in UNITS) == (layout.unit in UNITS)
        if lowest <= largest * factor / (UNITS | ENERGIES)[layout.unit] <= highest
    ]
    calls = [f", {source.call(unit=unit)}?" for unit in others]
    limits = (
        min(lowest, float(f"{largest / 2:.1g}")),
        max(highest, float(f"{2 * largest:.1g}")),
    )
    raise ValueError(
        f"file: the largest reading is {largest:,g} W, expected are"
        f" {lowest:,.0f} to {highest:,.0f} W; is {what} in another unit than"
        f" {layout.unit}{calls[0] if calls else '?'} If not, expected_watts= says what to"
        f" expect: {source.call(expected_watts=limits)}"
    )
