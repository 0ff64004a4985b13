"""What a step of a factorial HMM costs, by method and number of chains.

    python benchmarks/factorial_cost.py

Every method is timed on the same data, one after the other in each round, and the median
of the rounds after the first is kept. Writes hmmlib/datasets/factorial_cost.csv, which
chapter 7 draws.
"""

import math
import statistics
import time
from pathlib import Path

import pandas as pd
import torch

from hmmlib import inference, pyro_models
from hmmlib.factorial import (
    FactorialHMM,
    additive_gaussian,
    coordinate_ascent,
    mean_field,
)
from hmmlib.inference import log_likelihood

TARGET = Path(__file__).parents[1] / "hmmlib/datasets/factorial_cost.csv"
NUM_STATES, NUM_STEPS, ROUNDS = 3, 100, 3
MOST_CHAINS = {"flat": 7, "factored": 10, "Pyro": 10, "mean field": 10, "ICM": 10}


def appliances(num_chains: int) -> FactorialHMM:
    """Chains of three states that stay with 0.9, each with levels of its own."""
    moves = torch.full((NUM_STATES, NUM_STATES), 0.05) + 0.85 * torch.eye(NUM_STATES)
    initial = torch.full((NUM_STATES,), 1 / NUM_STATES)
    means = [1.3**m * torch.tensor([0.0, 40.0, 100.0]) for m in range(num_chains)]
    emission = additive_gaussian(means, 20.0)
    return FactorialHMM((initial,) * num_chains, (moves,) * num_chains, emission)


def methods(model: FactorialHMM, x: torch.Tensor) -> dict:
    """What to time: name -> (call, steps it takes)."""
    num_chains, short = len(model.sizes), x[:20]
    calls = {
        "factored": (lambda: model.log_likelihood(x), len(x)),
        "mean field": (lambda: mean_field(model, x, num_sweeps=1), len(x)),
        "ICM": (lambda: coordinate_ascent(model, x, num_sweeps=1), len(x)),
    }
    if num_chains <= MOST_CHAINS["flat"]:
        flat = model.flattened()
        calls["flat"] = (lambda: log_likelihood(flat.potentials(x)), len(x))
    parts = model.initial_probs, model.transition_matrices, model.emission.chain_means
    story = pyro_models.factorial_story
    calls["Pyro"] = (
        lambda: pyro_models.evidence(story, *parts, 20.0, readings=short),
        len(short),
    )
    return {k: v for k, v in calls.items() if num_chains <= MOST_CHAINS[k]}


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    # Methods are compared, not their compilers: all of them in plain PyTorch.
    inference._compiles = lambda potentials: False
    rows = []
    for num_chains in range(1, max(MOST_CHAINS.values()) + 1):
        model = appliances(num_chains)
        object.__setattr__(model, "_loops", None)
        x = model.sample(NUM_STEPS, seed=0).observations
        seconds = {name: [] for name in methods(model, x)}
        for _ in range(ROUNDS + 1):
            for name, (call, num_steps) in methods(model, x).items():
                start = time.perf_counter()
                result = call()
                seconds[name].append((time.perf_counter() - start) / num_steps)
                if name in ("flat", "factored"):
                    assert math.isfinite(float(result))
        for name, times in seconds.items():
            rows.append([name, NUM_STATES, num_chains, statistics.median(times[1:])])
            print(*rows[-1])
    table = pd.DataFrame(rows, columns=["method", "K", "M", "seconds"])
    table.to_csv(TARGET, index=False, float_format="%.3g", lineterminator="\n")


if __name__ == "__main__":
    main()
