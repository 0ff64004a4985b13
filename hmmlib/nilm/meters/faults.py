"""Readings that no appliance could cause, such as the sentinel 65,535, as missing."""

import warnings

import pandas as pd

from hmmlib.checks import warn

FEW_AT_TOP = 10  # readings that equal the largest one; fewer do not show a limit
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


def warn_of_clipping(power: pd.Series) -> None:
    """Warns of readings that stop at a highest value, as those of a small meter's do.

    At least 10 readings equal the largest one, and no more are in the 5 % below it; a
    load that draws the same watts each time would be seen beside others.
    """
    top = power.max()
    num_top, num_near = (power == top).sum(), (power > 0.95 * top).sum()
    if top > 0 and num_top >= FEW_AT_TOP and num_near < 2 * num_top:
        warn(
            f"power: {num_top} readings of {power.name!r} equal the largest one,"
            f" {top:,.0f} W; does the meter measure no more? Then what it shows is too low"
            " there; make these readings NaN to have them treated as missing"
        )
