"""Whose watts: appliances learned one by one, and a house's meter split among them.

pandas in, pandas out, in watts, with a DatetimeIndex. A column is an appliance, or a
circuit of several; `REST` is what no sub-meter sees. Non-intrusive load monitoring
(NILM): Hart 1992; factorial HMMs for it: Kolter & Jaakkola 2012. Taught in chapter 8.
"""

import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count, as_kind, as_number, as_seed, told
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.checks import as_probs
from hmmlib.hmm import HMM
from hmmlib.inference import total_counts
from hmmlib.learning import fit_em, guess_emission
from hmmlib.meter import Source, as_time, check_power, checked, refuse_register

REST = "rest"
UNSEEN = 0.01  # added to the count of each move: what was never seen is not impossible
STAY = 0.95  # of the chain that learning starts from
FLOOR = 15.0  # watts: no state is narrower
WATTS_OF_A_PLUG = 25_000.0  # three phases of 32 A give less
WATTS_OF_ANYTHING = (1.0, 100_000.0)  # where the largest reading is to be expected
MOST_BELOW = 0.01  # of the times, appliances may seem to draw more than the mains
MOST_OFF = 0.05  # of the mains, by which two meters may disagree
ENOUGH = 1e-4  # nats gained per reading, below which learning stops


@dataclass(frozen=True, eq=False)
class House:
    """Appliances that are metered as one sum: a factorial HMM whose chains have names.

    The levels of all chains add up, and so do their variances. Raises ValueError for no
    appliance, and for an emission that is not Normal.
    """

    appliances: Mapping[str, HMM]  #: each with a Normal emission, in watts
    step: pd.Timedelta  #: between two readings

    def __post_init__(self):
        if not len(as_kind("appliances", self.appliances, Mapping)):
            raise ValueError("appliances: got none, needs at least one HMM")
        for name, hmm in self.appliances.items():
            as_kind(f"appliances[{name!r}]", hmm, HMM)
            if not isinstance(hmm.emission, Normal):
                found = type(hmm.emission).__name__
                raise ValueError(f"appliances[{name!r}]: emits {found}, needs Normal")
        object.__setattr__(self, "step", as_time("step", self.step))

    @property
    def names(self) -> list[str]:
        """Of the chains, in the order of their axes."""
        return list(self.appliances)

    @cached_property
    def model(self) -> FactorialHMM:
        """All chains and their sum; axes in the order of `names`."""
        chains = self.appliances.values()
        variance = torch.zeros(())
        for chain in chains:
            variance = variance[..., None] + chain.emission.scale.square()
        return FactorialHMM(
            tuple(chain.initial_probs for chain in chains),
            tuple(chain.transition_matrix for chain in chains),
            additive_gaussian([c.emission.loc for c in chains], variance.sqrt()),
        )

    def watts(self, states: Tensor) -> np.ndarray:
        """The levels of its states; (..., M) states to (..., M) watts."""
        return self._each(states, "loc")

    def spreads(self, states: Tensor) -> np.ndarray:
        """The scales of its states; (..., M) states to (..., M) watts."""
        return self._each(states, "scale")

    def _each(self, states: Tensor, name: str) -> np.ndarray:
        chains = enumerate(self.appliances.values())
        values = [getattr(hmm.emission, name)[states[..., m]] for m, hmm in chains]
        return torch.stack(values, dim=-1).numpy()


def learn_appliance(
    power: pd.Series,
    num_states: int,
    resolution: float = 0.0,
    knee: float = np.inf,
    num_iters: int = 100,
    floor: float = FLOOR,
) -> HMM:
    """A Gaussian HMM of one appliance's watts: k-means, then Baum-Welch; states by watts.

    k-means compares levels by their difference, and above `knee` watts by their ratio. No
    state is ever narrower than `floor` watts: many meters show exact zeros, onto which "off"
    would shrink, and "on" would take all other readings. Those in steps of `resolution`
    watts are off by up to half a step, which is a floor too. The chain starts in each state
    as often as the readings are in it, at any time of the day.

    A few readings above WATTS_OF_A_PLUG and far above all others, such as 65,535, are taken
    as missing, with a warning. Raises ValueError as `check_power` does, for a register that
    counts up, and for fewer different readings than states.
    """
    num_states = as_count("num_states", num_states)
    resolution, floor = (
        as_number(name, value, "watts of at least 0", lambda x: 0 <= x < np.inf)
        for name, value in (("resolution", resolution), ("floor", floor))
    )
    knee = as_number("knee", knee, "watts above 0", lambda x: x > 0)
    power = _without_faults(check_power(power))
    refuse_register("power:", power, WATTS_OF_ANYTHING)
    values = torch.as_tensor(power.to_numpy(copy=True))
    seen = values[~values.isnan()]
    if not len(seen):
        raise ValueError("power: every reading is missing, needs some to learn from")
    if len(different := seen.unique()) < num_states:
        raise ValueError(
            f"power: got too few different readings, {told(different.tolist())} W and no"
            f" other, needs {num_states}, one for each state"
        )
    floor = max(floor, resolution / 12**0.5)
    learned = fit_em(
        _start(seen, num_states, knee, floor),
        values,
        num_iters=num_iters,
        tolerance=ENOUGH * len(seen),
        learn=("transition_matrix", "emission"),
        pseudo_count=UNSEEN,
        min_scale=floor,
    ).model
    counts = total_counts(learned.potentials(values))
    entered = counts.initial + counts.transitions.sum(0)
    order = learned.emission.loc.argsort(stable=True)
    watts = learned.emission.loc[order], learned.emission.scale[order]
    moves = learned.transition_matrix[order][:, order]
    return HMM(entered[order] / entered.sum(), moves, Normal(*watts))


