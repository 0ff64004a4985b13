"""What stays that last and moves by the hour buy on real appliances, and what they cannot.

    python benchmarks/stages_and_hours.py

With UK-DALE house 2 (see `hmmlib.datasets.fetch_ukdale`): learned from the first ten days of
June 2013 and judged on the next five. Then why an HSMM can do worse than a constant.
"""

import numpy as np
import pandas as pd
import torch
from torch.distributions import Normal

from hmmlib import HMM, nilm
from hmmlib.datasets.ukdale import fetch_ukdale

STATES = {"kettle": 3, "dishwasher": 3, "washing_machine": 4, "microwave": 3, "rest": 8}


def on_held_out_days(table: pd.DataFrame) -> None:
    """Gains on held-out stays and days of each meter, and behind the mains of the house."""
    learned, held_out = table[:"2013-06-10"], table["2013-06-11":"2013-06-15"]
    house = nilm.learn_house(learned, STATES)
    names = [name for name in house.names if name != nilm.REST]
    staged, by_hour = dict(house.appliances), dict(house.appliances)
    for name in names:
        hmm, power = house.appliances[name], learned[name]
        print(f"\n{name}", nilm.compare_stages(hmm, power).round(3), sep="\n")
        print(nilm.compare_hours(hmm, power).round(2))
        staged[name] = nilm.learn_stages(hmm, power)
        by_hour[name] = nilm.learn_hours(hmm, power)
    truth = held_out[names]
    for what, appliances in {
        "as it is": house.appliances, "stages": staged, "hours": by_hour
    }.items():  # fmt: skip
        estimate = nilm.disaggregate(nilm.House(appliances, "1min"), held_out["mains"])
        score = nilm.house_metrics(estimate, truth)["energy correctly assigned"]
        f1 = nilm.appliance_metrics(estimate, truth)["F1"].round(2).to_dict()
        print(f"{what:9} score {score:.3f}, F1 {f1}")


def cooler(minutes_on: float, minutes_off: float, watts: float, spread: float) -> HMM:
    """Off and on, for so long on average."""
    leave = torch.tensor([1 / minutes_off, 1 / minutes_on], dtype=torch.float64)
    moves = torch.stack([1 - leave, leave], 1)
    moves[1] = moves[1].flip(0)
    level = torch.tensor([0.0, watts], dtype=torch.float64)
    return HMM(leave.flip(0) / leave.sum(), moves, Normal(level, spread + 0 * level))


def late_paths(watts: float = 100.0, on: int = 15, cycle: int = 45) -> pd.DataFrame:
    """The error of a path whose cycles are right, but come some minutes late.

    With p the share of time on, the constant mean is wrong by 2 p (1 - p) · watts, a path that
    knows p alone by as much, and one that is s minutes late by 2 min(s, on, ...) / cycle ·
    watts: worse than the mean from s = p (1 - p) · cycle on. Always off is wrong by p · watts,
    the least of any constant for p below 1/2.
    """
    truth = np.tile(watts * (np.arange(cycle) < on), 100)
    random = np.random.default_rng(0).permutation(truth)
    errors = {"mean": truth.mean(), "always off": 0.0, "same p, at random": random}
    errors |= {f"{s} min late": np.roll(truth, s) for s in (0, 5, 10, 15, 20)}
    found = {name: np.abs(truth - each).mean() for name, each in errors.items()}
    return pd.DataFrame({"MAE, watts": found})


def two_coolers(num_days: int = 4, stages: int = 4) -> pd.DataFrame:
    """A fridge beside a freezer that no model knows, of 20 W more, on for longer.

    The durations of the fridge are right, in one stage or as they are, and so is its level;
    or that was learned in another season, 20 W too high. Then the model takes the freezer for
    the fridge, and is sure of it.
    """
    fridge, freezer = cooler(15, 30, 90.0, 5.0), cooler(20, 25, 110.0, 5.0)
    pair = {"fridge": fridge, "freezer": freezer}
    pair = {name: nilm.staged(x, [stages] * 2, early=0.0) for name, x in pair.items()}
    table = nilm.simulate(nilm.House(pair, "1min"), 1440 * num_days, seed=1)
    truth, power = table["fridge"], table.sum(axis=1).clip(lower=0.0)
    around_the_clock = Normal(*torch.tensor([[45.0], [55.0]], dtype=torch.float64))
    rest = HMM(
        [1.0], [[1.0]], around_the_clock
    )  # all that the model knows of the freezer
    errors = {"constant mean": truth.mean(), "always off": 0.0}
    for level in (90.0, 110.0):
        for num in (1, stages):
            known = nilm.staged(cooler(15, 30, level, 8.0), [num] * 2, early=0.0)
            house = nilm.House({"fridge": known, "rest": rest}, "1min")
            for how in (nilm.best_path, nilm.posterior_mean, nilm.posterior_median):
                found = nilm.disaggregate(house, power, how=how)["fridge"]
                errors[f"{level:.0f} W, {num} stages, {how.__name__}"] = found
    found = {name: np.abs(truth - each).mean() for name, each in errors.items()}
    return pd.DataFrame({"MAE, watts": found})


if __name__ == "__main__":
    print(late_paths().round(1), two_coolers().round(1), sep="\n\n")
    on_held_out_days(fetch_ukdale())
