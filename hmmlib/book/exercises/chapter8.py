"""The exercises of chapter 8: whose watts are these?"""

from functools import partial
from itertools import product

import torch
from torch.distributions import Normal

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.houses import (
    alone_or_together,
    appliances,
    queue,
    simulated_against_real,
    what_the_sum_shows,
)
from hmmlib.book.exercises.values import only
from hmmlib.hmm import HMM

TRUE = torch.tensor([2000.0, 0.0, 0.0])  # watts of the circuits in one minute
ANSWERS = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1500.0, 0.0], [1000.0, 400.0, 0.0]])
# watts, spread and share of time of states: hot or off, and two of the rest
KITCHEN = {"hot": (2302.5, 430.6, 0.0365), "off": (0.2, 24.5, 0.9095)}
LAUNDRY = {"hot": (1885.1, 512.7, 0.0287), "off": (0.7, 24.5, 0.7881)}
OTHERS = {"low": (408.2, 27.1, 0.1755), "high": (2548.1, 140.2, 0.0392)}
READING = 2500.0
GUESSED, WATTS = (0.45, 0.35), 2000.0  # P(kitchen), P(laundry), and what is drawn


def scores(missing_only=False, with_rest=False, per=2.0):
    """Energy correctly assigned by each of ANSWERS; or with a mistake in the measure."""
    wrong = (ANSWERS - TRUE).abs()
    if missing_only:
        wrong = (TRUE - ANSWERS).clamp(min=0)
    total = wrong.sum(dim=1)
    if with_rest:  # which drew nothing, and is given what the circuits are not
        total = total + TRUE.sum() - ANSWERS.sum(dim=1)
    return 1 - total / (per * TRUE.sum())


def explanations(shares=True, variances=True, width=True, normalised=True):
    """Probabilities that the kitchen, the laundry or the rest drew a reading of 2,500 W."""
    weights = []
    for kitchen, laundry, others in (
        ("hot", "off", "low"),
        ("off", "hot", "low"),
        ("off", "off", "high"),
    ):
        watts, spread, share = zip(
            KITCHEN[kitchen], LAUNDRY[laundry], OTHERS[others], strict=True
        )
        spread = torch.tensor(spread)
        scale = spread.square().sum().sqrt() if variances else spread.sum()
        fit = Normal(sum(watts), scale).log_prob(torch.tensor(READING)).exp()
        prior = torch.tensor(share).prod() if shares else 1.0
        weights.append(prior * (fit if width else fit * scale))
    weights = torch.stack(weights)
    return weights / weights.sum() if normalised else weights


def expected_errors(only_named=False, with_rest=False):
    """In watts, if nobody, the kitchen or the laundry is named: listing who it can be."""
    found = torch.zeros(3)
    chances = (*GUESSED, 1 - sum(GUESSED))
    for named, (who, chance) in product((None, 0, 1), enumerate(chances)):
        answer, true = torch.zeros(3), torch.zeros(3)
        true[who] = WATTS
        answer[2 if named is None else named] = WATTS
        wrong = (answer - true).abs()
        if only_named:
            counted = wrong[:2].sum() if named is None else wrong[named]
        else:
            counted = wrong.sum() if with_rest else wrong[:2].sum()
        found[0 if named is None else named + 1] += chance * counted
    return found


