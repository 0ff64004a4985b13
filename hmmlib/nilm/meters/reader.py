"""A meter's file, read as watts.

These files are recognised by `read_meter(file)`; `.attrs["meter"]` of the answer says as what,
and options that are passed count more:

* Home Assistant, a history downloaded as CSV: `entity_id,state,last_changed`. Of several
  sensors one is chosen by its name, or a list of them:
  `read_meter(file, power_column="sensor.mains_power")`. A reading holds for up to a day.
* Green Button, the CSV of North American utilities: lines on the account, then date, start
  time and kWh of each interval.
* UK-DALE and REDD, `channel_1.dat` or `mains.dat`: seconds since 1970, and watts.
* REFIT, `CLEAN_House1.csv`. Its appliances are columns:
  `read_meter(file, power_column=["Aggregate", "Appliance1"])`.
* HomeWizard, the export of a Dutch P1 meter or of a kWh meter: registers of each tariff.

Logs that are not on an even grid become means of each minute. What a house with solar panels
feeds into the grid is not drawn by it: `read_meter` asks whether to subtract it.

Files of others, with the call that reads each:

    # Shelly EM, em_data.csv
    read_meter(file, "Date/time UTC", "Active energy Wh (1)", unit="Wh", time_zone="UTC")
    # Shelly Pro 3EM, three phases
    phases = [f"{phase}_total_act_energy" for phase in "abc"]
    read_meter(file, "timestamp", phases, unit="Wh").sum(axis=1, min_count=3)
    # Emporia Vue, two phases, minute by minute
    zone = "America/New_York"
    mains = ["Home-Mains_A (kWatts)", "Home-Mains_B (kWatts)"]
    read_meter(
        file, f"Time Bucket ({zone})", mains, "kW", zone, day_first=False, missing=["No CT"]
    ).sum(axis=1, min_count=2)
    # Enphase, with meters of consumption
    read_meter(file, "Date/Time", "Energy Consumed (Wh)", unit="Wh")
    # Linky, the load curve of Enedis, whose stamps end an interval
    read_meter(file, "Horodate", "Valeur", separator=";", skip_lines=2).shift(-1)
    # date and time apart, decimal commas, as of a German spreadsheet
    read_meter(file, ["Datum", "Zeit"], "kWh", "kWh", separator=";", decimal=",")
    # a register in kWh: the power until the next reading
    read_meter(file, "time", "total", "kWh", cumulative=True)
    # net power behind solar panels, negative where it is fed into the grid
    read_meter(file, "time", "grid", signed=True)
"""

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
    time_column: str | list[str] | None = None,
    power_column: str | list[str] | None = None,
    unit: str | None = None,
    time_zone: str | None = None,
    expected_watts: tuple[float, float] = WATTS_OF_A_HOUSE,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    skip_lines: int | None = None,
    day_first: bool | None = None,
    cumulative: bool | None = None,
    missing: list | None = None,
    signed: bool | None = None,
    step: str | None = None,
    hold: str | None = None,
) -> pd.Series | pd.DataFrame:
    r"""The watts of a house from a CSV file, on an even grid; NaN where missing.

    Six kinds of files are read without options, and `.attrs["meter"]` says which one it was.
    These, and calls for others, are listed in `hmmlib.nilm.meters.reader`.

    Args:
        file: a path, or an open file.
        time_column: "time" if None; a list if date and time of day are apart. Stamps with
            an offset from UTC, and seconds since 1970, come back in UTC.
        power_column: the readings, "power" if None; for a list, the answer is a DataFrame.
        unit: "W" or "kW", or "Wh" or "kWh" for the energy of each interval.
        time_zone: of stamps without an offset, such as "Europe/Paris"; None leaves them.
        expected_watts: the range of the largest reading; lower for a single appliance.
        separator, decimal, skip_lines: how the text is written.
        day_first: whether 03/04/2026 is 3 April.
        cumulative: whether the readings are those of a register, in Wh or kWh.
        missing: cells that stand for a missing reading, such as ["unavailable", -1].
        signed: whether readings may be negative, fed into the grid.
        step, hold: "1min" for the mean of each minute of readings that hold until the next,
            but no longer than `hold`, an hour if None; for logs of changes.

    Raises:
        ValueError: the file cannot be read, or in two ways; the message has the call to make.

    Example:
        >>> import io
        >>> file = io.StringIO("time,kW\n2026-02-23 18:00,0.34\n2026-02-23 18:01,1.4\n")
        >>> read_meter(file, power_column="kW", unit="kW").tolist()
        [340.0, 1400.0]
    """
    given = {name: value for name, value in locals().items() if value is not None}
    return _power(given.pop("file", None), given)


def _power(file, given: dict) -> pd.Series | pd.DataFrame:
    """The power in a file, of a call with the options that are `given`."""
    wanted = demands(given)
    with_options(Layout(), given)  # are checked before the file is opened
    if given["expected_watts"] is WATTS_OF_A_HOUSE:
        del given["expected_watts"]  # which messages need not repeat
    with opened(file) as text:
        layout = with_options(recognised(head(text)) or Layout(), given)
        source = of_file(given, layout)
        columns = readings(text, layout, wanted.names, source)
    power = (_total if layout.total else _each)(columns, layout, wanted, source)
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
        _watts(sum(columns[name] for name in names), layout, wanted, source)
        if names
        else None
        for names in (layout.power, layout.export)
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
        f"file: {told(power.name)}", even.round(6), wanted.expected_watts, source=source
    )
    watts = _in_watts(even, layout, source)
    if layout.step is None or layout.unit in UNITS:
        return watts
    return _means(watts, layout, source, watts.index[-1] + watts.index.freq)


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
    if layout.step is None:
        return watts
    return _means(watts, layout, source, register.index[-1])


def _means(
    power: pd.Series, layout: Layout, source: Source, until: pd.Timestamp | None = None
) -> pd.Series:
    """The means of the steps of `layout`; the last reading holds `until` then."""
    step, hold = as_time("step", layout.step), as_time("hold", layout.hold)
    if power.index.freq is not None:  # each reading is an interval
        hold = max(hold, pd.Timedelta(power.index.freq))
    return mean_per_step(power, step, hold, source, until)


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
    calls = [f", as in {source.call(unit=unit)}?" for unit in others]
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
