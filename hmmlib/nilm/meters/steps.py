"""The mean of each step, of readings that come at any time and hold until the next."""

import numpy as np
import pandas as pd

from hmmlib.nilm.meters.grid import check_span
from hmmlib.nilm.meters.order import check_forward
from hmmlib.nilm.meters.source import Source

BLOCK = 1_000_000  # readings at once
LEAST = 0.5  # the part of a step that must be known


def mean_per_step(
    power: pd.Series,
    step: pd.Timedelta,
    hold: pd.Timedelta,
    source: Source,
    until: pd.Timestamp | None = None,
) -> pd.Series:
    """The mean over time of each step, on an even grid of multiples of `step`.

    A reading holds until the next, but for at most `hold`; a missing one ends the reading
    before it. A step of which less than half is known is missing. Of two readings at the
    same stamp the later one counts.

    Args:
        power: readings, NaN where missing, with stamps in ascending order.
        step: the length of a step.
        hold: the longest time that a reading stands for.
        source: the words for messages.
        until: the end of the last reading; None for the end of its step.

    Raises:
        ValueError: the stamps go back in time, or span far more steps than there are
            readings.
    """
    check_forward(power, source)
    at = power.index.as_unit("ns").asi8
    first = at[0] - at[0] % step.value
    last = at[-1] + 1 if until is None else max(at[-1] + 1, until.as_unit("ns").value)
    num_steps = int(-((first - last) // step.value))
    check_span(power.index, step, source)
    joules, known = np.zeros(num_steps), np.zeros(num_steps)  # watts times steps; steps
    values = power.to_numpy()
    for start in range(0, len(at), BLOCK):
        block = slice(start, start + BLOCK)
        begin = (at[block] - first) / step.value
        longest = hold.value / step.value
        following = (at[start + 1 : start + BLOCK + 1] - first) / step.value
        end = np.minimum(
            np.append(following, begin[len(following) :] + longest), begin + longest
        )
        seen = np.isfinite(values[block])
        _add(joules, known, begin[seen], end[seen], values[block][seen])
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(known >= LEAST - 1e-9, joules / known, np.nan)
    index = pd.date_range(
        pd.Timestamp(first, tz=power.index.tz), periods=num_steps, freq=step,
        name=power.index.name,
    )  # fmt: skip
    return pd.Series(means, index, name=power.name)


def _add(
    joules: np.ndarray,
    known: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    watts: np.ndarray,
) -> None:
    """Adds what is known of each step; `begin` and `end` count steps and do not overlap."""
    first, last = begin.astype(int), end.astype(int)
    within = np.minimum(end, first + 1) - begin
    np.add.at(joules, first, watts * within)
    np.add.at(known, first, within)
    on = (first < last) & (last < len(known))
    beyond = end[on] - last[on]
    np.add.at(joules, last[on], watts[on] * beyond)
    np.add.at(known, last[on], beyond)
    # The steps between the first and the last belong to one reading each.
    whole = np.clip(np.minimum(last, len(known)) - first - 1, 0, None)
    before = np.repeat(np.cumsum(whole) - whole, whole)
    step = np.repeat(first + 1, whole) + np.arange(whole.sum()) - before
    joules[step], known[step] = np.repeat(watts, whole), 1.0
