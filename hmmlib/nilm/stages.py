"""Stays that last: each state of an appliance as stages in series, which share its watts.

In an HMM a stay ends with the same probability at each step, so that the most probable stay is
one step long. With stages in series it is a sum of such stays: a negative binomial, the
counterpart of Erlang's distribution for whole steps, which is seldom much shorter or longer
than its mean. The appliance remains an HMM, with more states and with moves that are
impossible, so that every verb stays exact. Johnson 2005.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from scipy.stats import nbinom

from hmmlib.checks import as_count, as_instance, as_number, told
from hmmlib.emissions import at
from hmmlib.hmm import HMM
from hmmlib.nilm.meters.series import check_power
from hmmlib.transitions import at_rest

EARLY = (
    0.02  # of the moves out of a stage that is not the last, those that end the stay
)
MOST_STAGES = 4  # of one state, that `learn_stages` tries
FEWEST_STAYS = 20  # of a state, with fewer of which it keeps one stage


def staged(appliance: HMM, num_stages: Sequence[int], early: float = EARLY) -> HMM:
    """The same appliance with `num_stages[k]` stages in state k; sum(num_stages) states.

    A stay lasts as long on average as before and leads to the same states. It starts in the
    first stage. The end of a stage leads to the next one or, with probability `early`, to
    another state, so that no stay is too short to be possible. A series may start in any
    stage, each as probable as it is in the long run.

    Args:
        appliance: such as `learn_appliance` returns; inputs must not drive its moves.
        num_stages: K whole numbers of at least 1.
        early: with 0 no stay in state k is shorter than `num_stages[k]` steps.

    Raises:
        ValueError: for other `num_stages`, and where a stay in a state would have to be
            longer on average than it is.

    Example:
        >>> from torch.distributions import Normal
        >>> watts = Normal(torch.tensor([0.0, 2000.0]), torch.tensor([20.0, 20.0]))
        >>> kettle = HMM([0.9, 0.1], [[0.95, 0.05], [0.25, 0.75]], watts)
        >>> staged(kettle, [1, 2], early=0.0).transition_matrix
        tensor([[0.9500, 0.0500, 0.0000],
                [0.0000, 0.5000, 0.5000],
                [0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    """
    matrix = at_rest(as_instance("appliance", appliance, HMM).transition_matrix)
    num_stages = _as_stages(num_stages, len(matrix))
    early = as_number("early", early, "a probability below 1", lambda x: 0 <= x < 1)
    state = np.repeat(np.arange(len(matrix)), num_stages)  # of each stage
    reached = (1 - early) ** np.concatenate([np.arange(num) for num in num_stages])
    in_stay = np.bincount(state, reached)  # stages that a stay goes through, on average
    probs = matrix.detach().cpu().double().numpy()
    end = (1 - probs.diagonal()) * in_stay  # of a stage, at each step
    if end.max() > 1 + 1e-6:
        k = end.argmax()
        raise ValueError(
            f"num_stages: got {num_stages[k]} for state {k}, in which a stay lasts"
            f" {1 / (1 - probs[k, k]):.3g} steps on average; needs fewer stages"
        )
    moves = _moves_of_stages(probs, num_stages, end.clip(max=1.0), early)
    initial = appliance.initial_probs[state] * torch.as_tensor(reached / in_stay[state])
    return HMM(
        initial.to(matrix.dtype),
        torch.as_tensor(moves).to(matrix.dtype),
        at(appliance.emission, (torch.as_tensor(state),)),
    )


def learn_stages(
    appliance: HMM, power: pd.Series, most: int = MOST_STAGES, early: float = EARLY
) -> HMM:
    """The appliance `staged` as held-out stays ask for.

    A state has the number of stages with the largest mean in `compare_stages`, if its gain
    over one stage is more than its standard error; else one.

    Args:
        appliance, early: as for `staged`.
        power: watts of the appliance, as for `compare_stages`.
        most: stages of one state.

    Raises:
        ValueError: as `staged` and `compare_stages`.
    """
    table = compare_stages(appliance, power, most, early)
    best = [1] * len(appliance.initial_probs)
    for k, rows in table.groupby(level="state"):
        row = rows.loc[rows["gain"].idxmax()]
        if row["gain"] > row["standard error"]:
            best[k] = int(row.name[1])
    return staged(appliance, best, early)


def compare_stages(
    appliance: HMM, power: pd.Series, most: int = MOST_STAGES, early: float = EARLY
) -> pd.DataFrame:
    """What each number of stages of a state gains on held-out stays, over one stage.

    Each half of the stays is scored with the mean of the other half: stays of odd and of
    even number. States with fewer than `FEWEST_STAYS` stays are left out, and so are
    numbers of stages that a mean stay is too short for.

    Args:
        appliance, power, most, early: as for `learn_stages`.

    Returns:
        Rows by state and stages; columns: stays; mean steps; and gain, standard error in
        nats a stay.

    Raises:
        ValueError: as `stays_of`.
    """
    most, stays, rows = as_count("most", most), stays_of(appliance, power), []
    for k, steps in stays[stays["whole"]].groupby("state")["steps"]:
        if len(steps) < FEWEST_STAYS:
            continue
        scores = _held_out(steps.to_numpy(), most, early)
        for number, score in enumerate(scores, 1):
            if np.isfinite(score).all() and np.isfinite(scores[0]).all():
                gain = score - scores[0]
                error = gain.std(ddof=1) / len(gain) ** 0.5
                row = k, number, len(steps), steps.mean(), gain.mean(), error
                rows.append(row)
    columns = ["state", "stages", "stays", "mean steps", "gain", "standard error"]
    return pd.DataFrame(rows, columns=columns).set_index(["state", "stages"])


def stays_of(appliance: HMM, power: pd.Series) -> pd.DataFrame:
    """The stays on the most probable path of one appliance, in order of time.

    Args:
        appliance: such as `learn_appliance` returns.
        power: watts of its meter, with a DatetimeIndex.

    Returns:
        A row for each stay, by its first stamp; columns: state, steps, whole. The first
        and the last stay are not whole, since they may have begun before or ended later.

    Raises:
        ValueError: `check_power` refuses the readings.
    """
    power = check_power(power)
    best = as_instance("appliance", appliance, HMM).viterbi(
        torch.as_tensor(power.to_numpy(copy=True))
    )
    path = best.states.numpy()
    first = np.flatnonzero(np.diff(path, prepend=-1))
    steps = np.diff(first, append=len(path))
    whole = (first > 0) & (first + steps < len(path))
    table = {"state": path[first], "steps": steps, "whole": whole}
    return pd.DataFrame(table, index=power.index[first])


def log_prob_of_stays(
    steps: np.ndarray, mean: float, num_stages: int, early: float = EARLY
) -> np.ndarray:
    """log p(a stay lasts that many steps), of the stays of `staged`; shape of `steps`.

    A mixture of negative binomials, by the number of stages that a stay goes through; -inf
    where no stay with so many stages has that mean.

    Example:
        >>> log_prob_of_stays(np.array([1, 2, 3]), 4.0, 2, early=0.0).round(4)
        array([   -inf, -1.3863, -1.3863])
    """
    stage = np.arange(num_stages)
    through = (1 - early) ** stage * np.where(stage == num_stages - 1, 1.0, early)
    end = ((1 - early) ** stage).sum() / mean
    if end > 1:
        return np.full(np.shape(steps), -np.inf)
    further = np.asarray(steps)[..., None] - stage - 1
    with np.errstate(divide="ignore"):
        logs = nbinom.logpmf(further, stage + 1, end) + np.log(through)
    return logsumexp(logs, axis=-1)


def _moves_of_stages(
    probs: np.ndarray, num_stages: np.ndarray, end: np.ndarray, early: float
) -> np.ndarray:
    """The moves of all stages, from those of K states and how each stage ends, (K,)."""
    first = np.cumsum(num_stages) - num_stages
    others = probs * (1 - np.eye(len(probs)))
    others /= others.sum(1, keepdims=True).clip(min=np.finfo(float).tiny)
    moves = np.zeros((num_stages.sum(), num_stages.sum()))
    for k, num in enumerate(num_stages):
        for stage in range(first[k], first[k] + num):
            last = stage == first[k] + num - 1
            moves[stage, stage] = 1 - end[k]
            moves[stage, first] += end[k] * (1.0 if last else early) * others[k]
            if not last:
                moves[stage, stage + 1] = end[k] * (1 - early)
    return moves


def _held_out(steps: np.ndarray, most: int, early: float) -> np.ndarray:
    """The log-probability of each stay, learned from the other half; (most, stays)."""
    scores = np.empty((most, len(steps)))
    for held_out in (slice(None, None, 2), slice(1, None, 2)):
        mean = np.delete(steps, np.s_[held_out]).mean()
        for r in range(most):
            scores[r, held_out] = log_prob_of_stays(steps[held_out], mean, r + 1, early)
    return scores


def _as_stages(num_stages, size: int) -> np.ndarray:
    """K counts. Raises ValueError."""
    try:
        counts = [as_count("num_stages", num) for num in num_stages]
    except TypeError as error:
        found = told(num_stages)
        raise ValueError(f"num_stages: got {found}, needs {size} numbers") from error
    if len(counts) != size:
        raise ValueError(f"num_stages: got {counts}, needs {size}, one for each state")
    return np.array(counts)
