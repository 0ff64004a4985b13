"""The filter that one takes along answers as the library does, and needs nothing else."""

import ast
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from houses import a_house, simulated
from numpy.testing import assert_allclose
from torch.distributions import Laplace, Normal

from hmmlib import nilm, storage
from hmmlib.hmm import HMM
from hmmlib.nilm import House, live_filter

FILE = Path(live_filter.__file__)
NAN = math.nan
NAMES = ["Spülmaschine", "laundry", nilm.REST]


def odd_house():
    """Chains of 2, 3, 1 and 4 states, levels out of order, moves in a circle."""
    g, appliances = torch.Generator().manual_seed(4), {}
    for name, size in {"kettle": 2, "laundry": 3, "Grundlast": 1, "rest": 4}.items():
        start, moves = (
            0.05 + torch.rand(*shape, size, generator=g, dtype=torch.float64)
            for shape in ((), (size,))
        )
        if name == "laundry":  # off, heating, spinning, off
            start = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
            moves *= torch.eye(3) + torch.eye(3).roll(1, 1)
        levels = torch.randperm(size, generator=g).double() * 731.3
        spreads = 5 + 40 * torch.rand(size, generator=g, dtype=torch.float64)
        moves = moves / moves.sum(1, keepdim=True)
        appliances[name] = HMM(start / start.sum(), moves, Normal(levels, spreads))
    return House(appliances, "1min")


def learned_house():
    table = nilm.simulate(a_house(), 2000, seed=0).clip(lower=0)
    table.columns = NAMES
    mains = table.sum(axis=1)
    return nilm.learn_house(table.assign(mains=mains), dict.fromkeys(NAMES, 3))


def readings_of(house):
    """Two hours of its own, with gaps and a reading that nothing in it draws."""
    mains, _ = simulated(house, 120, seed=1)
    mains.iloc[[0, 40, 41, 42]] = NAN
    mains.iloc[80] = 9000.0
    return mains.tolist()


@pytest.fixture(scope="module", params=[odd_house, learned_house])
def house(request):
    return request.param()


@pytest.fixture
def saved(house, tmp_path):
    house.save(tmp_path / "house.json")
    return tmp_path / "house.json"


@pytest.mark.parametrize("lag", [0, 4])
def test_it_answers_as_the_library_does(house, saved, lag):
    live = live_filter.LiveFilter(live_filter.read_house(saved), lag)
    meter = nilm.LiveMeter(house, lag)
    for watts in readings_of(house):
        live.observe(watts)
        meter = meter.observe(watts)
        found = pd.DataFrame(live.watts()).T
        assert list(found.index) == house.names
        assert_allclose(found["mean"], meter.lagged_watts["mean"], rtol=1e-12)
        assert found["median"].equals(meter.lagged_watts["median"])


def test_what_is_said_after_the_fact_is_the_smoother(saved, house):
    x = readings_of(house)[1:30]
    live = live_filter.LiveFilter(live_filter.read_house(saved), lag=28)
    for watts in x:
        live.observe(watts)
    smoothed = house.model.smooth(x).smoothed_probs
    means = [
        (probs[0] @ hmm.emission.loc).item()
        for probs, hmm in zip(smoothed, house.appliances.values(), strict=True)
    ]
    assert_allclose(pd.DataFrame(live.watts()).loc["mean"], means, rtol=1e-10)


def test_the_file_alone_answers_lines_with_lines(saved, house, tmp_path):
    alone = tmp_path / "elsewhere" / "live_filter.py"
    alone.parent.mkdir()
    shutil.copy(FILE, alone)
    lines = "310\n\nnan\n-4\ntwelve\n1e200\n950.5\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", alone, saved, "0"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 7 and not done.stderr
    meter, expected = nilm.LiveMeter(house, 0), []
    for watts in (310.0, NAN, NAN, NAN, NAN, NAN, 950.5):
        meter = meter.observe(watts)
        expected.append(meter.watts["mean"])
    for k in (0, 1, 2, 6):
        found = pd.DataFrame(answers[k]).loc["mean"]
        assert_allclose(found, expected[k], rtol=1e-12)
    errors = [answers[k]["error"] for k in (3, 4, 5)]
    assert errors[0] == "got -4, needs a finite number of watts from 0 on"
    assert "'twelve'" in errors[1]
    assert errors[2] == "got 1e+200, which this house cannot draw"


def test_it_is_short_and_imports_the_standard_library():
    source = FILE.read_text("utf-8")
    assert len(source.splitlines()) <= 150
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [
                getattr(node, "module", None) or alias.name for alias in node.names
            ]
            assert set(names) <= sys.stdlib_module_names


def changed(text, **given):
    return json.dumps(json.loads(text) | given)


DAMAGES = {
    "a digit": (lambda text: text.replace("0.0", "0.1", 1), "was changed after it"),
    "half of it": (lambda text: text[: len(text) // 2], "no house that can be read"),
    "no file of ours": (lambda text: "{}", "no house that can be read"),
    "another format": (lambda text: changed(text, format="x"), "holds a House of x"),
    "a later one": (
        lambda text: changed(text, version=2),
        "version 2, needs at most 1",
    ),
    "another kind": (lambda text: changed(text, kind="HMM"), "holds a HMM"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_as_it_was_written_is_refused(tmp_path, damage):
    path, (spoil, words) = tmp_path / "house.json", DAMAGES[damage]
    a_house().save(path)
    path.write_text(spoil(path.read_text("utf-8")), "utf-8")
    with pytest.raises(ValueError, match=words):
        live_filter.read_house(path)
    with pytest.raises(ValueError, match="path: "):  # and so does the library
        House.load(path)


def test_other_watts_than_normal_are_refused(tmp_path):
    hmm = HMM([1.0], [[1.0]], Laplace(torch.zeros(1), torch.ones(1)))
    content = {"appliances": {"fan": hmm.content()}, "step_seconds": 60.0}
    storage.save(tmp_path / "fan.json", "House", content)
    with pytest.raises(ValueError, match="fan: needs watts that are Normal"):
        live_filter.read_house(tmp_path / "fan.json")


def test_what_is_refused_is_not_taken(saved, house):
    live = live_filter.LiveFilter(live_filter.read_house(saved), lag=2)
    live.observe(300.0)
    before = live.watts()
    for wrong in (-1.0, math.inf, 1e200):
        with pytest.raises(ValueError, match="got "):
            live.observe(wrong)
    assert live.watts() == before
    live.observe(310.0)
    expected = nilm.LiveMeter(house, 2).observe(300.0).observe(310.0).lagged_watts
    assert_allclose(
        pd.DataFrame(live.watts()).loc["mean"], expected["mean"], rtol=1e-12
    )
