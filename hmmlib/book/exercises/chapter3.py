"""The exercises of chapter 3: what was the weather on day 4?"""

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import RAIN, A, B, listed, pi, without
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.inference import filter_states
from hmmlib.recursion import backward

x = weather.fortnight.observations
WALKS_THEN_CLEAN = (0, 0, 0, 2)


def smoothed(p):
    """P(rain | all words) of each day, (T,), by listing every path."""
    paths, log_joints = listed(p)
    return log_joints.softmax(dim=0) @ (paths == RAIN).to(log_joints)


def filtered(words):
    """P(rain | words) of the last day, by listing every path."""
    return smoothed(weather.hmm.potentials(list(words)))[-1]


def what_day_13_changes():
    """For predicted 13, filtered 12, filtered 14 and smoothed 1, whether they change."""
    found = []
    for word in (0, 2):
        words = [*x[:12].tolist(), word, int(x[13])]
        before = filtered(words[:12])
        predicted = before * A[RAIN, RAIN] + (1 - before) * A[1 - RAIN, RAIN]
        first = smoothed(weather.hmm.potentials(words))[0]
        found.append(torch.stack([predicted, before, filtered(words), first]))
    return ["same" if same else "changes" for same in found[0] == found[1]]


def updated(rain, word=2):
    """P(rain) predicted and filtered, from P(rain) predicted."""
    weighted = torch.stack([rain, 1 - rain]) * B[:, word]
    return torch.stack([rain, weighted[RAIN] / weighted.sum()])


def on_day_4(moves=A):
    """P(rain on day 4) predicted after three walks."""
    rain = filtered(WALKS_THEN_CLEAN[:3])
    return rain * moves[RAIN, RAIN] + (1 - rain) * moves[1 - RAIN, RAIN]


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


def product_holds(moves=(1, 2), emissions=(1, 2, 1)):
    """Whether p(x1, x2, z2) p(x3 | z2) = p(x1, x2, x3, z2), for random tables.

    moves      sizes of z1 and z2 in the table of z3; 1: it does not depend on it
    emissions  sizes of z before, z and x before in the table of x
    """
    generator = torch.Generator().manual_seed(3)

    def rows(*shape):
        values = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return values.softmax(dim=-1)

    emitted = rows(*emissions, 3).expand(2, 2, 3, 3)
    moved = rows(*moves, 2).expand(2, 2, 2)
    tables = (rows(2), rows(2, 3), rows(2, 2), emitted, moved, emitted)
    # z1, z2, z3 = a, b, c; x1, x2, x3 = u, v, w; each move has a table of its own
    joint = torch.einsum("a,au,ab,abuv,abc,bcvw->buvw", *tables)
    past, future = joint.sum(dim=3, keepdim=True), joint.sum(dim=(1, 2), keepdim=True)
    product = past * future / future.sum(dim=3, keepdim=True)
    return "true" if torch.allclose(product, joint) else "false"


