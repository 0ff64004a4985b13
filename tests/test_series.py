"""The real series are the files that SOURCES.md describes, and are read as it says."""

import hashlib
import re

import pandas as pd

from benchmarks.peers import merged
from chapters import ROOT
from hmmlib.datasets import series

FOLDER = ROOT / "hmmlib/datasets"


def test_files_are_the_ones_described():
    described = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+)`.*`([0-9a-f]{64})` \|$", described, flags=re.M)
    assert {name for name, _ in rows} == {path.name for path in FOLDER.glob("*.csv*")}
    for name, checksum in rows:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == checksum


def test_seattle_rain():
    rain = series.seattle_rain()
    assert len(rain) == 1461 and rain.notna().all() and (rain >= 0).all()
    assert (rain.index.to_series().diff()[1:].dt.days == 1).all()
    assert [str(day.date()) for day in rain.index[[0, -1]]] == [
        "2012-01-01",
        "2015-12-31",
    ]
    assert rain.loc["2012-01-02"] == 10.9


def test_nile():
    flow = series.nile()
    assert flow.index.tolist() == list(range(1871, 1971)) and flow.notna().all()
    assert flow.loc[1871] == 1120 and flow.loc[1970] == 740
    assert flow.loc[:1898].mean() > 1090 and flow.loc[1899:].mean() < 860


def test_factorial_cost():
    cost = series.factorial_cost()
    assert list(cost.columns) == ["method", "K", "M", "seconds"]
    assert (cost["seconds"] > 0).all() and not cost.duplicated(
        ["method", "K", "M"]
    ).any()


def test_peers():
    table = series.peers()
    assert list(table.columns) == [
        "size", "emission", "task", "library", "seconds", "first",
    ]  # fmt: skip
    assert (table["seconds"] > 0).all()
    assert not table.duplicated(["size", "emission", "task", "library"]).any()
    ours = (
        table[table["library"] == "hmmlib"].groupby(["size", "emission", "task"]).size()
    )
    assert len(ours) == len(table.groupby(["size", "emission", "task"]))


def test_a_part_measured_again_replaces_its_own_rows_only():
    def table(*rows):
        return pd.DataFrame(rows, columns=["size", "emission", "library", "seconds"])

    stored = table(
        ("K2", "categorical", "hmmlib", "1"),
        ("4^4", "factorial", "hmmlib", "2"),
        ("4^4", "factorial", "hmmlearn", "3"),
        ("K2", "story", "hmmlib", "4"),
    )
    fresh = table(
        ("4^4", "factorial", "hmmlib", "5"),
        ("4^4", "factorial", "hmmlib flat", "6"),
        ("2^8", "factorial", "hmmlib", "7"),
    )
    assert merged(stored, fresh)["seconds"].tolist() == ["1", "5", "6", "4", "7"]
    assert merged(stored[:0], fresh).equals(fresh)
