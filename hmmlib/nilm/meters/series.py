"""Power over time, checked before it is used: watts on an even grid, NaN where missing."""

import numpy as np
import pandas as pd

from hmmlib.nilm.meters.grid import as_time, grid_step
from hmmlib.nilm.meters.order import check_order
from hmmlib.nilm.meters.register import refuse_register
from hmmlib.nilm.meters.source import Source

WATTS_OF_A_HOUSE = (100.0, 100_000.0)  # the expected range of the largest reading
MANY_RISES = 24  # a part of a series may well be an hour that only rises


def check_power(power: pd.Series, step=None) -> pd.Series:
    """The readings as float watts on an even grid; NaN where a stamp was left out.

    Args:
        power: watts, with a DatetimeIndex.
        step: the time between readings; None for the most frequent one.

    Raises:
        ValueError: the index is not of time; stamps come twice, go back or lie off the
            grid; readings are not numbers, infinite or negative; or they count energy up,
            as a register does.

    Example:
        >>> minutes = pd.to_datetime(["2026-02-23 18:00", "2026-02-23 18:01"])
        >>> check_power(pd.Series([340, 1395], minutes)).tolist()
        [340.0, 1395.0]
    """
    watts = checked(power, step, Source())
    refuse_register("power:", watts, WATTS_OF_A_HOUSE, MANY_RISES)
    return watts


def checked(power: pd.Series, step, source: Source, signed: bool = False) -> pd.Series:
    """`check_power` without the test for registers, in the words of `source`.

    Raises ValueError as `check_power` does, but not for negative readings if `signed`.
    """
    index = power.index if isinstance(power, pd.Series) else power
    if not isinstance(power, pd.Series) or not isinstance(index, pd.DatetimeIndex):
        raise ValueError(
            f"power: got {type(index).__name__}, needs a Series with a DatetimeIndex"
        )
    step = None if step is None else as_time("step", step)
    if not len(power) or index.hasnans:
        found = "a missing stamp" if len(power) else "no reading"
        raise ValueError(
            f"{source.name}: got {found}, needs one stamp for each reading"
        )
    check_order(power, source)
    step = grid_step(index, step, source)
    return as_watts(power, source, signed).asfreq(step)


def as_watts(power: pd.Series, source: Source, signed: bool = False) -> pd.Series:
    """The readings as floats. Raises ValueError for infinite or, unless `signed`, negative."""
    try:
        if power.dtype.kind == "c":
            raise TypeError("complex")
        watts = power.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{source.name}: got {power.dtype}, needs numbers: {error}"
        ) from error
    for what, wrong in (("infinite", np.isinf(watts)), ("negative", watts < 0)):
        if wrong.any() and not (signed and what == "negative"):
            keep = f"{source.call(signed=True)} keeps them"
            if what == "infinite":
                keep = f"{source.call(missing=['inf', '-inf'])} takes them for missing"
            raise ValueError(
                f"{source.name}: {wrong.sum()} of {len(watts)} readings are {what}, such as"
                f" {watts[wrong].iloc[0]:g} at {power.index[wrong][0]}; needs the power"
                " drawn, in watts (with solar panels: net power plus production), NaN where"
                f" missing{'; ' + keep if source.given is not None else ''}"
            )
    return watts