def learn_house(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    resolution: float = 0.0,
    knee: float = np.inf,
    num_iters: int = 100,
    floor: float = FLOOR,
) -> House:
    """One chain for each appliance, and, if `num_states` names `REST`, one for the others.

    `table` has a column of watts for `mains` and for each appliance; what the rest drew is
    mains less appliances. Each chain is learned by `learn_appliance` from its own column,
    with these options, but for the rest `knee` does not count. Raises ValueError for a
    column that is missing, one that cannot be learned from, and appliances that draw more
    than the mains.
    """
    as_kind("table", table, pd.DataFrame)
    as_kind("mains", mains, Hashable)
    names = tuple(as_kind("num_states", num_states, Mapping))
    appliances = [name for name in names if name != REST]
    needed = appliances + [mains] * (REST in names)
    missing = [name for name in needed if name not in table.columns]
    if missing or not appliances:
        raise ValueError(
            f"table: no column for {missing or 'an appliance'}, it has"
            f" {list(table.columns)}, needs one for each"
        )
    columns = {name: _column(table, name) for name in needed}
    if REST in names:
        # Where sub-meters round up, or are off a little, the difference is below zero.
        rest = columns[mains] - sum(columns[name] for name in appliances)
        allowed = FLOOR + MOST_OFF * columns[mains]
        if (below := (rest < -allowed).mean()) > MOST_BELOW:
            raise ValueError(
                f"table: at {below:.0%} of the times the appliances draw more than {mains!r};"
                " are the units and the clocks the same?"
            )
        columns[REST] = rest.clip(lower=0.0)
    learned = {}
    for name in names:
        options = resolution, np.inf if name == REST else knee, num_iters, floor
        try:
            learned[name] = learn_appliance(columns[name], num_states[name], *options)
        except ValueError as error:
            found = str(error).removeprefix("power: ")
            raise ValueError(f"table, {name!r}: {found}") from error
    return House(learned, columns[needed[0]].index.freq)


def disaggregate(
    house: House, power: pd.Series, progress: bool = False
) -> pd.DataFrame:
    """Watts of each appliance on the most probable joint path; a row for each row of power.

    These are levels of states: their sum is near the reading, and the difference noise. A
    missing reading is bridged by what stands before and after it. A pure function of its
    arguments. Raises ValueError as `check_power` does, for the step of the house.
    """
    readings = check_power(power, as_kind("house", house, House).step)
    best = house.model.viterbi(torch.as_tensor(readings.to_numpy(copy=True)), progress)
    return _table(house, house.watts(best.states), readings).loc[power.index]


