"""Draws that a seed repeats, from distributions that only know torch's one random stream."""

import contextlib
import threading
from collections.abc import Iterator

import torch

_STREAM = threading.RLock()


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from torch's random stream as `seed` starts it, and leave the stream as it was.

    Threads that draw with a seed wait for each other, so that each gets what its seed gives.
    Without a seed the stream goes on from where it stands.
    """
    if seed is None:
        yield
        return
    with _STREAM, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
