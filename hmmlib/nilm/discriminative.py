"""A house trained for the question that it is asked: whose watts are these?

Learned from its sub-meters, a house makes their readings probable. What counts is how
probable they are once the mains are known, log p(sub-meters | mains), which is
log p(sub-meters, mains) - log p(mains). The gradient of a log-likelihood is made of expected
counts; that of the difference, of the counts with each appliance clamped to what its own
meter shows, less those with all appliances free.
"""

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count, as_kind, as_number
from hmmlib.factorial.counts import JointCounts
from hmmlib.hmm import HMM
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.faults import without_faults
from hmmlib.nilm.meters.series import check_power
from hmmlib.nilm.splitting import posterior_median
from hmmlib.nilm.sub_meters import REST

LENIENT = 2000.0  # watts that a level may be off the sub-meter, for a nat
RATE = 0.3  # of the largest change in the first step
FEW = 5.0  # uses: what was used less often hardly changes


class Day(NamedTuple):
    """What the meters read on one day, of T steps."""

    mains: Tensor  #: (T,) watts, NaN where missing
    meters: list[Tensor | None]  #: M of (T,) watts; None of the rest


class Slope(NamedTuple):
    """One number for each parameter of a chain."""

    logits: Tensor  #: (K, K)  logarithms of its moves
    levels: Tensor  #: (K,)  each in units of its scale
    log_scales: Tensor  #: (K,)


def train_discriminatively(
    house: House,
    table: pd.DataFrame,
    mains: str = "mains",
    num_steps: int = 15,
    rate: float = RATE,
    lenient: float = LENIENT,
    held_out: float = 1 / 3,
) -> House:
    """The house, some steps up log p(sub-meters | mains): it splits its mains better.

    A house learned from sub-meters was never asked which of its states are mistaken for which;
    this asks. Too many steps would fit the accidents of single days, so they are tried on the
    first days of the table and judged on the last, by the absolute error of `posterior_median`.
    As many as keep half of the largest gain there are then taken on all days; none, where
    nothing is gained.

    A sub-meter's reading y counts as log p(y | state) = -|y - level| / lenient, so that a
    kettle that is overlooked costs more than a lamp. What the rest draws is not asked for.

    Args:
        house: where to start, such as `learn_house` returns.
        table: a column of watts for each appliance and for the mains, with a DatetimeIndex
            in steps of `house.step`.
        mains: the column of the mains.
        num_steps: the most steps.
        rate: how much the logarithm of a move, a level in units of its scale, or the
            logarithm of a scale changes in the first step, at most. Later steps are shorter.
        lenient: watts, see above; thousands, so that single minutes do not decide.
        held_out: the share of the days, at the end, that the number of steps is chosen on.

    Raises:
        ValueError: a column is missing, `check_power` refuses its readings, the house cannot
            produce them, or they are of fewer than two days.
    """
    days = read_days(house, table, mains)
    num_steps = as_count("num_steps", num_steps, least=0)
    above_0 = (lambda x: 0 < x < float("inf"),)
    rate = as_number("rate", rate, "a number above 0", *above_0)
    lenient = as_number("lenient", lenient, "watts above 0", *above_0)
    held_out = as_number(
        "held_out", held_out, "a share between 0 and 1", lambda x: 0 < x < 1
    )
    num_last = max(round(held_out * len(days)), 1)
    tried = climb(house, days[:-num_last], num_steps, rate, lenient)
    errors = [absolute_error(each, days[-num_last:]) for each in tried]
    good = (errors[0] + min(errors)) / 2
    last = max(step for step, error in enumerate(errors) if error <= good)
    return climb(house, days, num_steps, rate, lenient, stop=last)[-1]


def climb(
    house: House,
    days: list[Day],
    num_steps: int,
    rate: float,
    lenient: float,
    stop: int | None = None,
) -> list[House]:
    """The house, and what it is after each step, up to `stop`."""
    climbed = [house]
    evidence = evidence_of(house, days, lenient)
    for step in range(num_steps if stop is None else stop):
        clamped, free = clamped_and_free(climbed[-1], days, evidence)
        shorter = rate * (1 - step / num_steps)
        climbed.append(ascended(climbed[-1], clamped, free, shorter))
    return climbed


def evidence_of(house: House, days: list[Day], lenient: float) -> list:
    """log p(sub-meter | state), M of N of (T, K_m); None of the rest."""
    columns = zip(*(day.meters for day in days), strict=True)
    evidence = []
    for level, meters in zip(house.levels, columns, strict=True):
        apart = [None if y is None else (y[:, None] - level).abs() for y in meters]
        known = apart[0] is not None
        evidence.append(
            [-x.nan_to_num(0.0) / lenient for x in apart] if known else None
        )
    return evidence


