"""Readings that no appliance could cause, such as the sentinel 65,535, as missing."""

import warnings

import pandas as pd

WATTS_OF_A_PLUG = 25_000.0  # more than three phases of 32 A supply


def without_faults(power: pd.Series) -> pd.Series:
    """The readings, NaN where a few are far above all others, with a warning.

    A few are at most 3, or 1 in 1,000; far above is more than WATTS_OF_A_PLUG, and more
    than four times the largest of the others.
    """
    high = power > WATTS_OF_A_PLUG
    few = high.sum() <= max(3, power.count() / 1000)
    if not (high.any() and few and power[high].min() > 4 * power[~high].max()):
        return power
    worst = power.idxmax()
    warnings.warn(
        f"power: {high.sum()} readings of {power.name!r} far above all others are treated"
        f" as missing, such as {power[worst]:,.0f} W at {worst}",
        # Shown at the line that calls `learn_appliance` or `learn_house`.
        stacklevel=4,
    )
    return power.mask(high)
