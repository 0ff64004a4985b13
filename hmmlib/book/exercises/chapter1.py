"""The exercises of chapter 1: a story that can be simulated."""

import torch

from hmmlib.book.exercises.grading import ANY, Exercise
from hmmlib.book.exercises.models import tables
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths

pi = weather.hmm.initial_probs
A = weather.hmm.transition_matrix
B = weather.hmm.emission.probs
SHOP = weather.activities.index("shop")


def spell_and_share():
    """Mean days of a rainy spell, and the long-run share of days with shop."""
    often = torch.linalg.matrix_power(A, 100)[0]
    return [1 / (1 - A[0, 0]), often @ B[:, SHOP]]


def sum_of_joints(kept=0.9, num_days=3, words_on=None):
    """The sum of p(x, z) over all paths and words, when rows of B sum to `kept`."""
    words_on = range(num_days) if words_on is None else words_on
    said = {t: (kept * B).sum(dim=1) for t in words_on}  # the words summed out
    total = 0.0
    for path in all_paths(2, num_days).tolist():
        joint = pi[path[0]]
        for t in range(1, num_days):
            joint = joint * A[path[t - 1], path[t]]
        for t in words_on:
            joint = joint * said[t][path[t]]
        total += joint
    return total


def with_dog(B, kept=0.7, dog=0.3):
    """B with one more word, said with probability `dog` in each state."""
    return torch.cat([kept * B, torch.full_like(B[:, :1], dog)], dim=1)


EXERCISES = {
    "1.1": Exercise(
        wanted=spell_and_share,
        shows="Staying makes spells geometric, and in the long run the first day is forgotten.",
        mistakes={
            "The first number lacks a day: it counts the days after the first, but a spell "
            "has a first day too.": lambda: [A[0, 0] / (1 - A[0, 0]), ANY],
            "The first number is one over the probability to stay. A spell ends when it is "
            "left.": lambda: [1 / A[0, 0], ANY],
            "The first number is the mean of a sunny spell: row Sunny was read for row "
            "Rainy.": lambda: [1 / (1 - A[1, 1]), ANY],
            "The second number starts from π, which holds on day 1. In the long run the "
            "shares of rain and sun are those of μ.": lambda: [ANY, pi @ B[:, SHOP]],
            "The second number weights both states alike. One of them is more frequent.": (
                lambda: [ANY, B[:, SHOP].mean()]
            ),
            "The second number is the share of shop in the rain alone.": lambda: [
                ANY,
                B[0, SHOP],
            ],
        },
        hints=(
            "A spell of rain ends on each day with the same probability. Which one?",
            "The mean of a geometric waiting time is one over the probability to end. For "
            "the word: how often is it rainy in the long run, and how often sunny?",
            "The long-run shares μ satisfy μ A = μ. Weight the column of shop in B with them.",
        ),
    ),
    "1.2": Exercise(
        wanted=sum_of_joints,
        shows="Each day brings one row sum of B as a factor, whatever the path.",
        mistakes={
            "That is the row sum of one day. Each day has a word, so each brings one.": (
                lambda: sum_of_joints(words_on=[0])
            ),
            "That counts a word for each move. There is a word on day 1 too.": (
                lambda: sum_of_joints(words_on=[1, 2])
            ),
            "That is the sum when rows of B sum to one. Here they sum to less.": (
                lambda: sum_of_joints(kept=1.0)
            ),
            "The row sums of the days are added here. They are factors of a joint.": (
                lambda: 3 * sum_of_joints(words_on=[0])
            ),
            "That has a row sum for both weathers on each day. A path visits one of them.": (
                lambda: sum_of_joints() ** 2
            ),
        },
        hints=(
            "Follow the proof. Which sums were one, and are not one any more?",
            "The sum over the word of the last day is a row sum of B. So is that of every "
            "other day; π and the rows of A are as before.",
            "One factor for each day, and all of them are equal.",
        ),
    ),
    "1.3": Exercise(
        wanted=with_dog,
        shows="The rows sum to one again, and the old words keep their proportions.",
        trials=lambda: [(B.clone(),), (tables(0, 3, 2)[2],)],
        mistakes={
            "The old columns were not scaled: with the dog park each row sums to more than "
            "one.": lambda B: with_dog(B, kept=1.0),
            "The rows were divided by their sums at the end, and that made the dog park "
            "rarer than it should be.": lambda B: with_dog(
                B, kept=1 / 1.3, dog=0.3 / 1.3
            ),
            "The old columns have the weight of the dog park, and it has theirs.": (
                lambda B: with_dog(B, kept=0.3, dog=0.7)
            ),
            "The same was taken from each old word. They should keep their proportions: "
            "multiply.": lambda B: torch.cat(
                [B - 0.3 / B.shape[1], torch.full_like(B[:, :1], 0.3)], dim=1
            ),
            "The dog park became a row. Rows are weathers, columns are words.": lambda B: (
                torch.cat([0.7 * B, torch.full_like(B[:1], 0.3)], dim=0)
            ),
            "The dog park stands first. It is the last of the four words.": lambda B: (
                with_dog(B).roll(1, dims=1)
            ),
        },
        hints=(
            "A word is a column of B. What must each row still sum to?",
            "What is left for the old words, once the dog has its share? Proportions stay "
            "when a row is multiplied by a number.",
            "`torch.cat([scaled, column], dim=1)`, with a column of shape (len(B), 1).",
        ),
    ),
}
