"""What chapter 10's houses score on days that they have not seen."""

from pathlib import Path

import pytest
from ukdale import needs_ukdale

from hmmlib import datasets, nilm
from hmmlib.datasets.ukdale import fetch_ukdale

TRAINED = Path(datasets.__file__).parent / "ukdale_houses"
NUM_STATES = {
    "kettle": 3, "dishwasher": 3, "washing machine": 4, "microwave": 3, "rest": 8
}  # fmt: skip

pytestmark = needs_ukdale


@pytest.fixture(scope="module")
def halves():
    table = fetch_ukdale(progressbar=False)
    table = table.rename(columns=lambda name: name.replace("_", " "))
    return table[:"2013-06-15"], table["2013-06-16":]


def score(estimate, halves):
    truth = halves[1].drop(columns="mains")
    metrics = nilm.house_metrics(estimate[truth.columns], truth)
    return metrics["energy correctly assigned"]


def test_default_arguments_reach_the_score_of_chapter_10(halves):
    first, second = halves
    house = nilm.learn_house(first, NUM_STATES)
    assert score(nilm.disaggregate(house, second["mains"]), halves) > 0.88


@pytest.mark.parametrize("number", [3, 4])
def test_trained_for_the_question(halves, number):
    house = nilm.House.load(TRAINED / f"discriminative_{number}.json")
    assert score(nilm.disaggregate(house, halves[1]["mains"]), halves) > 0.87


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_network_is_better_inside_than_alone(halves, seed):
    house, mains = nilm.NetworkHouse.load(TRAINED / f"network_{seed}.json"), halves[1]
    inside = score(nilm.disaggregate(house, mains["mains"]), halves)
    alone = score(nilm.network_alone(house, mains["mains"]), halves)
    assert inside > 0.89 and inside > alone + 0.05
