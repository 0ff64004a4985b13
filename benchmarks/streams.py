"""Baum-Welch over files: how much memory it takes, and what a second core saves.

    python benchmarks/streams.py

A step of `fit_em_streamed` over files of 500,000 Gaussian readings each, four states. First
the peak of resident memory, in a process of its own for each number of files, above what the
process had after one file. Then the time of a step over 32 files by the `map` of Python,
by two threads, and by Dask with threads and with processes, by turns; efficiency is the time of
one core, divided by that of the way and by the number of cores. Torch has one thread, so that
one core is one core. Prints both.
"""

import os
import resource
import statistics
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dask
import dask.bag
import numpy as np
import torch
from torch.distributions import Normal

from hmmlib import HMM
from hmmlib.learning import fit_em_streamed

STEPS, FILES, ROUNDS = 500_000, 32, 5
MOVES = [[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.97, 0.01],
         [0.01, 0.01, 0.01, 0.97]]  # fmt: skip
LEVELS = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
MODEL = HMM([0.25] * 4, MOVES, Normal(LEVELS, 0.5))


def peak_above_start(paths: list[Path]) -> float:
    """MiB that a step over the files took at most, in this process."""
    torch.set_num_threads(1)
    step(paths[:1])  # what is compiled and imported stays
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(paths)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def step(paths: list[Path], **options):
    """One step of EM over all files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step has not converged
        return fit_em_streamed(MODEL, paths, 1, read=np.load, **options)


def by_dask(scheduler: str, function, paths) -> list:
    """The map of a bag, in as many partitions as there are cores."""
    bag = dask.bag.from_sequence(paths, npartitions=os.cpu_count())
    return bag.map(function).compute(scheduler=scheduler)


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
        paths = [Path(folder) / f"{n}.npy" for n in range(FILES)]
        for n, path in enumerate(paths):
            pieces = MODEL.sample(STEPS // 1000, num_sequences=1000, seed=n)
            np.save(path, pieces.observations.flatten().numpy())
        size = paths[0].stat().st_size / 2**20
        for passes in (1, 2, 4, 8):  # over the files: as many more of them
            with ProcessPoolExecutor(1) as fresh:
                peak = fresh.submit(peak_above_start, paths * passes).result()
            num = FILES * passes
            print(
                f"{num:3} files, {num * size:4.0f} MiB: {peak:4.0f} MiB above one file"
            )
        ways = {
            "one core": {},
            "two threads": {"map": threads.map},
            "Dask, threads": {"map": partial(by_dask, "threads")},
            "Dask, processes": {"map": partial(by_dask, "processes")},
        }
        taken = {name: [] for name in ways}
        step(paths)
        for _ in range(ROUNDS):
            for name, options in ways.items():
                start = time.perf_counter()
                step(paths, **options)
                taken[name].append(time.perf_counter() - start)
        alone = statistics.median(taken["one core"])
        for name, times in taken.items():
            seconds = statistics.median(times)
            cores = 1 if name == "one core" else os.cpu_count()
            print(
                f"{name:16} {seconds:6.2f} s, efficiency {alone / seconds / cores:.2f}"
            )


if __name__ == "__main__":
    main()
