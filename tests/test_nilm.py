"""Appliances are learned from their own meters, and found again in a simulated house."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from houses import PARTS, a_house, simulated

from hmmlib import nilm
from hmmlib.nilm import REST, House


def test_a_house_is_learned_from_its_sub_meters_and_split_again():
    true_house = a_house()
    mains, truth = simulated(true_house, 5000, seed=1)
    table = truth.clip(lower=0.0).assign(mains=mains)
    house = nilm.learn_house(table, {"kettle": 2, "heater": 2, REST: 3})
    assert house.names == ["kettle", "heater", REST]
    assert house.step == pd.Timedelta("1min")
    for name, (mean, moves) in PARTS.items():
        learned = house.appliances[name]
        assert torch.allclose(learned.emission.loc, mean.double(), atol=25)
        assert torch.allclose(learned.transition_matrix, moves.double(), atol=0.05)

    new_mains, new_truth = simulated(true_house, 3000, seed=2, start="2026-03-02")
    found = nilm.disaggregate(house, new_mains)
    assert found.index.equals(new_mains.index)
    scores = nilm.appliance_metrics(found, new_truth, on_watts=500)
    assert (scores["F1"] > 0.97).all() and (scores["MAE"] < 30).all()
    assert nilm.house_metrics(found, new_truth).min() > 0.95


def test_noise_is_that_of_all_chains_and_no_finer_than_the_steps():
    mains, truth = simulated(a_house(scale=1.0), 2000, seed=3)
    coarse = (truth / 60).round() * 60
    table = coarse.clip(lower=0.0).assign(mains=mains)
    house = nilm.learn_house(
        table, {"kettle": 2, "heater": 2}, resolution=60.0, floor=0.0
    )
    rounding = 60 / math.sqrt(12)
    assert torch.allclose(
        house.model.emission.scale,
        torch.full((2, 2), math.sqrt(2) * rounding).double(),
        rtol=1e-3,
    )


def counted(on):
    """A[off, on] and A[on, off], counted in one sequence of truth values."""
    left, entered = on[:-1], on[1:]
    return (entered & ~left).sum() / (~left).sum(), (left & ~entered).sum() / left.sum()


@pytest.mark.parametrize(
    ("step", "hours"), [("15min", 4), ("1h", 4), ("6h", 6), ("1D", 24)]
)
def test_an_appliance_that_always_starts_at_midnight_can_start(step, hours):
    """On from 0 o'clock on, each day; at one reading a day, on each third day."""
    index = pd.date_range("2024-01-01", periods=28 * 24 * 4, freq="15min")
    index = index[:: pd.Timedelta(step) // pd.Timedelta("15min")]
    on = (index.hour < hours) & ((step != "1D") | (index.day % 3 == 0))
    noise = np.random.default_rng(0).normal(0, 10, len(index))
    power = pd.Series(np.where(on, 2000 + noise, 0.0), index)
    learned = nilm.learn_appliance(power, 2)
    turned_on, turned_off = counted(on)
    if step == "15min":
        assert turned_on == 27 / (28 * 80 - 1)  # by hand: no move from the last
    assert np.isclose(learned.transition_matrix[0, 1], turned_on, rtol=1e-2)
    assert np.isclose(learned.transition_matrix[1, 0], turned_off, rtol=1e-2)
    house = House({"boiler": learned}, index.freq)
    found = nilm.disaggregate(house, power)
    assert nilm.energy_kwh(found)["boiler"] == pytest.approx(
        nilm.energy_kwh(power), rel=1e-2
    )


def test_a_gap_is_missing_and_no_move():
    """On before a gap of nine days and off behind it: one fall in what was seen."""
    power = pd.Series(0.0, pd.date_range("2024-01-01", periods=1000, freq="h"))
    power.iloc[200:400], power.iloc[600:700] = 1500.0, 1500.0
    gapped = power.drop(power.index[300:500])
    for each in (gapped, gapped.asfreq("h")):
        moves = nilm.learn_appliance(each, 2).transition_matrix
        assert np.isclose(moves[1, 0], 2 / 300, atol=2e-3)
        assert np.isclose(moves[0, 1], 2 / 700, atol=2e-3)


@pytest.mark.parametrize("on_first", [True, False])
def test_a_start_that_was_seen_stays_possible(on_first):
    """Switched once, and never back: the chain would be in one state in the long run."""
    on = (np.arange(600) < 200) == on_first
    power = pd.Series(
        np.where(on, 800.0, 0.0), pd.date_range("2024", periods=600, freq="min")
    )
    learned = nilm.learn_appliance(power, 2)
    share = on.mean()
    assert np.allclose(learned.initial_probs, [1 - share, share], atol=1e-3)
    found = nilm.disaggregate(House({"a": learned}, "1min"), power)
    assert np.allclose(found["a"], power, atol=1.0)
    back = nilm.disaggregate(
        House({"a": learned}, "1min"), power.iloc[::-1].set_axis(power.index)
    )
    assert np.allclose(back["a"], power.iloc[::-1], atol=1.0)  # rare, not forbidden


def a_kettle(seed=0, num_days=7):
    """Watts every 8 seconds, as in REFIT: exact zeros, a trickle now and then, 3 minutes on.

    The first and the last reading of a run are averages over a part of it.
    """
    rng = np.random.default_rng(seed)
    index = pd.date_range("2014-03-01", periods=num_days * 10_800, freq="8s")
    watts = np.where(
        rng.random(len(index)) < 0.005, rng.integers(1, 31, len(index)), 0.0
    )
    for start in rng.integers(0, len(index) - 30, 6 * num_days):
        watts[start : start + 22] = np.round(rng.normal(2900, 30, 22))
        watts[[start, start + 21]] = np.round(rng.uniform(300, 2900, 2))
    return pd.Series(watts, index)


def test_on_is_on_and_off_keeps_its_trickle():
    """Without a floor "off" shrinks onto 0, and "on" is 1131 +- 1161 W with each trickle."""
    kettle = a_kettle()
    on = kettle[kettle > 100]
    off, turned_on = kettle[kettle < 100], counted((kettle > 100).to_numpy())[0]
    climbed = nilm.learn_appliance(kettle, 2, num_iters=100, floor=15.0)
    assert np.allclose(climbed.emission.loc, [off.mean(), on.mean()], atol=1)
    assert np.allclose(climbed.emission.scale, [15.0, on.std()], atol=1)
    assert np.isclose(climbed.transition_matrix[0, 1], turned_on, rtol=0.01)

    learned = nilm.learn_appliance(kettle, 2)
    half = learned.emission.loc.mean().item()  # clusters compare levels by difference
    on = kettle[kettle > half]
    assert np.allclose(learned.emission.loc, [off.median(), on.median()], atol=1)
    turned_on, turned_off = counted((kettle > half).to_numpy())
    moves = learned.transition_matrix
    assert np.allclose([moves[0, 1], moves[1, 0]], [turned_on, turned_off], rtol=1e-3)
    narrow = nilm.learn_appliance(kettle[kettle < 300], 2, floor=10.0)
    assert np.isclose(narrow.emission.scale[0], 10.0)


def test_levels_come_in_the_order_of_their_watts():
    rng = np.random.default_rng(1)
    level = np.repeat(rng.permutation(np.tile([0.0, 60.0, 700.0, 2000.0], 30)), 15)
    power = pd.Series(
        level + rng.uniform(0, 5, len(level)),
        pd.date_range("2024", periods=len(level), freq="min"),
    )
    for knee in (60.0, np.inf):
        means = nilm.learn_appliance(power, 4, knee=knee).emission.loc
        assert np.allclose(means, [2.5, 62.5, 702.5, 2002.5], atol=2)


@pytest.mark.parametrize("num_states", [2, 3])
def test_a_sentinel_is_missing_and_spoils_nothing(num_states):
    rng = np.random.default_rng(2)
    on = np.arange(2000) // 50 % 8 == 0
    clean = pd.Series(
        np.where(on, 1200.0, 0.0) + rng.uniform(0, 10, 2000),
        pd.date_range("2024-01-01", periods=2000, freq="min"),
        name="toaster",
    )
    spoilt = clean.copy()
    spoilt.iloc[[137, 1400]] = 65535.0
    blank = spoilt.mask(spoilt > 60_000)
    with pytest.warns(
        UserWarning, match="2 readings of 'toaster' far above .* 65,535 W at"
    ):
        learned = nilm.learn_appliance(spoilt, num_states)
    as_blank = nilm.learn_appliance(blank, num_states)
    assert torch.equal(learned.emission.loc, as_blank.emission.loc)
    assert np.isclose(learned.emission.loc[-1], clean[on].mean(), atol=3)
    table = pd.DataFrame({"mains": clean + 300.0, "toaster": spoilt})
    with pytest.warns(UserWarning, match="'toaster'"):
        house = nilm.learn_house(table, {"toaster": 2, REST: 1})
    assert np.isclose(house.appliances[REST].emission.loc, 300.0)


def test_the_large_load_of_a_charger_is_no_sentinel():
    watts = np.where(np.arange(2000) % 500 < 30, 11_000.0, 0.0)
    power = pd.Series(watts, pd.date_range("2024", periods=2000, freq="min"))
    for each in (power, power.iloc[:1001:500].asfreq("min", fill_value=0.0)):  # seldom
        assert nilm.learn_appliance(each, 2).emission.loc.tolist() == [0.0, 11_000.0]


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_a_rest_of_nearly_nothing_is_learned(noise):
    """Everything has a meter, and the mains differ by their noise and one per cent."""
    _, truth = simulated(a_house(), 2000, seed=0)
    table = truth[["kettle", "heater"]].clip(lower=0.0)
    off = np.random.default_rng(0).normal(0, noise, len(table))
    table["mains"] = (0.99 * table.sum(axis=1) + off).clip(lower=0.0)
    states = {"kettle": 2, "heater": 2, REST: 1}
    assert nilm.learn_house(table, states).appliances[REST].emission.loc < 3 * noise
    for wrong in (table["mains"] / 1000, table["mains"].shift(3)):
        with pytest.raises(
            ValueError, match=r"more than .* the units and the clocks the same"
        ):
            nilm.learn_house(table.assign(mains=wrong), states)


def test_what_cannot_be_learned_from_is_named_by_its_column():
    mains, truth = simulated(a_house(), 600, seed=0)
    good = truth.clip(lower=0.0).assign(mains=mains)
    counter = (23622.0 + good["kettle"].cumsum() / 60_000).round(3)
    for column, values, message in (
        ("kettle", 0.0, r"'kettle'.*too few different readings, only \[0.0\] W"),
        ("kettle", 7.0, r"'kettle'.*too few different readings, only \[7.0\] W"),
        ("heater", np.nan, "'heater'.*every reading is missing"),
        ("mains", np.nan, "'mains'.*every reading is missing"),
        ("heater", "off", "'heater'.*needs numbers"),
        ("heater", -3.0, "'heater'.*negative"),
        ("kettle", counter, r"'kettle'.*as a register does.*\.diff"),
    ):
        num_states = {"kettle": 2, "heater": 2, REST: 3}
        with pytest.raises(ValueError, match=f"^table, {message}"):
            nilm.learn_house(good.assign(**{column: values}), num_states)
    with pytest.raises(ValueError, match=r"'kettle': 1 stamps.*table\[~table.index"):
        nilm.learn_house(good.iloc[[0, 0, 1]], {"kettle": 2})


def test_mains_that_stop_at_a_highest_value_are_noticed():
    mains, truth = simulated(a_house(), 3000, seed=1)
    table = truth.clip(lower=0.0).assign(mains=mains.clip(lower=0.0))
    states = {"kettle": 2, REST: 2}
    nilm.learn_house(table, states)  # without a warning
    limit = table["mains"].quantile(0.98)
    table["mains"] = table["mains"].clip(upper=limit)
    with pytest.warns(
        UserWarning, match=f"60 readings of 'mains' equal.*{limit:,.0f} W"
    ):
        nilm.learn_house(table.assign(kettle=table["kettle"].clip(upper=limit)), states)
