"""Exact means and variances of energies, against all joint paths, and against samples."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from houses import a_house, simulated
from numpy.testing import assert_allclose
from random_models import rows
from torch.distributions import Normal

from hmmlib import HMM, nilm
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial.totals import moments_of_totals

SIZES = (3, 2)


def small_house(forbidden=False, seed=0, step="12h"):
    """Two appliances with a spread of their own in each state."""
    g = torch.Generator().manual_seed(seed)
    appliances = {}
    for name, size in zip(("kettle", "heater"), SIZES, strict=True):
        moves = rows(g, size, size)
        if forbidden:
            moves = moves.triu() / moves.triu().sum(1, keepdim=True)
        level, spread = torch.rand(2, size, generator=g).double()
        emission = Normal(1000 * level, 200 + 300 * spread)
        appliances[name] = HMM(rows(g, size), moves, emission)
    return nilm.House(appliances, step)


def by_listing(house, x, evidence=None):
    """Weights (P,) of all joint paths, and mean and variance of each step's watts, (P, T, M).

    Of Gaussians whose sum is known: Bishop 2006, eq. 2.81 and 2.82, with covariances written
    out.
    """
    flat = house.model.flattened()
    paths = all_paths(len(flat.initial_probs), len(x))
    joint = torch.stack(torch.unravel_index(paths, SIZES), -1)
    scores = path_log_joints(flat.potentials(x), paths)
    for m, each in enumerate(evidence or ()):
        if each is not None:
            scores = scores + each[torch.arange(len(x)), joint[..., m]].sum(-1)
    mean, variance = house.watts(joint), house.spreads(joint) ** 2
    covariance = variance[..., None] * np.eye(2)
    ones = np.ones(2)
    for t, value in enumerate(x.tolist()):
        if math.isnan(value):
            continue
        gain = covariance[:, t] @ ones / (ones @ covariance[:, t] @ ones[:, None])
        mean[:, t] += gain * (value - mean[:, t].sum(-1, keepdims=True))
        covariance[:, t] -= gain[..., None] * (covariance[:, t] @ ones)[:, None]
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    return scores.softmax(0).numpy(), mean, variance


def expected(house, x, stretches, evidence=None):
    """Mean and variance of each appliance's sum over each stretch, (G, 2, M)."""
    weights, means, variances = by_listing(house, x, evidence)
    found = []
    for first, last in stretches:
        mean, variance = (each[:, first:last].sum(1) for each in (means, variances))
        whole = weights @ mean
        found.append([whole, weights @ (variance + (mean - whole) ** 2)])
    return np.array(found)


def series(house, num_steps, seed=1):
    x = house.model.sample(num_steps, seed=seed).observations
    x[1] = math.nan
    stamps = pd.date_range("2026-03-27", periods=num_steps, freq=house.step)
    return pd.Series(x.abs().numpy(), stamps)


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_moments_are_those_of_all_joint_paths(seed, forbidden):
    house = small_house(forbidden, seed)
    power = series(house, 5)
    x = torch.tensor(power.to_numpy(copy=True))
    found = nilm.energy_moments(house, power)
    mean, variance = expected(house, x, [(0, 5)])[0]
    kwh = 12 / 1000
    assert list(found.index) == house.names
    assert_allclose(found["mean"], mean * kwh, rtol=1e-9)
    assert_allclose(found["variance"], variance * kwh**2, rtol=1e-9)


@pytest.mark.parametrize("forbidden", [False, True])
def test_moments_of_each_day_are_given_the_readings_of_all_days(forbidden):
    house = small_house(forbidden, 2)
    power = series(house, 5)
    power.index += pd.Timedelta("12h")  # one reading, two, two
    x = torch.tensor(power.to_numpy(copy=True))
    found = nilm.energy_moments(house, power, by="D")
    days = pd.date_range("2026-03-27", periods=3)
    assert found.index.equals(pd.MultiIndex.from_product([days, house.names]))
    mean, variance = expected(house, x, [(0, 1), (1, 3), (3, 5)]).transpose(1, 0, 2)
    kwh = 12 / 1000
    assert_allclose(found["mean"], mean.ravel() * kwh, rtol=1e-9)
    assert_allclose(found["variance"], variance.ravel() * kwh**2, rtol=1e-9)


def test_evidence_of_one_appliance_counts():
    house = small_house(seed=1)
    power = series(house, 5)
    x = torch.tensor(power.to_numpy(copy=True))
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    evidence = [noise.double(), None]
    evidence[0][2, 1] = -math.inf
    states = torch.tensor(list(itertools.product(*map(range, SIZES))))
    found = moments_of_totals(
        house.model, x, house.watts(states), house.spreads(states), [2, 3], evidence
    )
    assert_allclose(found, expected(house, x, [(0, 2), (2, 5)], evidence), rtol=1e-9)


def test_samples_have_these_moments():
    house = a_house(scale=400.0)
    power, _ = simulated(house, 300, seed=3)
    power.iloc[40:60] = np.nan
    exact = nilm.energy_moments(house, power)
    drawn = nilm.sample_energy(house, power, 4000, seed=0)
    error = 5 * (exact["variance"] / 4000) ** 0.5
    assert ((drawn.mean() - exact["mean"]).abs() < error).all()
    assert_allclose(drawn.var(), exact["variance"], rtol=5 * (2 / 4000) ** 0.5)


def test_a_long_series_is_the_sum_of_its_days():
    """And all appliances together draw what the meter reads."""
    house = a_house()
    power, _ = simulated(house, 3 * 1440, seed=1)
    whole, days = (nilm.energy_moments(house, power, by=by) for by in (None, "D"))
    assert_allclose(days["mean"].groupby(level=1).sum()[house.names], whole["mean"])
    assert_allclose(whole["mean"].sum(), power.sum() / 60_000, rtol=1e-12)
    assert (whole["variance"] > 0).all()
    drawn = nilm.sample_energy(house, power, 400, seed=0)
    error = 5 * (whole["variance"] / 400) ** 0.5
    assert ((drawn.mean() - whole["mean"]).abs() < error).all()
    assert_allclose(drawn.var(), whole["variance"], rtol=5 * (2 / 400) ** 0.5)


def test_a_state_that_falls_behind_by_thousands_of_nats_is_not_forgotten():
    """Two states that never meet: only the one that was unlikely explains the last hour."""
    even, apart = [0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]]
    lamp = HMM(even, apart, Normal(torch.tensor([0.0, 100.0]), torch.ones(2)))
    rest = HMM([1.0], [[1.0]], Normal(torch.zeros(1), torch.ones(1)))
    house = nilm.House({"lamp": lamp, "rest": rest}, "1h")
    x = [0.0] * 4 + [100.0] * 30
    power = pd.Series(x, pd.date_range("2026-03-27", periods=34, freq="1h"))
    found = nilm.energy_moments(house, power)
    assert_allclose(found.loc["lamp", "mean"], 3.4 - 0.2, rtol=1e-9)  # half of -100 W
    assert_allclose(found["variance"], 34 * 0.5e-6, rtol=1e-9)


def test_what_is_refused():
    house = small_house()
    power = series(house, 5)
    with pytest.raises(ValueError, match="power"):
        nilm.energy_moments(house, power.iloc[::-1])
    nothing = [torch.full((5, 3), -math.inf), None]
    states = torch.tensor(list(itertools.product(*map(range, SIZES))))
    tables = house.watts(states), house.spreads(states)
    with pytest.raises(ValueError, match="probability 0 under this model"):
        moments_of_totals(house.model, torch.zeros(5), *tables, evidence=nothing)
