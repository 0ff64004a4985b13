"""Registers: meters that count energy up, told apart from power."""

import pandas as pd

from hmmlib.checks import told
from hmmlib.nilm.meters.source import Source

ENERGIES = {"Wh": 1.0, "kWh": 1000.0}
FEW_RISES, MOST_FALLS = 8, 0.05  # at least, and at most as a share of all changes


def refuse_register(
    name: str,
    power: pd.Series,
    expected_watts: tuple[float, float],
    few_rises: int = FEW_RISES,
    source: Source | None = None,
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
        source: the words for a file, whose cure is a call of `read_meter`.
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
    found = (
        f"{name} rises {len(rises)} times and {seldom}, as a register does that counts"
        " energy up; needs power, or the energy of each interval"
    )
    if source is not None:
        calls = [source.call(unit=unit, cumulative=True) for unit in ("kWh", "Wh")]
        raise ValueError(f"{found}: {' or '.join(calls)}")
    raise ValueError(
        f"{found}: take .diff() of the register and make negative differences NaN; in kWh or"
        f" Wh, multiplied by {1000 * per_hour:,g} or {per_hour:,g}, it is watts"
    )


def counted_power(register: pd.Series, unit: str, source: Source) -> pd.Series:
    """The mean power, in watts, from each reading of a register until the next.

    Where the register falls, being reset or replaced, the power is missing. The last
    reading ends an interval and begins none.

    Args:
        register: energy so far in `unit`, with stamps in ascending order.
        unit: "Wh" or "kWh".
        source: the words for messages.

    Raises:
        ValueError: the readings fall too often to be those of a register.
    """
    used = register.diff().shift(-1).iloc[:-1]
    num_falls, num_changes = int((used < 0).sum()), int((used != 0).sum())
    if num_falls > max(1, MOST_FALLS * num_changes):
        raise ValueError(
            f"{source.name}: {told(register.name)} falls in {num_falls} of {num_changes}"
            f" changes, and a register counts up; is it the power itself, or the energy of"
            f" each interval, {source.call(cumulative=False)}?"
        )
    hours = (register.index[1:] - register.index[:-1]) / pd.Timedelta("1h")
    watts = used.mask(used < 0) * ENERGIES[unit] / hours
    return watts.rename(register.name)


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
