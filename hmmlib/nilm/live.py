"""A meter that is read minute by minute: what each appliance draws, and what it has drawn."""

import copy
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from hmmlib.belief import as_array
from hmmlib.checks import as_kind, as_number
from hmmlib.nilm.house import House
from hmmlib.nilm.sums import overall, sums_moved


class Parts(NamedTuple):
    """The watts of M chains in each of S joint states."""

    levels: np.ndarray  #: (M, S)
    variances: np.ndarray  #: (M, S), of the watts around the level
    shares: np.ndarray  #: (M, S), each chain's part of the variance of the sum
    of_chains: list[np.ndarray]  #: M of (K_m,), the levels of each chain alone
    matrices: list[np.ndarray]  #: M of (K_m, K_m)
    names: pd.Index  #: (M,)


class LiveMeter:
    """A house's meter, read as it goes: watts now, watts a little later, and kWh.

    It never changes: `observe` returns the meter after one more reading, so that several may
    go on from one. A step costs the same however many came before.

    The energy so far is a sum over the hidden path, and errors of neighbouring minutes are
    correlated: where the model is wrong it is mostly wrong about a whole run. So each joint
    state carries the mean and the variance of the energy drawn on the way to it, and `kwh`
    is the exact posterior mean and standard deviation given all readings up to now; the
    spread of the watts within a state is included. A counter may fall, when a later reading
    shows that an earlier run was another appliance's.

    The deviation is the model's. On real houses compare it with days whose truth is known,
    and widen it accordingly.

    Args:
        house: the appliances, such as `learn_house` returns.
        lag: the number of steps after which `lagged_watts` answers.

    Raises:
        ValueError: `lag` is no whole number from 0 on, or the hour drives the moves of an
            appliance.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> from hmmlib.hmm import HMM
        >>> on_off = Normal(torch.tensor([0.0, 2000.0]), torch.tensor([5.0, 40.0]))
        >>> kettle = HMM([0.9, 0.1], [[0.95, 0.05], [0.3, 0.7]], on_off)
        >>> meter = LiveMeter(House({"kettle": kettle}, "1min"), lag=1)
        >>> for watts in [3.0, 1990.0, 2010.0]:
        ...     meter = meter.observe(watts)
        >>> print(f"{meter.watts.loc['kettle', 'median']:.0f} W")
        2000 W
        >>> print(f"{meter.kwh.loc['kettle', 'mean']:.4f} kWh")
        0.0667 kWh
    """

    def __init__(self, house: House, lag: int = 15):
        self.house = as_kind("house", house, House)
        driven = [name for name, hmm in house.appliances.items() if hmm.num_inputs]
        if driven:
            raise ValueError(
                f"house: the hour drives the moves of {', '.join(driven)}, needs appliances"
                " with a transition matrix each, since a live meter does not know the time"
            )
        self.belief = house.model.belief(lag=lag)
        self._parts = parts_of(house)
        self._energy = np.zeros((2, *self._parts.levels.shape))

    def observe(self, watts: float | None) -> "LiveMeter":
        """The meter after one more reading; NaN or None where it is missing.

        Raises:
            ValueError: for what is no number of watts from 0 on, and for a reading that the
                house cannot produce. The meter before it can go on without it.
        """
        watts = math.nan if watts is None else as_watts(watts)
        parts, after = self._parts, copy.copy(self)
        after.belief = self.belief.observe(watts)
        if after.belief.evidence == -math.inf:
            raise ValueError(
                f"watts: got {watts:g}, which this house cannot draw; needs a reading with"
                " positive probability, or NaN for a missing one"
            )
        means, variances = self._energy
        if self.belief.num_steps:
            given = self.belief.message, means, variances
            means, variances = sums_moved(*given, parts.matrices)
        now = drawn(parts, watts)
        after._energy = np.stack([means + now[0], variances + now[1]])
        return after

    def counting_anew(self) -> "LiveMeter":
        """The same meter with its `kwh` at 0: what is known of the states stays."""
        after = copy.copy(self)
        after._energy = np.zeros_like(self._energy)
        return after

    @property
    def watts(self) -> pd.DataFrame:
        """Posterior mean and median of what each appliance draws now; a row each.

        They are levels of states, as `disaggregate` returns.
        """
        return self._in_watts(self.belief.probs)

    @property
    def lagged_watts(self) -> pd.DataFrame:
        """The same for `lag` steps ago, given the readings since.

        Of the first step as long as there are not more.
        """
        return self._in_watts(self.belief.lagged_probs)

    @property
    def kwh(self) -> pd.DataFrame:
        """Posterior mean and standard deviation of the energy so far; a row each."""
        mean, variance = overall(self.belief.message, *self._energy)
        kwh = self.house.step / pd.Timedelta("1h") / 1000
        table = {"mean": mean * kwh, "std": np.sqrt(variance) * kwh}
        return pd.DataFrame(table, index=self._parts.names)

    def _in_watts(self, probs: Tensor) -> pd.DataFrame:
        """Mean and median of the levels under joint probabilities (*S)."""
        table, joint = np.empty((probs.ndim, 2)), probs.double().numpy()
        for m, levels in enumerate(self._parts.of_chains):
            each = joint.sum(tuple(n for n in range(joint.ndim) if n != m))
            table[m] = each @ levels, median(each, levels)
        return pd.DataFrame(table, index=self._parts.names, columns=["mean", "median"])


def parts_of(house: House) -> Parts:
    """What the joint states of a house add to its counters."""
    chains = house.appliances.values()
    of_chains = [as_array(levels) for levels in house.levels]
    spreads = [as_array(hmm.emission.stddev) for hmm in chains]
    levels = in_joint_states(of_chains)
    variances = in_joint_states(spreads) ** 2
    shares = variances / variances.sum(0)
    matrices, names = [as_array(hmm.transition_matrix) for hmm in chains], house.names
    return Parts(levels, variances, shares, of_chains, matrices, pd.Index(names))


def in_joint_states(tables: list[np.ndarray]) -> np.ndarray:
    """M of (K_m,) as the numbers of each joint state, (M, S)."""
    return np.stack([each.reshape(-1) for each in np.meshgrid(*tables, indexing="ij")])


def drawn(parts: Parts, watts: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each chain's watts given the state and the reading; (M, S) each.

    The difference between the reading and the levels is shared in proportion to the
    variances: the conditional of independent Gaussians given their sum.
    """
    if math.isnan(watts):
        return parts.levels, parts.variances
    left = watts - parts.levels.sum(0)
    return parts.levels + parts.shares * left, parts.variances * (1 - parts.shares)


def median(probs: np.ndarray, levels: np.ndarray) -> float:
    """The lowest level that is not exceeded with a probability of at least one half."""
    order = np.argsort(levels)
    below = np.cumsum(probs[order])
    return levels[order[np.searchsorted(below, below[-1] / 2)]]


def as_watts(watts) -> float:
    """One reading. Raises ValueError unless it is finite and not negative, or NaN."""
    return as_number(
        "watts",
        watts,
        "a finite number of watts from 0 on, or NaN where it is missing",
        lambda x: math.isnan(x) or 0 <= x < math.inf,
    )
