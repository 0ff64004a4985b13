"""One appliance, or a circuit of several, learned from its own meter."""

import warnings

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count, as_number, told
from hmmlib.hmm import HMM
from hmmlib.learning import fit_em, guess_emission
from hmmlib.nilm.meters.faults import without_faults
from hmmlib.nilm.meters.register import refuse_register
from hmmlib.nilm.meters.series import check_power

FLOOR = 20.0  # watts: no state is narrower
UNSEEN = 0.01  # added to the count of each move, so that none is impossible
STAY = 0.95  # the probability of staying in a state, where learning starts
ENOUGH = 1e-4  # nats gained per reading, below which learning stops
WATTS_OF_ANYTHING = (1.0, 100_000.0)  # the expected range of the largest reading


def learn_appliance(
    power: pd.Series,
    num_states: int,
    resolution: float = 0.0,
    knee: float = np.inf,
    num_iters: int = 0,
    floor: float = FLOOR,
) -> HMM:
    """A Gaussian HMM of one appliance, its states in order of watts.

    Clusters of the readings are its states: a level is the median of a cluster, which
    minimises the absolute error, and the moves between clusters are counted. Baum-Welch
    explains the appliance's own meter better; behind the mains of a house it mostly does
    worse, since it makes wide states of the minutes in which the appliance switches, and
    a wide state takes what others draw.

    It starts in each state as often as the readings are in it, at any time of day.

    Args:
        power: watts, with a DatetimeIndex. A few readings far above all others, such as
            65,535, are treated as missing, with a warning.
        num_states: the number of levels.
        resolution: the step of the readings, in watts. Rounding alone spreads them by
            resolution / sqrt(12), so no state is narrower.
        knee: clusters compare levels by their difference, and above so many watts by
            their ratio.
        num_iters: the most steps of Baum-Welch, which starts from k-means; 0 counts.
        floor: the least standard deviation of a state, in watts. Without it, "off" would
            shrink onto the exact zeros of many meters, and "on" take all other readings.

    Raises:
        ValueError: `check_power` refuses the readings, they are those of a register, or
            there are fewer different ones than states.
    """
    num_states = as_count("num_states", num_states)
    num_iters = as_count("num_iters", num_iters, least=0)
    resolution, floor = (
        as_number(name, value, "watts of at least 0", lambda x: 0 <= x < np.inf)
        for name, value in (("resolution", resolution), ("floor", floor))
    )
    knee = as_number("knee", knee, "watts above 0", lambda x: x > 0)
    values = _values(power, num_states)
    floor = max(floor, resolution / 12**0.5)
    if num_iters:
        return _climbed(values, num_states, knee, floor, num_iters)
    return _counted(values, num_states, knee, floor)


def _values(power: pd.Series, num_states: int) -> Tensor:
    """The readings (T,), NaN where missing. Raises ValueError as `learn_appliance` does."""
    power = without_faults(check_power(power))
    refuse_register("power:", power, WATTS_OF_ANYTHING)
    different = np.unique(power.dropna())
    if not len(different):
        raise ValueError("power: every reading is missing, needs some to learn from")
    if len(different) < num_states:
        raise ValueError(
            f"power: got too few different readings, only {told(different.tolist())} W,"
            f" needs {num_states}, one for each state"
        )
    return torch.as_tensor(power.to_numpy(copy=True))


def _counted(values: Tensor, num_states: int, knee: float, floor: float) -> HMM:
    """States from clusters around medians, moves by counting; the readings are (T,)."""
    squeezed = _squeezed(values, knee)
    seen = squeezed[~values.isnan()]
    centres = medians(seen, _centres(seen, num_states))
    return counted(values, nearest(squeezed, centres), num_states, floor)


