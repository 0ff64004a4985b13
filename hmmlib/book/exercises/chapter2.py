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


def after_walks():
    """p(walk, walk, state of day 2), (K,), by listing the states of both days."""
    joint = pi[:, None] * A * B[:, :1] * B[:, 0]  # (K, K): day 1, day 2
    return joint.sum(dim=0)


def words_and_rain():
    """p(walk, walk), and the probability that day 2 is rainy given these words."""
    return [evidence(pi, A, B, [0, 0]), after_walks()[0] / after_walks().sum()]


def short_call(first=pi * B[:, 2], moves=A, second=B[:, 0], reduce=torch.sum):
    """Both messages of *clean, walk*, and the probability of the words; five numbers."""
    last = reduce(first[:, None] * moves, dim=0) * second
    return [*first, *last, last.sum()]


def numbers_needed():
    """The rank of p(past, future), with the words before the last past day summed out or known.

    For each model, random factors; the past is all that came up to day 4, the future days 5
    to 8. The word of day 4, which model (a) needs and which is known, has one fixed value.
    """
    generator = torch.Generator().manual_seed(0)

    def factors(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    # axes: a, b states of the days before, c the state of the day; v, w words
    models = (
        factors(1, 2, 2)[:, :, :, None, None] * factors(2, 3, 3)[None, None],
        factors(1, 2, 2)[:, :, :, None, None] * factors(2, 2, 1, 3)[None],
        factors(2, 2, 2)[:, :, :, None, None] * factors(2, 1, 3)[None, None],
    )

    def rank(
        step,
    ):  # (a, b, c, v, w): p(z_t = c, x_t = w | z_{t-2} = a, z_{t-1} = b, x_{t-1} = v)
        step = step.expand(2, 2, 2, 3, 3)
        table = []
        for past in itertools.product(range(3), repeat=3):
            row = []
            for future in itertools.product(range(3), repeat=3):
                words = [*past, 0, *future]
                pair = torch.tensor([[0.3, 0.1], [0.2, 0.4]], dtype=torch.float64)
                for v, w in itertools.pairwise(words):
                    pair = torch.einsum("ab,abc->bc", pair, step[..., v, w])
                row.append(pair.sum())
            table.append(row)
        return int(torch.linalg.matrix_rank(torch.tensor(table), rtol=1e-9))

    return [rank(step) for step in models]


EXERCISES = {
    "2.1": Exercise(
        wanted=words_and_rain,
        shows="A forward message is a joint probability; divided by its sum, it is the "
        "conditional probability of the state.",
        mistakes=lambda: {
            "The second number is the joint probability of the words and rain. Divide it by "
            "the probability of the words.": [ANY, after_walks()[0]],
            "The second number is the probability of sun.": [
                ANY,
                after_walks()[1] / after_walks().sum(),
            ],
            "The first number is one entry of the message. Either state may have produced the "
            "words, so add.": [after_walks()[1], ANY],
            "The second number is the ratio of rain to sun. A probability divides by the sum "
            "of both.": [ANY, after_walks()[0] / after_walks()[1]],
            "The first number is the probability of a single walk on day 1.": [
                pi @ B[:, 0],
                ANY,
            ],
        },
        hints=(
            "What does α₂(R) say in words? It is the probability of three things "
            "together.",
            "Summing over the states of day 2 leaves the probability of the two words.",
            "p(state | words) = p(words, state) / p(words).",
        ),
    ),
    "2.2": Exercise(
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
            "The second answer has no chain, so no word can gain or lose by its neighbours. Which "
            "factors does p(x) have?": [ANY, "less"],
        },
        hints=(
            "Write down p(x) without a chain. Where does the position of a word enter?",
            "With the chain: is tomorrow's weather more often the same as today's, or not?",
            "Compute both: `log_likelihood` of `x.sort().values`, and the sum of "
            "`(mu @ B).log()` over the words.",
        ),
    ),
    "2.3": Exercise(
        wanted=lambda: short_call(),
        shows="One number for each state and day is all that the sum over paths needs.",
        mistakes=lambda: {
            "The moves are read from the columns of A. Row i, column j is the move from i to "
            "j.": short_call(moves=A.T),
            "Day 1 has no word. Its message is the initial probability times the probability "
            "of the word.": short_call(first=pi),
            "Day 2 has no word: multiply each sum by the probability of *walk*.": (
                short_call(second=torch.ones(2))
            ),
            "Day 2 starts again from π. Its message comes from the message of day 1.": [
                *(*pi * B[:, 2], *pi * B[:, 0], (pi * B[:, 0]).sum())
            ],
            "Each sum over day 1 became a maximum. Both ways into a state count.": (
                short_call(reduce=torch.amax)
            ),
            "The last number adds all four messages. The messages of the last day alone "
            "contain both words.": [*[ANY] * 4, sum(short_call()[:4])],
        },
        hints=(
            "Day 1: the initial probability of each state times its probability of *clean*.",
            "Day 2: for each state add up two ways of reaching it, then multiply by its "
            "probability of *walk*.",
            "The last number is the sum of the two messages of day 2.",
        ),
    ),
    "2.4": Exercise(
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
    "2.5": Exercise(
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
    "2.6": Exercise(
        wanted=numbers_needed,
        shows="The message needs one number for each value of the hidden past that the future "
        "still depends on.",
        mistakes=lambda: {
            "(a) is wrong. The word of the day before was observed: there is one known value "
            "and nothing to sum over.": [6, ANY, ANY],
            "(a) is wrong. A word that is known does not have to be remembered for every "
            "state.": [4, ANY, ANY],
            "(b) is wrong. The state of the day before is summed out in the very step that "
            "needs it; put the factor inside the sum.": [ANY, 4, ANY],
            "(c) is wrong. The next state depends on a pair of states, so the message of one "
            "state alone has lost what the next step needs.": [ANY, ANY, 2],
            "(c) is wrong. The pair of the last two days is enough; older days are summed "
            "out.": [ANY, ANY, 8],
        },
        hints=(
            "Write down the factor that the next day contributes. Which *hidden* variables does it "
            "contain?",
            "A variable can be summed out as soon as no later factor contains it. An observed "
            "variable is a known number.",
            "Only in one of the three models do two hidden states have to be remembered at the "
            "same time.",
        ),
    ),
}
