"""A meter read minute by minute: watts and kWh equal those of all readings at once."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from houses import a_house, simulated
from numpy.testing import assert_allclose
from torch.distributions import Normal

from hmmlib import nilm
from hmmlib.hmm import HMM
from hmmlib.nilm import House, LiveMeter
from hmmlib.nilm.sums import moved_in_logs, sums_moved

F8 = {"dtype": torch.float64}


def chain(levels, spreads, start, moves):
    emission = Normal(torch.tensor(levels, **F8), torch.tensor(spreads, **F8))
    return HMM(torch.tensor(start, **F8), torch.tensor(moves, **F8), emission)


def small_house(forbidden=False):
    """Two chains of 2 and 3 states; the second may have to go round in a circle."""
    moves = [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]
    if forbidden:
        moves = [[0.7, 0.3, 0.0], [0.0, 0.6, 0.4], [0.6, 0.0, 0.4]]
    start = [1.0, 0.0, 0.0] if forbidden else [0.5, 0.3, 0.2]
    lamp = chain([0.0, 60.0], [3.0, 8.0], [0.6, 0.4], [[0.9, 0.1], [0.2, 0.8]])
    washer = chain([1.0, 90.0, 150.0], [2.0, 20.0, 9.0], start, moves)
    return House({"lamp": lamp, "washer": washer}, "1min")


def by_enumeration(house, readings):
    """Mean and standard deviation of each appliance's kWh, over all joint paths."""
    sizes = [hmm.num_states for hmm in house.appliances.values()]
    joint = list(itertools.product(*map(range, sizes)))
    weights, means, variances = [], [], []
    for path in itertools.product(joint, repeat=len(readings)):
        log_p, mean, variance = 0.0, np.zeros(len(sizes)), np.zeros(len(sizes))
        for t, (states, x) in enumerate(zip(path, readings, strict=True)):
            level, v = np.zeros(len(sizes)), np.zeros(len(sizes))
            for m, hmm in enumerate(house.appliances.values()):
                level[m] = hmm.emission.loc[states[m]]
                v[m] = hmm.emission.scale[states[m]] ** 2
                before = (
                    hmm.initial_probs
                    if t == 0
                    else hmm.transition_matrix[path[t - 1][m]]
                )
                p = before[states[m]].item()
                log_p += math.log(p) if p else -math.inf
            if not math.isnan(x):
                log_p -= (x - level.sum()) ** 2 / (2 * v.sum()) + np.log(v.sum()) / 2
                gain = v / v.sum()  # the regression of each part on the sum
                level = level + gain * (x - level.sum())
                v = v - gain * v
            mean, variance = mean + level, variance + v
        weights.append(log_p)
        means.append(mean)
        variances.append(variance)
    weights = np.exp(np.array(weights) - max(weights))
    weights, means = weights / weights.sum(), np.array(means)
    mean = weights @ means
    variance = weights @ (np.array(variances) + (means - mean) ** 2)
    return mean / 60_000, np.sqrt(variance) / 60_000


READINGS = {
    "plain": [63.0, 95.0, 151.0, 70.0],
    "gaps": [math.nan, 150.0, math.nan, 88.0],
    "outlier": [61.0, 5000.0, 62.0, 150.0],
}


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("readings", READINGS.values(), ids=READINGS)
def test_the_counters_are_those_of_all_paths(readings, forbidden):
    house = small_house(forbidden)
    meter = LiveMeter(house, lag=2)
    for t, watts in enumerate(readings, start=1):
        meter = meter.observe(watts)
        mean, std = by_enumeration(house, readings[:t])
        assert_allclose(meter.kwh["mean"], mean, rtol=1e-9)
        assert_allclose(meter.kwh["std"], std, rtol=1e-7)


def test_watts_are_the_filter_and_the_smoother_of_all_readings():
    house = a_house()
    mains, _ = simulated(house, 40, seed=2)
    meter = LiveMeter(house, lag=5)
    for watts in mains:
        meter = meter.observe(watts)
    x = torch.as_tensor(mains.to_numpy(copy=True))
    filtered = house.model.filter(x).filtered_probs
    smoothed = house.model.smooth(x).smoothed_probs
    for m, (name, hmm) in enumerate(house.appliances.items()):
        for table, probs in (
            (meter.watts, filtered[m][-1]),
            (meter.lagged_watts, smoothed[m][-6]),
        ):
            levels, order = hmm.emission.loc, hmm.emission.loc.argsort()
            middle = int((probs[order].cumsum(0) < 0.5).sum())
            assert_allclose(table.loc[name, "mean"], (probs @ levels).item(), rtol=1e-9)
            assert table.loc[name, "median"] == levels[order[middle]].item()


