"""The exercises of chapter 11: making it fast."""

import math

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import listed, potentials
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import series
from hmmlib.recursion import backward, forward

T, K = 4096, 32


def seconds(size):
    """The stored time of one log-likelihood of symbols by hmmlib."""
    rows = series.peers().query("library == 'hmmlib' and emission == 'categorical'")
    rows = rows.query("size == @size and task == 'log-likelihood'")
    return float(rows["seconds"].item())


def growth(large=1440, small=2000):
    """How many times as long a step takes with 256 states as with 64."""
    return (seconds("K256 T1,440") / large) / (seconds("K64 T2,000") / small)


def num_products(num_matrices):
    """Products of neighbours until one matrix is left, by halving."""
    count = 0
    while num_matrices > 1:
        count += num_matrices // 2
        num_matrices = num_matrices // 2 + num_matrices % 2
    return count


def split(p, end, start):
    """Potentials of the steps before `end`, and of those from `start` on."""
    steps = p.log_likelihoods
    return (p._replace(log_likelihoods=part) for part in (steps[:end], steps[start:]))


def messages(p, end, start):
    """alpha of the last step before `end` and beta of the step `start`, (K,) each."""
    front, back = split(p, end, start)
    return forward(front)[-1], backward(back)[0]


def alpha_beta(p, middle):
    """alpha and beta of the middle, where the two halves meet."""
    return messages(p, middle + 1, middle)


EXERCISES = {
    "11.1": Exercise(
        wanted=growth,
        shows="The larger matrix no longer fits into the first cache, and the fixed work of "
        "a step weighs less.",
        mistakes=lambda: {
            "This is the growth of the multiply-adds. Time also has a fixed part, and caches "
            "have a size.": (256 / 64) ** 2,
            "This is the growth of the number of states. A step takes its square.": 4,
            "This is the growth of the total time. The two series differ in length: divide "
            "by the number of steps.": growth(1, 1),
            "This is the smaller over the larger: invert it.": 1 / growth(),
            "The seconds are multiplied by the number of steps. Divide them by it.": (
                growth(1 / 1440, 1 / 2000)
            ),
        },
        hints=(
            "Two numbers of the table `measured`, and how many steps each of them took.",
            "Take the rows of hmmlib, categorical, log-likelihood, of the sizes K64 and "
            "K256; their names give the number of steps.",
            "`seconds / num_steps` of the larger one, over that of the smaller one.",
        ),
        tolerance=0.01,
    ),
    "11.2": Exercise(
        wanted=lambda: [num_products(T - 1), num_products(T - 1) * K**3],
        shows="Bracketing changes which product waits for which, not the number of products.",
        mistakes=lambda: {
            "The first number is the number of matrices. A product makes one out of "
            "two.": [T - 1, ANY],
            "The first number is the number of steps. There is a matrix for each move, and "
            "one product fewer than matrices.": [T, ANY],
            "The first number is the depth, the number of rounds. Each round has many "
            "products.": [math.ceil(math.log2(T - 1)), ANY],
            "The first number is that of the first round alone. What it leaves is halved "
            "again.": [(T - 1) // 2, ANY],
            "The second number is for a vector times a matrix. Here "
            "both are matrices.": [ANY, num_products(T - 1) * K**2],
            "The second number is that of the loop.": [ANY, (T - 1) * K**2],
        },
        hints=(
            "By how much does one product reduce the number of matrices?",
            "There is one for each move at the start, and a single one at the end.",
            "`T - 2` products, of `K ** 3` multiply-adds each.",
        ),
        tolerance=1e-9,  # the second number is large
    ),
    "11.3": Exercise(
        wanted=lambda: lambda p, middle: listed(p)[1].logsumexp(dim=0),
        shows="They exchange as many numbers as there are states, and neither waits.",
        trials=lambda: [
            (potentials(seed, num_states, num_steps), middle)
            for seed, num_states, num_steps, middle in (
                (0, 2, 5, 2),
                (1, 3, 4, 1),
                (2, 3, 5, 3),
            )
        ],
        mistakes=lambda: {
            "A move is missing. β of the step after the middle cannot be combined with α of "
            "the middle: both must belong to the same step.": lambda p, middle: sum(
                messages(p, middle + 1, middle + 1)
            ).logsumexp(dim=0),
            "The observation in the middle counts twice: α includes it already.": (
                lambda p, middle: (
                    sum(alpha_beta(p, middle)) + p.log_likelihoods[middle]
                ).logsumexp(dim=0)
            ),
            "This takes the maximum where they meet. Probabilities of states add up: use "
            "`logsumexp`.": lambda p, middle: sum(alpha_beta(p, middle)).max(),
            "The two halves are summed apart, as if they were two sequences. They share the "
            "state in which they meet.": lambda p, middle: sum(
                listed(half)[1].logsumexp(0)
                for half in split(p, middle + 1, middle + 1)
            ),
            "This adds logarithms over the states. Add the probabilities: `logsumexp`.": (
                lambda p, middle: sum(alpha_beta(p, middle)).sum()
            ),
            "This is the first half alone.": lambda p, middle: alpha_beta(p, middle)[
                0
            ].logsumexp(dim=0),
            "This sums β without α. Each state has both.": lambda p, middle: alpha_beta(
                p, middle
            )[1].logsumexp(dim=0),
        },
        hints=(
            "Which observations does α cover at a step, and which β? Is any of them covered "
            "twice, or not at all?",
            "At any step the sum over states of α times β is p(x). Both halves must reach the "
            "same step.",
            "α from `log_likelihoods[: middle + 1]`, β from `log_likelihoods[middle:]`, and "
            "`(alpha + beta).logsumexp(0)`",
        ),
    ),
}
