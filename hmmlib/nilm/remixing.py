"""Days that never were: windows of single meters, drawn independently and added up.

A factorial model says that appliances know nothing of each other. So a window of the kettle,
one of the dishwasher and one of the rest, each from a day of its own, add up to mains that
could have been read. There are many more of these than days.

Letters: T readings, N windows of W readings, M appliances.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

WINDOW = 512  # readings
STRETCH = 2.0  # at most as many times as long, or as short, does a re-mixed run take
ACTIVE = 0.5  # of the windows of an appliance are drawn from those in which it is on


class Recording(NamedTuple):
    """What the meters of a house read, and what each appliance did."""

    mains: Tensor  #: (T,) watts, NaN where missing
    parts: Tensor  #: (T, M + 1) watts of the appliances and, in the end, of the rest
    states: Tensor  #: (T, M) of the appliances, -1 where unknown


class Sources(NamedTuple):
    """Where windows of a recording may start."""

    recording: Recording
    starts: Tensor  #: (n,) of all windows
    active: tuple[Tensor, ...]  #: M of (n_m,), windows in which the appliance is on


class Windows(NamedTuple):
    """Mains, and the states of the appliances behind them."""

    watts: Tensor  #: (N, W) watts, NaN where missing
    states: Tensor  #: (N, W, M), -1 where unknown


def sources_of(recording: Recording) -> Sources:
    """The windows of a recording that have a reading of the mains.

    Raises ValueError if there is none.
    """
    rows = len(recording.mains)
    if rows < WINDOW:
        raise ValueError(f"table: got {rows} rows, needs at least {WINDOW}")
    seen = _counts(~recording.mains.isnan()[:, None])[:, 0]
    starts = seen.nonzero()[:, 0]
    if not len(starts):
        raise ValueError("table: every reading of the mains is missing, needs some")
    on = _counts(recording.states > 0)[starts]
    active = tuple(starts[column > 0] for column in on.T)
    return Sources(recording, starts, active)


def drawn(sources: Sources, num: int, remix: float, generator: Generator) -> Windows:
    """Windows for training: a share of `remix` is added up from windows of single meters.

    Each of their appliances runs faster or slower than it was read, by a factor of up to
    `STRETCH`, as other programs of it may. The other windows are as they were read.
    """
    mains, parts, states = sources.recording
    num_appliances = states.shape[1]
    own = torch.stack(
        [_starts(sources, m, num, generator) for m in range(num_appliances)], dim=1
    )  # (N, M), a start for each appliance
    anyone = torch.randint(num_appliances, (num, 1), generator=generator)
    together = own.gather(1, anyone)
    mixed = torch.rand((num, 1), generator=generator, dtype=torch.float32) < remix
    speed = STRETCH ** (
        2 * torch.rand(own.shape, generator=generator, dtype=torch.float32) - 1
    )
    rest = sources.starts[_integers(len(sources.starts), num, generator)][:, None]
    steps, middle = torch.arange(WINDOW), WINDOW // 2
    moved = ((steps - middle)[:, None] * speed[:, None]).floor().long() + middle
    moved = torch.where(mixed[..., None], moved, steps[:, None])
    at = (torch.where(mixed, own, together)[:, None] + moved).clamp(0, len(mains) - 1)
    which = torch.arange(num_appliances)  # at: (N, W, M)
    total = parts[at, which].sum(-1) + parts[rest + steps, -1]
    watts = torch.where(mixed, total.clamp(min=0.0), mains[together + steps])
    return Windows(watts, states[at, which])


def _starts(sources: Sources, m: int, num: int, generator: Generator) -> Tensor:
    """Starts of windows of appliance m, (N,): it is on in half of them, or more."""
    starts = sources.starts[_integers(len(sources.starts), num, generator)]
    active = sources.active[m]
    if not len(active):
        return starts
    on = active[_integers(len(active), num, generator)]
    return torch.where(
        torch.rand(num, generator=generator, dtype=torch.float32) < ACTIVE, on, starts
    )


def _integers(below: int, num: int, generator: Generator) -> Tensor:
    return torch.randint(below, (num,), generator=generator)


def _counts(happens: Tensor) -> Tensor:
    """How often something happens in each window of (T, M); (T - W + 1, M)."""
    before = torch.nn.functional.pad(happens.cumsum(0), (0, 0, 1, 0))
    return before[WINDOW:] - before[:-WINDOW]
