"""A house that behaves exactly as its model says."""

import numpy as np
import pandas as pd

from hmmlib.checks import as_count, as_kind, as_seed, told
from hmmlib.nilm.house import House

# What pandas raises for a start, or a last stamp, that it cannot represent
NO_TIME = (AttributeError, TypeError, ValueError, OverflowError, RuntimeError)


def simulate(
    house: House, num_steps: int, seed: int, start: str = "2026-01-01"
) -> pd.DataFrame:
    """The watts of each appliance, (num_steps, M); their sum is what the meter would show.

    Each state emits its level with Gaussian spread, which may fall below 0.

    Args:
        house: the appliances.
        num_steps: the number of readings, `house.step` apart.
        seed: the same seed gives the same watts.
        start: the first stamp.

    Raises:
        ValueError: `start` is not a time.
    """
    seed = as_seed(seed)
    as_kind("house", house, House)
    index = _stamps(start, as_count("num_steps", num_steps), house.step)
    inputs = house.inputs(index)
    states = house.model.sample(num_steps, seed, inputs=inputs).states
    noise = np.random.default_rng(seed).standard_normal(states.shape)
    watts = house.watts(states) + house.spreads(states) * noise
    return pd.DataFrame(watts, index=index, columns=house.names)


def _stamps(start, num_steps: int, step: pd.Timedelta) -> pd.DatetimeIndex:
    """`num_steps` stamps from `start` on. Raises ValueError."""
    try:
        return pd.date_range(pd.Timestamp(start), periods=num_steps, freq=step)
    except NO_TIME as error:
        raise ValueError(f"start: got {told(start)}, needs a time: {error}") from error
