"""A house without sub-meters: appliances described in a few numbers, the rest from the mains.

Nobody has to meter a kettle to know that it draws 3 kW for three minutes, a few times a day.
Such descriptions are where EM starts from, and what its counts are added to: it moves levels,
scales and moves until the mains are as probable as they get.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count, as_kind, as_number
from hmmlib.factorial.counts import JointCounts
from hmmlib.hmm import HMM
from hmmlib.nilm.appliances import (
    FLOOR,
    UNSEEN,
    counted,
    learn_appliance,
    medians,
    nearest,
)
from hmmlib.nilm.discriminative import days_of, of_chain
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.faults import without_faults
from hmmlib.nilm.meters.grid import as_time
from hmmlib.nilm.meters.series import check_power
from hmmlib.nilm.sub_meters import REST

TRUST = 365.0  # days of readings that a description counts for


def described_appliance(
    watts: float,
    minutes: float,
    runs_per_day: float,
    spread: float,
    step="1min",
) -> HMM:
    """An appliance that is off or on, from four numbers: an HMM of two states.

    How long a run takes is geometric with the given mean, and so is the time in between.

    Args:
        watts: what it draws while it runs.
        minutes, runs_per_day: on average; a run takes one step or more.
        spread: the standard deviation of its watts while it runs.
        step: the time between two readings.

    Raises:
        ValueError: a number is not above 0, a run is shorter than a step, or the runs of a
            day take longer than a day.

    Example:
        >>> kettle = described_appliance(3000, 3, 6, 100)
        >>> kettle.transition_matrix[1]
        tensor([0.3333, 0.6667], dtype=torch.float64)
    """
    names = "watts", "minutes", "runs_per_day", "spread"
    for name, x in zip(names, (watts, minutes, runs_per_day, spread), strict=True):
        as_number(name, x, "a number above 0", lambda x: 0 < x < np.inf)
    minute = as_time("step", step) / pd.Timedelta("1min")
    if minutes < minute:
        raise ValueError(
            f"minutes: got {minutes:g}, needs at least one step, {minute:g}"
        )
    between = 1440 / runs_per_day - minutes
    if between < minute:
        raise ValueError(
            f"runs_per_day: got {runs_per_day:g} of {minutes:g} minutes, which leave"
            f" {between:.3g} minutes in between, needs at least one step, {minute:g}"
        )
    start, stop = minute / between, minute / minutes
    on = start / (start + stop)
    emission = Normal(
        torch.tensor([0.0, watts], dtype=torch.float64),
        torch.tensor([FLOOR, max(spread, FLOOR)], dtype=torch.float64),
    )
    return HMM([1 - on, on], [[1 - start, start], [stop, 1 - stop]], emission)


def described_house(
    mains: pd.Series,
    appliances: Mapping[str, HMM],
    num_rest_states: int = 4,
    floor: float = FLOOR,
) -> House:
    """A house of described appliances, and a rest that is cut from the mains by rank.

    As `learn_unlabelled` with `num_iters=0`, but for where the levels of the rest start: the
    readings that are too low for any appliance to be on are sorted and cut into equal parts,
    and each part's middle becomes a level, which then moves to the median of the readings it
    is closest to. Nothing is drawn at random, so the explorer of chapter 8 does the same.

    Args:
        mains, appliances, num_rest_states, floor: as for `learn_unlabelled`.

    Raises:
        ValueError: as `learn_unlabelled` does.

    Example:
        >>> minutes = pd.date_range("2026-02-23", periods=6, freq="min")
        >>> mains = pd.Series([100.0, 110.0, 3100.0, 210.0, 200.0, 190.0], minutes)
        >>> kettle = described_appliance(3000, 3, 6, 100)
        >>> house = described_house(mains, {"kettle": kettle}, num_rest_states=2)
        >>> house.appliances[REST].emission.loc
        tensor([100., 200.], dtype=torch.float64)
    """
    power = without_faults(check_power(mains))
    floor = as_number("floor", floor, "watts above 0", lambda x: 0 < x < np.inf)
    size = as_count("num_rest_states", num_rest_states)
    low = torch.as_tensor(
        _low(power, _described(appliances, power)).to_numpy(copy=True)
    )
    values = low[~low.isnan()].sort().values
    if len(values.unique()) < size:
        raise ValueError(
            f"mains: got {len(values.unique())} different readings that are too low for an"
            f" appliance to be on, needs {size}, one for each state of the rest"
        )
    parts = (2 * torch.arange(size) + 1) * len(values) // (2 * size)
    states = nearest(low, medians(values, values[parts]))
    rest = counted(low, states, size, floor)
    return House({**appliances, REST: rest}, power.index.freq)


def learn_unlabelled(
    mains: pd.Series,
    appliances: Mapping[str, HMM],
    num_rest_states: int = 4,
    num_iters: int = 10,
    trust: float = TRUST,
    floor: float = FLOOR,
) -> House:
    """A house from its mains alone: described appliances, and a rest that is learned by EM.

    The rest starts as `learn_appliance` finds it in the readings that are too low for any
    appliance to be on. EM then makes the mains more probable. It knows nothing of names: two
    appliances of the same watts may change places, and one may turn into what drew most. So
    what is described counts as many days of readings, and moves only as far as many days of
    the mains contradict it. Ghahramani & Jordan 1997, sec. 2.2.

    Args:
        mains: watts, with a DatetimeIndex.
        appliances: an HMM for each name, such as `described_appliance` returns.
        num_rest_states: the levels of all that is not described.
        num_iters: steps of EM; 0 leaves the rest as it starts.
        trust: how many days of readings of its own meter the description of an appliance
            counts for.
        floor: watts, the least standard deviation of a state.

    Raises:
        ValueError: `check_power` refuses the readings, no appliance is described, one of them
            is called `REST`, or there are too few different readings for the rest.
    """
    power = without_faults(check_power(mains))
    house, prior = started(power, appliances, num_rest_states, trust, floor)
    days = days_of(power)
    for _ in range(as_count("num_iters", num_iters, least=0)):
        house = maximised(house, house.model.expected_counts(days), prior, floor)
    return house


class Prior(NamedTuple):
    """What is known of a chain before, as if so much of it had been seen."""

    moves: Tensor  #: (K, K)
    readings: Tensor  #: (K,)
    level: Tensor  #: (K,)  their mean
    variance: Tensor  #: (K,)  that of the readings about it


def log_prior(house: House, prior: list[Prior]) -> Tensor:
    """The log density of what was seen before, up to a constant; ().

    EM never lowers its sum with the log-likelihood of the mains.
    """
    total = torch.zeros((), dtype=torch.float64)
    for hmm, seen in zip(house.appliances.values(), prior, strict=True):
        variance = hmm.emission.variance
        squares = seen.variance + (hmm.emission.loc - seen.level).square()
        total += torch.special.xlogy(seen.moves, hmm.transition_matrix).sum()
        total -= (seen.readings * (variance.log() + squares / variance)).sum() / 2
    return total


def maximised(
    house: House, counts: JointCounts, prior: list[Prior], floor: float
) -> House:
    """The M-step: the house that makes mains and prior more probable.

    The watts of each chain are hidden as its states are. Given the states, the difference
    between the mains and the sum of the levels is shared out in proportion to variances.
    """
    total, chains = house.model.emission.variance, {}
    used, apart, squares = counts.uses
    for m, (name, hmm) in enumerate(house.appliances.items()):
        level, own, before = hmm.emission.loc, hmm.emission.variance, prior[m]
        n = of_chain(used, m)
        lacking = own * of_chain(apart / total, m)
        spread = own * (n - own * of_chain(used / total - squares / total**2, m))
        weight = (n + before.readings).clamp(min=torch.finfo(n.dtype).tiny)
        shift = (lacking + before.readings * (before.level - level)) / weight
        new = level + shift
        spread = spread - 2 * shift * lacking + shift**2 * n
        spread += before.readings * (before.variance + (before.level - new) ** 2)
        moves = counts.moves[m] + before.moves
        chains[name] = HMM(
            hmm.initial_probs,
            moves / moves.sum(-1, keepdim=True),
            Normal(new, (spread / weight).clamp(min=floor**2).sqrt()),
        )
    return House(chains, house.step)


def started(
    power: pd.Series,
    appliances: Mapping[str, HMM],
    num_rest_states: int,
    trust: float,
    floor: float,
) -> tuple[House, list[Prior]]:
    """The described appliances and a first rest, and what counts as known. Raises ValueError."""
    trust = as_number("trust", trust, "days above 0", lambda x: 0 < x < np.inf)
    floor = as_number("floor", floor, "watts above 0", lambda x: 0 < x < np.inf)
    house = _described(appliances, power)
    rest = learn_appliance(_low(power, house), num_rest_states, floor=floor)
    a_day = trust * (pd.Timedelta("1D") / house.step)
    prior = []
    for hmm in appliances.values():
        often = a_day * hmm.initial_probs
        moves = often[:, None] * hmm.transition_matrix
        prior.append(Prior(moves, often, hmm.emission.loc, hmm.emission.variance))
    nothing = torch.zeros_like(rest.initial_probs)
    moves = UNSEEN + torch.zeros_like(rest.transition_matrix)
    prior.append(Prior(moves, nothing, rest.emission.loc, rest.emission.variance))
    return House({**appliances, REST: rest}, house.step), prior


def _described(appliances: Mapping[str, HMM], power: pd.Series) -> House:
    """The house without its rest. Raises ValueError, for appliances that are not as needed."""
    if REST in as_kind("appliances", appliances, Mapping):
        raise ValueError(f"appliances: {REST!r} is what is learned, needs other names")
    return House(appliances, power.index.freq)


def _low(power: pd.Series, house: House) -> pd.Series:
    """The readings that are too low for any appliance to be on; NaN elsewhere."""
    levels = torch.cat([level[level > 0] for level in house.levels])
    if not len(levels):
        raise ValueError("appliances: no level above 0, needs what they draw when on")
    return power.where(power < power.median() + float(levels.min()) / 2)
