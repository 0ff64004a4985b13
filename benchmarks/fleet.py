"""Many homes: what one core does alone, what Dask makes of all of them, what a million cost.

    python benchmarks/fleet.py [price of a core-hour]

The same map over homes, as in chapters 8 and 10, without Dask and with its threads and
processes, by turns. Prints the efficiency, which is the time of one core, divided by that of
Dask and by the number of cores; and the core-hours of a million home-years, at the rate
measured here and with the better of the two.
"""

import os
import statistics
import sys
import time
from functools import partial

import dask.bag
import pandas as pd
import torch

from hmmlib import nilm
from hmmlib.datasets.household import load_household

HOMES, STEPS, ROUNDS = 8, 10_080, 3  # a week of minutes each
MINUTES_A_YEAR = 365.25 * 1440
NUM_STATES = {"kitchen": 3, "laundry": 6, "heater": 3, nilm.REST: 12}


def kwh(house: nilm.House, power: pd.Series) -> pd.Series:
    """Energy of each appliance of one home."""
    return nilm.energy_kwh(nilm.disaggregate(house, power))


def a_house() -> nilm.House:
    """Learned from a month of the house that comes with the library."""
    table = load_household().loc["2008-01"]
    known = table[["kitchen", "laundry", "heater"]].sum(axis=1, skipna=False)
    table[nilm.REST] = (table["mains"] - known).clip(lower=0)
    return nilm.learn_house(table, NUM_STATES)


def seconds_of(ways: dict) -> dict:
    """Median time of each way to split all homes, taken by turns. They must agree."""
    expected = ways["one core"]()  # compiles
    taken = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            found = way()
            taken[name].append(time.perf_counter() - start)
            assert all(a.equals(b) for a, b in zip(found, expected, strict=True))
    return {name: statistics.median(times) for name, times in taken.items()}


def main(price: float) -> None:
    house, cores = a_house(), os.cpu_count()
    homes = [
        nilm.simulate(house, STEPS, n).sum(axis=1).clip(lower=0) for n in range(HOMES)
    ]
    split, bag = partial(kwh, house), dask.bag.from_sequence(homes, npartitions=HOMES)

    def by_dask(scheduler: str) -> list:
        return bag.map(split).compute(scheduler=scheduler, num_workers=cores)

    ways = {"one core": lambda: list(map(split, homes))}
    ways |= {name: partial(by_dask, name) for name in ("threads", "processes")}
    seconds = seconds_of(ways)
    alone = seconds.pop("one core")
    years = HOMES * STEPS / MINUTES_A_YEAR
    states = house.model.emission.batch_shape.numel()
    print(f"one core: {alone / years:.1f} s a home-year at {states} joint states")
    for name, took in seconds.items():
        print(f"Dask, {name}: efficiency {alone / took / cores:.2f} on {cores} cores")
    hours = 1e6 * cores * min(seconds.values()) / years / 3600
    print(
        f"a million home-years: {hours:,.0f} core-hours, {hours * price:,.0f}"
        f" at {price:g} a core-hour; {hours / 1000 / 24:.1f} days on 1,000 cores"
    )


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.04)
