"""What richer stories cost: inputs, durations and beliefs, beside a plain chain.

    python benchmarks/richer.py

One run, by turns, medians. Inputs and durations are told as multiples of the time that a
plain chain of as many states takes for the same series; durations also beside the same model
expanded into one chain of K · D states. A belief is told in microseconds an observation, and
beside filtering the whole past again.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch.distributions import Normal, Poisson

from hmmlib import HMM, HSMM, FactorialHMM
from hmmlib.durations import poisson_durations
from hmmlib.emissions import LinearEmission
from hmmlib.factorial import additive_gaussian
from hmmlib.learning import em_step
from hmmlib.learning.durations import hsmm_em_step
from hmmlib.transitions import SoftmaxTransitions

ROUNDS, STEPS, INPUTS, LONGEST = 15, 10_000, 3, 60
PAST = 1_000  # observations before the one that a belief takes


def medians(calls: dict[str, Callable], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each call, by turns, after one that is not counted."""
    taken = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def chain(size: int) -> HMM:
    """A plain chain of Gaussians that stays where it is nine times of ten."""
    moves = torch.full((size, size), 0.1 / (size - 1)).fill_diagonal_(0.9)
    return HMM(
        torch.full((size,), 1 / size), moves, Normal(3.0 * torch.arange(size), 1.0)
    )


def expanded(hsmm: HSMM) -> HMM:
    """The same model as one chain, whose states count the steps that a stay has left."""
    size, longest = hsmm.durations.shape
    moves = torch.zeros(size, longest, size, longest)
    for k in range(size):
        for left in range(1, longest):
            moves[k, left, k, left - 1] = 1.0
        moves[k, 0] = hsmm.transition_matrix[k][:, None] * hsmm.durations
    start = hsmm.initial_probs[:, None] * hsmm.durations
    emission = hsmm.emission
    loc, scale = (x.repeat_interleave(longest) for x in (emission.loc, emission.scale))
    flat = size * longest
    return HMM(start.reshape(flat), moves.reshape(flat, flat), Normal(loc, scale))


def of_inputs() -> None:
    """Driven moves, and driven readings, beside a plain chain."""
    asks = {
        "evidence": HMM.log_likelihood,
        "viterbi": HMM.viterbi,
        "smooth": HMM.smooth,
        "em": em_step,
    }
    for size in (3, 16):
        plain, inputs = chain(size), torch.randn(STEPS, INPUTS)
        x = plain.sample(STEPS, seed=0).observations
        weights = SoftmaxTransitions(torch.randn(size, size, INPUTS))
        emission = LinearEmission(torch.randn(size, INPUTS), torch.ones(size))
        moves = HMM(plain.initial_probs, weights, plain.emission)
        readings = HMM(plain.initial_probs, plain.transition_matrix, emission)
        for task, ask in asks.items():
            found = medians({
                "plain": partial(ask, plain, x),
                "moves": partial(ask, moves, x, inputs=inputs),
                "readings": partial(ask, readings, x, inputs=inputs),
            })  # fmt: skip
            ours = found.pop("plain")
            each = "  ".join(f"{k} × {v / ours:.1f}" for k, v in found.items())
            print(f"inputs  K {size:<3} {task:<9} plain {1e3 * ours:6.2f} ms  {each}")


def of_durations() -> None:
    """Stays of explicit durations beside a plain chain and the expanded one."""
    plain, stays = chain(5), five_stays()
    flat, x = expanded(stays), stays.sample(STEPS, seed=0).observations
    for task in ("log_likelihood", "viterbi", "smooth"):
        models = {"plain": plain, "stays": stays, "expanded": flat}
        found = medians({k: partial(getattr(m, task), x) for k, m in models.items()}, 5)
        told(task, found)
        print(f"    the expanded chain × {found['expanded'] / found['stays']:.0f}")
    calls = {
        "plain": partial(em_step, plain, x),
        "stays": partial(hsmm_em_step, stays, x),
    }
    told("em", medians(calls, 5))


def five_stays() -> HSMM:
    """Five states, whose stays last 5 to 30 steps on average, and 60 at most."""
    plain, moves = chain(5), torch.full((5, 5), 0.25).fill_diagonal_(0.0)
    table = poisson_durations(torch.linspace(5.0, 30.0, 5), LONGEST)
    return HSMM(plain.initial_probs, moves, plain.emission, table)


def told(task: str, found: dict[str, float]) -> None:
    """One line on stays."""
    stays, plain = found["stays"], found["plain"]
    print(
        f"stays  K 5  {task:<15} {1e3 * stays:7.2f} ms, the plain chain × {stays / plain:.1f}"
    )


def of_beliefs() -> None:
    """One observation more."""
    words = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], torch.full((2, 3), 1 / 3))
    eight, inputs = chain(8), torch.randn(PAST, INPUTS)
    counts = Poisson(1.0 + torch.arange(8))
    moves = SoftmaxTransitions(torch.randn(8, 8, INPUTS))
    readings = LinearEmission(torch.randn(8, INPUTS), torch.ones(8))
    means = [torch.tensor([0.0, 100.0 * m]) for m in range(1, 5)]
    tables = [[0.5, 0.5]] * 4, [[[0.9, 0.1], [0.2, 0.8]]] * 4
    models = {
        "symbols K 2": words,
        "Gaussians K 8": eight,
        "Poisson K 8": HMM(eight.initial_probs, eight.transition_matrix, counts),
        "inputs K 8": HMM(eight.initial_probs, moves, readings),
        "factorial 2^4": FactorialHMM(*tables, additive_gaussian(means, 9.0)),
        "stays K 5 D 60": five_stays(),
    }
    for name, model in models.items():
        driven = name.startswith("inputs")
        given, row = ({"inputs": inputs}, {"inputs": inputs[0]}) if driven else ({}, {})
        x, belief = model.sample(PAST, seed=0, **given).observations, model.belief()
        for value in x[:50].tolist():
            belief = belief.observe(value, **row)
        observe = partial(belief.observe, x[50].item(), **row)
        found = medians({
            "observe": lambda observe=observe: [observe() for _ in range(100)],
            "again": partial(model.filter, x, **given),
        })  # fmt: skip
        each, again = found["observe"] / 100, found["again"]
        print(
            f"belief  {name:<15} {1e6 * each:6.1f} µs, filtering again × {again / each:.0f}"
        )


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    of_inputs()
    of_durations()
    of_beliefs()
