"""How much slower is hmmlib on a busy machine, beside a plain loop of the same length?

    python benchmarks/busy.py

Each call and a compiled loop on one thread, about as long, take turns: first on the machine as
it is, then beside as many busy processes as there are cores. Threads are left as they are.
A program that starts threads for small products, and waits for all of them, slows down by
more than the loop. The last column is the one to look at: 1 is as unmoved as the loop.
"""

import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable

import peers
import torch
from numba import njit

from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.learning import em_step

ROUNDS = 15


def spin() -> None:
    while True:
        pass


@njit
def plain(num: int) -> float:
    """A loop that nothing can shorten."""
    x = 1.0
    for _ in range(num):
        x = x * 0.5 + 0.25
    return x


def calls() -> dict[str, Callable]:
    """The calls to be measured."""
    found = {}
    for size in ("K64 T2,000", "K256 T1,440"):
        problem = peers.Problem(peers.SIZES[size], "categorical")
        hmm = HMM(problem.initial, problem.moves, torch.as_tensor(problem.table))
        x = torch.as_tensor(problem.x[0])
        found[f"EM step, {size}"] = lambda hmm=hmm, x=x: em_step(hmm, x)
        found[f"gradient, {size}"] = peers.of_hmmlib(problem)["gradient"]
    sticky = [torch.tensor([[0.95, 0.05], [0.05, 0.95]]).double()] * 10
    even = [torch.full((2,), 0.5).double()] * 10
    means = [torch.tensor([0.0, 50.0 * 1.7**m]).double() for m in range(10)]
    day = FactorialHMM(even, sticky, additive_gaussian(means, 30.0))
    watts = day.sample(1440, seed=0).observations
    found["best path of a day, 2^10"] = lambda: day.viterbi(watts)
    return found


def seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(call: Callable, loop: Callable) -> tuple[float, float]:
    """Medians of both."""
    times = [(seconds(call), seconds(loop)) for _ in range(ROUNDS)]
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def main() -> None:
    warnings.simplefilter("ignore")
    plain(10)
    a_million = min(seconds(lambda: plain(1_000_000)) for _ in range(5))
    print(f"{'':28}{'alone':>10}{'busy':>10}{'slower':>8}{'the loop':>10}{'ratio':>7}")
    for name, call in calls().items():
        call()
        num = int(1e6 * min(seconds(call) for _ in range(3)) / a_million)

        def loop(num=num):
            plain(num)

        alone = in_turn(call, loop)
        others = [
            multiprocessing.Process(target=spin, daemon=True)
            for _ in range(os.cpu_count())
        ]
        for each in others:
            each.start()
        busy = in_turn(call, loop)
        for each in others:
            each.terminate()
            each.join()
        slower, of_loop = (b / a for a, b in zip(alone, busy, strict=True))
        times = f"{1e3 * alone[0]:7.1f} ms{1e3 * busy[0]:7.1f} ms"
        print(f"{name:28}{times}{slower:8.1f}{of_loop:10.1f}{slower / of_loop:7.1f}")


if __name__ == "__main__":
    main()