def sample_energy(
    house: House,
    power: pd.Series,
    num_samples: int,
    seed: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """kWh of each appliance over all of `power`, one row for each draw from the posterior.

    A draw is a joint path, and watts around its levels that add up to the readings.
    `.quantile([0.05, 0.95])` is an interval, as far as the model is right. Missing
    readings, and stamps left out, count with what the draw says of them. Raises ValueError
    as `disaggregate`.
    """
    readings = check_power(power, as_kind("house", house, House).step)
    seed, values = as_seed(seed), torch.as_tensor(readings.to_numpy(copy=True))
    paths = house.model.sample_states(values, num_samples, seed, progress)
    random = np.random.default_rng(seed)
    kwh = house.step / pd.Timedelta("1h") / 1000
    draws = []
    for path in paths:
        spreads = house.spreads(path)  # (T, M)
        watts = house.watts(path) + spreads * random.standard_normal(spreads.shape)
        # What is left over goes to each in the measure of its variance.
        share = spreads**2 / (spreads**2).sum(axis=1, keepdims=True)
        left = values.numpy() - watts.sum(axis=1)
        watts = watts + share * np.nan_to_num(left)[:, None]
        draws.append(watts.sum(axis=0) * kwh)
    return pd.DataFrame(draws, columns=house.names)


def simulate(
    house: House, num_steps: int, seed: int, start: str = "2026-01-01"
) -> pd.DataFrame:
    """A house that is as the model says: watts of each chain, which add up to its mains.

    Levels with the Gaussian spread of their state, which may fall below 0. The same seed
    gives the same house. Raises ValueError for a start that is no time.
    """
    seed = as_seed(seed)
    states = as_kind("house", house, House).model.sample(num_steps, seed).states
    noise = np.random.default_rng(seed).standard_normal(states.shape)
    watts = house.watts(states) + house.spreads(states) * noise
    try:
        index = pd.date_range(pd.Timestamp(start), periods=num_steps, freq=house.step)
    except (
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
        RuntimeError,
    ) as error:
        raise ValueError(f"start: got {told(start)}, needs a time: {error}") from error
    return pd.DataFrame(watts, index=index, columns=house.names)


def long_run(transition_matrix: Tensor) -> Tensor:
    """The stationary distribution, pi = pi A, (K,): how often a chain is in each state.

    States are eliminated one by one, without a subtraction (Grassmann, Taksar & Heyman
    1985), so that rare moves count too. States that are left for good have 0. Raises
    ValueError where there is more than one, since the start decides for ever.
    """
    moves = as_probs("transition_matrix", transition_matrix, "(K, K)")
    if moves.shape[0] != moves.shape[1]:
        raise ValueError(
            f"transition_matrix: got shape {tuple(moves.shape)}, needs (K, K)"
        )
    possible = moves.detach().numpy(force=True) > 0
    groups = connected_components(possible, connection="strong")[1]
    closed = [g for g in set(groups) if not possible[groups == g][:, groups != g].any()]
    if len(closed) > 1:
        kept = [np.flatnonzero(groups == g).tolist() for g in closed]
        raise ValueError(
            f"transition_matrix: never leaves any of the states {told(kept)}, so that where"
            " it starts decides; needs one such group"
        )
    inside = torch.as_tensor(np.flatnonzero(groups == closed[0]))
    flow, entered = moves[inside][:, inside].double(), []
    for k in range(len(inside) - 1, 0, -1):  # leave out state k, and join its ways
        entered.append(flow[:k, k] / flow[k, :k].sum())
        flow = flow[:k, :k] + entered[-1][:, None] * flow[k, :k]
    often = flow.new_ones(1)
    for into in reversed(entered):
        often = torch.cat([often, (often @ into)[None]])
    often = often / often.sum()
    return moves.new_zeros(len(moves)).index_copy(0, inside, often.to(moves.dtype))


def energy_kwh(watts: pd.DataFrame | pd.Series):
    """The energy in kWh of each column of watts, or of one Series; NaN counts as 0.

    Every reading stands for the most frequent time between two stamps. Raises ValueError for
    anything else.
    """
    if not isinstance(watts, pd.DataFrame | pd.Series):
        raise ValueError(
            f"watts: got {type(watts).__name__}, needs a DataFrame or a Series"
        )
    return watts.sum() * _hours(watts.index) / 1000


def mean_baseline(training: pd.DataFrame, power: pd.Series) -> pd.DataFrame:
    """The mean of each training column, at every stamp of `power`: knows nothing."""
    means = as_kind("training", training, pd.DataFrame).mean()
    as_kind("power", power, pd.Series)
    constant = np.broadcast_to(means.to_numpy(), (len(power), len(means)))
    return pd.DataFrame(constant, index=power.index, columns=training.columns)


def combinatorial_optimisation(house: House, power: pd.Series) -> pd.DataFrame:
    """At each reading the joint state whose sum comes closest; NaN where it is missing.

    No probabilities and no memory: the classical baseline. Hart 1992.
    """
    readings = check_power(power, as_kind("house", house, House).step)
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


def aligned(estimate: pd.DataFrame, truth: pd.DataFrame):
    """Both tables with the columns of `truth`, and only the rows that neither misses.

    Raises ValueError for a column that is missing, and for other stamps.
    """
    missing = [name for name in truth.columns if name not in estimate.columns]
    if missing or not estimate.index.equals(truth.index):
        what = f"no column for {missing}" if missing else "other stamps than truth"
        raise ValueError(f"estimate: {what}, needs the columns and stamps of truth")
    estimate = estimate[truth.columns]
    there = estimate.notna().all(axis=1) & truth.notna().all(axis=1)
    return estimate[there], truth[there]


def appliance_metrics(
    estimate: pd.DataFrame, truth: pd.DataFrame, on_watts: float = 10.0
) -> pd.DataFrame:
    """One row for each column of `truth`: how far the estimate is off, and where it is on.

    MAE, RMSE         mean absolute error, root of the mean squared error, watts
    normalised error  sum |estimate - truth| / sum truth; always answering 0 scores 1
    F1                of being above `on_watts`; 2 TP / (2 TP + FP + FN)
    kWh, true kWh     energy; NaN rows of either are left out of everything

    Batra et al. 2014. Raises ValueError if the two do not fit.
    """
    for name, table in (("estimate", estimate), ("truth", truth)):
        as_kind(name, table, pd.DataFrame)
    on_watts = as_number("on_watts", on_watts, "watts", lambda x: x == x)
    kwh = _hours(truth.index) / 1000
    estimate, truth = aligned(estimate, truth)
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
                               and columns of `truth`. Kolter & Johnson 2011 divide by the
                               mains, the same where everything has a meter
    fraction assigned          sum over appliances of the smaller of its estimated and its
                               true share; blind to time; Batra et al. 2014

    Raises ValueError if the two do not fit.
    """
    estimate, truth = aligned(estimate, truth)
    wrong = (estimate - truth).abs().sum().sum()
    shares = [each.sum() / max(each.sum().sum(), 1e-9) for each in (estimate, truth)]
    return pd.Series(
        {
            "energy correctly assigned": 1 - wrong / (2 * truth.sum().sum()),
            "fraction assigned": np.minimum(*shares).sum(),
        }
    )


def _start(seen: Tensor, num_states: int, knee: float, floor: float) -> HMM:
    """States from clusters of the readings (n,), each of them likely to stay."""
    squeezed = seen if knee == np.inf else knee * torch.log1p(seen / knee)
    unit = torch.ones(num_states, dtype=seen.dtype)
    with (
        warnings.catch_warnings()
    ):  # a cluster of equal values is no fault: see `floor`
        warnings.filterwarnings("ignore", message=".*shrank onto a value")
        centres = guess_emission(Normal(0 * unit, unit), squeezed).loc
    nearest = (squeezed[:, None] - centres).abs().argmin(dim=1)
    members = [seen[nearest == k] for k in range(num_states)]
    level = torch.stack([each.mean() for each in members])
    spread = torch.stack([each.std(correction=0) for each in members])
    leave = (1 - STAY) / max(num_states - 1, 1)
    moves = torch.full((num_states, num_states), leave, dtype=seen.dtype)
    moves.fill_diagonal_(1 - leave * (num_states - 1))
    return HMM(
        unit / num_states, moves, Normal(level, spread.clamp(min=max(floor, 1.0)))
    )


def _column(table: pd.DataFrame, name) -> pd.Series:
    """One column of watts, checked. Raises ValueError that names it."""
    source = Source(
        name=f"table, {name!r}",
        series=f"table[{name!r}]",
        reverse="use table[::-1]",
        sort="use table.sort_index() first",
        once="table[~table.index.duplicated()]",
    )
    power = checked(table[name], None, source)
    if power.isna().all():
        raise ValueError(f"table, {name!r}: every reading is missing, needs some")
    refuse_register(f"table, {name!r}", power, WATTS_OF_ANYTHING)
    return _without_faults(power)


def _without_faults(power: pd.Series) -> pd.Series:
    """Missing where a few readings stand above all that an appliance could draw."""
    high = power > WATTS_OF_A_PLUG
    few = high.sum() <= max(3, power.count() / 1000)
    if high.any() and few and power[high].min() > 4 * power[~high].max():
        worst = power.idxmax()
        warnings.warn(
            f"power: {high.sum()} readings far above the others are taken as missing,"
            f" {power[worst]:,.0f} W of {power.name!r} at {worst} for one",
            stacklevel=3,
        )
        return power.mask(high)
    return power


def _hours(index: pd.DatetimeIndex) -> float:
    """The most frequent time between two stamps, in hours."""
    if not isinstance(index, pd.DatetimeIndex) or len(index) < 2:
        raise ValueError(
            f"index: got {len(index)} of {type(index).__name__}, needs two stamps to know"
            " the step"
        )
    if not index.is_monotonic_increasing:
        raise ValueError("index: goes back in time; use sort_index() first")
    return pd.Series(index).diff().mode()[0] / pd.Timedelta("1h")


def _table(house: House, watts: np.ndarray, readings: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(watts, index=readings.index, columns=house.names)