def test_a_day_ends_with_the_energies_that_samples_have():
    house = a_house(scale=120.0)
    mains, _ = simulated(house, 1440, seed=3)
    mains.iloc[700:720] = np.nan
    meter = LiveMeter(house, lag=0)
    for watts in mains:
        meter = meter.observe(watts)
    draws = nilm.sample_energy(house, mains, 2000, seed=0)
    error = 5 * draws.std() / 2000**0.5
    assert ((draws.mean() - meter.kwh["mean"]).abs() < error).all()
    assert_allclose(meter.kwh["std"], draws.std(), rtol=5 * (2 * 2000) ** -0.5)
    # Minutes taken for independent would claim a fraction of that uncertainty.
    smoothed = house.model.smooth(
        torch.as_tensor(mains.to_numpy(copy=True))
    ).smoothed_probs
    kettle, levels = smoothed[0], house.appliances["kettle"].emission.loc
    alone = (kettle @ levels**2 - (kettle @ levels) ** 2).sum().sqrt() / 60_000
    assert alone < 0.8 * meter.kwh.loc["kettle", "std"]


def test_most_truths_lie_within_two_standard_deviations():
    house, inside = a_house(scale=120.0), []
    for seed in range(12):
        mains, truth = simulated(house, 300, seed)
        meter = LiveMeter(house, lag=0)
        for watts in mains:
            meter = meter.observe(watts)
        apart = (meter.kwh["mean"] - truth.sum() / 60_000).abs()
        inside += list(apart < 2 * meter.kwh["std"])
    assert 0.85 < np.mean(inside) <= 1


def test_a_counter_starts_again_and_the_states_stay():
    house = small_house()
    meter = LiveMeter(house, lag=0).observe(63.0).observe(150.0)
    anew = meter.counting_anew()
    assert (anew.kwh == 0).all(axis=None) and (meter.kwh["mean"] > 0).any()
    assert anew.watts.equals(meter.watts)
    onward, whole = anew.observe(149.0), meter.observe(149.0)
    assert onward.watts.equals(whole.watts)
    assert_allclose(onward.kwh["mean"].sum(), 149 / 60_000)  # the parts add up
    assert_allclose(whole.kwh["mean"].sum(), (63 + 150 + 149) / 60_000)


def test_sums_are_moved_as_in_logarithms():
    rng, house = np.random.default_rng(0), a_house()
    matrices = [hmm.transition_matrix.numpy() for hmm in house.appliances.values()]
    message = np.log(rng.dirichlet(np.ones(12)))
    means, variances = rng.normal(1e6, 1e3, (3, 12)), rng.gamma(2, 50, (3, 12))
    fast = sums_moved(message, means, variances, matrices)
    exact = moved_in_logs(message, means, variances, matrices)
    assert_allclose(fast[0], exact[0], rtol=1e-13)
    assert_allclose(fast[1], exact[1], rtol=1e-9)


def test_what_cannot_be_a_reading_is_refused_and_the_meter_goes_on():
    meter = LiveMeter(small_house(), lag=0).observe(63.0)
    for wrong in (-5.0, math.inf, "63", [63.0], True):
        with pytest.raises(
            ValueError, match=r"watts: got .*needs a finite number of watts"
        ):
            meter.observe(wrong)
    with pytest.raises(
        ValueError, match=r"watts: got 1e\+200, which this house cannot"
    ):
        meter.observe(1e200)
    assert meter.observe(None).kwh.equals(meter.observe(math.nan).kwh)
    assert meter.observe(np.float32(64)).watts.equals(meter.observe(64).watts)
    with pytest.raises(ValueError, match="house: got HMM"):
        LiveMeter(meter.house.appliances["lamp"])
    with pytest.raises(ValueError, match="lag: got -1"):
        LiveMeter(meter.house, lag=-1)


def test_a_house_of_one_chain_and_one_state():
    base = chain([100.0], [5.0], [1.0], [[1.0]])
    meter = LiveMeter(House({"base": base}, pd.Timedelta("1h")))
    meter = meter.observe(120.0).observe(math.nan)
    assert_allclose(meter.kwh.loc["base"], [0.220, 0.005])
