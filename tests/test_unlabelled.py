"""A house without sub-meters: described appliances, and EM on the mains alone."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from houses import a_house
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import nilm
from hmmlib.hmm import HMM
from hmmlib.learning import em_step
from hmmlib.nilm import REST, House, unlabelled


def test_four_numbers_are_what_the_appliance_does():
    """Of 500 houses simulated for a week: watts, spread, minutes a run and runs a day."""
    kettle = nilm.described_appliance(2000.0, 4.0, 6.0, 90.0, step="2min")
    states, watts = kettle.sample(7 * 720, num_sequences=500, seed=0)
    on = states == 1
    days = 7 * 500
    runs = int((on[:, 1:] & ~on[:, :-1]).sum()) + int(on[:, 0].sum())
    assert runs / days == pytest.approx(6.0, rel=0.02)
    assert 2 * int(on.sum()) / runs == pytest.approx(4.0, rel=0.02)
    assert float(watts[on].mean()) == pytest.approx(2000.0, rel=0.01)
    assert float(watts[on].std()) == pytest.approx(90.0, rel=0.02)
    assert kettle.emission.loc[0] == 0
    assert_close(kettle.initial_probs, kettle.stationary_probs())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"watts": 0}, "watts: got 0"),
        ({"minutes": math.nan}, "minutes"),
        ({"minutes": 0.5}, "needs at least one step, 1"),
        ({"runs_per_day": 100}, r"runs_per_day: got 100 of 14.5 minutes"),
        ({"spread": -1}, "spread"),
    ],
)
def test_numbers_that_describe_nothing(change, message):
    given = {"watts": 2000, "minutes": 14.5, "runs_per_day": 2, "spread": 50}
    with pytest.raises(ValueError, match=message):
        nilm.described_appliance(**given | change)


def mains_of(house, num_days, seed):
    """A simulated house at 15 minutes a step, and the sum that its meter shows."""
    house = House(house.appliances, pd.Timedelta("15min"))
    table = nilm.simulate(house, num_days * 96, seed, "2026-02-02")
    return house, table.sum(axis=1).clip(lower=0.0), table


def no_prior(house):
    """Nothing known of any chain."""
    return [
        unlabelled.Prior(
            torch.zeros_like(hmm.transition_matrix),
            *[torch.zeros_like(hmm.initial_probs)] * 3,
        )
        for hmm in house.appliances.values()
    ]


def test_of_one_chain_it_is_baum_welch():
    hmm = a_house(100.0).appliances[REST]
    house, mains, _ = mains_of(House({REST: hmm}, pd.Timedelta("15min")), 2, seed=0)
    start = HMM(
        hmm.initial_probs,
        hmm.transition_matrix,
        Normal(hmm.emission.loc + 20.0, hmm.emission.scale),
    )
    house, x = (
        House({REST: start}, house.step),
        torch.as_tensor(mains.to_numpy(copy=True)),
    )
    found = unlabelled.maximised(
        house, house.model.expected_counts(x), no_prior(house), floor=1.0
    ).appliances[REST]
    expected = em_step(start, x, learn=("transition_matrix", "emission"))[0]
    assert_close(found.transition_matrix, expected.transition_matrix)
    assert_close(found.emission.loc, expected.emission.loc)
    assert_close(found.emission.scale, expected.emission.scale)


@pytest.mark.parametrize("trust", [0.0, 2.0])
def test_each_step_makes_mains_and_prior_more_probable(trust):
    house, mains, _ = mains_of(a_house(200.0), 4, seed=1)
    days = list(torch.as_tensor(mains.to_numpy(copy=True)).split(96))
    prior = no_prior(house)
    if trust:
        described = {
            name: hmm for name, hmm in house.appliances.items() if name != REST
        }
        _, prior = unlabelled.started(mains, described, 3, trust, 20.0)
    reached = []
    for _ in range(25):
        counts = house.model.expected_counts(days)
        reached.append(
            float(counts.log_likelihood + unlabelled.log_prior(house, prior))
        )
        house = unlabelled.maximised(house, counts, prior, floor=20.0)
    assert np.diff(reached).min() > -1e-8 and reached[-1] > reached[0] + 1
    scales = torch.cat([hmm.emission.scale for hmm in house.appliances.values()])
    assert scales.min() >= 20.0


def test_a_house_is_learned_from_its_mains():
    """A heater and a kettle that are told apart by their watts; levels that are a little off."""
    heater = HMM([0.7, 0.3], [[0.95, 0.05], [0.1, 0.9]], two(1000.0, 30.0))
    kettle = HMM([0.9, 0.1], [[0.96, 0.04], [0.5, 0.5]], two(2500.0, 60.0))
    base = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], two(180.0, 20.0, off=60.0))
    true = House(
        {"heater": heater, "kettle": kettle, REST: base}, pd.Timedelta("15min")
    )
    _, mains, table = mains_of(true, 30, seed=3)
    described = {
        "heater": nilm.described_appliance(1100.0, 150.0, 3.0, 60.0, "15min"),
        "kettle": nilm.described_appliance(2400.0, 30.0, 3.0, 60.0, "15min"),
    }
    house = nilm.learn_unlabelled(mains, described, num_rest_states=2, trust=1.0)
    assert house.names == ["heater", "kettle", REST] and house.step == true.step
    for found, expected in zip(house.levels, true.levels, strict=True):
        assert_close(found, expected, rtol=0, atol=15.0)
    truth = table.drop(columns=REST)
    scores = [score(each, mains, truth) for each in (true, house)]
    assert scores[1] > scores[0] - 0.01


def two(watts, spread, off=0.0):
    """Off and on."""
    return Normal(
        torch.tensor([off, watts]).double(), torch.tensor([20.0, spread]).double()
    )


def score(house, mains, truth):
    estimate = nilm.disaggregate(house, mains)[truth.columns]
    return nilm.house_metrics(estimate, truth)["energy correctly assigned"]


def test_a_description_that_counts_for_long_stays():
    _, mains, _ = mains_of(a_house(100.0), 4, seed=1)
    described = {"kettle": nilm.described_appliance(1900.0, 60.0, 2.0, 90.0, "15min")}
    house = nilm.learn_unlabelled(mains, described, trust=1e7)
    kettle = house.appliances["kettle"]
    assert_close(
        kettle.emission.loc, described["kettle"].emission.loc, rtol=1e-4, atol=0.01
    )
    moves = described["kettle"].transition_matrix
    assert_close(kettle.transition_matrix, moves, rtol=1e-3, atol=1e-5)


def test_refused():
    _, mains, _ = mains_of(a_house(100.0), 2, seed=1)
    kettle = nilm.described_appliance(1900.0, 60.0, 2.0, 90.0, "15min")
    for appliances, message in (({REST: kettle}, "'rest'"), ({}, "at least one")):
        with pytest.raises(ValueError, match=message):
            nilm.learn_unlabelled(mains, appliances)
    with pytest.raises(ValueError, match="trust"):
        nilm.learn_unlabelled(mains, {"kettle": kettle}, trust=0)
    off = HMM([1.0], [[1.0]], Normal(torch.zeros(1).double(), 1.0))
    with pytest.raises(ValueError, match="appliances: no level above 0"):
        nilm.learn_unlabelled(mains, {"kettle": off})
