"""Readings of a meter, and the file that they come in."""

import io

import pandas as pd


def minutes(values, start="2026-02-23 18:00"):
    index = pd.date_range(start, periods=len(values), freq="min")
    return pd.Series(values, index=index, dtype=float)


def as_file(power, columns=("time", "power")):
    return io.StringIO(power.rename_axis(columns[0]).to_csv(header=[columns[1]]))
