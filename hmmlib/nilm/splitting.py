"""A house's meter split among its appliances: the most probable path, and energies."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hmmlib.checks import as_kind, as_seed
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.series import check_power


def disaggregate(
    house: House, power: pd.Series, progress: bool = False
) -> pd.DataFrame:
    """The watts of each appliance on the most probable joint path; a row for each reading.

    The watts are levels of states: they add up to nearly the reading, and the difference
    is noise. Missing readings are bridged by what comes before and after them.

    Args:
        house: the appliances, such as `learn_house` returns.
        power: watts of their sum, with a DatetimeIndex in steps of `house.step`.
        progress: show a progress bar.

    Raises:
        ValueError: `check_power(power, house.step)` refuses the readings.
    """
    readings = check_power(power, as_kind("house", house, House).step)
    best = house.model.viterbi(
        torch.as_tensor(readings.to_numpy(copy=True)), progress=progress
    )
    watts = house.watts(best.states)
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
    readings = check_power(power, as_kind("house", house, House).step)
    seed, values = as_seed(seed), torch.as_tensor(readings.to_numpy(copy=True))
    paths = house.model.sample_states(values, num_samples, seed, progress=progress)
    random = np.random.default_rng(seed)
    kwh = house.step / pd.Timedelta("1h") / 1000
    draws = [_watts_on(path, house, values, random).sum(axis=0) * kwh for path in paths]
    return pd.DataFrame(draws, columns=house.names)


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
