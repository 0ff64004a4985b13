"""The exercises of chapter 3: what was the weather on day 4?"""

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import RAIN, A, B, listed, pi, without
from hmmlib.datasets import weather
from hmmlib.inference import filter_states
from hmmlib.recursion import backward

x = weather.fortnight.observations


def smoothed(p):
    """P(rain | all words) of each day, (T,), by listing every path."""
    paths, log_joints = listed(p)
    return log_joints.softmax(dim=0) @ (paths == RAIN).to(log_joints)


def beta(day, p):
    """exp of the backward message of a day, 1 to T; (2,)."""
    return backward(p)[day - 1].exp()


def log_sum_on_day_1(start=pi, emitted=B[:, x[0]], after=None):
    """log of the sum over the states of day 1 of start, emission and beta."""
    after = beta(1, without(0)) if after is None else after
    return (start * emitted * after).sum().log()


def on_days(holds, days=(4, 5)):
    """P(holds(states of the two days) | words), by listing every path."""
    paths, log_joints = listed(without(0))
    states = paths[:, [day - 1 for day in days]]
    return log_joints.softmax(dim=0)[holds(states)].sum()


def on_one(states):
    """Whether it rains on at least one of the days."""
    return (states == RAIN).any(dim=1)


def as_if_independent(rain):
    """P(rain on day 4 or 5), from the probabilities of single days."""
    return 1 - (1 - rain[3]) * (1 - rain[4])


EXERCISES = {
    "3.1": Exercise(
        wanted=lambda: smoothed(without(13)),
        shows="Every day changes, most of all the neighbours: day 12 has less evidence of sun.",
        mistakes=lambda: {
            "These are the smoothed probabilities given all fourteen words. Cross out day "
            "13.": smoothed(without(0)),
            "These are filtered, not smoothed: each day depends only on the words up to it.": (
                filter_states(without(13)).filtered_probs[:, RAIN]
            ),
            "These are predicted: each day depends only on the words before it.": (
                filter_states(without(13)).predicted_probs[:, RAIN]
            ),
            "These are filtered, and given all fourteen words.": (
                filter_states(without(0)).filtered_probs[:, RAIN]
            ),
            "Day 14 is crossed out. Day 13 is at index 12.": smoothed(without(14)),
            "Day 12 is crossed out. Day 13 is at index 12.": smoothed(without(12)),
            "The whole day was removed, not only its word. The weather goes on without a "
            "call: keep fourteen days, one of them unobserved.": (
                smoothed(weather.hmm.potentials(torch.cat([x[:12], x[13:]])))
            ),
        },
        hints=(
            "A walk is evidence of sun. Which way does its neighbour move without it?",
            "`weather.hmm.potentials` takes `observed=`, one True or False for each day.",
            "`smooth_states(weather.hmm.potentials(x, observed=torch.arange(14) != 12))`, and "
            "of its probabilities the column of rain.",
        ),
    ),
    "3.2": Exercise(
        wanted=log_sum_on_day_1,
        shows="Day 1 alone gives log p(x): the sum is the same on every day.",
        mistakes=lambda: {
            "The word of day 1 is missing. β covers the later days: multiply by the column "
            "of B.": log_sum_on_day_1(emitted=torch.ones_like(pi)),
            "π is missing: the state of day 1 is drawn from it.": (
                log_sum_on_day_1(start=torch.ones_like(pi))
            ),
            "This moves before day 1. The first state is drawn from π itself.": (
                log_sum_on_day_1(start=pi @ A)
            ),
            "This β includes the word of day 1. It should begin with day 2, or the word "
            "counts twice.": log_sum_on_day_1(after=beta(1, without(0)) * B[:, x[0]]),
            "This is the β of day 2: one step is missing.": (
                log_sum_on_day_1(after=beta(2, without(0)))
            ),
            "In this β rows and columns of A are swapped: from tomorrow back to today, it is "
            "`A @ ...`.": log_sum_on_day_1(
                after=beta(1, without(0)._replace(log_transitions=(A.T.log(),)))
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
        wanted=lambda: on_days(on_one),
        shows="Neighbouring days tend to be alike, so that both are dry more often than the "
        "product says.",
        mistakes=lambda: {
            "This multiplies as if the days were independent. Rain on one makes rain on the "
            "other more probable.": as_if_independent(smoothed(without(0))),
            "This is rain on both days.": on_days(lambda z: (z == RAIN).all(dim=1)),
            "This is rain on exactly one of the days. Both counts too.": (
                on_days(lambda z: z[:, 0] != z[:, 1])
            ),
            "This is rain on day 4, whatever day 5 brings.": (
                on_days(lambda z: z[:, 0] == RAIN)
            ),
            "This is rain on day 5, whatever day 4 brings.": (
                on_days(lambda z: z[:, 1] == RAIN)
            ),
            "The two probabilities are added, so that rain on both days counts twice.": (
                smoothed(without(0))[3:5].sum()
            ),
            "This is about days 5 and 6: `pairs[3]` is days 4 and 5.": (
                on_days(on_one, (5, 6))
            ),
            "This is about days 3 and 4: `pairs[3]` is days 4 and 5.": (
                on_days(on_one, (3, 4))
            ),
            "These are filtered probabilities, multiplied: they ignore the later words, and "
            "the days are not independent.": (
                as_if_independent(filter_states(without(0)).filtered_probs[:, RAIN])
            ),
        },
        hints=(
            "What is the opposite of at least one?",
            "No rain on either day is one entry of `pairs[3]`: sunny, then sunny.",
            "`1 - pairs[3, 1, 1]`",
        ),
    ),
}
