"""The exercises of chapter 2: how probable is what was seen?"""

import itertools
import math

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, listed, pi, tables
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.hmm import HMM

SMALLEST = math.ulp(0.0)  # the smallest positive number
LARGEST = float(B.max())


def evidence(pi, A, B, x):
    """p(x) of a list of words, by listing every path."""
    return listed(HMM(pi, A, B).potentials(x))[1].exp().sum()


def sorted_and_afresh():
    """How probable the sorted list is, compared: with the chain, and with days drawn afresh."""
    x = weather.fortnight.observations
    mu = torch.linalg.matrix_power(A, 100)[:1]
    answers = []
    for start, moves in ((pi, A), (mu[0], mu.expand(2, 2))):
        before, after = (evidence(start, moves, B, xs) for xs in (x, x.sort().values))
        gain = (after / before).log()
        answers.append("same" if abs(gain) < 1e-9 else "more" if gain > 0 else "less")
    return answers


def first_day_below(smallest=SMALLEST, factor=LARGEST):
    """The first day t with factor^t < smallest."""
    day = 1
    while day * math.log(factor) >= math.log(smallest):
        day += 1
    return day


def forward_missing(pi, A, B, x):
    """p(x), where None is a missing word, summed over the words that it may have been."""
    gaps = [t for t, word in enumerate(x) if word is None]
    total = 0.0
    for words in itertools.product(range(B.shape[1]), repeat=len(gaps)):
        filled = list(x)
        for t, word in zip(gaps, words, strict=True):
            filled[t] = word
        total = total + evidence(pi, A, B, filled)
    return total


def message(pi, A, B, x, missing=1.0, reduce=torch.sum):
    """alpha_T, (K,), by the loop; `missing` stands for the probability of a missing word."""
    alpha = None
    for word in x:
        emitted = torch.full_like(pi, missing) if word is None else B[:, word]
        alpha = emitted * (pi if alpha is None else reduce(alpha[:, None] * A, dim=0))
    return alpha


def up_to_the_gap(pi, A, B, x):
    """p of the words before the first missing one."""
    seen = list(itertools.takewhile(lambda word: word is not None, x))
    return message(pi, A, B, seen).sum() if seen else pi.sum()


def first_zero():
    """The day on which the message of the page becomes zero."""
    words = weather.hmm.sample(2000, seed=0).observations
    alpha, day = pi * B[:, words[0]], 1
    while alpha.sum() > 0:
        alpha, day = (alpha @ A) * B[:, words[day]], day + 1
    return day


EXERCISES = {
    "2.1": Exercise(
        wanted=sorted_and_afresh,
        shows="Order matters only with a chain, and this weather tends to persist.",
        mistakes=lambda: {
            "With the chain, order matters: tomorrow's weather depends on today's.": [
                "same",
                ANY,
            ],
            "With the chain, the sorted list puts equal words side by side. Does this "
            "weather tend to persist, or to change?": ["less", ANY],
            "The second answer has no chain: no day depends on another. Each word "
            "contributes a factor of its own, wherever it stands.": [ANY, "more"],
            "The second answer has no chain, so that sorting separates nothing that belongs "
            "together. Look at its factors.": [ANY, "less"],
        },
        hints=(
            "Write down p(x) without a chain. Where does the position of a word enter?",
            "With the chain: is tomorrow's weather more often the same as today's, or not?",
            "Compute both: `log_likelihood` of `x.sort().values`, and the sum of "
            "`(mu @ B).log()` over the words.",
        ),
    ),
    "2.2": Exercise(
        wanted=first_day_below,
        shows="The bound falls geometrically. The message of the page reached zero long "
        "before.",
        mistakes=lambda: {
            "This stops at the smallest number with full precision. Doubles go on below it, "
            "with fewer digits.": first_day_below(smallest=2.0**-1022),
            "This raises ε to a power. The factor of a day is 1 − ε, the largest entry of B.": (
                first_day_below(factor=1 - LARGEST)
            ),
            "This is one day early: the bound is not yet below the smallest number.": (
                first_day_below() - 1
            ),
            "This takes the largest entry of A. The bound needs the largest probability of a "
            "word.": first_day_below(factor=float(A.max())),
            "Days are whole numbers: round up.": (
                math.log(SMALLEST) / math.log(LARGEST)
            ),
            "This is where the message of the page became zero. The question asks for a "
            "bound that holds for every list of words.": first_zero(),
        },
        hints=(
            "What is the largest factor that one more day can contribute?",
            "The largest entry of B bounds each factor. How many of them bring 1 below the "
            "smallest positive number?",
            "Take logarithms: `math.log(5e-324) / math.log(B.max())`, and days are whole.",
        ),
    ),
    "2.3": Exercise(
        wanted=lambda: forward_missing,
        shows="A missing day has no emission factor, but it keeps its move.",
        trials=lambda: [
            (*tables(0, 2, 3), [0, 2, None, 1]),
            (*tables(1, 3, 2), [None, 1, 0]),
            (*tables(2, 2, 2), [1, 0, None, None, 1]),
            (*tables(3, 3, 3), [2, 1, 0]),
        ],
        mistakes=lambda: {
            "The missing day was dropped together with its move. The weather moved on that "
            "day too.": lambda pi, A, B, x: message(
                pi, A, B, [word for word in x if word is not None]
            ).sum(),
            "This averages over the missing word. The words that it may have been are "
            "disjoint events: add their probabilities.": lambda pi, A, B, x: message(
                pi, A, B, x, missing=1 / B.shape[1]
            ).sum(),
            "This stops at the first missing word. The days after it count too.": (
                up_to_the_gap
            ),
            "This is the message of the last day, one number a state. Sum over the states.": (
                message
            ),
            "Rows and columns of A are swapped: `A[i, j]` is the move from i to j, so the "
            "message is on the left, `alpha @ A`.": lambda pi, A, B, x: message(
                pi, A.T, B, x
            ).sum(),
            "Day 1 starts without π.": lambda pi, A, B, x: message(
                torch.ones_like(pi), A, B, x
            ).sum(),
            "This moves before day 1. The first state is drawn from π itself.": (
                lambda pi, A, B, x: message(pi @ A, A, B, x).sum()
            ),
            "This takes the maximum where paths meet, as Viterbi does. The probability of "
            "the words is a sum over paths.": lambda pi, A, B, x: message(
                pi, A, B, x, reduce=torch.amax
            ).max(),
        },
        hints=(
            "Sum the joint probability over the word of the missing day. Which factors "
            "contain that word?",
            "Only one entry of B contains it, and a row of B sums to one.",
            "In the loop, use `torch.ones(len(pi))` in place of `B[:, symbol]` where the "
            "symbol is None.",
        ),
    ),
}
