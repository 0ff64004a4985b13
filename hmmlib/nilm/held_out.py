"""What a learned house is worth on days it has not seen, and how many states serve best."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hmmlib.checks import as_count, as_kind, as_number, warn
from hmmlib.nilm.metrics import aligned, house_metrics
from hmmlib.nilm.splitting import disaggregate
from hmmlib.nilm.sub_meters import REST, learn_house

MOST_LOST = 0.5  # of an appliance's energy: more of it to the rest is worth a warning
LITTLE = 0.1  # of an appliance's energy: less of it to another one is no confusion


class HeldOut(NamedTuple):
    """What a house is worth on the last days of a table, learned from those before."""

    score: float  #: 1 - sum |estimate - truth| / (2 sum truth), all appliances together
    scores: pd.Series  #: the same of each appliance
    taken: pd.DataFrame  #: `energy_taken` of the appliances


class StateCounts(NamedTuple):
    """The numbers of states that served best on held-out days, and all that were tried."""

    num_states: dict[str, int]  #: of each chain
    table: pd.DataFrame
    """A row for each trial, in their order: the states of each chain, and the score."""


def energy_scores(estimate: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """1 - sum |estimate - truth| / (2 sum truth) of each column of `truth`; 1 is perfect.

    Always answering 0 scores 1/2. NaN for an appliance that drew nothing. Kolter & Johnson
    2011.

    Raises:
        ValueError: the columns or the stamps of the two tables do not match.

    Example:
        >>> index = pd.date_range("2026-02-23", periods=2, freq="30min")
        >>> truth = pd.DataFrame({"kettle": [2000.0, 0.0]}, index)
        >>> energy_scores(0 * truth, truth).item()
        0.5
    """
    estimate, truth = aligned(estimate, truth)
    return 1 - (estimate - truth).abs().sum() / (2 * truth.sum())


def energy_taken(estimate: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Whose an appliance's energy was said to be; shares, a row for each appliance.

    At each step an appliance is given the right amount as far as estimate and truth agree.
    What it lacks went to another appliance as far as that one has too much, and else to
    the rest.

    Args:
        estimate, truth: watts of each appliance; the columns and stamps of `truth` count.

    Returns:
        The columns are those of `truth` and `REST`. A row adds up to 1, or to more where two
        appliances have too much of what a third one lacks.

    Raises:
        ValueError: the columns or the stamps of the two tables do not match.
    """
    estimate, truth = aligned(estimate, truth)
    lacks = (truth - estimate).clip(lower=0)
    excess = (estimate - truth).clip(lower=0)
    kept = np.minimum(estimate, truth).sum()
    rows = {}
    for name in truth.columns:
        taken = excess.clip(upper=lacks[name], axis=0).sum()
        taken[name] = kept[name]
        taken[REST] = max(truth[name].sum() - taken.sum(), 0.0)
        rows[name] = taken / truth[name].sum()
    return pd.DataFrame(rows).T


def judge_held_out(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    held_out: float = 1 / 3,
    **options,
) -> HeldOut:
    """Learn a house from the first days of a table, and split the mains of the last ones.

    Warns of an appliance that scores below 1/2, which is what always answering 0 scores, of
    one that the rest swallows, and of two that cannot be told apart.

    Args:
        table, num_states, mains, options: as for `learn_house`.
        held_out: the share of the days, at the end, that the house is judged on.

    Raises:
        ValueError: as `learn_house`; or fewer than two days.
    """
    first, last = _parted(table, held_out)
    house = learn_house(first, num_states, mains, **options)
    truth = last[[name for name in num_states if name != REST]]
    estimate = disaggregate(house, last[mains])
    scores = energy_scores(estimate, truth)
    taken = energy_taken(estimate, truth)
    _warn_of_low(scores)
    _warn_of_taken(taken)
    total = house_metrics(estimate, truth)["energy correctly assigned"]
    return HeldOut(float(total), scores, taken)


def choose_num_states(
    table: pd.DataFrame,
    candidates: Mapping[str, Sequence[int]],
    mains: str = "mains",
    held_out: float = 1 / 3,
    **options,
) -> StateCounts:
    """The numbers of states that score best on held-out days, one chain after the other.

    All chains begin with the first of their candidates. Then the others of one chain are
    tried, the best is kept, and the next chain has its turn. Differences of less than about
    .02 are noise on days as few as ten; the first candidate wins a tie.

    Args:
        table, mains, held_out, options: as for `judge_held_out`.
        candidates: for each chain the numbers of states to try, such as
            `{"kettle": [3, 2], "rest": [12, 8]}`.

    Raises:
        ValueError: as `judge_held_out`; or a chain without candidates.
    """
    as_kind("candidates", candidates, Mapping)
    for name, sizes in candidates.items():
        if not len(sizes):
            raise ValueError(f"candidates[{name!r}]: got none, needs at least one")
    first, last = _parted(table, held_out)
    names = [name for name in candidates if name != REST]
    tried: dict[tuple, float] = {}

    def score(chosen: dict) -> float:
        key = tuple(chosen.values())
        if key not in tried:
            house = learn_house(first, chosen, mains, **options)
            found = disaggregate(house, last[mains])
            tried[key] = house_metrics(found, last[names])["energy correctly assigned"]
        return tried[key]

    best = {
        name: as_count("candidates", sizes[0]) for name, sizes in candidates.items()
    }
    for name, sizes in candidates.items():
        trials = [best | {name: as_count("candidates", size)} for size in sizes]
        best = max(trials, key=score)
    rows = [
        dict(zip(candidates, key, strict=True), score=x) for key, x in tried.items()
    ]
    return StateCounts(best, pd.DataFrame(rows))


def _warn_of_low(scores: pd.Series) -> None:
    """Names appliances of which it is better to say that they are always off."""
    for name, score in scores.items():
        if score < 0.5:
            warn(
                f"table, {name!r}: scores {score:.2f} on the held-out days, where always"
                " answering 0 scores 0.50; give it other numbers of states, or leave it to"
                f" {REST!r}"
            )


def _warn_of_taken(taken: pd.DataFrame) -> None:
    """Names appliances whose energy was mostly taken for that of another one or the rest."""
    for name, shares in taken.iterrows():
        others = shares.drop([name, REST])
        if shares[REST] > MOST_LOST:
            warn(
                f"table, {name!r}: {shares[REST]:.0%} of its energy on the held-out days is"
                f" taken for that of {REST!r}, which swallows it"
            )
        elif len(others) and others.max() > max(shares[name], LITTLE):
            warn(
                f"table, {name!r} and {others.idxmax()!r}: cannot be told apart; of the energy"
                f" of {name!r} on the held-out days, {others.max():.0%} is taken for that of"
                f" {others.idxmax()!r} and {shares[name]:.0%} for its own; learn their sum as"
                " one appliance"
            )


def _parted(table: pd.DataFrame, held_out: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first and the last days of a table. Raises ValueError."""
    as_kind("table", table, pd.DataFrame)
    held_out = as_number(
        "held_out", held_out, "a share between 0 and 1", lambda x: 0 < x < 1
    )
    days = pd.DatetimeIndex(table.index).normalize()
    different = days.unique().sort_values()
    num_last = max(round(held_out * len(different)), 1)
    if num_last >= len(different):
        raise ValueError(
            f"table: got readings of {len(different)} days, needs two or more, so that some"
            " can be held out"
        )
    last = days >= different[-num_last]
    return table[~last], table[last]