EXERCISES = {
    "8.1": Exercise(
        wanted=scores,
        shows="A watt assigned to the rest is one error, a watt assigned to another circuit "
        "is two.",
        mistakes=lambda: {
            "The sum of the differences is divided by the energy. The measure divides it by "
            "twice the energy.": scores(per=1.0),
            "Only missing watts are counted here. What a circuit gets too much is an error "
            "too.": scores(missing_only=True),
            "The rest is counted as a fourth circuit. It has no term of its own.": scores(
                with_rest=True
            ),
            "These are the errors. The measure is one minus them.": 1 - scores(),
        },
        hints=(
            "Write down the true and the estimated watts of the three circuits.",
            "Each circuit has a term |ŷ − y|. The rest has none.",
            "One minus the sum of the three terms, divided by twice the true watts.",
        ),
    ),
    "8.2": Exercise(
        wanted=what_the_sum_shows,
        shows="Only what changes the distribution of the sum can be seen in the sum.",
        mistakes=lambda: {
            "After the exchange the sum has the same levels, and they come and go in the same "
            "way.": only(0, "changes", 4),
            "In every joint state the one chain draws more by what the other draws less.": only(
                1, "changes", 4
            ),
            "Here only one level of each chain moves. What is the sum when the kitchen is hot "
            "and the laundry is off?": only(2, "same", 4),
            "A chain of joint states makes the same moves, and draws the same sums.": only(
                3, "changes", 4
            ),
        },
        hints=(
            "The mains show nothing but the sum. In which of the four cases is any sum, or how "
            "often it comes, another one?",
            "Write down the sums of the watts of two chains with two states each, before and "
            "after.",
            "Compute it: change `house.appliances`, build a `House` from them, and compare "
            "`.model.log_likelihood` of a few readings.",
        ),
    ),
    "8.3": Exercise(
        wanted=explanations,
        shows="A state that is common and narrow explains the reading better than one that is "
        "rare and wide.",
        mistakes=lambda: {
            "The shares of time are missing: how common is each state?": explanations(
                shares=False
            ),
            "The spreads are added. Variances add up, and the spread of the sum is the root.": (
                explanations(variances=False)
            ),
            "The density has the factor 1 / spread, which differs between the explanations.": (
                explanations(width=False)
            ),
            "These are the products before they are divided by their sum.": explanations(
                normalised=False
            ),
        },
        hints=(
            "For each explanation you need the level of the sum, its spread, and how common "
            "the three states are together.",
            "Levels add up; so do variances. The shares of time of the three states are "
            "multiplied.",
            "Weight: the product of three shares, times the normal density at the reading with "
            "the summed level and the root of the summed variances. Then divide by the sum of "
            "the weights.",
        ),
        tolerance=1e-3,
    ),
    "8.4": Exercise(
        wanted=simulated_against_real,
        shows="The model does better where all its assumptions hold; what the sum of the "
        "watts cannot tell remains unknown.",
        mistakes=lambda: {
            "A house drawn from the model behaves as the model expects. Can the real one be "
            "easier?": only(0, "lower", 2),
            "The simulated house satisfies every assumption of the model, and the real one "
            "does not. The score shows it.": only(0, "same", 2),
            "The heater is the easiest: no other circuit has its power, and it stays on for "
            "hours.": only(1, "heater", 2),
            "The kitchen is hard, but the hot states of another circuit have wider "
            "spreads.": only(1, "kitchen", 2),
            "Even here, two circuits have errors of a third of their "
            "energy and more.": only(1, "none", 2),
        },
        hints=(
            "What may a real house do that a simulated one never does?",
            "Look at the spreads in the table of the learned states. Which circuit is the "
            "easiest to miss?",
            "`nilm.simulate`, `nilm.disaggregate` on the sum of its columns, then "
            "`nilm.house_metrics` and the normalised error of `nilm.appliance_metrics`.",
        ),
    ),
    "8.5": Exercise(
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
    "8.6": Exercise(
        wanted=expected_errors,
        shows="Naming a circuit lowers the expected error only if it is more probable than "
        "not. The most probable one of several need not be.",
        mistakes=lambda: {
            "Only the circuit that is named is counted here. If it was the other circuit, "
            "that one is wrong too.": expected_errors(only_named=True),
            "The rest is counted as a circuit. It has no term of its own.": expected_errors(
                with_rest=True
            ),
            "These are shares of the watts. The question asks for watts.": (
                expected_errors() / WATTS
            ),
            "These are half of the expected errors.": expected_errors() / 2,
        },
        hints=(
            "List the three cases: it was the kitchen, the laundry, or the rest.",
            "In each case add up the errors of the kitchen and of the laundry.",
            "If the kitchen is named, it is wrong unless it was the kitchen, and the laundry "
            "is wrong if it was the laundry. Weight each error by its probability, and by the "
            "watts.",
        ),
    ),
    "8.7": Exercise(
        wanted=alone_or_together,
        shows="The likelihood is a product of one factor for each chain where the chains move "
        "independently and each observation depends on one of them.",
        mistakes=lambda: {
            "With both meters in all minutes the likelihood is a product of two.": only(
                0, "together", 6
            ),
            "A missing minute of one meter is summed over that meter's chain alone.": only(
                1, "together", 6
            ),
            "The mains depend on both chains. How much is left for the heater depends on the "
            "other's level.": only(2, "alone", 6),
            "Mains less heater is a meter of the other chain, so that nothing is shared.": only(
                3, "together", 6
            ),
            "In the minutes without the heater's meter the mains depend on both chains.": only(
                4, "alone", 6
            ),
            "The chains are not independent here: the other meter says something about the "
            "heater's states.": only(5, "alone", 6),
        },
        hints=(
            "Write the likelihood as a sum over the paths of both chains. When is it a product "
            "of two sums?",
            "It is, if no factor contains something of both chains: no move, and no "
            "observation.",
            "In case four, replace the mains by the difference between mains and heater: which "
            "chain does it depend on?",
        ),
    ),
}
