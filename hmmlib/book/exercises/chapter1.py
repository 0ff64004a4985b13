"""The exercises of chapter 1: a story that can be simulated."""

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, pi, tables
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths

SHOP = weather.activities.index("shop")


def spell_and_share():
    """Mean length of a rainy spell in days, and the long-run share of days with shop."""
    mu = torch.linalg.matrix_power(A, 100)[0]
    return [1 / (1 - A[0, 0]), mu @ B[:, SHOP]]


def sum_of_joints(row_sum=0.9, num_days=3, days_with_words=None):
    """The sum of p(x, z) over all paths and words, if each row of B sums to `row_sum`."""
    days = range(num_days) if days_with_words is None else days_with_words
    summed = (row_sum * B).sum(dim=1)  # (K,): over the words
    total = 0.0
    for path in all_paths(2, num_days).tolist():
        joint = pi[path[0]]
        for t in range(1, num_days):
            joint = joint * A[path[t - 1], path[t]]
        for t in days:
            joint = joint * summed[path[t]]
        total += joint
    return total


def with_dog(B, scale=0.7, dog=0.3):
    """B, scaled, with one more word of probability `dog` in each state."""
    return torch.cat([scale * B, torch.full_like(B[:, :1], dog)], dim=1)


EXERCISES = {
    "1.1": Exercise(
        wanted=spell_and_share,
        shows="The length of a spell is geometric, and in the long run the first day does "
        "not matter.",
        mistakes=lambda: {
            "The first number is one day short: it leaves out the first day of the "
            "spell.": [A[0, 0] / (1 - A[0, 0]), ANY],
            "The first number is one over the probability of staying. A spell ends with a "
            "move to the other state.": [1 / A[0, 0], ANY],
            "The first number is the mean of a sunny spell: it uses row Sunny in place of "
            "row Rainy.": [1 / (1 - A[1, 1]), ANY],
            "The second number starts from π, which holds on day 1. In the long run the "
            "shares of rain and sun are those of μ.": [ANY, pi @ B[:, SHOP]],
            "The second number weights both states equally. One of them is more "
            "frequent.": [ANY, B[:, SHOP].mean()],
            "The second number is the share of shop on rainy days alone.": [
                ANY,
                B[0, SHOP],
            ],
        },
        hints=(
            "A spell of rain ends on each day with the same probability. Which one?",
            "The mean of a geometric waiting time is one over the probability of the end. "
            "For the word: what share of days is rainy in the long run, and what share sunny?",
            "The long-run shares μ satisfy μ A = μ. Weight the shop column of B with them.",
        ),
    ),
    "1.2": Exercise(
        wanted=sum_of_joints,
        shows="Each day contributes one row sum of B as a factor, whatever the path.",
        mistakes=lambda: {
            "This is the row sum of one day. Each day has a word, so each contributes one.": (
                sum_of_joints(days_with_words=[0])
            ),
            "This counts one word for each move. Day 1 has a word too.": (
                sum_of_joints(days_with_words=[1, 2])
            ),
            "This is the sum if the rows of B sum to one. Here they sum to less.": (
                sum_of_joints(row_sum=1.0)
            ),
            "This adds the row sums of the days. They are factors of a joint probability.": (
                3 * sum_of_joints(days_with_words=[0])
            ),
            "This has the row sums of both states on each day. A path visits one of them.": (
                sum_of_joints() ** 2
            ),
        },
        hints=(
            "Follow the proof. Which sums were one, and no longer are?",
            "The sum over the words of the last day is a row sum of B. The same holds for "
            "every other day; π and the rows of A are as before.",
            "There is one factor for each day, and all factors are equal.",
        ),
    ),
    "1.3": Exercise(
        wanted=lambda: with_dog,
        shows="The rows sum to one again, and the old words keep their proportions.",
        trials=lambda: [(B.clone(),), (tables(0, 3, 2)[2],)],
        mistakes=lambda: {
            "The old columns were not scaled: with the dog park, each row sums to more than "
            "one.": lambda B: with_dog(B, scale=1.0),
            "The rows were divided by their sums at the end, which makes the dog park rarer "
            "than it should be.": lambda B: with_dog(B, scale=1 / 1.3, dog=0.3 / 1.3),
            "The weights of the dog park and of the old columns are exchanged.": lambda B: (
                with_dog(B, scale=0.3, dog=0.7)
            ),
            "The same amount was subtracted from each old word. To keep their proportions, "
            "multiply.": lambda B: with_dog(B - 0.3 / B.shape[1], scale=1.0),
            "The dog park was added as a row. Rows are states, columns are words.": lambda B: (
                torch.cat([0.7 * B, torch.full_like(B[:1], 0.3)], dim=0)
            ),
            "The dog park comes first. It is the last of the four words.": lambda B: (
                with_dog(B).roll(1, dims=1)
            ),
        },
        hints=(
            "A word is a column of B. What must each row still sum to?",
            "How much probability is left for the old words? Proportions stay the same when "
            "a row is multiplied by a number.",
            "`torch.cat([scaled, column], dim=1)`, with a column of shape (len(B), 1).",
        ),
    ),
}
