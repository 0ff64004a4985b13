"""The exercises of chapter 8: whose watts are these?"""

from functools import cache, partial

import pandas as pd
import torch
from torch.distributions import Normal

import hmmlib.nilm as nilm
from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import tables
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets.household import load_household
from hmmlib.hmm import HMM

CIRCUITS = ["kitchen", "laundry", "heater"]


@cache
def simulated_against_real():
    """Is the score of a simulated house higher, and which circuit has the largest error?"""
    table = load_household()
    together = table[CIRCUITS].sum(axis=1, skipna=False)
    table[nilm.REST] = (table["mains"] - together).clip(lower=0)
    num_states = {"kitchen": 4, "laundry": 6, "heater": 3, nilm.REST: 12}
    january = table.loc["2008-01-07":"2008-02-03"]
    house = nilm.learn_house(
        january, num_states, knee=60, num_iters=100, floor=60 / 6**0.5
    )
    made = nilm.simulate(house, 14 * 1440, seed=0)
    real = table.loc["2008-02-18":"2008-03-02"]
    scores, errors = [], []
    for power, truth in (
        (real["mains"], real[CIRCUITS]),
        (made.sum(axis=1).clip(lower=0), made[CIRCUITS]),
    ):
        guess = nilm.disaggregate(house, power)
        scores.append(nilm.house_metrics(guess, truth).iloc[0])
        errors.append(nilm.appliance_metrics(guess, truth)["normalised error"])
    higher = "higher" if scores[1] > scores[0] else "lower"
    return [higher, errors[1].idxmax()]


def score(right=50.0, to_other=20.0):
    """Energy correctly assigned, if so many of c's 100 W are assigned to c, and to d."""
    hours = pd.date_range("2026-01-01", periods=2, freq="h")
    truth = pd.DataFrame({"c": [100.0, 100.0], "d": [0.0, 0.0]}, index=hours)
    guess = pd.DataFrame({"c": [right] * 2, "d": [to_other] * 2}, index=hours)
    return nilm.house_metrics(guess, truth).iloc[0]


def queue(hmm, num_phases, leave=1.0, end=0.0, enter=0):
    """A matrix in which the last state is a queue of phases, each left that much faster.

    `leave` slows the phases, `end` is the share of the moves out of a phase that end the stay
    early, and `enter` is the first phase: the right queue has 1, 0 and 0.
    """
    on, moves = hmm.num_states - 1, hmm.transition_matrix
    onward = leave * num_phases * (1 - moves[on, on])
    size = on + num_phases
    queued = moves.new_zeros(size, size)
    queued[:on, :on] = moves[:on, :on]
    queued[:on, on + enter] = moves[:on, on]
    off = moves[on, :on] / moves[on, :on].sum()
    for phase in range(on, size):
        is_last = phase == size - 1
        ends = 1.0 if is_last else end
        queued[phase, phase] = 1 - onward
        queued[phase, :on] = onward * ends * off
        if not is_last:
            queued[phase, phase + 1] = onward * (1 - ends)
    return queued


def appliances():
    """Small models whose last state lasts long enough for their queues."""
    cases = []
    for seed, num_states, num_phases in ((0, 2, 3), (1, 3, 5), (2, 3, 2)):
        start, moves, _ = tables(seed, num_states, 2)
        moves[-1] *= 0.1
        moves[-1, -1] += 0.9
        watts = 1000.0 * torch.arange(num_states, dtype=torch.float64)
        emission = Normal(watts, torch.full_like(watts, 30.0))
        cases.append((HMM(start, moves, emission), num_phases))
    return cases


EXERCISES = {
    "8.1": Exercise(
        wanted=simulated_against_real,
        shows="The model does better where all its assumptions hold; what the sum of the "
        "watts cannot tell remains unknown.",
        mistakes=lambda: {
            "A house drawn from the model behaves as the model expects. Can the real one be "
            "easier?": ["lower", ANY],
            "The simulated house satisfies every assumption of the model, and the real one "
            "does not. The score shows it.": ["same", ANY],
            "The heater is the easiest: no other circuit has its power, and it stays on for "
            "hours.": [ANY, "heater"],
            "The kitchen is hard, but the hot states of another circuit have wider "
            "spreads.": [ANY, "kitchen"],
            "Even here, two circuits have errors of a third of their "
            "energy and more.": [ANY, "none"],
        },
        hints=(
            "What did the real house do that a simulated one never does?",
            "Look at the spreads in the table of the learned states. Which circuit is the "
            "easiest to miss?",
            "`nilm.simulate`, `nilm.disaggregate` on the sum of its columns, then "
            "`nilm.house_metrics` and the normalised error of `nilm.appliance_metrics`.",
        ),
    ),
    "8.2": Exercise(
        wanted=score,
        shows="A watt assigned to the rest counts as one error, a watt assigned to another "
        "circuit as two.",
        mistakes=lambda: {
            "This counts each wrong watt once. A watt assigned to another circuit is missing "
            "in one and too much in the other.": score(to_other=0.0),
            "This counts each wrong watt twice, which leaves only the share that is right. "
            "The rest has no term of its own.": score(to_other=50.0),
            "The costs are exchanged: the rest has no term, the other circuit has one.": (
                score(to_other=30.0)
            ),
            "The factor one half is missing: the sum of all differences is divided by twice "
            "the energy.": 1 - 2 * (1 - score()),
        },
        hints=(
            "Write down the watts of both circuits, true and estimated, for one minute.",
            "Each circuit has a term |ŷ − y|. The rest has none.",
            "One minus the sum of the terms, divided by twice the true watts.",
        ),
    ),
    "8.3": Exercise(
        wanted=lambda: queue,
        shows="A queue of equal phases is an ordinary chain, and makes both short and long "
        "stays rare. Whether real stays are like that, the data must say.",
        trials=appliances,
        read=lambda found: found.transition_matrix if isinstance(found, HMM) else found,
        mistakes=lambda: {
            "Each phase is left as slowly as the whole state was, so that a stay is several "
            "times as long.": lambda hmm, n: queue(hmm, n, leave=1 / n),
            "Each phase may go back to off. A stay passes through all of them: only the last "
            "one is left for another state.": partial(queue, end=0.5),
            "The queue is entered at its end. It begins with the first phase.": (
                lambda hmm, n: queue(hmm, n, enter=n - 1)
            ),
            "There is one phase too few. The state itself is the first of them.": (
                lambda hmm, n: queue(hmm, n - 1)
            ),
            "There is one phase too many. The state itself is the first of them.": (
                lambda hmm, n: queue(hmm, n + 1)
            ),
        },
        hints=(
            "A stay passes through the phases one after another. Where does each lead?",
            "A phase stays, or goes on to the next; the last goes where the state went. To "
            "keep the mean stay, each is left as many times faster as there are phases.",
            "With `onward = num_phases * (1 - moves[on, on])`: `1 - onward` on the diagonal, "
            "`onward` beside it, and for the last phase `onward` times the old moves to "
            "other states, divided by their sum.",
        ),
    ),
}
