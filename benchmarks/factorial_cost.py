"""What a step of a factorial HMM costs, by task, method and number of chains.

    python benchmarks/factorial_cost.py              # chains 1 to 10, some minutes
    python benchmarks/factorial_cost.py 3 out.csv    # a quick look: chains 1 to 3

Methods are compared at the same task: the likelihood; smoothing, which one sweep of mean
field approximates; decoding, which one sweep of ICM approximates. Every method is timed on
the same data, one after the other in each round, and the median of the rounds after the
first is kept. Writes hmmlib/datasets/factorial_cost.csv, which chapter 7 draws.
"""

import math
import statistics
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from hmmlib import engines, pyro_models
from hmmlib.factorial import (
    FactorialHMM,
    additive_gaussian,
    coordinate_ascent,
    mean_field,
)

TARGET = Path(__file__).parents[1] / "hmmlib/datasets/factorial_cost.csv"
NUM_STATES, NUM_STEPS, ROUNDS = 3, 100, 3
MOST_CHAINS, MOST_CHAINS_FLAT = (
    10,
    7,
)  # a flat chain of eight needs 344 MB for its moves


def appliances(num_chains: int) -> FactorialHMM:
    """Chains of three states that stay with 0.9, each with levels of its own."""
    moves = torch.full((NUM_STATES, NUM_STATES), 0.05) + 0.85 * torch.eye(NUM_STATES)
    initial = torch.full((NUM_STATES,), 1 / NUM_STATES)
    means = [1.3**m * torch.tensor([0.0, 40.0, 100.0]) for m in range(num_chains)]
    emission = additive_gaussian(means, 20.0)
    return FactorialHMM((initial,) * num_chains, (moves,) * num_chains, emission)


def methods(model: FactorialHMM, x: torch.Tensor) -> dict:
    """What to time: (task, method) -> (call, steps it takes)."""
    # Methods are compared, not their compilers: all of them in plain PyTorch.
    short, plain = x[:20], engines.recursion
    parts = model.initial_probs, model.transition_matrices, model.emission.chain_means
    story = pyro_models.factorial_story
    calls = {
        ("likelihood", "factored"): (
            lambda: model.log_likelihood(x, engine=plain),
            len(x),
        ),
        ("likelihood", "Pyro"): (
            lambda: pyro_models.evidence(story, *parts, 20.0, readings=short),
            len(short),
        ),
        ("smoothing", "factored"): (lambda: model.smooth(x, engine=plain), len(x)),
        ("smoothing", "mean field"): (
            lambda: mean_field(model, x, num_sweeps=1, engine=plain),
            len(x),
        ),
        ("decoding", "factored"): (lambda: model.viterbi(x, engine=plain), len(x)),
        ("decoding", "ICM"): (
            lambda: coordinate_ascent(model, x, num_sweeps=1, engine=plain),
            len(x),
        ),
    }
    if len(model.sizes) <= MOST_CHAINS_FLAT:
        flat = model.flattened()
        for task, run in (
            ("likelihood", flat.log_likelihood),
            ("smoothing", flat.smooth),
            ("decoding", flat.viterbi),
        ):
            calls[task, "flat"] = (lambda run=run: run(x, engine=plain), len(x))
    return calls


def check_same_answers(results: dict) -> None:
    """The exact methods agree: the evidence, and the log joint of the best path."""
    if ("likelihood", "flat") in results:
        exact = float(results["likelihood", "factored"])
        assert math.isclose(float(results["likelihood", "flat"]), exact, rel_tol=1e-9)
        best = float(results["decoding", "factored"].log_joint)
        assert math.isclose(
            float(results["decoding", "flat"].log_joint), best, rel_tol=1e-9
        )
        assert math.isclose(
            float(results["smoothing", "flat"].log_likelihood), exact, rel_tol=1e-9
        )


def main(most_chains: int = MOST_CHAINS, target: Path = TARGET) -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    rows = []
    for num_chains in range(1, most_chains + 1):
        model = appliances(num_chains)
        x = model.sample(NUM_STEPS, seed=0).observations
        calls = methods(model, x)
        seconds, results = {name: [] for name in calls}, {}
        for _ in range(ROUNDS + 1):
            for name, (call, num_steps) in calls.items():
                start = time.perf_counter()
                results[name] = call()
                seconds[name].append((time.perf_counter() - start) / num_steps)
        check_same_answers(results)
        for (task, method), times in seconds.items():
            median = statistics.median(times[1:])
            rows.append([task, method, NUM_STATES, num_chains, median])
            print(*rows[-1], flush=True)
    table = pd.DataFrame(rows, columns=["task", "method", "K", "M", "seconds"])
    table.to_csv(target, index=False, float_format="%.3g", lineterminator="\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*(kind(text) for kind, text in zip((int, Path), given, strict=False)))
