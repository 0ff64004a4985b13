"""The columns of a meter's file: which there are, and their cells as numbers and times."""

import pandas as pd

from hmmlib.checks import told

MIXED = "some stamps have an offset from UTC and some do not, needs all or none"
OFFSET = r"[T ]\d[\d:.]*\s*(?:[+-]\d\d?(?::?\d\d)?|[Zz])\s*$"
A_TIME = "2008-02-23 18:05:00"


def check_columns(table: pd.DataFrame, *names: str) -> None:
    """Raises ValueError unless the table has each of the columns, once."""
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


def numbers(column: pd.Series) -> pd.Series:
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
        )
    return values


def stamps(column: pd.Series) -> pd.DatetimeIndex:
    """The cells as times, in UTC where they have an offset. Raises ValueError for others."""
    if column.dtype.kind in "iuf" and len(column):
        raise ValueError(
            f"file: {column.name} {column.iloc[0]} is a number, needs a time such as"
            f" {A_TIME}; for seconds since 1970, use pd.to_datetime(..., unit='s') and"
            " check_power"
        )
    zoned = column.astype(str).str.contains(OFFSET)
    times = pd.to_datetime(
        column, errors="coerce", utc=bool(zoned.any()), format="ISO8601"
    )
    times = times.mask(column.isin(["now", "today"]))  # which pandas takes for times
    if times.isna().any():
        line = times.isna().idxmax()
        raise ValueError(
            f"file: {told(column[line])} in line {line} is not a time, needs one such as"
            f" {A_TIME}"
        )
    if zoned.any() and not zoned.all():
        line = zoned.idxmin()
        raise ValueError(f"file: {told(column[line])} in line {line}; {MIXED}")
    return pd.DatetimeIndex(times)
