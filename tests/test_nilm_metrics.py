"""The baselines are as simple as they say, and the metrics are the field's."""

import math

import numpy as np
import pandas as pd
from houses import a_house, simulated

from hmmlib import nilm


def test_mean_baseline():
    index = pd.date_range("2026-02-02", periods=3, freq="min")
    training = pd.DataFrame({"a": [0.0, 100, np.nan], "b": [5.0, 5, 5]}, index=index)
    guess = nilm.mean_baseline(training, pd.Series(1.0, index=index))
    assert (guess == [50, 5]).all().all() and guess.index.equals(index)


def test_combinatorial_optimisation_is_the_closest_sum():
    house = a_house()
    mains, _ = simulated(house, 200, seed=6)
    mains.iloc[[7, 8]] = np.nan, 0.0
    found = nilm.combinatorial_optimisation(house, mains)
    assert found.iloc[7].isna().all()
    totals = house.model.emission.loc.flatten().numpy()
    seen = mains.notna()
    off = np.abs(found.sum(axis=1) - mains)[seen]
    nearest = np.abs(mains[seen].to_numpy()[:, None] - totals).min(axis=1)
    assert np.allclose(off, nearest)


def test_metrics_by_hand():
    index = pd.date_range("2026-02-02", periods=4, freq="30min")
    truth = pd.DataFrame({"a": [0.0, 100, 100, 0], "b": [50.0, 50, 0, np.nan]}, index)
    guess = pd.DataFrame({"b": [0.0, 50, 0, 9], "a": [0.0, 100, 0, 9]}, index)
    found = nilm.appliance_metrics(guess, truth)
    assert found.index.tolist() == ["a", "b"]
    assert np.allclose(found["MAE"], [100 / 3, 50 / 3])
    assert np.allclose(found["RMSE"], [math.sqrt(1e4 / 3), math.sqrt(2500 / 3)])
    assert np.allclose(found["normalised error"], [0.5, 0.5])
    assert np.allclose(found["F1"], [2 / 3, 2 / 3])
    assert np.allclose(found["kWh"], [0.05, 0.025])
    assert np.allclose(found["true kWh"], [0.1, 0.05])
    house = nilm.house_metrics(guess, truth)
    assert math.isclose(house["energy correctly assigned"], 1 - 150 / 600)
    assert math.isclose(house["fraction assigned"], 1.0)  # blind: 2 to 1 in both
    assert nilm.house_metrics(truth, truth).tolist() == [1.0, 1.0]
    assert nilm.house_metrics(0 * truth, truth).tolist() == [0.5, 0.0]
    assert nilm.appliance_metrics(guess, truth, on_watts=70)["F1"].isna()["b"]
