"""Ways to split a meter without a hidden Markov model, as baselines."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hmmlib.checks import as_kind
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.series import check_power


def mean_baseline(training: pd.DataFrame, power: pd.Series) -> pd.DataFrame:
    """The mean of each training column at every stamp of `power`: it ignores the readings.

    Args:
        training: watts of each appliance.
        power: a series whose stamps are wanted.
    """
    means = as_kind("training", training, pd.DataFrame).mean()
    as_kind("power", power, pd.Series)
    constant = np.broadcast_to(means.to_numpy(), (len(power), len(means)))
    return pd.DataFrame(constant, index=power.index, columns=training.columns)


def combinatorial_optimisation(house: House, power: pd.Series) -> pd.DataFrame:
    """The watts of the joint state whose sum is closest to each reading; NaN if missing.

    The classical baseline, without probabilities and without memory. Hart 1992.

    Args:
        house: the appliances.
        power: watts of their sum, with a DatetimeIndex in steps of `house.step`.

    Raises:
        ValueError: `check_power(power, house.step)` refuses the readings.
    """
    readings = check_power(power, as_kind("house", house, House).step)
    values = torch.as_tensor(readings.to_numpy(copy=True))
    states = _closest(house.model.emission.loc, values)
    watts = np.where(values.isnan()[:, None], np.nan, house.watts(states))
    table = pd.DataFrame(watts, index=readings.index, columns=house.names)
    return table.loc[power.index]


def _closest(totals: Tensor, values: Tensor) -> Tensor:
    """The joint states whose totals, (K_1, ..., K_M), are closest to the values; (T, M)."""
    order = totals.flatten().sort(stable=True)
    above = torch.searchsorted(order.values, values).clamp(1, totals.numel() - 1)
    below = above - 1
    nearer = (values - order.values[below]) <= (order.values[above] - values)
    closest = order.indices[torch.where(nearer, below, above)]
    return torch.stack(torch.unravel_index(closest, totals.shape), dim=-1)
