"""Intervals for the energy of a day: their width, and whether they hold on other days."""

import numpy as np
import pandas as pd
import pytest
from houses import a_house, simulated

from hmmlib import nilm
from hmmlib.nilm import REST

STATES = {"kettle": 2, "heater": 2, REST: 3}


def a_table(num_days: int, seed: int) -> pd.DataFrame:
    mains, truth = simulated(a_house(), 1440 * num_days, seed=seed)
    return truth.clip(lower=0.0).assign(mains=mains.clip(lower=0.0))


def test_an_interval_is_the_mean_and_its_normal_quantiles():
    house, table = a_house(), a_table(2, seed=1)
    found = nilm.energy_intervals(house, table["mains"], level=0.8)
    moments = nilm.energy_moments(house, table["mains"], by="D")
    assert found.index.equals(moments.index) and len(found) == 2 * len(house.names)
    half = 1.2815515655446004 * np.sqrt(moments["variance"])  # the normal's 90 % point
    assert np.allclose(found["high"], moments["mean"] + half)
    assert np.allclose(found["low"], (moments["mean"] - half).clip(lower=0))


def test_a_widened_interval_is_as_wide_as_the_table_says():
    house, table = a_house(), a_table(2, seed=1)
    given = pd.DataFrame({"factor": [3.0], "least_kwh": [0.5]}, index=["kettle"])
    found = nilm.energy_intervals(house, table["mains"], nilm.Widening(0.9, given))
    raw = nilm.energy_intervals(house, table["mains"], level=0.9)
    moments = nilm.energy_moments(house, table["mains"], by="D").xs("kettle", level=1)
    half = 3 * np.sqrt(moments["variance"] + 0.25)
    assert np.allclose(found.xs("kettle", level=1)["high"], moments["mean"] + half)
    assert found.xs("heater", level=1).equals(raw.xs("heater", level=1))


def test_widened_intervals_hold_on_days_that_were_not_seen():
    """On houses whose meter shows too much: their raw intervals miss, widened ones hold."""
    table = a_table(9, seed=2)
    factors = np.repeat(np.random.default_rng(2).uniform(0.97, 1.03, 9), 1440)
    table["mains"] *= factors
    widening = nilm.learn_widening(table, STATES, level=0.8)
    assert list(widening.table.index) == ["kettle", "heater"]
    assert widening.table["widened"].between(0.6, 1).all()

    new = a_table(30, seed=3)
    new["mains"] *= np.repeat(np.random.default_rng(3).uniform(0.97, 1.03, 30), 1440)
    house = nilm.learn_house(table, STATES)
    days = new.index.normalize()
    for name in ("kettle", "heater"):
        true = new[name].groupby(days).apply(nilm.energy_kwh).to_numpy()
        held = {}
        for kind, given in (("raw", None), ("widened", widening)):
            found = nilm.energy_intervals(house, new["mains"], given, level=0.8)
            found = found.xs(name, level=1)
            held[kind] = ((found["low"] <= true) & (true <= found["high"])).mean()
        assert held["raw"] <= held["widened"]
        assert held["widened"] >= 0.65


def test_folds_need_days():
    with pytest.raises(
        ValueError, match="2 days, needs one or more for each of 3 folds"
    ):
        nilm.learn_widening(a_table(2, seed=1), STATES)
