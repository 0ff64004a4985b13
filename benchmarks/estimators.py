"""hmmlib's estimators beside hmmlearn's classes: the same call, as a ratio of times.

    python benchmarks/estimators.py [--quick] [--kinds diag Poisson]

Both get the same table, lengths and parameters, and take turns in one process, after a first
call that is not counted. `fit` is five iterations from a given start; `fit from data` starts
from nothing and has hmmlearn's default of ten, of which the same k-means takes a part. Ratios
are of medians: hmmlearn's time over hmmlib's. Prints a table; writes no file.
"""

import argparse
import logging
import statistics
import time
import warnings

import numpy as np
import pandas as pd
from hmmlearn import hmm

from hmmlib import estimators

SIZES = {  # sequences, steps, columns
    "50 x 100": (50, 100, 1),
    "50 x 100, 10 columns": (50, 100, 10),
    "10,000": (1, 10_000, 1),
    "10,000, 10 columns": (1, 10_000, 10),
    "100,000": (1, 100_000, 1),
    "100,000, 10 columns": (1, 100_000, 10),
}
KINDS = "diag", "spherical", "full", "tied", "categorical", "Poisson"
STATES = 2, 10
TASKS = "fit", "score", "decode", "predict_proba", "fit from data"


class Problem:
    """A table, its lengths, and what both libraries need to make their model of it."""

    def __init__(self, kind: str, size: tuple[int, int, int], num_states: int):
        num, steps, columns = size
        random = np.random.default_rng(0)
        self.lengths = [steps] * num
        sticky = 3 * np.eye(num_states) + random.gamma(1.0, size=(num_states,) * 2)
        self.parameters = {
            "startprob_": random.dirichlet(np.full(num_states, 5.0)),
            "transmat_": sticky / sticky.sum(axis=1, keepdims=True),
        }
        states = random.integers(num_states, size=(num * steps // 10 + 1)).repeat(10)
        states = states[: num * steps]
        if kind == "categorical":
            self.name, self.options = "CategoricalHMM", {}
            table = random.dirichlet(np.ones(10), size=num_states)
            self.parameters["emissionprob_"] = table
            self.X = random.integers(10, size=(num * steps, 1))
        elif kind == "Poisson":
            self.name, self.options = "PoissonHMM", {}
            rates = random.uniform(0.5, 30.0, size=(num_states, columns))
            self.parameters["lambdas_"] = rates
            self.X = random.poisson(rates[states])
        else:
            self.name, self.options = "GaussianHMM", {"covariance_type": kind}
            means = 3.0 * random.standard_normal((num_states, columns))
            self.parameters["means_"] = means
            self.parameters["covars_"] = {
                "diag": np.ones((num_states, columns)),
                "spherical": np.ones(num_states),
                "full": np.tile(np.eye(columns), (num_states, 1, 1)),
                "tied": np.eye(columns),
            }[kind]
            self.X = means[states] + random.standard_normal((num * steps, columns))
        self.num_states = num_states

    def model(self, library, **options):
        """An estimator with the parameters set."""
        family = getattr(library, self.name)
        model = family(self.num_states, **self.options, **options)
        for name, value in self.parameters.items():
            setattr(model, name, value)
        return model

    def call(self, library, task: str):
        """A function that does the task once."""
        if task == "fit":
            options = {"n_iter": 5, "tol": -np.inf, "init_params": ""}
            return lambda: self.model(library, **options).fit(self.X, self.lengths)
        if task == "fit from data":
            family, options = getattr(library, self.name), self.options
            model = family(self.num_states, tol=-np.inf, random_state=0, **options)
            return lambda: model.fit(self.X, self.lengths)
        model = self.model(library)
        return lambda: getattr(model, task)(self.X, self.lengths)


def ratio(problem: Problem, task: str, seconds: float) -> tuple[float, float]:
    """hmmlearn's time over hmmlib's, and hmmlib's in ms."""
    calls = [problem.call(library, task) for library in (hmm, estimators)]
    times = [[], []]
    for call in calls:
        call()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times[0]) < 3:
        for call, taken in zip(calls, times, strict=True):
            before = time.perf_counter()
            call()
            taken.append(time.perf_counter() - before)
    theirs, ours = map(statistics.median, times)
    return theirs / ours, 1000 * ours


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--quick", action="store_true", help="three calls each")
    arguments = parser.parse_args()
    logging.disable()
    warnings.simplefilter("ignore")
    rows = []
    for kind in arguments.kinds:
        for size in arguments.sizes:
            if kind == "categorical" and SIZES[size][2] > 1:
                continue
            for num_states in STATES:
                problem = Problem(kind, SIZES[size], num_states)
                row = {"family": kind, "size": size, "K": num_states}
                for task in arguments.tasks:
                    found = ratio(problem, task, 0.0 if arguments.quick else 1.0)
                    row[task], row[f"{task}, ms"] = found
                rows.append(row)
                print(
                    *(f"{x:.3g}" if isinstance(x, float) else x for x in row.values()),
                    flush=True,
                )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    main()
