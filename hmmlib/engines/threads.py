"""Sequences of a batch shared out among threads."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

import numpy as np
import torch

WORK = 5e5  # multiplications that are worth a second thread


def num_shares(num_sequences: int, cost: float, num_threads: int) -> int:
    """How many threads to use for sequences that take `cost` multiplications in all."""
    return int(min(num_threads, num_sequences, max(cost // WORK, 1)))


def shares_of(num: int, steps: int, size: int) -> int:
    """How many threads to use for `num` sequences of `steps` steps and `size` states."""
    if num == 1:
        return 1
    cost = float(num) * steps * (size * size + 10)
    return num_shares(num, cost, torch.get_num_threads())


def in_parallel(work, lengths: np.ndarray, shares: int) -> None:
    """`work(first, last, share)` for all sequences, a thread for each share of the steps.

    Compiled loops release the interpreter's lock, so plain threads suffice.
    """
    if shares == 1:
        work(0, len(lengths), 0)
        return
    steps = np.cumsum(lengths)
    middle = (
        steps - lengths / 2
    )  # a sequence belongs to the share that its middle lies in
    inner = np.searchsorted(middle, steps[-1] / shares * np.arange(1, shares))
    edges = [0, *inner.tolist(), len(lengths)]
    ranges = [(*edge, share) for share, edge in enumerate(itertools.pairwise(edges))]
    threads = [threading.Thread(target=work, args=each) for each in ranges[1:]]
    for thread in threads:
        thread.start()
    work(*ranges[0])
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread in here, and give it back what it had.

    For small tensors that are made beside a compiled loop: shared out among threads they
    cost little less on an idle machine, and many times as much on a busy one, since each
    operation waits for the last of its threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
