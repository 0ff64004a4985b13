"""Moves that depend on the hour of the day: when an appliance is likely to be switched on.

Each hour has a matrix of its own, as `SoftmaxTransitions` with 24 inputs, of which that of the
hour is 1 and the others are 0. An hour in which few moves were seen stays close to the matrix
of the whole day.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hmmlib.checks import as_instance, as_kind, as_number
from hmmlib.hmm import HMM
from hmmlib.nilm.meters.series import check_power
from hmmlib.transitions import SoftmaxTransitions, at_rest

HOURS = 24  #: inputs of an appliance whose moves depend on the hour
STRENGTHS = (10.0, 30.0, 100.0, 300.0, 1000.0)  # that `learn_hours` tries
UNSEEN = 0.01  # added to the count of each move, so that none is impossible


def hours_of(index: pd.DatetimeIndex) -> Tensor:
    """The inputs of each stamp, (T, 24): 1 for its hour, in its own time zone, else 0.

    Raises:
        ValueError: `index` is no DatetimeIndex.

    Example:
        >>> hours_of(pd.DatetimeIndex(["2013-06-01 00:59", "2013-06-01 23:00"])).argmax(1)
        tensor([ 0, 23])
    """
    hours = as_kind("index", index, pd.DatetimeIndex).hour.to_numpy(np.int64)
    return torch.eye(HOURS, dtype=torch.float64)[hours]


def by_hour(appliance: HMM, counts, strength: float) -> HMM:
    """The same appliance, each hour's moves as counted, drawn to its matrix A.

    Hour h has the moves (counts[h] + strength · A) / (their sum over the state entered).

    Args:
        appliance: such as `learn_appliance` returns; inputs must not drive its moves.
        counts: (24, K, K), moves seen in each hour.
        strength: the number of moves out of each state that A counts for.

    Raises:
        ValueError: for a strength of 0 or less, and for counts of another shape.
    """
    matrix = at_rest(as_instance("appliance", appliance, HMM).transition_matrix)
    strength = as_number("strength", strength, "a number above 0", lambda x: x > 0)
    counts, needs = torch.as_tensor(counts).to(matrix), (HOURS, *matrix.shape)
    if tuple(counts.shape) != needs:
        raise ValueError(f"counts: got shape {tuple(counts.shape)}, needs {needs}")
    moves = counts + strength * matrix
    logs = (moves / moves.sum(2, keepdim=True)).log().movedim(0, 2)  # (K, K, 24)
    transitions = SoftmaxTransitions(logs.contiguous())
    return HMM(appliance.initial_probs, transitions, appliance.emission)


def learn_hours(appliance: HMM, power: pd.Series) -> HMM:
    """The appliance with moves that depend on the hour, if held-out days ask for it.

    It is returned as it is, unless the best gain in `compare_hours` is more than its standard
    error.

    Args:
        appliance, power: as for `compare_hours`.

    Raises:
        ValueError: as `compare_hours`.
    """
    table = compare_hours(appliance, power)
    best = table.loc[table["gain"].idxmax()]
    if not best["gain"] > best["standard error"]:
        return appliance
    return by_hour(appliance, _counts_of_days(appliance, power).sum(0), best.name)


def compare_hours(appliance: HMM, power: pd.Series) -> pd.DataFrame:
    """What moves by the hour gain on held-out days, over one matrix for the whole day.

    Each half of the days, those of odd and of even number, is scored with what the other
    half counts on its most probable path.

    Args:
        appliance: such as `learn_appliance` returns.
        power: watts of its meter, with a DatetimeIndex.

    Returns:
        Rows by strength; columns: gain, standard error, in nats a day.

    Raises:
        ValueError: `check_power` refuses the readings, or there are fewer than four days.
    """
    counts = _counts_of_days(appliance, power)
    if len(counts) < 4:
        raise ValueError(f"power: got {len(counts)} days, needs at least four")
    rows = {}
    for strength in STRENGTHS:
        gains = np.empty(len(counts))
        for held_out in (slice(None, None, 2), slice(1, None, 2)):
            others = np.delete(counts, np.s_[held_out], axis=0).sum(0)
            whole = others.sum(0) + UNSEEN
            whole /= whole.sum(1, keepdims=True)
            hourly = others + strength * whole
            hourly /= hourly.sum(2, keepdims=True)
            gains[held_out] = (counts[held_out] * np.log(hourly / whole)).sum((1, 2, 3))
        rows[strength] = gains.mean(), gains.std(ddof=1) / len(gains) ** 0.5
    table = pd.DataFrame.from_dict(rows, "index", columns=["gain", "standard error"])
    return table.rename_axis("strength")


def _counts_of_days(appliance: HMM, power: pd.Series) -> np.ndarray:
    """The moves on the most probable path, by day and hour; (days, 24, K, K)."""
    power = check_power(power)
    best = as_instance("appliance", appliance, HMM).viterbi(
        torch.as_tensor(power.to_numpy(copy=True))
    )
    path, size = best.states.numpy(), len(appliance.initial_probs)
    days, hours = pd.factorize(power.index.date)[0], power.index.hour.to_numpy()
    counts = np.zeros((days.max() + 1, HOURS, size, size))
    np.add.at(counts, (days[:-1], hours[:-1], path[:-1], path[1:]), 1.0)
    return counts
