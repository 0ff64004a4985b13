"""The exercises of chapter 9: making it fast."""

import math

from hmmlib.book.exercises.grading import ANY, Exercise
from hmmlib.book.exercises.models import listed, potentials
from hmmlib.datasets import series
from hmmlib.recursion import backward, forward

T, K = 4096, 32


def seconds(size):
    """Stored, of one log-likelihood of symbols by hmmlib."""
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


def halves(p, middle):
    """alpha and beta at the step in which two halves meet, (K,) each."""
    front = p._replace(log_likelihoods=p.log_likelihoods[: middle + 1])
    back = p._replace(log_likelihoods=p.log_likelihoods[middle:])
    return forward(front)[-1], backward(back)[0]


def next_beta(p, middle):
    """beta of the step after the middle, as if it were that of the middle."""
    return backward(p._replace(log_likelihoods=p.log_likelihoods[middle + 1 :]))[0]


def apart(p, middle):
    """Both halves on their own, the second begun with the initial probabilities."""
    front = p._replace(log_likelihoods=p.log_likelihoods[: middle + 1])
    back = p._replace(log_likelihoods=p.log_likelihoods[middle + 1 :])
    return sum(listed(half)[1].logsumexp(0) for half in (front, back))


EXERCISES = {
    "9.1": Exercise(
        wanted=growth,
        shows="The larger matrix no longer fits into the first cache, and the fixed work of "
        "a step weighs less.",
        mistakes={
            "This is the growth of the multiply-adds. Time also has a fixed part, and caches "
            "have a size.": lambda: (256 / 64) ** 2,
            "This is the growth of the number of states. A step takes its square.": lambda: (
                256 / 64
            ),
            "This is the growth of the whole time. The two series differ in length: divide "
            "by the steps.": lambda: growth(1, 1),
            "This is the smaller over the larger: turn it round.": lambda: 1 / growth(),
            "Divided the wrong way: seconds are divided by steps, not multiplied.": lambda: (
                growth(1 / 1440, 1 / 2000)
            ),
        },
        hints=(
            "Two numbers of the table `measured`, and how many steps each of them took.",
            "Take the rows of hmmlib, categorical, log-likelihood, of the sizes K64 and "
            "K256; their names say how many steps.",
            "`seconds / num_steps` of the larger one, over that of the smaller one.",
        ),
        tolerance=0.01,
    ),
    "9.2": Exercise(
        wanted=lambda: [num_products(T - 1), num_products(T - 1) * K**3],
        shows="Bracketing changes who waits for whom, and not how much there is to do.",
        mistakes={
            "The first number is that of the matrices. A product makes one out of two.": (
                lambda: [T - 1, ANY]
            ),
            "The first number is that of the steps. There is a matrix for each move, and one "
            "product less than matrices.": lambda: [T, ANY],
            "The first number is the depth: so often one has to wait. Each round has many "
            "products.": lambda: [math.ceil(math.log2(T - 1)), ANY],
            "The first number is the first round alone. What it leaves is halved again.": (
                lambda: [(T - 1) // 2, ANY]
            ),
            "The second number is for a vector times a matrix. Here both are matrices.": (
                lambda: [ANY, num_products(T - 1) * K**2]
            ),
            "The second number is that of the loop.": lambda: [ANY, (T - 1) * K**2],
        },
        hints=(
            "How many matrices fewer are there after one product?",
            "One for each move to begin with, a single one at the end.",
            "`T - 2` products, of `K ** 3` multiply-adds each.",
        ),
        tolerance=1e-9,  # the second number is large
    ),
    "9.3": Exercise(
        wanted=lambda p, middle: listed(p)[1].logsumexp(dim=0),
        shows="They exchange as many numbers as there are states, and neither waits.",
        trials=lambda: [
            (potentials(seed, num_states, num_steps), middle)
            for seed, num_states, num_steps, middle in (
                (0, 2, 5, 2),
                (1, 3, 4, 1),
                (2, 3, 5, 3),
            )
        ],
        mistakes={
            "A move is missing. β of the step after the middle cannot meet α of the middle: "
            "both have to stand at the same step.": lambda p, middle: (
                halves(p, middle)[0] + next_beta(p, middle)
            ).logsumexp(dim=0),
            "The observation in the middle counts twice: α has heard it already.": (
                lambda p, middle: (
                    sum(halves(p, middle)) + p.log_likelihoods[middle]
                ).logsumexp(dim=0)
            ),
            "The largest is taken where they meet. Probabilities of states add up: use "
            "`logsumexp`.": lambda p, middle: sum(halves(p, middle)).max(),
            "The two halves are summed apart, as if they were two sequences. They share the "
            "state in which they meet.": apart,
            "Logarithms are added over the states. Add the probabilities: `logsumexp`.": (
                lambda p, middle: sum(halves(p, middle)).sum()
            ),
            "This is the first half alone.": lambda p, middle: halves(p, middle)[
                0
            ].logsumexp(dim=0),
            "β is summed without α. Each state has both.": lambda p, middle: halves(
                p, middle
            )[1].logsumexp(dim=0),
        },
        hints=(
            "What does α know at a step, what β? Which observations has neither heard?",
            "At any step the sum over states of α times β is p(x). Both halves must reach the "
            "same step.",
            "α from `log_likelihoods[: middle + 1]`, β from `log_likelihoods[middle:]`, and "
            "`(alpha + beta).logsumexp(0)`",
        ),
    ),
}
