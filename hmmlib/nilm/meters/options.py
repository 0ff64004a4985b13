"""The options of `read_meter`, checked, and joined with what was recognised."""

from typing import NamedTuple

from hmmlib.checks import as_count, as_kind, told
from hmmlib.nilm.meters.grid import as_time
from hmmlib.nilm.meters.layout import Layout
from hmmlib.nilm.meters.register import ENERGIES

UNITS = {"W": 1.0, "kW": 1000.0}


class Demands(NamedTuple):
    """What the caller wants of the readings, however the file is written."""

    names: tuple[str, ...]  #: of columns, or of series; empty if none was named
    several: bool  #: whether the answer is a table
    time_zone: str | None
    expected_watts: tuple[float, float]
    signed: bool


def demands(given: dict) -> Demands:
    """What is wanted. Raises ValueError for options that are none."""
    power = given.get("power_column")
    zone = given.get("time_zone")
    return Demands(
        () if power is None else _names("power_column", power),
        power is not None and not isinstance(power, str),
        None if zone is None else as_kind("time_zone", zone, str),
        _limits(given.get("expected_watts")),
        as_kind("signed", given.get("signed", False), bool),
    )


def with_options(found: Layout, given: dict) -> Layout:
    """The layout of a file in which the options that were given count most.

    Raises ValueError for options that are none, or contradict each other.
    """
    options = {name: _checked(name, given[name]) for name in CHECKS if name in given}
    if "time_column" in given:
        options["time"] = _names("time_column", given["time_column"])
    if "power_column" in given and not found.series:
        power = _names("power_column", given["power_column"])
        options |= {"power": power, "total": False, "export": ()}
    if "missing" in options:
        options["missing"] += found.missing
    layout = found._replace(**options)
    if layout.cumulative and layout.unit not in ENERGIES:
        unit = (
            f"unit: got {told(given['unit'])}" if "unit" in given else "unit: got none"
        )
        raise ValueError(
            f"{unit} with cumulative=True, needs what the register counts, unit='kWh' or"
            " unit='Wh'"
        )
    return layout


def _names(option: str, names) -> tuple[str, ...]:
    """The name of a column, or several, as a tuple. Raises ValueError."""
    if isinstance(names, str):
        return (names,)
    right = isinstance(names, list | tuple) and len(names) > 0
    if not right or not all(isinstance(name, str) for name in names):
        found = type(names).__name__ if not right else told(names)
        raise ValueError(f"{option}: got {found}, needs a str, or a list of them")
    if len(set(names)) < len(names):
        raise ValueError(f"{option}: got {told(names)}, needs each once")
    return tuple(names)


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


def _unit(name: str, unit) -> str:
    if not isinstance(unit, str) or unit not in UNITS | ENERGIES:
        needs = ", ".join(UNITS | ENERGIES)
        raise ValueError(f"unit: got {told(unit)}, needs one of {needs}")
    return unit


def _mark(name: str, mark) -> str:
    if not isinstance(mark, str) or len(mark) != 1 or mark in '"\r\n\0':
        raise ValueError(
            f"{name}: got {told(mark)}, needs one character, such as ',' or ';'"
        )
    return mark


def _cells(name: str, cells) -> tuple:
    right = isinstance(cells, list | tuple)
    if not right or not all(isinstance(cell, str | int | float) for cell in cells):
        raise ValueError(
            f"{name}: got {told(cells)}, needs a list of cells, such as ['unavailable', -1]"
        )
    return tuple(cells)


CHECKS = {
    "unit": _unit,
    "separator": _mark,
    "decimal": _mark,
    "skip_lines": lambda name, value: as_count(name, value, least=0),
    "day_first": lambda name, value: as_kind(name, value, bool),
    "cumulative": lambda name, value: as_kind(name, value, bool),
    "missing": _cells,
    "step": as_time,
    "hold": as_time,
}


def _checked(name: str, value):
    """The option, as `Layout` has it. Raises ValueError."""
    checked = CHECKS[name](name, value)
    return value if name in ("step", "hold") else checked
