"""Rebuild {seattle_rain,nile,federal_funds}.csv from the packages that publish them.

    pip download --no-deps vega_datasets==0.9.0 statsmodels==0.15.0 -d wheels
    python scripts/rebuild_series.py wheels

The wheels are opened as archives; nothing in them is imported or run.
"""

import ast
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import pandas as pd

TARGET = Path(__file__).parents[1] / "hmmlib/datasets"
RATES = "statsmodels/tsa/regime_switching/tests/test_markov_regression.py"


def member(wheels: Path, package: str, name: str) -> io.BytesIO:
    """A file out of a wheel."""
    (wheel,) = wheels.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return io.BytesIO(archive.read(name))


def assigned(file: io.BytesIO, name: str) -> list[float]:
    """The list of numbers that a Python file binds to a name."""
    for node in ast.parse(file.read()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise ValueError(f"name: got {name!r}, needs one that the file binds")


def main(wheels: Path) -> None:
    rain = pd.read_csv(
        member(wheels, "vega_datasets", "vega_datasets/_data/seattle-weather.csv")
    )
    rain["date"] = rain["date"].str.replace("/", "-")
    nile = pd.read_csv(
        member(wheels, "statsmodels", "statsmodels/datasets/nile/nile.csv")
    )
    rates = assigned(member(wheels, "statsmodels", RATES), "fedfunds")
    quarters = pd.period_range("1954Q3", periods=len(rates), freq="Q")
    for name, table in (
        ("seattle_rain", rain[["date", "precipitation"]]),
        ("nile", nile.astype(int).rename(columns={"volume": "flow"})),
        ("federal_funds", pd.DataFrame({"quarter": quarters, "rate": rates})),
    ):
        path = TARGET / f"{name}.csv"
        table.to_csv(path, index=False, lineterminator="\n")
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
