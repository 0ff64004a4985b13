"""A network inside a house: its training windows, its evidence, and what it adds."""

import numpy as np
import pandas as pd
import pytest
import torch
from houses import a_house, simulated

from hmmlib.nilm import (
    REST,
    House,
    NetworkHouse,
    disaggregate,
    house_metrics,
    network_alone,
)
from hmmlib.nilm.network import learn_network
from hmmlib.nilm.remixing import ACTIVE, WINDOW, Recording, drawn, sources_of
from hmmlib.nilm.state_network import LAYERS, new_network

STATES = {"kettle": 2, "heater": 2, REST: 3}


def a_table(num_steps=3000, seed=0):
    power, truth = simulated(a_house(), num_steps, seed)
    return truth.clip(lower=0.0).assign(mains=power)


def readings(power):
    return torch.tensor(power.to_numpy())


def briefly(**options):
    given = {"num_batches": 2, "house": a_house()} | options
    return learn_network(a_table(), STATES, **given)


@pytest.fixture(scope="module")
def brief():
    return briefly()


def numbered(num_steps=700):
    """A recording that tells for each reading when it was read, as the state."""
    steps = torch.arange(num_steps)
    parts = torch.stack([steps * 1.0, steps * 3.0, steps * 7.0 + 20_000], dim=1)
    return Recording(parts.sum(1), parts, torch.stack([steps, steps], dim=1))


def test_a_remixed_window_is_the_sum_of_windows_of_single_meters():
    windows = drawn(sources_of(numbered()), 20, 1.0, torch.Generator().manual_seed(0))
    first, second = windows.states.unbind(-1)
    assert (first != second).any()
    rest = (windows.watts - first * 1.0 - second * 3.0 - 20_000) / 7.0
    assert torch.equal(rest.diff(), torch.ones(20, WINDOW - 1))
    assert (rest[:, 0] != first[:, 0]).any() and (rest[:, 0] != second[:, 0]).any()


def test_a_remixed_run_takes_half_to_twice_its_time():
    recording = numbered(5000)
    windows = drawn(sources_of(recording), 200, 1.0, torch.Generator().manual_seed(0))
    inside = (windows.states > 0) & (windows.states < 4999)
    steps = windows.states.diff(dim=1)[(inside[:, 1:] & inside[:, :-1])]
    assert set(steps.tolist()) == {0, 1, 2}
    passed = windows.states[:, -1] - windows.states[:, 0]  # readings, in a window
    assert passed.max() > 1.8 * WINDOW and passed.min() < 0.6 * WINDOW
    whole = inside.all(1)
    assert 0.5 * WINDOW - 2 <= passed[whole].min() <= passed.max() <= 2 * WINDOW


def test_a_window_that_is_not_remixed_is_as_it_was_read():
    recording = numbered()
    windows = drawn(sources_of(recording), 20, 0.0, torch.Generator().manual_seed(0))
    first, second = windows.states.unbind(-1)
    assert torch.equal(first, second)
    assert torch.equal(windows.watts, recording.mains[first])


def test_half_of_the_windows_at_least_show_the_appliance_on():
    states = torch.zeros(20_000, 1, dtype=torch.long)
    states[5000:5010] = 1
    mains = torch.zeros(20_000)
    sources = sources_of(Recording(mains, torch.zeros(20_000, 2), states))
    assert len(sources.active[0]) == WINDOW + 9
    shown = drawn(sources, 2000, 0.0, torch.Generator().manual_seed(0)).states.amax(
        (1, 2)
    )
    chance = ACTIVE + (1 - ACTIVE) * (WINDOW + 9) / (20_000 - WINDOW + 1)
    assert shown.double().mean().item() == pytest.approx(chance, abs=0.05)


def test_a_window_has_readings():
    recording = numbered(2000)
    recording.mains[: WINDOW + 100] = torch.nan
    assert sources_of(recording).starts.min() == 101


def test_a_state_depends_on_the_readings_around_it_alone():
    network, watts = new_network((2, 3), seed=0), torch.rand(1, 1000) * 3000
    other, reach = watts.clone(), 2 ** (LAYERS + 1) // 2
    other[0, 500] += 1000
    with torch.no_grad():
        changed = network(watts)[1][0] != network(other)[1][0]
    where = changed.any(-1).nonzero()[:, 0]
    assert where.min() == 500 - reach and where.max() == 500 + reach


def test_evidence_is_the_log_ratio_to_the_prior_times_the_weight():
    house, power = (
        briefly(weights={"kettle": 0.5, "heater": 0.0}),
        readings(a_table().mains),
    )
    kettle, heater, rest = house.evidence(power)
    assert heater is None and rest is None
    probs = (kettle / 0.5 + house.log_priors[0]).exp()
    assert probs.shape == (3000, 2)
    torch.testing.assert_close(probs.sum(-1), torch.ones(3000).double())
    torch.testing.assert_close(probs, house.log_probs(power)["kettle"].exp())


def test_priors_are_the_shares_of_the_states_in_training():
    house = briefly(num_batches=30)
    for log_prior in house.log_priors:
        assert log_prior.exp().sum().item() == pytest.approx(1.0)
    table = a_table()
    share = (table.heater > 500).mean()  # half of the time: the windows are no choice
    assert house.log_priors[1].exp()[1].item() == pytest.approx(share, abs=0.05)


