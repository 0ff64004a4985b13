"""Sequences of a batch shared out among threads."""

import contextlib
import itertools
import threading
from collections.abc import Iterator

import numpy as np
import torch

WORK = 5e5  # multiplications that are worth a thread of their own
MOST = 32  # parts that a batch is cut into, at most

_LOCK = threading.Lock()
_inside: list[
    int
] = []  # for each block of one_thread, the threads that torch had outside


def num_parts(num_sequences: int, cost: float) -> int:
    """Into how many parts to cut sequences that take `cost` multiplications in all.

    However many threads there are, so that sums over the parts are the same on any number.
    """
    return int(min(MOST, num_sequences, max(cost // WORK, 1)))


def parts_of(num: int, steps: int, size: int) -> int:
    """Into how many parts to cut `num` sequences of `steps` steps and `size` states."""
    return 1 if num == 1 else num_parts(num, float(num) * steps * (size * size + 10))


def in_parallel(work, lengths: np.ndarray, parts: int) -> None:
    """`work(first, last, part)` for all sequences, each part with its share of the steps.

    Compiled loops release the interpreter's lock, so plain threads suffice.
    """
    if parts == 1:
        work(0, len(lengths), 0)
        return
    steps = np.cumsum(lengths)
    middle = (
        steps - lengths / 2
    )  # a sequence belongs to the part that its middle lies in
    inner = np.searchsorted(middle, steps[-1] / parts * np.arange(1, parts))
    edges = [0, *inner.tolist(), len(lengths)]
    ranges = [(*edge, part) for part, edge in enumerate(itertools.pairwise(edges))]
    num_threads = min(torch.get_num_threads(), parts)

    def take(thread: int) -> None:
        for each in ranges[thread::num_threads]:
            work(*each)

    threads = [threading.Thread(target=take, args=(i,)) for i in range(1, num_threads)]
    for thread in threads:
        thread.start()
    take(0)
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread in here, and give it back what it had outside.

    For small tensors that are made beside a compiled loop: shared out among threads they
    cost little less on an idle machine, and many times as much on a busy one, since each
    operation waits for the last of its threads.
    """
    with (
        _LOCK
    ):  # who comes while another is inside would find one thread, and leave it so
        _inside.append(_inside[0] if _inside else torch.get_num_threads())
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            torch.set_num_threads(_inside.pop())
