"""Moves that depend on the hour of the day, of one appliance."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import HMM, inference, nilm
from hmmlib.nilm.hours import by_hour, compare_hours, hours_of, learn_hours
from hmmlib.transitions import SoftmaxTransitions

ONE = torch.zeros(1), torch.ones(1)


def kettle(switched_on=0.01):
    moves = [[1 - switched_on, switched_on], [0.3, 0.7]]
    watts = torch.tensor([0.0, 2000.0], dtype=torch.float64)
    return HMM([0.9, 0.1], moves, Normal(watts, torch.full_like(watts, 20.0)))


def week(rates, seed, days=14):
    """A kettle that is switched on with the rate of the hour."""
    random = np.random.default_rng(seed)
    index = pd.date_range("2026-03-02", periods=days * 1440, freq="min")
    on, watts = False, []
    for hour in index.hour:
        on = random.random() < (0.7 if on else rates[hour])
        watts.append(2000.0 if on else 0.0)
    return pd.Series(watts, index)


def test_hours_are_those_of_the_clock_on_the_wall():
    stamps = pd.date_range("2026-03-29", periods=4, freq="h", tz="Europe/London")
    assert hours_of(stamps).argmax(1).tolist() == [0, 2, 3, 4]  # summer time begins
    assert (hours_of(stamps).sum(1) == 1).all()


def test_each_hour_has_the_moves_that_were_counted():
    counts = np.zeros((24, 2, 2))
    counts[7, 0] = [30, 10]
    hmm = by_hour(kettle(), counts, strength=60.0)
    moves = hmm.transition_matrix.log_probs(torch.eye(24)).exp()
    assert_close(moves[7, 0, 1].item(), (10 + 60 * 0.01) / 100, rtol=1e-6, atol=0)
    assert_close(moves[8], kettle().transition_matrix.to(moves))
    assert_close(moves[7, 1], kettle().transition_matrix[1].to(moves))


def test_a_move_that_is_impossible_stays_so():
    watts = Normal(torch.zeros(2), torch.ones(2))
    hmm = HMM([1.0, 0.0], [[0.5, 0.5], [1.0, 0.0]], watts)
    moves = by_hour(hmm, np.zeros((24, 2, 2)), 1.0).transition_matrix
    assert moves.forbidden.tolist() == [[False, False], [False, True]]


def test_hours_are_learned_where_there_are_some():
    """Breakfast at 7, and nothing at night; and a kettle that knows no hours."""
    rates = np.full(24, 0.001)
    rates[7] = 0.2
    power = week(rates, seed=0)
    table = compare_hours(kettle(), power)
    assert table["gain"].max() > 5
    learned = learn_hours(kettle(), power)
    moves = learned.transition_matrix.log_probs(torch.eye(24)).exp()
    assert moves[7, 0, 1] > 0.1 > 0.01 > moves[3, 0, 1]
    x = torch.as_tensor(power.to_numpy(copy=True))
    gained = learned.log_likelihood(x, inputs=hours_of(power.index))
    assert gained > kettle().log_likelihood(x)
    steady = week(np.full(24, 0.005), seed=1)
    assert not isinstance(
        learn_hours(kettle(), steady).transition_matrix, SoftmaxTransitions
    )


def test_a_house_knows_the_hours(tmp_path):
    """Two kettles, alike but for their hours: whose it is, is read off the clock."""
    counts = np.zeros((2, 24, 2, 2))
    counts[0, 7, 0], counts[1, 19, 0] = [100, 50], [100, 50]
    house = nilm.House(
        {n: by_hour(kettle(0.001), counts[m], 10.0) for m, n in enumerate(["a", "b"])},
        pd.Timedelta("1min"),
    )
    table = nilm.simulate(house, 3 * 1440, seed=0, start="2026-03-02")
    on = table.groupby(table.index.hour).mean()
    assert on["a"].idxmax() == 7 and on["b"].idxmax() == 19
    x, inputs = (
        torch.as_tensor(table.sum(axis=1).to_numpy(copy=True)),
        house.inputs(table.index),
    )
    watts = nilm.disaggregate(
        house, table.sum(axis=1).clip(lower=0.0), how=nilm.best_path
    )
    best = house.model.viterbi(x.clamp(min=0.0), inputs=inputs)
    assert np.array_equal(watts, house.watts(best.states))
    wrong = ((watts > 1000) != (table > 1000)).sum().sum()
    assert wrong < 0.4 * (table > 1000).sum().sum()  # at random it would be 1
    assert nilm.sample_energy(house, table.sum(axis=1).clip(lower=0.0), 2).shape == (
        2,
        2,
    )
    house.save(tmp_path / "house.json")
    loaded = nilm.House.load(tmp_path / "house.json").model
    found, expected = (
        m.log_likelihood(x, inputs=inputs) for m in (loaded, house.model)
    )
    assert_close(found, expected, rtol=0, atol=0)
    plain = nilm.House({"a": kettle()}, "1min")
    assert plain.inputs(table.index) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: by_hour(kettle(), np.zeros((24, 2, 2)), 0.0), "strength"),
        (lambda: by_hour(kettle(), np.zeros((12, 2, 2)), 1.0), "needs .24, 2, 2"),
        (lambda: compare_hours(kettle(), week(np.zeros(24), 0, days=3)), "3 days"),
        (lambda: hours_of([7, 8]), "index"),
        (lambda: by_hour(by_hour(kettle(), np.zeros((24, 2, 2)), 1.0), 0, 1), "inputs"),
        (
            lambda: nilm.House(
                {"a": HMM([1.0], SoftmaxTransitions([[[0.0]]]), Normal(*ONE))}, "1min"
            ),
            "1 inputs drive its moves, needs 24",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_energies_of_a_house_that_knows_the_hours():
    """By day, in a fixture whose days end inside of blocks; and equal hours are no hours."""
    counts = np.zeros((24, 2, 2))
    counts[7, 0] = [100, 50]
    one, two = by_hour(kettle(), counts, 10.0), kettle(0.05)
    house = nilm.House({"a": one, "b": two}, "1h")
    power = nilm.simulate(house, 70, seed=0, start="2026-03-02 05:00").sum(axis=1)
    power = power.clip(lower=0.0)
    found = nilm.energy_moments(house, power, by="D")
    x = torch.as_tensor(power.to_numpy(copy=True))
    p = house.model.potentials(x, inputs=house.inputs(power.index))
    joint = inference.smooth_states(p).smoothed_probs
    level = torch.tensor([0.0, 2000.0]).double()
    above = (x[:, None, None] - level[:, None] - level) / 2  # equal spreads: half each
    for name, levels in (("a", level[:, None]), ("b", level)):
        watts = (joint * (levels + above)).sum((1, 2)).numpy()
        daily = pd.Series(watts / 1000, power.index).resample("D").sum()
        assert_close(
            found.xs(name, level=-1)["mean"].tolist(), daily.tolist(), rtol=1e-9, atol=0
        )
    draws = nilm.sample_energy(house, power, 2000, seed=0)
    whole = nilm.energy_moments(house, power)
    assert np.allclose(whole["mean"], draws.mean(), rtol=0.05)
    assert np.allclose(whole["variance"], draws.var(), rtol=0.2)
    even = nilm.House({"a": by_hour(kettle(), 0 * counts, 1.0), "b": two}, "1h")
    plain = nilm.House({"a": kettle(), "b": two}, "1h")
    moments = [nilm.energy_moments(each, power) for each in (even, plain)]
    assert np.allclose(*moments, rtol=1e-9)


def test_a_live_meter_refuses_a_house_that_knows_the_hours():
    house = nilm.House({"kettle": by_hour(kettle(), np.zeros((24, 2, 2)), 1.0)}, "1min")
    with pytest.raises(ValueError, match="house: the hour drives the moves of kettle"):
        nilm.LiveMeter(house)


def test_counts_of_moves_need_matrices():
    house = nilm.House({"kettle": by_hour(kettle(), np.zeros((24, 2, 2)), 1.0)}, "1min")
    with pytest.raises(ValueError, match="transition_matrices: got SoftmaxTransitions"):
        house.model.expected_counts(torch.zeros(3))