def test_the_same_seed_gives_the_same_network():
    power, stream = readings(a_table().mains), torch.get_rng_state()
    first, again, other = briefly(seed=3), briefly(seed=3), briefly(seed=4)
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.equal(first.evidence(power)[0], again.evidence(power)[0])
    assert not torch.equal(first.evidence(power)[0], other.evidence(power)[0])


def test_the_same_seed_gives_the_same_network_whatever_the_default_precision():
    table, house, learned = a_table(), a_house(), []
    before = torch.get_default_dtype()
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            network = learn_network(table, STATES, num_batches=2, house=house)
            watts = network_alone(network, table["mains"])
        finally:
            torch.set_default_dtype(before)
        learned.append((network.network.content(), watts))
    (content, watts), (again, watts_again) = learned
    assert content == again and watts.equals(watts_again)


def test_training_stops_when_its_time_is_up():
    house = briefly(num_batches=None, seconds=0.5)
    assert 1 <= house.num_batches <= 100


def test_missing_readings_are_bridged(brief):
    house, power = brief, a_table().mains
    power = power.drop(power.index[100:200])
    power.iloc[300:400] = np.nan
    for watts in (network_alone(house, power), disaggregate(house, power)):
        assert watts.index.equals(power.index) and watts.notna().all(axis=None)


def test_a_meter_that_failed_for_a_day_is_no_state():
    table = a_table()
    table.loc[table.index[500:1500], "kettle"] = np.nan
    house = learn_network(table, STATES, num_batches=2, house=a_house())
    assert house.evidence(readings(table.mains))[0].isfinite().all()


def test_a_saved_network_comes_back_to_the_last_bit(brief, tmp_path):
    house, power = brief, readings(a_table().mains)
    house.save(tmp_path / "house.json")
    loaded = NetworkHouse.load(tmp_path / "house.json")
    for name in ("names", "step", "weights", "num_batches"):
        assert getattr(loaded, name) == getattr(house, name)
    assert torch.equal(loaded.evidence(power)[0], house.evidence(power)[0])
    assert torch.equal(loaded.model.emission.loc, house.model.emission.loc)
    with pytest.raises(ValueError, match="holds a NetworkHouse, needs a House"):
        House.load(tmp_path / "house.json")


def test_it_is_a_house_of_its_own_when_none_is_given():
    house = learn_network(a_table(), STATES, num_batches=1)
    assert house.names == list(STATES)
    assert house.model.sizes == (2, 2, 3)


# Two loads of 1,000 W, whose runs take 8 minutes: one runs once, the other three times, 8
# minutes apart. A chain of two states cannot count to three.


def once_or_three_times(num_steps, seed):
    random = np.random.default_rng(seed)
    index = pd.date_range("2026-03-02", periods=num_steps, freq="1min")
    once, thrice = np.zeros(num_steps), np.zeros(num_steps)
    at = 30
    while at + 200 < num_steps:
        pulsed = random.random() < 0.4
        for run in range(3 if pulsed else 1):
            (thrice if pulsed else once)[at + 16 * run : at + 16 * run + 8] = 1000.0
        at += 48 + int(random.integers(20, 120))
    table = pd.DataFrame({"once": once, "thrice": thrice}, index=index)
    rest = 100 + 20 * random.standard_normal(num_steps)
    return table.assign(mains=table.sum(axis=1) + rest.clip(0))


@pytest.fixture(scope="module")
def learned():
    table = once_or_three_times(10_000, seed=0)
    states = {"once": 2, "thrice": 2, REST: 1}
    return learn_network(table, states, num_batches=80)


def test_the_network_tells_what_a_markov_chain_cannot(learned):
    table = once_or_three_times(5000, seed=1)
    power, truth = table.mains, table[["once", "thrice"]]
    inside = disaggregate(learned, power)
    chains = disaggregate(House(learned.appliances, learned.step), power)
    assert correct(inside, truth) > correct(chains, truth) + 0.1
    assert correct(network_alone(learned, power), truth) > correct(chains, truth)


def test_the_chains_tell_what_a_hurried_network_cannot():
    power, truth = simulated(a_house(), 3000, 1)
    truth = truth[["kettle", "heater"]]
    house = briefly(num_batches=20)
    inside = disaggregate(house, power)
    assert correct(inside, truth) > correct(network_alone(house, power), truth) + 0.02


def correct(estimate, truth):
    return house_metrics(estimate[truth.columns], truth)["energy correctly assigned"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mains": "total"}, r"table: no column for \['total'\]"),
        (
            {"weights": {"kettle": 1.0}},
            r"weights: got \['kettle'\], needs one for each",
        ),
        ({"weights": -1.0}, r"weights\['kettle'\]: got -1.0, needs a number from 0"),
        ({"remix": 1.5}, "remix: got 1.5, needs a share, 0 to 1"),
        ({"seconds": 0.0}, "seconds: got 0.0, needs a time above 0"),
        ({"num_batches": 0}, "num_batches: got 0, needs an integer of at least 1"),
        ({"house": 3}, "house: got int, needs a House"),
    ],
)
def test_what_cannot_be_used_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        briefly(**options)


def test_a_house_of_other_appliances_is_refused():
    with pytest.raises(ValueError, match=r"house: has .*, num_states .*needs the same"):
        learn_network(a_table(), {"kettle": 2}, num_batches=1, house=a_house())


def test_a_table_of_an_hour_is_refused():
    with pytest.raises(
        ValueError, match=f"got {WINDOW - 1} rows, needs at least {WINDOW}"
    ):
        learn_network(a_table(WINDOW - 1), STATES, num_batches=1, house=a_house())
