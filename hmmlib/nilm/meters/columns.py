"""The columns of a meter's file: which there are, and their cells as numbers."""

import re

import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.source import Source

LIKE_A_TIME = ("time", "date", "stamp", "zeit", "datum", "horodate")
LIKE_POWER = re.compile(
    r"power|watt|\bk?wh?\b|usage|consumption|import|load|mains", re.I
)


def check_columns(table: pd.DataFrame, names: tuple[str, ...], source: Source) -> None:
    """Raises ValueError unless the table has each of the columns, once."""
    for name in names:
        if name not in table.columns:
            others = ", ".join(told(column) for column in table.columns[:8])
            more = f" and {len(table.columns) - 8} more" * (len(table.columns) > 8)
            raise ValueError(
                f"file: no column {name!r}, it has {others}{more};"
                f" {_how_to_name(table, source)}"
            )
        if f"{name}.1" in table.columns:
            raise ValueError(
                f"file: more than one column {name!r}, needs one; give them names of their"
                " own in the first line"
            )


def _how_to_name(table: pd.DataFrame, source: Source) -> str:
    """The call that names the columns, as far as their own names tell."""
    names = [str(name) for name in table.columns]
    if len(names) == 1:
        apart = next((mark for mark in (";", "\t", "|") if mark in names[0]), ";")
        return f"needs commas between columns, or {source.call(separator=apart)}"
    given = source.given or {}
    times = [x for x in names if any(word in x.lower() for word in LIKE_A_TIME)]
    power = [x for x in names if LIKE_POWER.search(x) and x not in times]
    guess = {"time_column": (times or names)[0], "power_column": (power or ["..."])[0]}
    guess = {k: v[:60] for k, v in guess.items() if given.get(k) not in names}
    return f"name them with time_column and power_column: {source.call(**guess)}"


def numbers(column: pd.Series, source: Source) -> pd.Series:
    """The cells as floats, NaN where empty. Raises ValueError for text, with its line."""
    try:
        values = pd.to_numeric(column, errors="coerce").astype(float)
    except OverflowError:  # thousands of digits
        values = column.map(lambda cell: float("inf" if len(str(cell)) > 308 else cell))
    unread = values.isna() & column.notna()
    if unread.any():
        line = unread.idxmax()
        raise ValueError(
            f"file: {column.name} {told(column[line])} in line {line} is no number"
            f"{_how_to_read(str(column[line]), source)}"
        )
    return values


def _how_to_read(cell: str, source: Source) -> str:
    """The cure for a cell that is no number."""
    if re.fullmatch(r"\s*[-+]?\d+,\d*\s*", cell):
        return f"; with decimal commas: {source.call(decimal=',')}"
    if re.fullmatch(r"[\w -]{1,20}", cell):
        return f"; if it is a missing reading: {source.call(missing=[cell])}"
    return ""
