"""A house's meter split among its appliances: their watts, and energies drawn at random."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hmmlib.checks import as_seed
from hmmlib.nilm.house import House, as_house, observed
from hmmlib.nilm.meters.series import check_power
from hmmlib.observations import Observed


def posterior_median(house: House, values: Tensor | Observed, progress: bool = False):
    """The median of each appliance's watts given all readings; (T,) to an array (T, M).

    Of all answers it has the least expected absolute error, if the model is right: an
    appliance that is probably off counts as off.

    Args:
        house: the appliances.
        values: the readings, NaN where missing, or what `observed` makes of them.
        progress: show a progress bar.
    """
    columns = []
    for levels, probs in _levels_and_probs(house, values, progress):
        order = levels.argsort()
        below = probs[:, order].cumsum(-1) < 0.5
        columns.append(levels[order][below.sum(-1).clamp(max=len(levels) - 1)])
    return torch.stack(columns, -1).numpy()


def posterior_mean(house: House, values: Tensor | Observed, progress: bool = False):
    """The mean of each appliance's watts given all readings; (T,) to an array (T, M).

    Of all answers it has the least expected squared error; summed over time it is the
    expected energy. Arguments as for `posterior_median`.
    """
    pairs = _levels_and_probs(house, values, progress)
    return torch.stack([probs @ levels for levels, probs in pairs], -1).numpy()


def best_path(house: House, values: Tensor | Observed, progress: bool = False):
    """The levels on the most probable joint path, by Viterbi; (T,) to an array (T, M).

    They add up to nearly the reading, and the difference is noise. Arguments as for
    `posterior_median`.
    """
    best = house.model.viterbi(_seen(house, values), progress=progress)
    return house.watts(best.states)


def disaggregate(
    house: House,
    power: pd.Series,
    progress: bool = False,
    how: Callable = posterior_median,
) -> pd.DataFrame:
    """The watts of each appliance, a row for each reading.

    Missing readings are bridged by what comes before and after them.

    Args:
        house: the appliances, such as `learn_house` returns.
        power: watts of their sum, with a DatetimeIndex in steps of `house.step`.
        progress: show a progress bar.
        how: what to answer: `posterior_median`, `posterior_mean` or `best_path`.

    Raises:
        ValueError: `check_power(power, house.step)` refuses the readings; or the house
            cannot produce them, and `how` is not `best_path`.
    """
    readings = check_power(power, as_house(house).step)
    watts = how(house, observed(house, readings), progress)
    table = pd.DataFrame(watts, index=readings.index, columns=house.names)
    return table.loc[power.index]


def sample_energy(
    house: House,
    power: pd.Series,
    num_samples: int,
    seed: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The kWh of each appliance over all of `power`; a row for each draw of the posterior.

    A draw is a joint path, and watts around its levels that add up to the readings.
    Missing readings, and stamps left out, count with what the draw assigns to them. The
    table's `.quantile([0.05, 0.95])` is a 90 % interval if the model is right.

    Args:
        house, power, progress: as for `disaggregate`.
        num_samples: the number of draws.
        seed: the same seed gives the same draws.

    Raises:
        ValueError: as `disaggregate`, and for readings that the house cannot produce.
    """
    readings = check_power(power, as_house(house).step)
    seed, seen = as_seed(seed), observed(house, readings)
    paths = house.model.sample_states(seen, num_samples, seed, progress=progress)
    random = np.random.default_rng(seed)
    kwh = house.step / pd.Timedelta("1h") / 1000
    draws = [
        _watts_on(path, house, seen.values, random).sum(axis=0) * kwh for path in paths
    ]
    return pd.DataFrame(draws, columns=house.names)


def _seen(house: House, values: Tensor | Observed) -> Observed:
    """The readings and the evidence beside them, unless they come together."""
    if isinstance(values, Observed):
        return values
    return house.model.read(values, evidence=house.evidence(values))


def _levels_and_probs(house: House, values: Tensor | Observed, progress: bool):
    """For each chain its levels (K,) and the probabilities of its states, (T, K)."""
    smoothed = house.model.smooth(_seen(house, values), progress=progress)
    return zip(house.levels, smoothed.smoothed_probs, strict=True)


def _watts_on(
    path: Tensor, house: House, values: Tensor, random: np.random.Generator
) -> np.ndarray:
    """A draw of the watts of each chain, given its path and the readings; (T, M)."""
    spreads = house.spreads(path)
    watts = house.watts(path) + spreads * random.standard_normal(spreads.shape)
    # The difference from the reading is shared in proportion to the variances.
    share = spreads**2 / (spreads**2).sum(axis=1, keepdims=True)
    left = values.numpy() - watts.sum(axis=1)
    return watts + share * np.nan_to_num(left)[:, None]
