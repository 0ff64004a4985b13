"""Scores of held-out days, whose energy was taken for whose, and intervals over days."""

import numpy as np
import pandas as pd
import pytest
import torch
from houses import simulated
from torch.distributions import Normal

from hmmlib import HMM, nilm
from hmmlib.nilm import REST, House


def lamp(watts: float, stay: float = 0.97) -> HMM:
    moves = torch.tensor([[0.99, 0.01], [1 - stay, stay]], dtype=torch.float64)
    levels = torch.tensor([0.0, watts], dtype=torch.float64)
    even = torch.tensor([0.5, 0.5], dtype=torch.float64)
    return HMM(even, moves, Normal(levels, torch.full_like(levels, 5.0)))


def table_of(*watts: float, num_days: int = 6) -> pd.DataFrame:
    house = House({f"lamp {n}": lamp(w) for n, w in enumerate(watts)}, "10min")
    mains, truth = simulated(house, 144 * num_days, seed=1)
    return truth.clip(lower=0.0).assign(mains=mains.clip(lower=0.0))


def stamps(num: int) -> pd.DatetimeIndex:
    return pd.date_range("2026-03-01", periods=num, freq="12h")


def test_scores_are_those_of_each_column():
    truth = pd.DataFrame({"a": [100.0, 0, 0, 0], "b": [0.0, 0, 50, 50]}, stamps(4))
    found = pd.DataFrame({"a": [60.0, 0, 40, 0], "b": [0.0, 0, 50, 0]}, stamps(4))
    scores = nilm.energy_scores(found, truth)
    assert np.allclose(scores, [1 - 80 / 200, 1 - 50 / 200])
    assert np.allclose(nilm.energy_scores(0 * truth, truth), 0.5)


def test_energy_that_is_taken_adds_up():
    """By hand: of a's 100 W, 60 stayed, 30 went to b, which has 30 too much, 10 to the rest."""
    truth = pd.DataFrame({"a": [100.0, 0], "b": [20.0, 40]}, stamps(2))
    found = pd.DataFrame({"a": [60.0, 0], "b": [50.0, 40], REST: [9.0, 9]}, stamps(2))
    taken = nilm.energy_taken(found, truth)
    assert list(taken.columns) == ["a", "b", REST]
    assert np.allclose(taken.loc["a"], [0.6, 0.3, 0.1])
    assert np.allclose(taken.loc["b"], [0, 1, 0])


def test_an_appliance_that_cannot_be_told_apart_is_named():
    table = table_of(60.0, 61.0, 2000.0)
    with pytest.warns(UserWarning, match="'lamp 1' and 'lamp 0': cannot be told apart"):
        judged = nilm.judge_held_out(table, dict.fromkeys(table.columns[:3], 2))
    assert judged.scores["lamp 2"] > 0.95 > 0.8 > judged.scores["lamp 1"]


def test_an_appliance_that_the_rest_swallows_is_named():
    table = table_of(8.0, 2000.0)
    random = np.random.default_rng(1)
    table["mains"] += 300 * (random.random(len(table)) < 0.5) + random.normal(
        60, 20, len(table)
    ).clip(0)
    with pytest.warns(UserWarning, match="'lamp 0'.*'rest', which swallows it"):
        judged = nilm.judge_held_out(table, {"lamp 0": 2, "lamp 1": 2, REST: 3})
    assert judged.scores["lamp 1"] > 0.95
    assert judged.taken.loc["lamp 0", REST] > 0.5


def test_houses_that_do_well_are_judged_without_a_word():
    judged = nilm.judge_held_out(table_of(60.0, 2000.0), {"lamp 0": 2, "lamp 1": 2})
    assert judged.score > 0.98 and judged.scores.min() > 0.9
    with pytest.raises(ValueError, match="1 days, needs two or more"):
        nilm.judge_held_out(table_of(60.0, num_days=1), {"lamp 0": 2})


def test_numbers_of_states_are_chosen_by_what_held_out_days_say():
    """Three levels need three states; a fourth one gains nothing that counts."""
    table = table_of(60.0, 700.0)
    table["lamp 0"] += table["lamp 1"]  # 0, 60, 700 or 760 W
    table = table.drop(columns="lamp 1")
    chosen = nilm.choose_num_states(table, {"lamp 0": [2, 4]})
    assert chosen.num_states == {"lamp 0": 4}
    assert list(chosen.table.columns) == ["lamp 0", "score"]
    assert chosen.table["score"].is_monotonic_increasing
    assert nilm.choose_num_states(table, {"lamp 0": [4, 2]}).num_states == {"lamp 0": 4}
    with pytest.raises(ValueError, match="got none, needs at least one"):
        nilm.choose_num_states(table, {"lamp 0": []})


def test_an_interval_over_days_is_that_of_the_mean_of_days():
    """Of a mean over independent days, about 1.645 standard errors to each side."""
    index = pd.date_range("2026-03-01", periods=60 * 4, freq="6h")
    daily = np.random.default_rng(1).normal(10, 3, 60)
    truth = pd.DataFrame({"a": np.repeat(daily, 4)}, index)
    found = nilm.day_bootstrap(lambda x: x.mean(), truth, num_draws=2000, seed=1)
    error = 1.645 * daily.std() / 60**0.5
    assert np.allclose(found.loc["a", "value"], daily.mean())
    assert np.allclose(found["high"] - found["low"], 2 * error, rtol=0.1)
    again = nilm.day_bootstrap(lambda x: x.mean(), truth, num_draws=2000, seed=1)
    assert found.equals(again)


def test_an_interval_needs_days_and_equal_stamps():
    truth = pd.DataFrame({"a": [1.0, 2.0]}, stamps(2))
    with pytest.raises(ValueError, match="got one day"):
        nilm.day_bootstrap(nilm.energy_scores, truth, truth)
    truth = pd.DataFrame({"a": np.ones(6)}, stamps(6))
    with pytest.raises(ValueError, match="other stamps than truth"):
        nilm.day_bootstrap(nilm.energy_scores, truth, truth.shift(freq="1h"))
