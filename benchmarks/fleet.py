"""Many homes: what one core does alone, and what Dask makes of all of them.

    python benchmarks/fleet.py

The same map over homes, as in chapter 8, without Dask and with its threads and processes,
by turns. Prints the efficiency, which is the time of one core, divided by that of Dask and
by the number of cores; and the homes of a month that a core splits in an hour.
"""

import os
import statistics
import time
from functools import partial

import dask.bag
import pandas as pd
import torch

from hmmlib import nilm
from hmmlib.datasets.household import load_household

HOMES, STEPS, ROUNDS = 32, 10_080, 5  # a week of minutes each


def kwh(house: nilm.House, power: pd.Series) -> pd.Series:
    """Energy of each appliance of one home."""
    return nilm.energy_kwh(nilm.disaggregate(house, power))


def main() -> None:
    num_states = {"kitchen": 3, "laundry": 3, "heater": 3, nilm.REST: 6}
    table = load_household().loc["2008-01"]
    known = table[["kitchen", "laundry", "heater"]].sum(axis=1, skipna=False)
    table[nilm.REST] = (table["mains"] - known).clip(lower=0)
    house = nilm.learn_house(table, num_states)
    homes = [
        nilm.simulate(house, STEPS, n).sum(axis=1).clip(lower=0) for n in range(HOMES)
    ]
    split, cores = partial(kwh, house), os.cpu_count()

    def by_dask(scheduler: str) -> list:
        bag = dask.bag.from_sequence(homes, npartitions=4 * cores).map(split)
        return bag.compute(scheduler=scheduler, num_workers=cores)

    ways = {"one core": lambda: list(map(split, homes))}
    ways |= {name: partial(by_dask, name) for name in ("threads", "processes")}
    expected, taken = ways["one core"](), {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.perf_counter()
            found = way()
            taken[name].append(time.perf_counter() - start)
            assert all(a.equals(b) for a, b in zip(found, expected, strict=True))
    alone = statistics.median(taken.pop("one core"))
    months = 3600 / (alone / HOMES) / (30 * 1440 / STEPS)
    print(
        f"one core: {1e3 * alone / HOMES:.1f} ms a week, {months:,.0f} home-months an hour"
    )
    for name, times in taken.items():
        efficiency = alone / statistics.median(times) / cores
        print(f"Dask, {name}: efficiency {efficiency:.2f} on {cores} cores")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    main()
