"""A house's meter is split exactly, gaps and all, in one process or in many."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from houses import a_house, simulated
from torch.distributions import (
    Cauchy,
    Gumbel,
    Independent,
    Laplace,
    LogNormal,
    Normal,
    Poisson,
)

from hmmlib import nilm
from hmmlib.factorial import path_log_joint
from hmmlib.hmm import HMM
from hmmlib.nilm import REST, House


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda h, m, t: nilm.learn_house(t, {"oven": 2}), r"no column for \['oven'\]"),
        (lambda h, m, t: nilm.learn_house(t, {REST: 2}), "no column for"),
        (lambda h, m, t: nilm.learn_house(t.assign(mains=m), {"mains": 2, REST: 2}),
         r"'rest': got too few different readings, only \[0.0\] W"),
        (lambda h, m, t: nilm.learn_appliance(t["kettle"] * 0, 2), "too few different"),
        (lambda h, m, t: nilm.learn_appliance(t["kettle"], 0), "num_states: got 0"),
        (lambda h, m, t: House({}, h.step), "appliances: got none"),
        (lambda h, m, t: House({"a": HMM([1.0], [[1.0]], Poisson(torch.ones(1)))}, h.step),
         r"appliances\['a'\]: emits Poisson, needs Normal"),
        (lambda h, m, t: nilm.house_metrics(t[["kettle"]], t), "no column for"),
        (lambda h, m, t: nilm.house_metrics(t.iloc[1:], t), "other stamps"),
        (lambda h, m, t: nilm.energy_kwh(t.iloc[:1]), "got a DatetimeIndex of length 1, needs"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused_in_words(call, message):
    house = a_house()
    mains, truth = simulated(house, 60, seed=0)
    with pytest.raises(ValueError, match=message):
        call(house, mains, truth)


def test_a_copy_of_a_house_gives_the_same_answer():
    house = a_house()
    mains, _ = simulated(house, 60, seed=0)
    found = nilm.disaggregate(house, mains)
    for make in (
        copy.copy,
        copy.deepcopy,
        lambda each: pickle.loads(pickle.dumps(each)),
    ):
        for twin in (make(a_house()), make(house)):
            assert twin.names == house.names and twin.step == house.step
            assert nilm.disaggregate(twin, mains).equals(found)


def test_only_means_and_spreads_add_up():
    """Others have a `loc` and a `scale` too, which are no mean and no standard deviation."""
    two = torch.zeros(2), torch.ones(2)
    even = [[0.5, 0.5], [0.5, 0.5]]
    for family in (Laplace, Cauchy, Gumbel, LogNormal):
        hmm = HMM(even[0], even, family(*two))
        with pytest.raises(ValueError, match=f"emits {family.__name__}, needs Normal"):
            House({"a": hmm}, "1min")
    hmm = HMM(even[0], even, Independent(Normal(*two), 0))
    assert House({"a": hmm}, "1min").model.emission.scale.tolist() == [1.0, 1.0]


def test_a_fleet_of_homes_on_dask():
    """A pure function that can be sent away: other processes give the same tables."""
    bag = pytest.importorskip("dask.bag")
    house = a_house()
    homes = [simulated(house, 120, seed)[0] for seed in range(3)]
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
