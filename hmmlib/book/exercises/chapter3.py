"""The exercises of chapter 3: what was the weather on day 4?"""

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import listed
from hmmlib.datasets import weather
from hmmlib.inference import filter_states
from hmmlib.recursion import backward

pi = weather.hmm.initial_probs
A = weather.hmm.transition_matrix
B = weather.hmm.emission.probs
x = weather.fortnight.observations
RAIN = 0


def without(day):
    """Potentials of the fortnight with the word of a day crossed out; 0 crosses out none."""
    return weather.hmm.potentials(x, observed=torch.arange(1, 15) != day)


def smoothed(p):
    """P(rain | all words) of each day, by listing every path; (T,)."""
    paths, log_joints = listed(p)
    return log_joints.softmax(dim=0) @ (paths == RAIN).to(log_joints)


def first_split(start=None, said=None, beta=None):
    """log of the sum over day 1 of start, emission and beta."""
    start = pi if start is None else start
    said = B[:, x[0]] if said is None else said
    beta = backward(without(0))[0].exp() if beta is None else beta
    return (start * said * beta).sum().log()


def on_days(holds, days=(4, 5)):
    """P(holds(states of the two days) | words), by listing every path."""
    paths, log_joints = listed(without(0))
    states = paths[:, [day - 1 for day in days]]
    return log_joints.softmax(dim=0)[holds(states)].sum()


def one_of_two(states):
    """Rain on at least one of the days."""
    return (states == RAIN).any(dim=1)


def as_if_independent(rain):
    """At least one of days 4 and 5, from single probabilities alone."""
    return 1 - (1 - rain[3]) * (1 - rain[4])


EXERCISES = {
    "3.1": Exercise(
        wanted=lambda: smoothed(without(13)),
        shows="All days move, near ones most: day 12 has lost a reason for sun.",
        mistakes={
            "These are the smoothed probabilities with all fourteen words. Cross out day "
            "13.": lambda: smoothed(without(0)),
            "These are filtered, not smoothed: each day has only heard the words up to it.": (
                lambda: filter_states(without(13)).filtered_probs[:, RAIN]
            ),
            "These are predicted: each day has only heard the words before it.": lambda: (
                filter_states(without(13)).predicted_probs[:, RAIN]
            ),
            "These are filtered, and with all fourteen words.": lambda: filter_states(
                without(0)
            ).filtered_probs[:, RAIN],
            "Day 14 is crossed out. Day 13 stands at index 12.": lambda: smoothed(
                without(14)
            ),
            "Day 12 is crossed out. Day 13 stands at index 12.": lambda: smoothed(
                without(12)
            ),
            "The day is gone, and not only its word. The weather goes on without the phone: "
            "keep fourteen days, one of them unobserved.": lambda: smoothed(
                weather.hmm.potentials(torch.cat([x[:12], x[13:]]))
            ),
        },
        hints=(
            "A walk speaks for sun. Which way does its neighbour lean once it is gone?",
            "`weather.hmm.potentials` takes `observed=`, one True or False for each day.",
            "`smooth_states(weather.hmm.potentials(x, observed=torch.arange(14) != 12))`, and "
            "of its probabilities the column of rain.",
        ),
    ),
    "3.2": Exercise(
        wanted=first_split,
        shows="Day 1 alone, and yet it is log p(x): the sum is the same on every day.",
        mistakes={
            "The word of day 1 is missing. β starts after it: multiply by the column of B.": (
                lambda: first_split(said=torch.ones_like(pi))
            ),
            "π is missing: the first day has to start somewhere.": lambda: first_split(
                start=torch.ones_like(pi)
            ),
            "A move comes before day 1. The first weather is drawn from π itself.": (
                lambda: first_split(start=pi @ A)
            ),
            "This β has heard the word of day 1 already. It begins with day 2, or the word "
            "counts twice.": lambda: first_split(
                beta=backward(without(0))[0].exp() * B[:, x[0]]
            ),
            "This is the β of day 2: one step is missing.": lambda: first_split(
                beta=backward(without(0))[1].exp()
            ),
            "In this β rows and columns of A are swapped: back from tomorrow to today it is "
            "`A @ ...`.": lambda: first_split(
                beta=backward(without(0)._replace(log_transitions=(A.T.log(),)))[
                    0
                ].exp()
            ),
        },
        hints=(
            "What is α on day 1, before any recursion?",
            "α on day 1 is π times the column of B for the first word. β comes from "
            "`recursion.backward`, as a logarithm.",
            "`(pi * B[:, x[0]] * log_beta[0].exp()).sum().log()`",
        ),
    ),
    "3.3": Exercise(
        wanted=lambda: on_days(one_of_two),
        shows="Neighbouring days stick together, so that both are dry more often than the "
        "product says.",
        mistakes={
            "You multiplied as if the days were independent. Rain on one makes rain on the "
            "other more probable.": lambda: as_if_independent(smoothed(without(0))),
            "This is rain on both days.": lambda: on_days(
                lambda states: (states == RAIN).all(dim=1)
            ),
            "This is rain on exactly one of the days. Both counts too.": lambda: (
                on_days(lambda states: states[:, 0] != states[:, 1])
            ),
            "This is rain on day 4, whatever day 5 brings.": lambda: on_days(
                lambda states: states[:, 0] == RAIN
            ),
            "This is rain on day 5, whatever day 4 brings.": lambda: on_days(
                lambda states: states[:, 1] == RAIN
            ),
            "The two probabilities are added, so that rain on both days counts twice.": (
                lambda: smoothed(without(0))[3:5].sum()
            ),
            "This is about days 5 and 6: `pairs[3]` is days 4 and 5.": lambda: on_days(
                one_of_two, (5, 6)
            ),
            "This is about days 3 and 4: `pairs[3]` is days 4 and 5.": lambda: on_days(
                one_of_two, (3, 4)
            ),
            "These are filtered probabilities, multiplied: the words after are not heard, "
            "and the days are not independent.": lambda: as_if_independent(
                filter_states(without(0)).filtered_probs[:, RAIN]
            ),
        },
        hints=(
            "What is the opposite of at least one?",
            "No rain on either day is one entry of `pairs[3]`: sunny, then sunny.",
            "`1 - pairs[3, 1, 1]`",
        ),
    ),
}
