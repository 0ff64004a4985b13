"""Appliances are found again in a simulated house, and the metrics are the field's."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, Poisson

from hmmlib import nilm
from hmmlib.factorial import path_log_joint
from hmmlib.hmm import HMM
from hmmlib.nilm import REST, House

PARTS = {  # watts of the states, moves
    "kettle": (torch.tensor([0.0, 2000.0]), torch.tensor([[0.98, 0.02], [0.2, 0.8]])),
    "heater": (torch.tensor([0.0, 1000.0]), torch.tensor([[0.99, 0.01], [0.02, 0.98]])),
    REST: (
        torch.tensor([1650.0, 1800.0, 2200.0]),
        torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.9, 0.05], [0.02, 0.08, 0.9]]),
    ),
}


def a_house(scale=40.0):
    """Three chains, and noise of `scale` watts on their sum."""
    appliances = {}
    for name, (mean, moves) in PARTS.items():
        even = torch.full((len(mean),), 1 / len(mean))
        noise = torch.full((len(mean),), scale / math.sqrt(len(PARTS)))
        emission = Normal(mean.double(), noise.double())
        appliances[name] = HMM(even.double(), moves.double(), emission)
    return House(appliances, pd.Timedelta("1min"))


def simulated(house, num_steps, seed, start="2026-02-02"):
    """The mains and what each chain really drew."""
    truth = nilm.simulate(house, num_steps, seed, start)
    return truth.sum(axis=1).clip(lower=0.0), truth


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
    house = nilm.learn_house(table, {"kettle": 2, "heater": 2}, resolution=60.0)
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
    learned = nilm.learn_appliance(kettle, 2)
    assert np.allclose(
        learned.emission.loc, [kettle[kettle < 100].mean(), on.mean()], atol=1
    )
    assert np.allclose(learned.emission.scale, [15.0, on.std()], atol=1)
    turned_on, _ = counted((kettle > 100).to_numpy())
    assert np.isclose(learned.transition_matrix[0, 1], turned_on, rtol=0.01)
    narrow = nilm.learn_appliance(kettle, 2, floor=10.0)
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
        UserWarning, match="2 readings far above .* 65,535 W of 'toaster'"
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
        with pytest.raises(ValueError, match="the units and the clocks the same"):
            nilm.learn_house(table.assign(mains=wrong), states)


def test_what_cannot_be_learned_from_is_named_by_its_column():
    mains, truth = simulated(a_house(), 600, seed=0)
    good = truth.clip(lower=0.0).assign(mains=mains)
    counter = (23622.0 + good["kettle"].cumsum() / 60_000).round(3)
    for column, values, message in (
        ("kettle", 0.0, r"'kettle'.*too few different readings, \[0.0\] W"),
        ("kettle", 7.0, r"'kettle'.*too few different readings, \[7.0\] W"),
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


@pytest.mark.parametrize(
    ("moves", "often"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [2 / 3, 1 / 3]),
        ([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5]),  # alternates
        ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [1 / 3] * 3),
        ([[0.5, 0.5], [0.0, 1.0]], [0.0, 1.0]),  # left for good
        ([[0.2, 0.4, 0.4], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [0.0, 0.5, 0.5]),
        ([[1.0, 1e-30], [3e-30, 1.0]], [0.75, 0.25]),  # nearly never moves
        ([[0.5, 0.5, 1e-30, 0.0], [0.5, 0.5, 0.0, 0.0],
          [3e-30, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5]], [3 / 8, 3 / 8, 1 / 8, 1 / 8]),
        ([[1.0]], [1.0]),
    ],
)  # fmt: skip
def test_the_long_run_is_solved_for(moves, often):
    for dtype in (torch.float64, torch.float32):
        found = nilm.long_run(torch.tensor(moves, dtype=dtype))
        assert found.dtype == dtype and np.allclose(found, often, atol=1e-6)


def test_the_long_run_of_any_chain_stays_as_it_is():
    moves = torch.distributions.Dirichlet(torch.full((7, 7), 0.3).double()).sample()
    often = nilm.long_run(moves)
    assert torch.allclose(often @ moves, often, atol=1e-12)
    assert torch.isclose(often.sum(), torch.ones(()).double())


@pytest.mark.parametrize(
    "moves",
    [torch.eye(2), [[1.0, 0.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]], torch.eye(4)[[1, 0, 3, 2]]],
)  # fmt: skip
def test_a_long_run_that_depends_on_the_start_is_refused(moves):
    with pytest.raises(ValueError, match=r"never leaves any of the states \[\[0"):
        nilm.long_run(moves)


def test_the_answer_is_the_most_probable_path():
    house = a_house()
    mains, truth = simulated(house, 300, seed=4)
    found = nilm.disaggregate(house, mains)
    x = torch.as_tensor(mains.to_numpy(copy=True))

    def score(watts):
        columns = zip(house.names, house.model.emission.chain_means, strict=True)
        states = [(torch.tensor(watts[n].to_numpy(copy=True))[:, None] - m).abs().argmin(1)
                  for n, m in columns]  # fmt: skip
        return path_log_joint(house.model, x, torch.stack(states, dim=1))

    best = house.model.viterbi(x).log_joint
    assert torch.isclose(score(found), best, atol=1e-9)
    assert score(truth) <= best + 1e-9
    assert nilm.disaggregate(house, mains).equals(found)


def test_gaps_are_bridged_and_irregular_stamps_refused():
    house = a_house()
    mains, _ = simulated(house, 400, seed=5)
    blank = mains.copy()
    blank.iloc[100:103] = np.nan
    left_out = mains.drop(mains.index[100:103])
    with_nan, without = (nilm.disaggregate(house, each) for each in (blank, left_out))
    assert len(with_nan) == 400 and len(without) == 397 and with_nan.notna().all().all()
    assert with_nan.drop(mains.index[100:103]).equals(without)
    energy = nilm.sample_energy(house, left_out, 3, seed=0)
    assert energy.equals(nilm.sample_energy(house, blank, 3, seed=0))

    for wrong in (mains.iloc[::2], mains.sample(frac=1, random_state=0)):
        with pytest.raises(ValueError, match=r"apart, needs 0 days 00:01|back in time"):
            nilm.disaggregate(house, wrong)


def test_intervals_cover_what_they_promise_when_the_model_is_right():
    """Of 3 x 40 energies about 90 % lie in the 90 % interval: 108, spread 3.3 or more."""
    house = a_house(scale=400.0)  # hard to tell: wide intervals
    covered = []
    for seed in range(40):
        mains, truth = simulated(house, 240, seed)
        energy = nilm.sample_energy(house, mains, 200, seed)
        low, high = energy.quantile([0.05, 0.95]).to_numpy()
        true = nilm.energy_kwh(truth).to_numpy()
        covered += list((low <= true) & (true <= high))
        assert (high - low > 0).any()
    assert 96 <= sum(covered) <= 119


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


def test_mean_baseline():
    index = pd.date_range("2026-02-02", periods=3, freq="min")
    training = pd.DataFrame({"a": [0.0, 100, np.nan], "b": [5.0, 5, 5]}, index=index)
    guess = nilm.mean_baseline(training, pd.Series(1.0, index=index))
    assert (guess == [50, 5]).all().all() and guess.index.equals(index)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h, m, t: nilm.learn_house(t, {"oven": 2}), r"no column for \['oven'\]"),
        (lambda h, m, t: nilm.learn_house(t, {REST: 2}), "no column for"),
        (lambda h, m, t: nilm.learn_appliance(t["kettle"] * 0, 2), "too few different"),
        (lambda h, m, t: nilm.learn_appliance(t["kettle"], 0), "num_states: got 0"),
        (lambda h, m, t: House({}, h.step), "appliances: got none"),
        (lambda h, m, t: House({"a": HMM([1.0], [[1.0]], Poisson(torch.ones(1)))}, h.step),
         r"appliances\['a'\]: emits Poisson, needs Normal"),
        (lambda h, m, t: nilm.house_metrics(t[["kettle"]], t), "no column for"),
        (lambda h, m, t: nilm.house_metrics(t.iloc[1:], t), "other stamps"),
        (lambda h, m, t: nilm.energy_kwh(t.iloc[:1]), "got 1 of DatetimeIndex, needs two"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_words(call, message):
    house = a_house()
    mains, truth = simulated(house, 60, seed=0)
    with pytest.raises(ValueError, match=message):
        call(house, mains, truth)


def test_a_fleet_of_homes_on_dask():
    """A pure function that can be sent away: other processes give the same tables."""
    bag = pytest.importorskip("dask.bag")
    house = a_house()
    homes = [simulated(house, 120, seed)[0] for seed in range(3)]
    assert pickle.loads(pickle.dumps(house)).names == house.names
    tables = bag.from_sequence(homes, npartitions=2).map(
        lambda power: nilm.disaggregate(house, power)
    )
    for found, power in zip(tables.compute(scheduler="processes"), homes, strict=True):
        assert found.equals(nilm.disaggregate(house, power))


def test_two_weeks_of_the_household_in_bounded_memory():
    """Learning, two weeks of Viterbi, and ten posterior paths: 500 MB above the import."""
    code = """
import resource
from hmmlib.datasets.household import load_household
from hmmlib.nilm import REST, disaggregate, learn_house, sample_energy
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
before, table = rss(), load_household()
states = {"kitchen": 4, "laundry": 5, "heater": 3, REST: 12}
house = learn_house(table.loc[:"2008-01-20"], states, resolution=60)
fortnight = table.loc["2008-02-04":"2008-02-17", "mains"]
assert len(disaggregate(house, fortnight)) == 20160
sample_energy(house, fortnight, 10, seed=0)
print(rss() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 500
