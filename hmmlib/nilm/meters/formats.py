"""Kinds of files that are recognised by their first lines."""

import csv
import re
from collections.abc import Callable
from typing import NamedTuple

from hmmlib.nilm.meters.layout import Layout

HEAD = 40  # lines in which a format is looked for
SECONDS = re.compile(r"\d{9,10}(\.\d+)?([ \t]+-?\d+(\.\d+)?){1,3}\s*$")
A_FEW_SECONDS = (
    "3min"  # a gap that is longer is one in a meter that reads each few seconds
)


class Format(NamedTuple):
    """A kind of file."""

    name: str
    layout: Callable[[list[str]], Layout | None]  #: of a file by its first lines


def recognised(lines: list[str]) -> Layout | None:
    """The layout of a file that begins with these lines; None if it is none of FORMATS."""
    for name, layout in FORMATS:
        if (found := layout(lines[:HEAD])) is not None:
            return found._replace(name=name)
    return None


def _cells(line: str) -> list[str]:
    """The cells of a line."""
    return next(csv.reader([line.strip().lstrip("\ufeff")]), [])


def _first(lines: list[str]) -> list[str]:
    """The cells of the first line that is not blank."""
    return _cells(next((line for line in lines if line.strip()), ""))


def _home_assistant(lines: list[str]) -> Layout | None:
    if not {"entity_id", "state", "last_changed"} <= set(_first(lines)):
        return None
    return Layout(
        time=("last_changed",), power=("state",), series="entity_id", step="1min",
        missing=("unavailable", "unknown"), hold="1D",
    )  # fmt: skip


def _green_button(lines: list[str]) -> Layout | None:
    for number, line in enumerate(lines):
        cells = _cells(line)
        named = {re.sub(r"\s*\(.*", "", cell).lower(): cell for cell in cells}
        power = [x for x in ("usage", "consumption", "import") if x in named]
        if not power or not {"date", "start time"} <= set(named):
            continue
        unit = re.search(r"\b(k?Wh)\b", f"{named[power[0]]},{','.join(lines)}", re.I)
        if not unit:
            return None  # gas
        export = [named[x] for x in ("export", "generation") if x in named]
        return Layout(
            time=(named["date"], named["start time"]), power=(named[power[0]],),
            unit="Wh" if unit[1].lower() == "wh" else "kWh",
            skip_lines=number, day_first=False, export=tuple(export), total=True,
        )  # fmt: skip
    return None


def _seconds_and_watts(lines: list[str]) -> Layout | None:
    filled = [line for line in lines if line.strip()]
    if not filled or not all(map(SECONDS.match, filled[:-1] or filled)):
        return None
    names = ("time", "power", "apparent_power", "voltage")
    return Layout(
        columns=names[: len(filled[0].split())], separator=" ", step="1min",
        hold=A_FEW_SECONDS,
    )  # fmt: skip


def _refit(lines: list[str]) -> Layout | None:
    if _first(lines)[:4] != ["Time", "Unix", "Aggregate", "Appliance1"]:
        return None
    return Layout(time=("Unix",), power=("Aggregate",), step="1min", hold=A_FEW_SECONDS)


def _p1(lines: list[str]) -> Layout | None:
    cells = _first(lines)
    for tariffs in (("T1 ", "T2 "), ("",)):
        power = tuple(f"Import {tariff}kWh" for tariff in tariffs)
        if "time" in cells and set(power) <= set(cells):
            export = [x for x in cells if x in [y.replace("Im", "Ex") for y in power]]
            return Layout(
                power=power, unit="kWh", cumulative=True, total=True,
                export=tuple(export),
            )  # fmt: skip
    return None


FORMATS = (
    Format("Home Assistant history", _home_assistant),
    Format("Green Button CSV", _green_button),
    Format(".dat file as of UK-DALE or REDD", _seconds_and_watts),
    Format("REFIT", _refit),
    Format("Dutch P1 meter", _p1),
)
