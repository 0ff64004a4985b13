"""How often 95 % intervals hold the truth: data are simulated, fitted, and asked.

    python benchmarks/interval_coverage.py [replications] [method ...]

writes hmmlib/datasets/interval_coverage.csv, which chapter 5 shows; of a method that is not asked
for, the rows of the file stay. A row for each setting, method and parameter, with
the share of intervals that held the true value, its Monte-Carlo standard error, how many
replications had no interval, because the information was singular or the parameter stood on its
boundary, and in how many a warning called the data too weak. Every fit starts from the truth,
so that what is measured is the intervals and not the search for a maximum; states are then
matched with those of the truth. Profiles and bootstraps are of every fourth replication. Two
processes; some minutes for "wald", an hour or so for the others.
"""

import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch.distributions import Normal, Poisson

from hmmlib import HMM
from hmmlib.datasets import weather
from hmmlib.learning import (
    align_states,
    bootstrap_intervals,
    confidence_intervals,
    fit_em,
    profile,
    wald,
)
from hmmlib.learning.bootstrap import reordered

MOVES = [[0.9, 0.1], [0.2, 0.8]]
EVEN = [0.5, 0.5]
WORKERS = 2


def f8(*values):
    """Of float64."""
    return torch.tensor(*values, dtype=torch.float64)


SETTINGS = {
    "two Gaussian states, T = 500": (
        HMM(EVEN, MOVES, Normal(f8([0.0, 4.0]), f8([1.0, 1.5]))),
        500,
    ),
    "two Poisson states, T = 500": (HMM(EVEN, MOVES, Poisson(f8([2.0, 9.0]))), 500),
    "two states of distinct symbols, T = 2,000": (
        HMM(EVEN, MOVES, f8([[0.8, 0.15, 0.05], [0.05, 0.25, 0.7]])),
        2000,
    ),
    "two Gaussian states, T = 60": (
        HMM(EVEN, MOVES, Normal(f8([0.0, 4.0]), f8([1.0, 1.5]))),
        60,
    ),
    "rain and sun, T = 500": (weather.hmm, 500),
    "rain and sun, T = 5,000": (weather.hmm, 5000),
}
TARGET = Path(__file__).parents[1] / "hmmlib/datasets/interval_coverage.csv"
METHODS = {
    "wald": (wald, {}, 1),
    "profile": (profile, {}, 4),  # of every fourth replication
    "bootstrap": (bootstrap_intervals, {"num_draws": 200}, 4),
}


def replication(setting: str, method: str, seed: int) -> list[tuple]:
    """(setting, method, parameter, held the truth?) of one series; None without an interval."""
    torch.set_num_threads(1)
    true, num_steps = SETTINGS[setting]
    x = true.sample(num_steps, seed=seed).observations
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit_em(true, x, num_iters=5000, tolerance=1e-8).model
    model = reordered(model, align_states(true, model))
    truth = named(true)
    rows = []
    function, options, _ = METHODS[method]
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            table = confidence_intervals(model, x, method=function, **options)
        weak = any("hardly bound" in str(each.message) for each in said)
    except ValueError:
        table, weak = None, False
    for name, value in truth.items():
        held = None
        if table is not None and table.loc[name, ["low", "high"]].notna().all():
            low, high = table.loc[name, ["low", "high"]]
            held = bool(low <= value <= high)
        rows.append((setting, method, name, held, weak))
    return rows


def named(hmm: HMM) -> dict[str, float]:
    """The free parameters by the names that tables give them; of a row of two, the first."""
    from hmmlib.learning.coordinates import entries_of, named_values

    flat = torch.cat([x.flatten() for x in named_values(hmm).values()]).tolist()
    every = {str(e): x for e, x in zip(entries_of(hmm), flat, strict=True)}
    moves = {"transition_matrix[0, 1]", "transition_matrix[1, 0]"}
    return {
        name: x
        for name, x in every.items()
        if name in moves or not name.startswith(("initial", "transition"))
    }


def main(num: int, methods: list[str]) -> None:
    """Write the table, as far as it is known, after each setting."""
    with ProcessPoolExecutor(WORKERS) as pool:
        for method in methods or METHODS:
            every = METHODS[method][2]
            for setting, (_, num_steps) in SETTINGS.items():
                if method != "wald" and num_steps > 2000:
                    continue
                ask = partial(replication, setting, method)
                found = pool.map(ask, range(0, num, every), chunksize=5)
                write([row for rows in found for row in rows])
                print(method, setting, flush=True)


def write(rows: list[tuple]) -> None:
    """Put what was found into the file, in the place of what it had of the same."""
    key, columns = ["setting", "method"], ["parameter", "held", "weak"]
    table = pd.DataFrame(rows, columns=key + columns)
    groups = table.groupby([*key, "parameter"], sort=False)
    known = groups["held"].count()
    share = groups["held"].apply(lambda x: x.dropna().astype(float).mean())
    found = pd.DataFrame(
        {
            "coverage": share.round(4),
            "monte_carlo_error": (share * (1 - share) / known).pow(0.5).round(4),
            "replications": known,
            "without_interval": groups.size() - known,
            "called_weak": groups["weak"].sum(),
        }
    ).reset_index()
    stored = pd.read_csv(TARGET).set_index(key)
    kept = stored.drop(pd.MultiIndex.from_frame(found[key]).unique(), errors="ignore")
    both = pd.concat([kept.reset_index(), found])
    places = {name: i for names in (METHODS, SETTINGS) for i, name in enumerate(names)}
    both = both.sort_values(
        ["method", "setting"], key=lambda x: x.map(places), kind="stable"
    )
    both.to_csv(TARGET, index=False)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400, sys.argv[2:])
