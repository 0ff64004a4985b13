"""Two real series and two measurements, small enough to come along; see SOURCES.md."""

from importlib.resources import files

import pandas as pd


def seattle_rain() -> pd.Series:
    """Daily rain at Seattle-Tacoma airport, 2012 to 2015, in mm: 1,461 days.

    NOAA, public domain. Used in chapter 5.
    """
    table = _read("seattle_rain.csv", parse_dates=["date"])
    return table.set_index("date")["precipitation"].rename("rain, mm")


def nile() -> pd.Series:
    """Yearly flow of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres: 100 years.

    Cobb 1978, public domain. Used in chapter 6.
    """
    table = _read("nile.csv", index_col="year")
    return table["flow"].astype(float).rename("flow, 10^8 m³")


def factorial_cost() -> pd.DataFrame:
    """Seconds per step of methods for M chains of K states: task, method, K, M, seconds.

    The task is likelihood, smoothing or decoding; of mean field (smoothing) and ICM
    (decoding) it is one sweep. Measured by `benchmarks/factorial_cost.py`. Used in chapter 7.
    """
    return _read("factorial_cost.csv")


def peers() -> pd.DataFrame:
    """Seconds of hmmlib and other libraries at the same tasks, with the same answers.

    size, emission, task, library, seconds (median), first (the first call, which may
    compile). Measured by `benchmarks/peers.py`.
    """
    return _read("peers.csv")


def _read(name: str, **options) -> pd.DataFrame:
    with (files("hmmlib.datasets") / name).open(encoding="utf-8") as file:
        return pd.read_csv(file, **options)
