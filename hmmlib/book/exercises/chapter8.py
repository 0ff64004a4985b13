"""The exercises of chapter 8: whose watts are these?"""

from functools import cache

import pandas as pd
import torch
from torch.distributions import Normal

from hmmlib.book.exercises.grading import ANY, Exercise
from hmmlib.book.exercises.models import tables
from hmmlib.datasets.household import load_household
from hmmlib.hmm import HMM
from hmmlib.nilm import (
    REST,
    appliance_metrics,
    disaggregate,
    house_metrics,
    learn_house,
    simulate,
)

CIRCUITS = ["kitchen", "laundry", "heater"]


@cache
def simulated_against_real():
    """Is the score on a simulated house higher, and which circuit has the largest error?"""
    table = load_household()
    together = table[CIRCUITS].sum(axis=1, skipna=False)
    table[REST] = (table["mains"] - together).clip(lower=0)
    num_states = {"kitchen": 4, "laundry": 6, "heater": 3, REST: 12}
    january = table.loc["2008-01-07":"2008-02-03"]
    house = learn_house(january, num_states, knee=60, floor=60 / 6**0.5)
    made = simulate(house, 14 * 1440, seed=0)
    real = table.loc["2008-02-18":"2008-03-02"]
    scores, errors = [], []
    for power, truth in (
        (real["mains"], real[CIRCUITS]),
        (made.sum(axis=1).clip(lower=0), made[CIRCUITS]),
    ):
        guess = disaggregate(house, power)
        scores.append(house_metrics(guess, truth).iloc[0])
        errors.append(appliance_metrics(guess, truth)["normalised error"])
    higher = "higher" if scores[1] > scores[0] else "lower"
    return [higher, errors[1].idxmax()]


def score(right=50.0, to_other=20.0):
    """Energy correctly assigned when of 100 W of c so many are given to c, and to d."""
    hours = pd.date_range("2026-01-01", periods=2, freq="h")
    truth = pd.DataFrame({"c": [100.0, 100.0], "d": [0.0, 0.0]}, index=hours)
    guess = pd.DataFrame({"c": [right] * 2, "d": [to_other] * 2}, index=hours)
    return house_metrics(guess, truth).iloc[0]


def queue(hmm, num_phases, leave=1.0, back=None, enter=0):
    """The last state as a queue of phases, each left `num_phases` times as fast."""
    on, moves = hmm.num_states - 1, hmm.transition_matrix
    onward = leave * num_phases * (1 - moves[on, on])
    size = on + num_phases
    queued = moves.new_zeros(size, size)
    queued[:on, :on] = moves[:on, :on]
    queued[:on, on + enter] = moves[:on, on]
    off = moves[on, :on] / moves[on, :on].sum()
    for phase in range(on, size):
        queued[phase, phase] = 1 - onward
        last = phase == size - 1
        ends = 1.0 if last else 0.0 if back is None else back
        queued[phase, :on] = onward * ends * off
        if not last:
            queued[phase, phase + 1] = onward * (1 - ends)
    return queued


def appliances():
    """Small models whose last state stays long enough for the queues they are given."""
    cases = []
    for seed, num_states, num_phases in ((0, 2, 3), (1, 3, 5), (2, 3, 2)):
        start, moves, _ = tables(seed, num_states, 2)
        stay = torch.zeros_like(moves[-1])
        stay[-1] = 1.0
        moves[-1] = 0.9 * stay + 0.1 * moves[-1]
        watts = 1000.0 * torch.arange(num_states, dtype=torch.float64)
        cases.append(
            (HMM(start, moves, Normal(watts, torch.full_like(watts, 30.0))), num_phases)
        )
    return cases


EXERCISES = {
    "8.1": Exercise(
        wanted=simulated_against_real,
        shows="Where all that it assumes is true, the model does better; what a sum of watts "
        "leaves open remains.",
        mistakes={
            "A house that the model made itself does all that the model expects. Can the real "
            "one be easier?": lambda: ["lower", ANY],
            "The house is another one, and no longer breaks what the model assumes. That "
            "shows.": lambda: ["same", ANY],
            "The heater is the easiest: its watts are its own, and it stays on for hours.": (
                lambda: [ANY, "heater"]
            ),
            "The kitchen is hard, but the hot states of one circuit have wider spreads.": lambda: [
                ANY,
                "kitchen",
            ],
            "Two circuits have errors of a third of their energy and more, even here.": lambda: [
                ANY,
                "none",
            ],
        },
        hints=(
            "What does a simulated house never do, that the real one did?",
            "Look at the spreads in the table of what was learned. Which circuit hides best?",
            "`nilm.simulate`, `nilm.disaggregate` on the sum of its columns, then "
            "`nilm.house_metrics` and the normalised error of `nilm.appliance_metrics`.",
        ),
    ),
    "8.2": Exercise(
        wanted=score,
        shows="Watts given to the rest are missed once, those given to another circuit twice.",
        mistakes={
            "This counts each wrong watt once. Given to another circuit, it is missing in one "
            "and too much in the other.": lambda: score(to_other=0.0),
            "This counts each wrong watt twice, which leaves only the share that is right. "
            "The rest has no term of its own.": lambda: score(to_other=50.0),
            "The costs are the other way round: the rest has no term, the other circuit "
            "has.": lambda: score(to_other=30.0),
            "The half is missing: the sum of all differences is divided by twice the "
            "energy.": lambda: 1 - 2 * (1 - score()),
        },
        hints=(
            "Write down the watts of both circuits, true and guessed, for one minute.",
            "Each circuit has a term |ŷ − y|. The rest has none.",
            "One minus the sum of the terms, divided by twice the true watts.",
        ),
    ),
    "8.3": Exercise(
        wanted=queue,
        shows="A queue of equal phases is an ordinary chain, and makes short and long stays "
        "rare. Whether stays are like that, the data say.",
        trials=appliances,
        read=lambda found: found.transition_matrix if isinstance(found, HMM) else found,
        mistakes={
            "Each phase is left as slowly as the whole state was, so that a stay is several "
            "times as long.": lambda hmm, n: queue(hmm, n, leave=1 / n),
            "Each phase may go back to off. A stay passes all of them: only the last one is "
            "left for another state.": lambda hmm, n: queue(hmm, n, back=0.5),
            "The queue is entered at its end. It begins with the first phase.": (
                lambda hmm, n: queue(hmm, n, enter=n - 1)
            ),
            "This is one phase less. The state itself is the first of them.": (
                lambda hmm, n: queue(hmm, n - 1)
            ),
            "This is one phase more. The state itself is the first of them.": (
                lambda hmm, n: queue(hmm, n + 1)
            ),
        },
        hints=(
            "A stay passes the phases one after the other. Where does each of them lead?",
            "A phase stays, or goes on to the next; the last goes where the state went. To "
            "keep the mean stay, each is left as many times faster as there are phases.",
            "With `onward = num_phases * (1 - moves[on, on])`: `1 - onward` on the diagonal, "
            "`onward` beside it, and for the last phase `onward` times the old moves to "
            "other states, divided by their sum.",
        ),
    ),
}