def clamped_and_free(
    house: House, days: list[Day], evidence: list
) -> tuple[JointCounts, JointCounts]:
    """Expected counts of mains and sub-meters, and of the mains alone.

    The difference of their log-likelihoods is log p(sub-meters | mains).
    """
    readings = [day.mains for day in days]
    clamped = house.model.expected_counts(readings, evidence=evidence)
    return clamped, house.model.expected_counts(readings)


def ascended(
    house: House, clamped: JointCounts, free: JointCounts, rate: float
) -> House:
    """One step up: each parameter by its gradient, divided by how much was seen of it.

    All of it times a factor, so that the largest change is `rate`.
    """
    steps, chains = [], {}
    for m in range(len(house.names)):
        slope, seen = (
            gradient(house, clamped, free, m),
            seen_of(house, clamped, free, m),
        )
        steps.append([g / (n + FEW) for g, n in zip(slope, seen, strict=True)])
    longest = max(float(change.abs().max()) for step in steps for change in step)
    factor = rate / longest if longest > 0 else 0.0
    for (name, hmm), step in zip(house.appliances.items(), steps, strict=True):
        logits, levels, log_scales = (factor * change for change in step)
        level, scale = hmm.emission.loc, hmm.emission.scale
        chains[name] = HMM(
            hmm.initial_probs,
            (hmm.transition_matrix.log() + logits).softmax(-1),
            Normal(level + levels * scale, scale * log_scales.exp()),
        )
    return House(chains, house.step)


def gradient(house: House, clamped: JointCounts, free: JointCounts, m: int) -> Slope:
    """That of log p(sub-meters | mains) in the parameters of chain m.

    A joint state's variance is the sum of those of its chains.
    """
    hmm, variance = list(house.appliances.values())[m], house.model.emission.variance
    more = clamped.moves[m] - free.moves[m]
    used, apart, squares = clamped.uses - free.uses
    scale = hmm.emission.scale
    return Slope(
        more - hmm.transition_matrix * more.sum(-1, keepdim=True),
        of_chain(apart / variance, m) * scale,
        of_chain(squares / variance**2 - used / variance, m) * scale**2,
    )


def seen_of(house: House, clamped: JointCounts, free: JointCounts, m: int) -> Slope:
    """How much was seen of each parameter of chain m: about its Fisher information."""
    variance = house.model.emission.variance
    scale = list(house.appliances.values())[m].emission.scale
    used = (clamped.uses[0] + free.uses[0]) / 2
    return Slope(
        (clamped.moves[m] + free.moves[m]) / 2,
        of_chain(used / variance, m) * scale**2,
        2 * of_chain(used / variance**2, m) * scale**4,
    )


def of_chain(uses: Tensor, m: int) -> Tensor:
    """(K_1, ..., K_M) summed up over the states of all chains but m; (K_m,)."""
    return uses.movedim(m, 0).reshape(uses.shape[m], -1).sum(1)


def absolute_error(house: House, days: list[Day]) -> float:
    """sum |estimate - sub-meter| in watts, of posterior medians; the rest does not count."""
    total = 0.0
    for day in days:
        estimate = torch.as_tensor(posterior_median(house, day.mains))
        for watts, meter in zip(estimate.T, day.meters, strict=True):
            if meter is not None:
                total += float((watts - meter).abs().nansum())
    return total


def read_days(house: House, table: pd.DataFrame, mains: str) -> list[Day]:
    """The table by days. Raises ValueError as `train_discriminatively`."""
    as_kind("table", table, pd.DataFrame)
    names = [name for name in house.names if name != REST]
    missing = [name for name in (mains, *names) if name not in table.columns]
    if missing or not names:
        raise ValueError(
            f"table: no column for {missing or 'an appliance'}, it has"
            f" {list(table.columns)}, needs one for each and for the mains"
        )
    power = {}
    for name in (mains, *names):
        power[name] = without_faults(check_power(table[name], house.step))
    cut = {name: days_of(each) for name, each in power.items()}
    num_days = len(cut[mains])
    if num_days < 2:
        raise ValueError(
            f"table: got readings of {num_days} day, needs two or more, so that some can"
            " be held out"
        )
    columns = [cut.get(name, [None] * num_days) for name in house.names]
    return [
        Day(x, list(meters)) for x, *meters in zip(cut[mains], *columns, strict=True)
    ]


def days_of(power: pd.Series) -> list[Tensor]:
    """The readings of each day, from midnight to midnight; N of (T,)."""
    sizes = power.groupby(power.index.normalize()).size().tolist()
    return list(torch.as_tensor(power.to_numpy(copy=True)).split(sizes))
