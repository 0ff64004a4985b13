"""House 2 of UK-DALE in June 2013: its mains and four appliances, minute by minute.

Kelly & Knottenbelt 2015, doi:10.1038/sdata.2015.7, CC BY 4.0; see SOURCES.md. All columns in
watts: mains, kettle, dishwasher, washing_machine, microwave.

The file was prepared by the makers of DeviceScope, who took the mean of each minute and
filled gaps with constants. In this month no such constant shows: the mains stay at one
reading for three minutes at most. An appliance that is off reads exactly 0, and a gap in its
meter may, too: the two cannot be told apart, so nothing is made missing again. The stamps
are those of the file, which names no time zone.
"""

import pandas as pd

from hmmlib.datasets.download import fetch

COMMIT = "8952215536be236f1eeeb618cc75a341afbb4994"
URL = (
    f"https://raw.githubusercontent.com/adrienpetralia/DeviceScope/{COMMIT}"
    "/Data/UKDALE_House2_2013-06.gzip"
)
SHA256 = "bc80e5a2d0e1312070a84eab3bdf18da84c711a3ce32a57c91b46726ab1547e5"
COLUMNS = {
    "Aggregate": "mains",
    "Kettle": "kettle",
    "Dishwasher": "dishwasher",
    "WashingMachine": "washing_machine",
    "Microwave": "microwave",
}


def fetch_ukdale(progressbar: bool = True) -> pd.DataFrame:
    """The 43,200 minutes of June 2013, none missing; five columns in watts.

    The first call downloads 0.24 MB, checks their SHA-256 and caches them, unless the
    environment variable HMMLIB_DATA names a folder that has the file. Used in chapter 10.

    Args:
        progressbar: whether to show the progress of the download.

    Raises:
        ImportError: without pooch; `pip install "hmmlib[full-data]"` installs it.
        OSError: the file could not be downloaded.
        ValueError: the file is not the one that is expected.
    """
    return read_ukdale(fetch(URL, SHA256, progressbar))


def read_ukdale(path) -> pd.DataFrame:
    """The table of a file that DeviceScope prepared, under the names of `fetch_ukdale`."""
    table = pd.read_csv(
        path, compression="gzip", index_col="Time", parse_dates=["Time"]
    )
    return table.rename(columns=COLUMNS).rename_axis("time").astype(float).asfreq("min")
