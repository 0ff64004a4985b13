"""The numbers of a meter's file, each with its stamp."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.columns import check_columns, numbers
from hmmlib.nilm.meters.csv_file import tables
from hmmlib.nilm.meters.layout import Layout
from hmmlib.nilm.meters.source import Source
from hmmlib.nilm.meters.stamps import MIXED, day_comes_first, joined, stamps


def readings(
    text, layout: Layout, names: tuple[str, ...], source: Source
) -> dict[str, pd.Series]:
    """The readings of each column, or of each series of a file that names them in a column.

    Args:
        text: an `opened` file.
        layout: how it is written.
        names: the series that are wanted; empty for the only one.
        source: the words for messages.

    Raises:
        ValueError: the file lacks a column or a series; it has several series, and none is
            named; a cell is not a time or a number; or only some stamps have an offset.
    """
    parts, there = {}, set()
    for table, times in _with_times(text, layout, source):
        if not layout.series:
            for name in (*layout.power, *layout.export):
                values = numbers(table[name], source)
                parts.setdefault(name, []).append(values.set_axis(times))
            continue
        of = table[layout.series].to_numpy()
        there |= set(table[layout.series].unique())
        for name in names or _only(there, layout, source):
            rows = np.flatnonzero(of == name)
            values = numbers(table[layout.power[0]].iloc[rows], source)
            parts.setdefault(name, []).append(values.set_axis(times[rows]))
    if lacking := [name for name in names if layout.series and name not in there]:
        raise ValueError(
            f"file: no {layout.series} {told(lacking[0])}, it has {_list(there)}"
        )
    return {name: _whole(name, parts.pop(name)) for name in list(parts)}


def _with_times(
    text, layout: Layout, source: Source
) -> Iterator[tuple[pd.DataFrame, pd.DatetimeIndex]]:
    """The tables of a file, and the times of their lines."""
    day_first = layout.day_first
    needed = (*layout.time, *layout.power, *layout.export, layout.series)
    for table in tables(text, layout, source):
        check_columns(table, tuple(filter(None, needed)), source)
        cells = joined(table, layout.time)
        if day_first is None:
            day_first = day_comes_first(cells, source)
        yield table, stamps(cells, day_first, source)


def _only(there: set, layout: Layout, source: Source) -> set:
    """The only series there is. Raises ValueError for several."""
    if len(there) > 1:
        first = sorted(map(str, there))[0]
        raise ValueError(
            f"file: holds {len(there)} series, {_list(there)}; needs one, such as"
            f" {source.call(power_column=first)}, or a list of them"
        )
    return there


def _list(names: set) -> str:
    """A few names."""
    more = f" and {len(names) - 6} more" * (len(names) > 6)
    return ", ".join(told(name) for name in sorted(map(str, names))[:6]) + more


def _whole(name: str, parts: list[pd.Series]) -> pd.Series:
    """The parts as one Series. Raises ValueError where only some have an offset."""
    if len({part.index.tz is None for part in parts}) > 1:
        raise ValueError(f"file: {MIXED}")
    return pd.concat(parts).rename(name)
