"""Whose watts: appliances learned one by one, and a house's meter split among them.

pandas in, pandas out, in watts, with a DatetimeIndex. A column is an appliance, or a
circuit of several; `REST` is what no sub-meter sees. Non-intrusive load monitoring
(NILM): Hart 1992; factorial HMMs for it: Kolter & Jaakkola 2012. Taught in chapter 8.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.learning import fit_em, guess_emission
from hmmlib.meter import check_power

REST = "rest"
DAY = pd.Timedelta("1D")
STAY = 0.95  # of the chain that learning starts from
ENOUGH = 1e-4  # nats gained per reading, below which learning stops


@dataclass(frozen=True, eq=False)
class House:
    """A factorial HMM whose chains have names, and the time between two readings."""

    names: tuple[str, ...]  #: one for each chain
    model: FactorialHMM  #: with an additive Gaussian emission, in watts
    step: pd.Timedelta  #: between two readings

    def __post_init__(self):
        if len(self.names) != len(self.model.sizes):
            raise ValueError(
                f"names: got {len(self.names)}, needs {len(self.model.sizes)}, one a chain"
            )
        if not hasattr(self.model.emission, "chain_means"):
            raise ValueError("model: needs the emission of additive_gaussian")

    def watts(self, states: Tensor) -> np.ndarray:
        """What each chain draws in its states; (..., M) states to (..., M) watts."""
        means = self.model.emission.chain_means
        levels = [mean[states[..., m]] for m, mean in enumerate(means)]
        return torch.stack(levels, dim=-1).numpy()


def learn_appliance(
    power: pd.Series, num_states: int, resolution: float = 0.0, num_iters: int = 100
) -> HMM:
    """A Gaussian HMM of one appliance's watts: k-means, then Baum-Welch over days.

    States in the order of their watts at the start. Readings in steps of `resolution`
    watts are off by up to half a step, so that no state is narrower than that error. A
    last day that is cut short is filled up with missing readings. Raises ValueError as
    `check_power` does, and for fewer different readings than states.
    """
    num_states = as_count("num_states", num_states)
    power = check_power(power)
    days = _days(power)
    seen = days[~days.isnan()]
    start = Normal(torch.zeros(num_states).double(), torch.ones(num_states).double())
    with warnings.catch_warnings():
        # A state that is one value of the sub-meter is no fault here: see the last lines.
        warnings.filterwarnings("ignore", message=".*shrank onto a value")
        clusters = guess_emission(start, seen)
        widest = seen.std(correction=0).clamp(min=1.0)
        clusters = Normal(clusters.loc, clusters.scale.clamp(min=1e-2 * widest))
        leave = (1 - STAY) / max(num_states - 1, 1)
        moves = torch.full((num_states, num_states), leave).double()
        moves.fill_diagonal_(1 - leave * (num_states - 1))
        even = torch.full((num_states,), 1 / num_states).double()
        fitted = fit_em(
            HMM(even, moves, clusters),
            days,
            num_iters=num_iters,
            tolerance=ENOUGH * len(seen),
        ).model
    rounding = max(resolution / 12**0.5, 1e-3)
    watts = fitted.emission
    watts = Normal(watts.loc, watts.scale.clamp(min=rounding))
    return HMM(fitted.initial_probs, fitted.transition_matrix, watts)


def learn_house(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    resolution: float = 0.0,
) -> House:
    """One chain for each appliance, and, if `num_states` names `REST`, one for the others.

    `table` has a column of watts for `mains` and for each appliance; what the rest drew is
    mains less appliances. Each chain is learned by `learn_appliance` from its own column,
    and the noise of the sum has the variances of all chains. Raises ValueError for a
    column that is missing.
    """
    names = tuple(num_states)
    appliances = [name for name in names if name != REST]
    needed = appliances + [mains] * (REST in names)
    missing = [name for name in needed if name not in table.columns]
    if missing or not appliances:
        raise ValueError(
            f"table: no column for {missing or 'an appliance'}, it has {list(table.columns)}"
        )
    columns = {name: table[name] for name in appliances}
    if REST in names:
        # Where sub-meters round up, the difference can fall below zero.
        rest = table[mains] - table[appliances].sum(axis=1, skipna=False)
        columns[REST] = rest.clip(lower=0.0)
    chains = [
        learn_appliance(columns[name], num_states[name], resolution) for name in names
    ]
    variance = torch.zeros(()).double()
    for chain in chains:
        variance = variance[..., None] + chain.emission.scale.square()
    model = FactorialHMM(
        tuple(chain.initial_probs for chain in chains),
        tuple(chain.transition_matrix for chain in chains),
        additive_gaussian([chain.emission.loc for chain in chains], variance.sqrt()),
    )
    step = check_power(table[needed[0]]).index.freq
    return House(names, model, pd.Timedelta(step))


def disaggregate(
    house: House, power: pd.Series, progress: bool = False
) -> pd.DataFrame:
    """Watts of each appliance on the most probable joint path; a row for each reading.

    A missing reading is bridged by what stands before and after it. A pure function of
    its arguments. Raises ValueError as `check_power` does, for the step of the house.
    """
    readings = check_power(power, house.step)
    best = house.model.viterbi(torch.as_tensor(readings.to_numpy(copy=True)), progress)
    return _table(house, house.watts(best.states), readings).loc[power.index]


def sample_energy(
    house: House,
    power: pd.Series,
    num_samples: int,
    seed: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """kWh of each appliance over all of `power`, one row for each posterior path.

    `.quantile([0.05, 0.95])` is an interval, as far as the model is right. Missing
    readings count with what the path says of them. Raises ValueError as `disaggregate`.
    """
    readings = check_power(power, house.step)
    paths = house.model.sample_states(
        torch.as_tensor(readings.to_numpy(copy=True)), num_samples, seed, progress
    )
    kwh = house.step / pd.Timedelta("1h") / 1000
    draws = [house.watts(path).sum(axis=0) * kwh for path in paths]
    return pd.DataFrame(draws, columns=house.names)


def energy_kwh(watts: pd.DataFrame | pd.Series):
    """The energy in kWh of each column of watts, or of one Series; NaN counts as 0.

    Every reading stands for the most frequent time between two stamps.
    """
    return watts.sum() * _hours(watts.index) / 1000


def mean_baseline(training: pd.DataFrame, power: pd.Series) -> pd.DataFrame:
    """The mean of each training column, at every stamp of `power`: knows nothing."""
    means = training.mean()
    constant = np.broadcast_to(means.to_numpy(), (len(power), len(means)))
    return pd.DataFrame(constant, index=power.index, columns=training.columns)


def combinatorial_optimisation(house: House, power: pd.Series) -> pd.DataFrame:
    """At each reading the joint state whose sum comes closest; NaN where it is missing.

    No probabilities and no memory: the classical baseline. Hart 1992.
    """
    readings = check_power(power, house.step)
    totals = house.model.emission.loc
    order = totals.flatten().sort(stable=True)
    values = torch.as_tensor(readings.to_numpy(copy=True))
    above = torch.searchsorted(order.values, values).clamp(1, totals.numel() - 1)
    below = above - 1
    nearer = (values - order.values[below]) <= (order.values[above] - values)
    closest = order.indices[torch.where(nearer, below, above)]
    states = torch.stack(torch.unravel_index(closest, totals.shape), dim=-1)
    watts = np.where(values.isnan()[:, None], np.nan, house.watts(states))
    return _table(house, watts, readings).loc[power.index]


def appliance_metrics(
    estimate: pd.DataFrame, truth: pd.DataFrame, on_watts: float = 10.0
) -> pd.DataFrame:
    """One row for each column of `truth`: how far the estimate is off, and where it is on.

    MAE, RMSE         mean absolute error, root of the mean squared error, watts
    normalised error  sum |estimate - truth| / sum truth; the same as guessing 0 is 1
    F1                of being above `on_watts`; 2 TP / (2 TP + FP + FN)
    kWh, true kWh     energy; NaN rows of either are left out of everything

    Batra et al. 2014. Raises ValueError if the two do not fit.
    """
    kwh = _hours(truth.index) / 1000
    estimate, truth = _aligned(estimate, truth)
    error = estimate - truth
    hits = ((estimate > on_watts) & (truth > on_watts)).sum()
    wrong = ((estimate > on_watts) != (truth > on_watts)).sum()
    return pd.DataFrame(
        {
            "MAE": error.abs().mean(),
            "RMSE": (error**2).mean() ** 0.5,
            "normalised error": error.abs().sum() / truth.sum(),
            "F1": 2 * hits / (2 * hits + wrong),
            "kWh": estimate.sum() * kwh,
            "true kWh": truth.sum() * kwh,
        }
    )


def house_metrics(estimate: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Two numbers for all columns of `truth` together; 1 is perfect.

    energy correctly assigned  1 - sum |estimate - truth| / (2 sum truth), over all steps
                               and appliances; Kolter & Johnson 2011, sec. 4
    fraction assigned          sum over appliances of the smaller of its estimated and its
                               true share; blind to time; Batra et al. 2014

    Raises ValueError if the two do not fit.
    """
    estimate, truth = _aligned(estimate, truth)
    wrong = (estimate - truth).abs().sum().sum()
    shares = pd.DataFrame(
        {
            "estimate": estimate.sum() / estimate.sum().sum(),
            "truth": truth.sum() / truth.sum().sum(),
        }
    )
    return pd.Series(
        {
            "energy correctly assigned": 1 - wrong / (2 * truth.sum().sum()),
            "fraction assigned": shares.min(axis=1).sum(),
        }
    )


