"""The exercises of chapter 11: making it fast."""

import math

import numpy as np
import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, listed, pi, potentials
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import series, weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.recursion import Potentials, backward, forward

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


def what_the_product_is():
    """Which probability the entries of M_3 M_4 are, and which message its row sums."""
    p = weather.hmm.potentials(weather.fortnight.observations[:4])
    paths, log_joints = listed(p)
    joint = torch.zeros(2, 2, dtype=torch.float64)  # p(x_{1:4}, z_2, z_4)
    for path, each in zip(paths, log_joints.exp(), strict=True):
        joint[path[1], path[3]] += each
    alpha, beta = forward(p)[1].exp(), backward(p)[1].exp()
    later = joint / alpha[:, None]  # p(x_3, x_4, z_4 | z_2)
    meanings = {"a": later, "b": later / later.sum(1, keepdim=True)}
    meanings |= {"c": later * (pi @ A)[:, None], "d": later / (A @ A)}
    steps = [A * B[:, symbol] for symbol in weather.fortnight.observations[2:4]]
    product = steps[0] @ steps[1]
    sums = {"alpha": alpha, "beta": beta, "gamma": alpha * beta / joint.sum()}
    (letter,) = (n for n, each in meanings.items() if torch.allclose(each, product))
    (word,) = (n for n, each in sums.items() if torch.allclose(each, product.sum(1)))
    return [letter, word]


def only(word, place, size):
    """An answer of several words of which one counts."""
    return [word if each == place else ANY for each in range(size)]


def is_scaling_exact(stay, at_3, at_6=(0.0, 0.0)):
    """Scaled messages against a list of all paths, for two states and six steps."""
    moves = np.array([[stay, 1 - stay], [1 - stay, stay]])
    scores = np.zeros((6, 2))
    scores[2], scores[5] = at_3, at_6
    message, log_evidence = np.array([0.5, 0.5]), 0.0
    with np.errstate(all="ignore"):
        for likelihoods in np.exp(scores):
            weighted = message * likelihoods
            log_evidence += np.log(weighted.sum())
            message = weighted / weighted.sum() @ moves
    log_start = torch.full((2,), math.log(0.5), dtype=torch.float64)
    p = Potentials(log_start, (torch.tensor(moves).log(),), torch.tensor(scores))
    right = path_log_joints(p, all_paths(2, 6)).logsumexp(dim=0)
    return "exact" if math.isclose(log_evidence, right, rel_tol=1e-9) else "lost"


def divisors(moves=A, divide=torch.sum, moving=True):
    """What is divided away on each of the days walk, shop, clean; (3,)."""
    message, found = pi, []
    for symbol in (0, 1, 2):
        weighted = message * B[:, symbol]
        found.append(divide(weighted))
        message = weighted / found[-1]
        message = message @ moves if moving else message
    return torch.stack(found)


def is_associative(add, multiply, draw, same=np.array_equal):
    """Whether (XY)Z = X(YZ) for random triples of matrices."""
    generator = np.random.default_rng(11)

    def product(x, y):
        return add(multiply(x.T[:, :, None], y[:, None]))  # axis 0 is the sum's

    for _ in range(100):
        x, y, z = draw(generator)
        if not same(product(product(x, y), z), product(x, product(y, z))):
            return "not always"
    return "always"


def integers(low):
    """A function that draws three matrices of integers, whose products are exact."""
    return lambda generator: generator.integers(low, 9, (3, 3, 3)).astype(float)


def what_may_be_bracketed():
    """For max and times of two kinds, max and plus, logsumexp and plus, and floats."""
    largest, log_sum = np.maximum.reduce, np.logaddexp.reduce
    return [
        is_associative(largest, np.multiply, integers(0)),
        is_associative(largest, np.multiply, integers(-9)),
        is_associative(largest, np.add, integers(-9)),
        is_associative(log_sum, np.add, integers(-9), np.allclose),
        is_associative(add_in_turn, np.multiply, lambda g: g.uniform(size=(3, 3, 3))),
    ]


def add_in_turn(a):
    """The sum of three terms, each result rounded."""
    return a[0] + a[1] + a[2]