EXERCISES = {
    "3.1": Exercise(
        wanted=what_day_13_changes,
        shows="What a probability is given decides which words can change it.",
        mistakes=lambda: {
            "A prediction for a day is given the words of the days before it, not its own.": [
                "changes",
                ANY,
                ANY,
                ANY,
            ],
            "A filtered probability is given the words up to its own day. Are there later "
            "ones among them?": [ANY, "changes", ANY, ANY],
            "Day 14 comes after day 13: what the filter knows on day 13, it predicts from.": [
                ANY,
                ANY,
                "same",
                ANY,
            ],
            "A smoothed probability is given all words, also those that come long after its "
            "day.": [ANY, ANY, ANY, "same"],
        },
        hints=(
            "Write down for each of the four which words stand behind the bar: "
            "p(state | words).",
            "Predicted: the words before the day. Filtered: those up to the day. Smoothed: "
            "all of them.",
            "A probability can change only if the word of day 13 stands behind the bar. Look "
            "for it in each of the four.",
        ),
    ),
    "3.2": Exercise(
        wanted=lambda: updated(on_day_4()),
        shows="One clean day outweighs what three walks had said.",
        mistakes=lambda: {
            "The first number is the filtered probability of day 3. The weather moves before "
            "day 4: predict with A first.": updated(filtered(WALKS_THEN_CLEAN[:3])),
            "Rows and columns of A are swapped in the prediction: a row is the state moved from.": (
                updated(on_day_4(A.T))
            ),
            "The update is not normalised: divide by the sum over both states.": torch.stack(
                [on_day_4(), on_day_4() * B[RAIN, 2]]
            ),
            "This is the update with shop. In this question the word of day 4 is clean.": (
                updated(on_day_4(), word=1)
            ),
            "This is the update with a fourth walk. The word of day 4 is clean.": (
                updated(on_day_4(), word=0)
            ),
            "This predicts from π. Only day 1 does: predict from what the filter said on day "
            "3.": updated(pi[RAIN]),
            "These are probabilities of sun. The question asks for rain.": (
                1 - updated(on_day_4())
            ),
        },
        hints=(
            "Which of the two steps uses A, and which uses B?",
            "Rain on day 4 comes from rain on day 3 or from sun on day 3. Weight each row's "
            "entry by the filtered probabilities of day 3.",
            "Multiply the prediction by the column of B for clean, for rain and for sun, and "
            "divide by the sum of the two products.",
            "In code: `predicted = filtered @ A`, then `weighted = predicted * B[:, 2]`, then "
            "`weighted / weighted.sum()`.",
        ),
    ),
    "3.3": Exercise(
        wanted=lambda: smoothed(without(13)),
        shows="Every day changes, most of all the neighbours: day 12 loses a sign of sun.",
        mistakes=lambda: {
            "These are the smoothed probabilities given all fourteen words. Leave out that of "
            "day 13.": smoothed(without(0)),
            "These are filtered, not smoothed: each day is given only the words up to it.": (
                filter_states(without(13)).filtered_probs[:, RAIN]
            ),
            "These are predicted: each day is given only the words before it.": (
                filter_states(without(13)).predicted_probs[:, RAIN]
            ),
            "These are filtered, and given all fourteen words.": (
                filter_states(without(0)).filtered_probs[:, RAIN]
            ),
            "Day 14 is left out. Day 13 is at index 12.": smoothed(without(14)),
            "Day 12 is left out. Day 13 is at index 12.": smoothed(without(12)),
            "The whole day was removed, not only its word. The weather goes on without a "
            "call: use fourteen days, one of them unobserved.": (
                smoothed(weather.hmm.potentials(torch.cat([x[:12], x[13:]])))
            ),
        },
        hints=(
            "A walk is a sign of sun. Which way do its neighbours move without it?",
            "`weather.hmm.potentials` takes `observed=`, one True or False for each day.",
            "Set `observed=torch.arange(14) != 12`, because day 13 is at index 12.",
            "`smooth_states(weather.hmm.potentials(x, observed=torch.arange(14) != 12))`, and "
            "of its probabilities the column of rain.",
        ),
    ),
    "3.4": Exercise(
        wanted=lambda: on_days(on_one),
        shows="Neighbouring days tend to be alike, so both are sunny more often than the "
        "product says.",
        mistakes=lambda: {
            "This multiplies as if the days were independent. If one is sunny, the other is "
            "more probably sunny too.": as_if_independent(smoothed(without(0))),
            "This is rain on both days.": on_days(lambda z: (z == RAIN).all(dim=1)),
            "This is rain on exactly one of the days. Both counts too.": (
                on_days(lambda z: z[:, 0] != z[:, 1])
            ),
            "This is rain on day 4, whatever the weather of day 5.": (
                on_days(lambda z: z[:, 0] == RAIN)
            ),
            "This is rain on day 5, whatever the weather of day 4.": (
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
            "The opposite is sun on both days. Which entry of `pairs` has its probability?",
            "`pairs[t]` belongs to the days at index t and t + 1, its rows to the first of "
            "them; state 1 is sun.",
            "`1 - pairs[3, 1, 1]`",
        ),
    ),
    "3.5": Exercise(
        wanted=log_sum_on_day_1,
        shows="Day 1 alone gives log p(x), because the sum is the same on every day.",
        mistakes=lambda: {
            "The word of day 1 is missing. β covers the later days: multiply by the column "
            "of B.": log_sum_on_day_1(emitted=torch.ones_like(pi)),
            "π is missing: the state of day 1 is drawn from it.": (
                log_sum_on_day_1(start=torch.ones_like(pi))
            ),
            "This moves before day 1. The first state is drawn from π itself.": (
                log_sum_on_day_1(start=pi @ A)
            ),
            "This β includes the word of day 1, which therefore counts twice. β of day 1 "
            "begins with the word of day 2.": (
                log_sum_on_day_1(after=beta(1, without(0)) * B[:, x[0]])
            ),
            "This is the β of day 2: one step is missing.": (
                log_sum_on_day_1(after=beta(2, without(0)))
            ),
            "In this β rows and columns of A are swapped: from the next day back, it is "
            "`A @ ...`.": log_sum_on_day_1(
                after=beta(1, without(0)._replace(log_transitions=(A.T.log(),)))
            ),
        },
        hints=(
            "For the proof, start from the sum on day t and replace one of the two messages by "
            "its recursion. Which sum can then be done first?",
            "For the number: what is α on day 1, before any recursion?",
            "α on day 1 is π times the column of B for the first word. β comes from "
            "`recursion.backward`, as a logarithm.",
            "`(pi * B[:, x[0]] * log_beta[0].exp()).sum().log()`",
        ),
    ),
    "3.6": Exercise(
        wanted=lambda: [
            product_holds(),
            product_holds(emissions=(1, 2, 3)),
            product_holds(emissions=(2, 2, 1)),
            product_holds(moves=(2, 2)),
        ],
        shows="The product needs past and future to be independent given the state, and "
        "nothing else.",
        mistakes=lambda: {
            "In the first model the arrows are the same as before. Does any step ask for equal "
            "numbers on all days?": ["false", ANY, ANY, ANY],
            "In the second model today's word says something about tomorrow's even if the "
            "weather of today is known.": [ANY, "true", ANY, ANY],
            "In the third model the new arrow leaves the state of day t itself. Does it "
            "connect earlier days with later ones past that state?": [
                ANY,
                ANY,
                "false",
                ANY,
            ],
            "In the fourth model the weather of yesterday still acts on tomorrow when that of "
            "today is known.": [ANY, ANY, ANY, "true"],
        },
        hints=(
            "Draw each model for three days, and look at the middle one.",
            "The product needs: given the state of day t, the words up to day t and the later "
            "ones are independent. What could violate this?",
            "Look for an arrow that leads from something before day t, or from the word of day "
            "t, to something after it without passing through the state of day t.",
            "An arrow that starts at the state of day t is harmless, and so are numbers that "
            "change from day to day.",
        ),
    ),
}