def _days(power: pd.Series) -> Tensor:
    """Readings as (days, steps of a day), the last day filled with NaN; one row if shorter."""
    per_day = max(int(DAY / pd.Timedelta(power.index.freq)), 1)
    per_day = min(per_day, len(power))
    values = torch.as_tensor(power.to_numpy(copy=True))
    short = -len(values) % per_day
    return torch.nn.functional.pad(values, (0, short), value=torch.nan).reshape(
        -1, per_day
    )


def _hours(index: pd.DatetimeIndex) -> float:
    """The most frequent time between two stamps, in hours."""
    if len(index) < 2:
        raise ValueError(f"index: got {len(index)} stamps, needs two to know the step")
    return pd.Series(index).diff().mode()[0] / pd.Timedelta("1h")


def _table(house: House, watts: np.ndarray, readings: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(watts, index=readings.index, columns=list(house.names))


def _aligned(estimate: pd.DataFrame, truth: pd.DataFrame):
    """Both with the columns of `truth`, and only rows that neither misses."""
    missing = [name for name in truth.columns if name not in estimate.columns]
    if missing or not estimate.index.equals(truth.index):
        what = f"no column for {missing}" if missing else "other stamps than truth"
        raise ValueError(f"estimate: {what}, needs the columns and stamps of truth")
    estimate = estimate[truth.columns]
    there = estimate.notna().all(axis=1) & truth.notna().all(axis=1)
    return estimate[there], truth[there]
