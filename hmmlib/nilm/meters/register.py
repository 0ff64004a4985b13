"""Registers: meters that count energy up, told apart from power."""

import pandas as pd

ENERGIES = {"Wh": 1.0, "kWh": 1000.0}
FEW_RISES, MOST_FALLS = 8, 0.05  # at least, and at most as a share of all changes


def refuse_register(
    name: str,
    power: pd.Series,
    expected_watts: tuple[float, float],
    few_rises: int = FEW_RISES,
) -> None:
    """Raises ValueError for readings that count up: energy so far, not power.

    Power falls about as often as it rises. Readings are taken for a register if at least
    `few_rises` of them rise; if at most MOST_FALLS of their changes are falls, and no more
    than one a day, since a register may be reset or replaced; and if the rises, read as
    Wh or kWh, amount to a power within `expected_watts`.

    Args:
        name: how the message begins.
        power: readings on an even grid, NaN where missing.
        expected_watts: lowest and highest value expected of the largest reading.
        few_rises: fewer do not show a register.
    """
    change = power.dropna().diff()
    rises, num_falls = change[change > 0], int((change < 0).sum())
    if len(rises) < few_rises or num_falls > MOST_FALLS * (len(rises) + num_falls):
        return
    per_hour = pd.Timedelta("1h") / power.index.freq
    if num_falls > 1 + len(power) / per_hour / 24:
        return
    if not _amounts_to_power(power, rises, num_falls, per_hour, expected_watts):
        return
    seldom = f"falls {num_falls} times" if num_falls else "never falls"
    raise ValueError(
        f"{name} rises {len(rises)} times and {seldom}, as a register does that counts"
        " energy up; needs power, or the energy of each interval: take .diff() of the"
        " register, make negative differences blank, and read that by read_meter with"
        f" unit='kWh' or 'Wh' (multiplied by {1000 * per_hour:,g} or {per_hour:,g}, it is"
        " watts)"
    )


def _amounts_to_power(
    power: pd.Series,
    rises: pd.Series,
    num_falls: int,
    per_hour: float,
    expected_watts: tuple[float, float],
) -> bool:
    """Whether the rises, read as energy in Wh or kWh, are a power that is expected.

    A load that ramps up each day and is off most of the time does not count Wh.
    """
    lowest, highest = expected_watts
    mean, peak = rises.sum() / len(power) * per_hour, rises.max() * per_hour
    idle = num_falls > 1 and 2 * (power == power.min()).sum() > power.count()
    units = [ENERGIES["kWh"]] if idle else ENERGIES.values()
    return any(lowest <= k * peak and k * mean <= highest / 3 for k in units)