EXERCISES = {
    "11.1": Exercise(
        wanted=what_the_product_is,
        shows="A product of steps is one longer step, with the states between summed out.",
        mistakes=lambda: {
            "Are the symbols given? A factor contains the probability of its symbol and is "
            "not divided by it.": ["b", ANY],
            "Is the state of step 2 drawn? No factor contains its probability.": [
                "c",
                ANY,
            ],
            "Is the last state given? A factor is a probability of the state it enters.": [
                "d",
                ANY,
            ],
            "This message covers the symbols up to step 2. X contains the later ones.": [
                ANY,
                "alpha",
            ],
            "This is a probability given all symbols. X has not seen those up to step 2.": [
                ANY,
                "gamma",
            ],
        },
        hints=(
            "Write one factor as a probability: what is before the bar, and what behind it?",
            "Multiply two factors and sum over the state between them. What is left of it?",
            "Symbols and the state entered stand before the bar, the state left behind it. "
            "Summing over the state entered leaves a probability of later symbols.",
        ),
    ),
    "11.2": Exercise(
        wanted=lambda: [
            is_scaling_exact(1.0, (-2000.0, 0.0), (0.0, -math.inf)),
            is_scaling_exact(0.9, (-2000.0, 0.0), (0.0, -math.inf)),
            is_scaling_exact(1.0, (-2000.0, 0.0)),
            is_scaling_exact(1.0, (-2000.0, -2000.0)),
        ],
        shows="What is lost matters only if it is needed later and nothing refills it.",
        mistakes=lambda: {
            "In case 1 the first state is zero as a float after step 3. Which state can "
            "explain step 6?": only("exact", 0, 4),
            "In case 2 the first state is zero at step 3. What is it one step later?": only(
                "lost", 1, 4
            ),
            "In case 3 a share is lost. How large a part of the answer is it?": only(
                "lost", 2, 4
            ),
            "In case 4, what are both likelihoods as floats?": only("exact", 3, 4),
        },
        hints=(
            "Follow the message through the six steps. Which entries become zero as floats?",
            "A zero does harm only if that state is needed later, and if no other state "
            "moves into it.",
            "A likelihood that both states share is divided away, if it is a float above "
            "zero. The smallest is near ten to the minus 324.",
        ),
    ),
    "11.3": Exercise(
        wanted=divisors,
        shows="Their product is p(x), and each is the probability of a word given the "
        "earlier ones.",
        mistakes=lambda: {
            "These are the probabilities of all words so far: the messages were not divided "
            "before the next step.": divisors().cumprod(dim=0),
            "The prediction is missing: move with A before each later word.": (
                divisors(moving=False)
            ),
            "Rows and columns of A are swapped: a row is the state left.": divisors(
                A.T
            ),
            "These are the largest entries. Divide by the sum, so that the scaled message "
            "adds up to one.": divisors(divide=torch.amax),
            "The messages were divided correctly, but these are the reciprocals. Rabiner "
            "defines c that way; the book does not.": 1 / divisors(),
        },
        hints=(
            "Predict, multiply by the column of the word, add up. The sum is c.",
            "On day 1 the prediction is π. Divide by the sum before you go on.",
            "The prediction of the next day is the scaled message times A: a row vector "
            "times a matrix.",
            "`weighted = message * B[:, word]`, `weighted.sum()`, then "
            "`message = weighted / weighted.sum() @ A`",
        ),
    ),
    "11.4": Exercise(
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
    "11.5": Exercise(
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
    "11.6": Exercise(
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
    "11.7": Exercise(
        wanted=what_may_be_bracketed,
        shows="Brackets may move where the one operation distributes over the other.",
        mistakes=lambda: {
            "Case 1: multiplying by a number that is not negative preserves the order.": only(
                "not always", 0, 5
            ),
            "Case 2: what does multiplying by a negative number do to a maximum?": only(
                "always", 1, 5
            ),
            "Case 3: adding a number, of whatever sign, preserves the order.": only(
                "not always", 2, 5
            ),
            "Case 4: write each number as the logarithm of a positive one. Which two "
            "operations are these?": only("not always", 3, 5),
            "Case 5: is rounded addition associative? Try three decimal fractions.": only(
                "always", 4, 5
            ),
        },
        hints=(
            "Which laws do the steps of the proof use? Write each of them with ⊕ and ⊗.",
            "The distributive law reads a ⊗ (b ⊕ c) = (a ⊗ b) ⊕ (a ⊗ c). Test it with "
            "small numbers, also negative ones where these are allowed.",
            "A logarithm turns products into sums and keeps the order. So two of the cases "
            "are others, written in logarithms.",
            "For the last case compare `(0.1 + 0.2) + 0.3` with `0.1 + (0.2 + 0.3)`.",
        ),
    ),
}
