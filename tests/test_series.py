"""The real series are the files that SOURCES.md describes, and are read as it says."""

import hashlib
import re
import runpy

import pandas as pd
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from benchmarks.peers import merged
from chapters import ROOT
from hmmlib.datasets import series
from hmmlib.hmm import HMM

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


def test_federal_funds():
    rate = series.federal_funds()
    assert len(rate) == 226 and rate.notna().all() and (rate > 0).all()
    assert [str(quarter) for quarter in rate.index[[0, -1]]] == ["1954Q3", "2010Q4"]
    assert rate.idxmax() == pd.Period("1981Q2") and rate.max() == 17.78


def test_two_means_have_the_likelihood_that_stata_and_statsmodels_print():
    """`mswitch dr fedfunds` in Stata; `test_markov_regression.py` in statsmodels 0.15.0."""
    stay, back = 0.9820939, 0.0503587
    matrix = torch.tensor([[stay, 1 - stay], [back, 1 - back]]).double()
    start = torch.tensor([back, 1 - stay]).double() / (back + 1 - stay)  # stationary
    means = torch.tensor([3.70877, 9.556793]).double()
    scale = torch.tensor(4.4418176).double().sqrt()
    regimes = HMM(start, matrix, Normal(means, scale.repeat(2)))
    found = regimes.log_likelihood(series.federal_funds())
    assert abs(found - -508.63592) < 1e-5


def test_factorial_cost():
    cost = series.factorial_cost()
    assert list(cost.columns) == ["task", "method", "K", "M", "seconds"]
    assert (cost["seconds"] > 0).all()
    assert not cost.duplicated(["task", "method", "K", "M"]).any()
    methods = cost.groupby("task")["method"].agg(set).to_dict()
    assert methods == {
        "likelihood": {"factored", "flat", "Pyro"},
        "smoothing": {"factored", "flat", "mean field"},
        "decoding": {"factored", "flat", "ICM"},
    }
    most = cost.groupby("method")["M"].max()
    assert (most.drop("flat") == most.max()).all() and most["flat"] < most.max()


def test_what_is_timed_for_a_task_answers_that_task():
    """The exact methods agree, and the table holds what the script times."""
    script = runpy.run_path(str(ROOT / "benchmarks/factorial_cost.py"))
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = script["appliances"](2)
        x = model.sample(15, seed=0).observations
        calls = script["methods"](model, x)
        results = {name: call() for name, (call, _) in calls.items()}
    finally:
        torch.set_default_dtype(dtype)
    script["check_same_answers"](results)
    cost = series.factorial_cost()
    assert set(results) == set(zip(cost["task"], cost["method"], strict=True))

    joint = results["smoothing", "flat"].smoothed_probs.reshape(15, 3, 3)
    for m, probs in enumerate(results["smoothing", "factored"].smoothed_probs):
        assert_close(probs, joint.sum(dim=2 - m))
        assert results["smoothing", "mean field"][m].shape == probs.shape
    best = results["decoding", "factored"].states
    assert results["decoding", "ICM"].states.shape == best.shape == (15, 2)


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
