"""The energy of each appliance, as an exact mean and variance."""

import numpy as np
import pandas as pd
import torch

from hmmlib.factorial.totals import moments_of_totals
from hmmlib.nilm.house import House, as_house, observed
from hmmlib.nilm.meters.series import check_power


def energy_moments(
    house: House, power: pd.Series, by: str | None = None
) -> pd.DataFrame:
    """The mean (kWh) and the variance (kWh²) of each appliance's energy given all readings.

    They are exact, of the distribution that `sample_energy` draws from, and take one pass
    through the readings; with `by`, one more. Missing readings, and stamps left out, count
    with what the model expects of them.

    Args:
        house: the appliances, such as `learn_house` returns.
        power: watts of their sum, with a DatetimeIndex in steps of `house.step`.
        by: None for the energy over all of `power`; or a period of pandas, such as "D" for
            that of each day.

    Returns:
        A row for each appliance, with columns `mean` and `variance`; with `by`, a row for
        each period and appliance.

    Raises:
        ValueError: `check_power(power, house.step)` refuses the readings, or the house cannot
            produce them.

    Example:
        >>> from torch.distributions import Normal
        >>> from hmmlib import HMM, nilm
        >>> lamp = Normal(torch.tensor([0.0, 60.0]), torch.tensor([1.0, 5.0]))
        >>> lamp = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], lamp)
        >>> house = nilm.House({"hall": lamp, "stairs": lamp}, "1h")
        >>> stamps = pd.date_range("2026-01-01", periods=3, freq="1h")
        >>> power = pd.Series([60.0, 120.0, 0.0], index=stamps)
        >>> nilm.energy_moments(house, power).round(4)
                mean  variance
        hall    0.09    0.0009
        stairs  0.09    0.0009
    """
    readings = check_power(power, as_house(house).step)
    periods = None if by is None else readings.resample(by).size()
    if periods is not None:
        periods = periods[periods > 0]
    found = _moments(house, readings, periods if by is None else periods.to_list())
    tables = [
        pd.DataFrame({"mean": mean, "variance": variance}, house.names)
        for mean, variance in found
    ]
    return tables[0] if by is None else pd.concat(tables, keys=periods.index)


def _moments(
    house: House, readings: pd.Series, lengths: list[int] | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean (M,) in kWh and variance (M,) in kWh² of each of the stretches of `lengths`."""
    states = torch.cartesian_prod(*(torch.arange(k) for k in house.model.sizes))
    states = states.reshape(-1, len(house.names))
    found = moments_of_totals(
        house.model,
        observed(house, readings),
        house.watts(states),
        house.spreads(states),
        lengths,
    )
    kwh = house.step / pd.Timedelta("1h") / 1000
    return [(mean * kwh, variance * kwh**2) for mean, variance in found]
