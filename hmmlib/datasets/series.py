"""Three series and two tables of measured times; sources are in SOURCES.md."""

from importlib.resources import files

import pandas as pd


def seattle_rain() -> pd.Series:
    """Daily rain at Seattle-Tacoma airport, 2012 to 2015, in mm: 1,461 days.

    NOAA, public domain. Used in chapters 5 and 9.

    Example:
        >>> seattle_rain()["2012-01-02"].item()
        10.9
    """
    table = _read("seattle_rain.csv", parse_dates=["date"])
    return table.set_index("date")["precipitation"].rename("rain, mm")


def nile() -> pd.Series:
    """Yearly flow of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres: 100 years.

    Cobb 1978, public domain. Used in chapter 6.

    Example:
        >>> nile()[1871].item()
        1120.0
    """
    table = _read("nile.csv", index_col="year")
    return table["flow"].astype(float).rename("flow, 10^8 m³")


def federal_funds() -> pd.Series:
    """The federal funds rate, a quarter's mean, 1954 Q3 to 2010 Q4, in %: 226 quarters.

    Board of Governors of the Federal Reserve System, public domain. Used in chapters 3, 4
    and 9.

    Example:
        >>> federal_funds()["1981Q2"].item()
        17.78
    """
    table = _read("federal_funds.csv", index_col="quarter")
    quarters = pd.PeriodIndex(table.index, freq="Q")
    return table["rate"].set_axis(quarters).rename("federal funds rate, %")


def factorial_cost() -> pd.DataFrame:
    """Seconds per step of each method for M chains of K states, by task.

    Columns: task (likelihood, smoothing or decoding), method, K, M, seconds. Mean field
    and ICM are iterative; their times are of one sweep. Measured by
    `benchmarks/factorial_cost.py`. Used in chapter 7.

    Example:
        >>> list(factorial_cost().columns)
        ['task', 'method', 'K', 'M', 'seconds']
    """
    return _read("factorial_cost.csv")


def peers() -> pd.DataFrame:
    """Seconds that hmmlib and other libraries take for the same answers, by task.

    Columns: size, emission, task, library, seconds (the median), first (the first call,
    which may include compilation). Measured by `benchmarks/peers.py`.

    Example:
        >>> list(peers().columns)
        ['size', 'emission', 'task', 'library', 'seconds', 'first']
    """
    return _read("peers.csv")


def interval_coverage() -> pd.DataFrame:
    """How often 95 % intervals held the truth that data were simulated from.

    Columns: setting, method, parameter, coverage (the share that held it), monte_carlo_error
    (its standard error), replications, without_interval (of how many there was none),
    called_weak (in how many a warning said that the data hardly bind the parameters).
    Measured by `benchmarks/interval_coverage.py`.

    Example:
        >>> held = interval_coverage().query("method == 'wald'").groupby("setting")
        >>> held["coverage"].min()["two Gaussian states, T = 500"]
        np.float64(0.94)
    """
    return _read("interval_coverage.csv")


def _read(name: str, **options) -> pd.DataFrame:
    """A CSV file of this package as a table; `options` are those of `pd.read_csv`."""
    with (files("hmmlib.datasets") / name).open(encoding="utf-8") as file:
        return pd.read_csv(file, **options)
