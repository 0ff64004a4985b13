"""A house learned from its sub-meters, one appliance after the other."""

from collections.abc import Hashable, Mapping

import numpy as np
import pandas as pd

from hmmlib.checks import as_kind
from hmmlib.nilm.appliances import FLOOR, WATTS_OF_ANYTHING, learn_appliance
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.faults import warn_of_clipping, without_faults
from hmmlib.nilm.meters.register import refuse_register
from hmmlib.nilm.meters.series import checked
from hmmlib.nilm.meters.source import Source

REST = "rest"  #: the name of the chain for all that has no sub-meter
MOST_BELOW = (
    0.01  # of the rows, in which appliances may seem to draw more than the mains
)
MOST_OFF = 0.05  # of the mains, by which two meters may disagree


def learn_house(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    resolution: float = 0.0,
    knee: float = np.inf,
    num_iters: int = 0,
    floor: float = FLOOR,
) -> House:
    """A house with a chain for each appliance and, if `num_states` names `REST`, the rest.

    Each chain is learned by `learn_appliance` from its own column. What the rest drew is
    the mains less all appliances.

    Args:
        table: a column of watts for each appliance and for the mains, with a
            DatetimeIndex.
        num_states: the number of states of each chain, by column.
        mains: the column of the mains; used only for the rest.
        resolution, knee, num_iters, floor: as for `learn_appliance`. The rest has no knee.

    Raises:
        ValueError: a column is missing or cannot be learned from, or the appliances draw
            more than the mains.
    """
    as_kind("table", table, pd.DataFrame)
    as_kind("mains", mains, Hashable)
    names = tuple(as_kind("num_states", num_states, Mapping))
    needed = _needed(table, names, mains)
    columns = {}
    for name in needed:
        columns[name] = _column(table, name)
    if REST in names:
        warn_of_clipping(columns[mains])
        appliances = [columns[name] for name in names if name != REST]
        columns[REST] = _rest(columns[mains], sum(appliances), mains)
    learned = {}
    for name in names:
        options = resolution, np.inf if name == REST else knee, num_iters, floor
        try:
            learned[name] = learn_appliance(columns[name], num_states[name], *options)
        except ValueError as error:
            found = str(error).removeprefix("power: ")
            raise ValueError(f"table, {name!r}: {found}") from error
    return House(learned, columns[needed[0]].index.freq)


def _needed(table: pd.DataFrame, names: tuple, mains: str) -> list:
    """The columns to learn from. Raises ValueError unless the table has them all."""
    appliances = [name for name in names if name != REST]
    needed = appliances + [mains] * (REST in names)
    missing = [name for name in needed if name not in table.columns]
    if missing or not appliances:
        raise ValueError(
            f"table: no column for {missing or 'an appliance'}, it has"
            f" {list(table.columns)}, needs one for each"
        )
    return needed


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    """One column of watts, checked. Raises ValueError that names it."""
    source = Source(
        name=f"table, {name!r}",
        series=f"table[{name!r}]",
        reverse="use table[::-1]",
        sort="use table.sort_index() first",
        once="table[~table.index.duplicated()]",
    )
    power = checked(table[name], None, source)
    if power.isna().all():
        raise ValueError(f"table, {name!r}: every reading is missing, needs some")
    refuse_register(f"table, {name!r}", power, WATTS_OF_ANYTHING)
    return without_faults(power)


def _rest(gate: pd.Series, metered: pd.Series, mains: str) -> pd.Series:
    """The watts of the mains that no sub-meter shows. Raises ValueError if often below 0."""
    rest = gate - metered
    allowed = FLOOR + MOST_OFF * gate
    if (below := (rest < -allowed).mean()) > MOST_BELOW:
        raise ValueError(
            f"table: the appliances draw more than {mains!r} in {below:.0%} of the rows,"
            f" needs at most {MOST_BELOW:.0%}; are the units and the clocks the same?"
        )
    # A little below 0 where sub-meters round up, or are off a little.
    return rest.clip(lower=0.0)
