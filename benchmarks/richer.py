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
    for size in (3, 16):
        plain = chain(size)
        x = plain.sample(STEPS, seed=0).observations
        inputs = torch.randn(STEPS, INPUTS)
        weights = torch.randn(size, size, INPUTS)
        moves = HMM(plain.initial_probs, SoftmaxTransitions(weights), plain.emission)
        readings = LinearEmission(torch.randn(size, INPUTS), torch.ones(size))
        readings = HMM(plain.initial_probs, plain.transition_matrix, readings)
        for task in ("log_likelihood", "viterbi", "smooth", "em_step"):
            ask = (lambda m, *a, **k: em_step(m, *a, **k)) if task == "em_step" else (
                lambda m, *a, task=task, **k: getattr(m, task)(*a, **k))  # fmt: skip
            found = medians({
                "plain": lambda ask=ask, m=plain, x=x: ask(m, x),
                "moves": lambda ask=ask, m=moves, x=x, u=inputs: ask(m, x, inputs=u),
                "readings": lambda ask=ask, m=readings, x=x, u=inputs: ask(m, x, inputs=u),
            })  # fmt: skip
            each = "  ".join(
                f"{k} × {found[k] / found['plain']:.1f}" for k in ("moves", "readings")
            )
            print(
                f"inputs     K {size:<3} {task:<15} plain {1e3 * found['plain']:7.2f} ms  {each}"
            )


def of_durations() -> None:
    """Stays of explicit durations beside a plain chain and the expanded one."""
    plain = chain(5)
    moves = torch.full((5, 5), 0.25).fill_diagonal_(0.0)
    table = poisson_durations(torch.linspace(5.0, 30.0, 5), LONGEST)
    stays = HSMM(plain.initial_probs, moves, plain.emission, table)
    flat, x = expanded(stays), stays.sample(STEPS, seed=0).observations
    for task in ("log_likelihood", "viterbi", "smooth"):
        models = {"plain": plain, "stays": stays, "expanded": flat}
        calls = {k: lambda m=m, t=task: getattr(m, t)(x) for k, m in models.items()}
        found = medians(calls, 5)
        print(
            f"durations  K 5   {task:<15} stays {1e3 * found['stays']:7.2f} ms "
            f" × {found['stays'] / found['plain']:.1f} of the plain chain,"
            f" expanded × {found['expanded'] / found['stays']:.0f} of stays"
        )
    found = medians(
        {"plain": lambda: em_step(plain, x), "stays": lambda: hsmm_em_step(stays, x)}, 5
    )
    print(
        f"durations  K 5   em_step         stays {1e3 * found['stays']:7.2f} ms  × {found['stays'] / found['plain']:.1f}"
    )


def of_beliefs() -> None:
    """One observation more."""
    words = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], torch.full((2, 3), 1 / 3))
    eight, inputs = chain(8), torch.randn(PAST, INPUTS)
    counts = HMM(
        eight.initial_probs, eight.transition_matrix, Poisson(1.0 + torch.arange(8))
    )
    driven = HMM(eight.initial_probs, SoftmaxTransitions(torch.randn(8, 8, INPUTS)),
                 LinearEmission(torch.randn(8, INPUTS), torch.ones(8)))  # fmt: skip
    means = [torch.tensor([0.0, 100.0 * m]) for m in range(1, 5)]
    house = FactorialHMM(
        [[0.5, 0.5]] * 4, [[[0.9, 0.1], [0.2, 0.8]]] * 4, additive_gaussian(means, 9.0)
    )
    moves = torch.full((5, 5), 0.25).fill_diagonal_(0.0)
    table = poisson_durations(torch.linspace(5.0, 30.0, 5), LONGEST)
    five = chain(5)
    stays = HSMM(five.initial_probs, moves, five.emission, table)
    models = {
        "symbols K 2": words, "Gaussians K 8": eight, "Poisson K 8": counts,
        "inputs K 8": driven, "factorial 2^4": house, "stays K 5 D 60": stays,
    }  # fmt: skip
    for name, model in models.items():
        given = {"inputs": inputs} if model is driven else {}
        x = model.sample(PAST, seed=0, **given).observations
        belief = model.belief()
        row = {"inputs": inputs[0]} if model is driven else {}
        for value in x[:50].tolist():
            belief = belief.observe(value, **row)
        next_one = x[50].item()
        calls = {
            "observe": lambda b=belief, v=next_one, r=row: [
                b.observe(v, **r) for _ in range(100)
            ],
            "again": lambda m=model, x=x, g=given: m.filter(x, **g),
        }
        found = medians(calls)
        each = found["observe"] / 100
        print(
            f"belief     {name:<15} {1e6 * each:6.1f} µs, filtering {PAST} again × {found['again'] / each:.0f}"
        )


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    of_inputs()
    of_durations()
    of_beliefs()