def counted(values: Tensor, states: Tensor, num_states: int, floor: float) -> HMM:
    """The HMM of readings (T,), NaN where missing, whose states (T,) are known.

    No state is without a reading.
    """
    seen = ~values.isnan()
    level, spread = torch.empty(2, num_states, dtype=values.dtype)
    for k in range(num_states):
        members = values[seen & (states == k)]
        level[k] = members.median()
        spread[k] = (members - level[k]).square().mean().sqrt()
    moved = (num_states * states[:-1] + states[1:])[seen[:-1] & seen[1:]]
    moves = UNSEEN + moved.bincount(minlength=num_states**2).double()
    moves = moves.view(num_states, num_states)
    shares = states[seen].bincount(minlength=num_states).double() / seen.sum()
    return HMM(
        shares,
        moves / moves.sum(-1, keepdim=True),
        Normal(level, spread.clamp(min=floor)),
    )


def _squeezed(values: Tensor, knee: float) -> Tensor:
    """The values on a scale that is linear far below the knee, logarithmic far above it."""
    return values if knee == np.inf else knee * torch.log1p(values / knee)


def medians(values: Tensor, centres: Tensor) -> Tensor:
    """Centres (K,), each the median of the values (n,) that it is closest to.

    They are moved there step by step from `centres`. A centre to which no value is closest
    goes where a value is farthest from all centres.
    """
    while True:
        closest, before = nearest(values, centres), centres
        far = values[(values - centres[closest]).abs().argmax()]
        clusters = [values[closest == k] for k in range(len(centres))]
        centres = [each.median() if len(each) else far for each in clusters]
        centres = torch.stack(centres).sort().values
        if torch.equal(centres, before):
            return centres


def nearest(values: Tensor, centres: Tensor) -> Tensor:
    """The centre, of (K,) in ascending order, that each value (n,) is closest to; (n,)."""
    return torch.bucketize(values, (centres[1:] + centres[:-1]) / 2)


def _climbed(
    values: Tensor, num_states: int, knee: float, floor: float, num_iters: int
) -> HMM:
    """States by Baum-Welch from clusters of the readings (T,)."""
    seen = values[~values.isnan()]
    learned = fit_em(
        _start(seen, num_states, knee, floor),
        values,
        num_iters=num_iters,
        tolerance=ENOUGH * len(seen),
        learn=("transition_matrix", "emission"),
        pseudo_count=UNSEEN,
        min_scale=floor,
    )
    return _in_order(learned.model, values)


def _start(seen: Tensor, num_states: int, knee: float, floor: float) -> HMM:
    """States from clusters of the readings (n,), each of them likely to stay."""
    squeezed = _squeezed(seen, knee)
    centres = _centres(squeezed, num_states)
    nearest = (squeezed[:, None] - centres).abs().argmin(dim=1)
    members = [seen[nearest == k] for k in range(num_states)]
    level = torch.stack([each.mean() for each in members])
    spread = torch.stack([each.std(correction=0) for each in members])
    leave = (1 - STAY) / max(num_states - 1, 1)
    moves = torch.full((num_states, num_states), leave, dtype=seen.dtype)
    moves.fill_diagonal_(1 - leave * (num_states - 1))
    even = torch.full((num_states,), 1 / num_states, dtype=seen.dtype)
    return HMM(even, moves, Normal(level, spread.clamp(min=max(floor, 1.0))))


def _centres(values: Tensor, num_states: int) -> Tensor:
    """The centres of k-means clusters of the values (n,), in ascending order; (K,)."""
    unit = torch.ones(num_states, dtype=values.dtype)
    with warnings.catch_warnings():
        # Only centres are used, so a cluster of equal values does no harm.
        warnings.filterwarnings("ignore", message=".*shrank onto a value")
        return guess_emission(Normal(0 * unit, unit), values).loc


def _in_order(hmm: HMM, values: Tensor) -> HMM:
    """The model with states in ascending order of watts.

    Its initial probabilities are the shares of the readings (T,) in each state.
    """
    counts = hmm.total_counts(values)
    entered = counts.initial + counts.transitions.sum(0)
    order = hmm.emission.loc.argsort(stable=True)
    emission = Normal(hmm.emission.loc[order], hmm.emission.scale[order])
    moves = hmm.transition_matrix[order][:, order]
    return HMM(entered[order] / entered.sum(), moves, emission)
