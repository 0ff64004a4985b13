"""The exercises of chapter 2: how probable is what was seen?"""

import itertools
import math

import torch

from hmmlib.book.exercises.grading import ANY, Exercise
from hmmlib.book.exercises.models import listed, tables
from hmmlib.datasets import weather
from hmmlib.hmm import HMM

A = weather.hmm.transition_matrix
B = weather.hmm.emission.probs
SMALLEST = math.ulp(0.0)  # the smallest positive number


def evidence(pi, A, B, x):
    """p(x) of a list of words, by listing every path."""
    return listed(HMM(pi, A, B).potentials(x))[1].exp().sum()


def sorted_and_afresh():
    """Is the sorted list more probable: with the chain, with weather drawn afresh?"""
    x = weather.fortnight.observations
    often = torch.linalg.matrix_power(A, 100)[:1]
    answers = []
    for moves in (A, often.expand(2, 2)):
        start = weather.hmm.initial_probs if moves is A else often[0]
        now, then = (evidence(start, moves, B, words) for words in (x, x.sort().values))
        gain = (then / now).log()
        answers.append("same" if abs(gain) < 1e-9 else "more" if gain > 0 else "less")
    return answers


def first_day_below(smallest=SMALLEST, factor=None):
    """The first day t with factor^t below a number."""
    factor = float(B.max()) if factor is None else factor
    day = 1
    while day * math.log(factor) >= math.log(smallest):
        day += 1
    return day


def forward_missing(pi, A, B, x):
    """p(x) where None is a word that was not heard: summed over what it may have been."""
    gaps = [t for t, word in enumerate(x) if word is None]
    total = 0.0
    for words in itertools.product(range(B.shape[1]), repeat=len(gaps)):
        filled = list(x)
        for t, word in zip(gaps, words, strict=True):
            filled[t] = word
        total = total + evidence(pi, A, B, filled)
    return total


def message(pi, A, B, x, silent=1.0):
    """p(x, z_T = j) by the loop, (K,); a missing word has `silent` for its probability."""
    alpha = None
    for word in x:
        said = torch.full_like(pi, silent) if word is None else B[:, word]
        alpha = said * (pi if alpha is None else alpha @ A)
    return alpha


def best_joint(pi, A, B, x):
    """The loop, with the maximum where it should sum."""
    delta = None
    for word in x:
        said = torch.ones_like(pi) if word is None else B[:, word]
        delta = said * (pi if delta is None else (delta[:, None] * A).amax(dim=0))
    return delta.max()


def up_to_the_gap(pi, A, B, x):
    """p of the words before the first that is missing."""
    heard = list(itertools.takewhile(lambda word: word is not None, x))
    return message(pi, A, B, heard).sum() if heard else pi.sum()


def first_zero():
    """The day on which the message of the page becomes zero."""
    many = weather.hmm.sample(2000, seed=0).observations
    alpha, day = weather.hmm.initial_probs * B[:, many[0]], 1
    while alpha.sum() > 0:
        alpha, day = (alpha @ A) * B[:, many[day]], day + 1
    return day


EXERCISES = {
    "2.1": Exercise(
        wanted=sorted_and_afresh,
        shows="Only with a chain does order matter, and this weather likes to stay.",
        mistakes={
            "With the chain, order matters: tomorrow's weather depends on today's.": (
                lambda: ["same", ANY]
            ),
            "With the chain, the sorted list has equal words side by side. Does this weather "
            "like to stay, or to change?": lambda: ["less", ANY],
            "Drawn afresh, no day knows of another. The second answer needs no chain: each "
            "word has a factor of its own, wherever it stands.": lambda: [ANY, "more"],
            "Drawn afresh, sorting breaks nothing, as there are no neighbours. Look at the "
            "factors of the second answer.": lambda: [ANY, "less"],
        },
        hints=(
            "Write down p(x) without a chain. Where does the place of a word come in?",
            "With a chain: are today's and tomorrow's weather alike more often than not?",
            "Compute both: `log_likelihood` of `x.sort().values`, and the sum of "
            "`(mu @ B).log()` over the words.",
        ),
    ),
    "2.2": Exercise(
        wanted=first_day_below,
        shows="The bound falls geometrically. The message of the page was gone long before.",
        mistakes={
            "That is the smallest number with full precision. Doubles go on below it, with "
            "fewer digits.": lambda: first_day_below(smallest=2.0**-1022),
            "That raises ε to a power. The factor of a day is 1 − ε, the largest entry of B.": (
                lambda: first_day_below(factor=1 - float(B.max()))
            ),
            "That is one day early: the bound still stands on the smallest number or above.": (
                lambda: first_day_below() - 1
            ),
            "That takes the largest entry of A. A factor of p(x) is the probability of a "
            "word.": lambda: first_day_below(factor=float(A.max())),
            "Days are whole: round up.": lambda: (
                math.log(SMALLEST) / math.log(float(B.max()))
            ),
            "That is where the message of the page became zero. Asked is a bound that holds "
            "for every list of words.": first_zero,
        },
        hints=(
            "What is the most that one more day can leave of the sum?",
            "The largest entry of B bounds each factor. How many of them push one below the "
            "smallest positive number?",
            "Take logarithms: `math.log(5e-324) / math.log(B.max())`, and days are whole.",
        ),
    ),
    "2.3": Exercise(
        wanted=forward_missing,
        shows="A missing day has no emission factor, but it keeps its move.",
        trials=lambda: [
            (*tables(0, 2, 3), [0, 2, None, 1]),
            (*tables(1, 3, 2), [None, 1, 0]),
            (*tables(2, 2, 2), [1, 0, None, None, 1]),
            (*tables(3, 3, 3), [2, 1, 0]),
        ],
        mistakes={
            "The missing day was dropped with its move. The weather moved on that day too.": (
                lambda pi, A, B, x: message(
                    pi, A, B, [word for word in x if word is not None]
                ).sum()
            ),
            "The missing word was averaged over. Each word it may have been is another way "
            "to see the rest: add them up.": lambda pi, A, B, x: message(
                pi, A, B, x, silent=1 / B.shape[1]
            ).sum(),
            "It stops at the first missing word. The days after it count.": up_to_the_gap,
            "This is the message of the last day, one number a state. Sum over the states.": (
                message
            ),
            "Rows and columns of A are swapped: `A[i, j]` is the move from i to j, so the "
            "message stands on the left, `alpha @ A`.": lambda pi, A, B, x: message(
                pi, A.T, B, x
            ).sum(),
            "Day 1 starts without π.": lambda pi, A, B, x: message(
                torch.ones_like(pi), A, B, x
            ).sum(),
            "A move comes before day 1. The first weather is drawn from π itself.": (
                lambda pi, A, B, x: message(pi @ A, A, B, x).sum()
            ),
            "The largest is taken where paths meet. That is Viterbi; a probability of words "
            "adds the paths up.": best_joint,
        },
        hints=(
            "Sum the joint over the word of the missing day. Which factors hold that word?",
            "Only one entry of B does, and a row of B sums to one.",
            "In the loop, use `torch.ones(len(pi))` in place of `B[:, symbol]` where the "
            "symbol is None.",
        ),
    ),
}
