"""The exercises of chapter 6: numbers instead of symbols."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Gamma, LogNormal, Normal, Poisson

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.values import ANY
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood

NARROW, WIDE = (0.0, 1.0), (5.0, 3.0)  # mean and spread
READINGS, POSTERIOR = (1.0, 2.0, 4.0, 9.0), (1.0, 0.5, 0.5, 0.0)
OLD_MEAN = 3.0
NUM_READINGS = 1200


def can_be_positive():
    """Whether log p(x) of words, numbers, counts can be above 0, by an example of each."""
    table = torch.tensor([[0.999, 0.001], [0.001, 0.999]], dtype=torch.float64)
    rate = torch.tensor([0.001, 0.002], dtype=torch.float64)  # nearly sure of 0
    narrow = Normal(torch.zeros(2, dtype=torch.float64), 0.001)
    found = []
    for emission in (table, narrow, Poisson(rate)):
        hmm = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], emission)
        score = log_likelihood(hmm.potentials([0] * 3))
        found.append("possible" if score > 0 else "impossible")
    return found


def crossings(spreads=(NARROW[1], WIDE[1]), with_heights=True):
    """Where the two densities are equal, in increasing order."""
    curves = []
    for mean, spread in zip((NARROW[0], WIDE[0]), spreads, strict=True):
        height = -math.log(spread) if with_heights else 0.0
        curve = -(np.poly1d([1.0, -mean]) ** 2) / (2 * spread**2)
        curves.append(curve + height)
    return sorted((curves[0] - curves[1]).roots)


def weighted(weights=POSTERIOR, around=None, total=None, power=0.5):
    """Weighted mean and spread of the four readings."""
    x, w = np.array(READINGS), np.array(weights)
    mean = (w @ x) / w.sum()
    center = mean if around is None else around
    square = (w @ (x - center) ** 2) / (w.sum() if total is None else total)
    return [mean, square**power]


def by_count():
    """Both sums divided by the number of readings."""
    x, w = np.array(READINGS), np.array(POSTERIOR)
    mean = (w @ x) / len(x)
    return [mean, ((w @ (x - mean) ** 2) / len(x)) ** 0.5]


def num_free(num_states, moves=None, levels=2):
    """Free parameters of Gaussian states."""
    moves = num_states * (num_states - 1) if moves is None else moves
    return num_states - 1 + moves + levels * num_states


def price(before=None, after=None, size=NUM_READINGS, of_each=0.5):
    """What BIC asks for a fourth state, in nats."""
    before = num_free(3) if before is None else before
    after = num_free(4) if after is None else after
    return of_each * (after - before) * math.log(size)


def one_way_paths():
    """Two sets of paths that start in 0, may change to 1 once, and stay there."""
    generator = torch.Generator().manual_seed(0)
    changes = [torch.randint(1, 7, (50,), generator=generator) for _ in range(2)]
    changes[1][0] = 6  # this path never changes
    return [((torch.arange(6) >= change[:, None]).long(),) for change in changes]


def first_low(paths):
    """The share of paths that enter state 1 at step 1, 2, ..., T - 1; (T - 1,)."""
    enters = (paths[:, :-1] == 0) & (paths[:, 1:] == 1)
    return enters.double().mean(dim=0)


def num_high(paths):
    """How many paths have 0, 1, ..., 6 steps in state 0, (7,)."""
    return torch.bincount((paths == 0).sum(dim=1), minlength=7)


def rises(readings, spreads, prior=None) -> str:
    """Whether log p, plus the log prior, still rises while the first spread shrinks.

    The first state sits on the first reading; `spreads` gives the spread of each state.
    """
    x = torch.tensor(readings, dtype=torch.float64)

    def score(small: float) -> float:
        scale = torch.tensor(spreads(small), dtype=torch.float64)
        loc = torch.tensor([readings[0], 2.0], dtype=torch.float64)[: len(scale)]
        moves = torch.full((len(scale),) * 2, 1 / len(scale), dtype=torch.float64)
        hmm = HMM(moves[0], moves, Normal(loc, scale))
        of_prior = prior.log_prob(scale).sum() if prior else 0.0
        return float(log_likelihood(hmm.potentials(x)) + of_prior)

    return "unbounded" if score(1e-9) > score(1e-7) else "bounded"


def bounded():
    """Five models: is the likelihood, or likelihood times prior, bounded?"""
    distinct, repeated = (0.3, 1.7, 2.2, 4.0), (0.3, 0.3, 0.3, 0.3, 2.2, 4.0)
    return [
        rises(distinct, lambda small: (small, 2.0)),
        rises(distinct, lambda small: (small,)),
        rises(distinct, lambda small: (small, small)),
        rises(distinct, lambda small: (small, 2.0), LogNormal(0.0, 1.0)),
        rises(repeated, lambda small: (small, 2.0), Gamma(3.0, 1.0)),
    ]


def product_holds():
    """Whether p(x1, x2 | z) = p(x1 | z) p(x2 | z) and the gap says nothing, four cases."""
    generator = torch.Generator().manual_seed(6)

    def rows(*shape):
        values = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return (3 * values).softmax(dim=-1)

    state, first, second = rows(2), rows(2, 3), rows(2, 3)
    supply, with_supply = rows(2), (rows(2, 2, 3), rows(2, 2, 3))
    fails = rows(2, 2)
    joints = (
        torch.einsum("z,zu,zv->zuv", state, first, second),
        torch.einsum("z,s,zsu,zsv->zuv", state, supply, *with_supply),
        # a reading of the second gauge and its gap; a gap is scored with the factor 1
        torch.einsum("z,zu,zg->zug", state, first, fails),
        torch.einsum("z,zu,uv->zuv", state, first, rows(3, 3)),
    )
    found = [_is_product(joint) for joint in joints]
    found[2] = bool(torch.allclose(fails[0], fails[1]))
    return ["allowed" if each else "not allowed" for each in found]


def _is_product(joint: Tensor) -> bool:
    """Whether the last two axes are independent given the first."""
    whole = joint.sum(dim=(1, 2), keepdim=True)
    one, other = joint.sum(dim=2, keepdim=True), joint.sum(dim=1, keepdim=True)
    return torch.allclose(joint * whole, one * other)


def only(place, word, size):
    """An answer of words with that word in one place, and whatever is right elsewhere."""
    return [word if k == place else ANY for k in range(size)]


EXERCISES = {
    "6.1": Exercise(
        wanted=can_be_positive,
        shows="Only a density can exceed one; probabilities cannot, and counts have "
        "probabilities.",
        mistakes=lambda: {
            "Words have probabilities. A sum over paths of their products is the probability "
            "of a list of words: at most one.": only(0, "possible", 3),
            "A density exceeds one where a spread is small. What is the density of a standard "
            "deviation of 0.1 at its mean?": only(1, "impossible", 3),
            "A Poisson distribution gives a probability to each count, not a density.": only(
                2, "possible", 3
            ),
        },
        hints=(
            "The log of what is positive?",
            "For each kind of observation: does the emission give it a probability or a "
            "density?",
            "A product of probabilities is at most one, and so is the probability of a whole "
            "series. A density has no such bound.",
        ),
    ),
    "6.2": Exercise(
        wanted=lambda: crossings()[0],
        shows="Far out the widest state wins, on both sides.",
        mistakes=lambda: {
            "Here the reading is equally many spreads away from both means. The wide density "
            "is also lower: its height is one over its spread.": (
                crossings(with_heights=False)[0]
            ),
            "This is the other crossing, between the means. There is one more, on the far "
            "side of the narrow state.": crossings()[1],
            "This takes the spread for the variance: square it.": (
                crossings((1.0, math.sqrt(WIDE[1])))[0]
            ),
            "This is halfway between the means. Spreads count too.": (
                (NARROW[0] + WIDE[0]) / 2
            ),
        },
        hints=(
            "In which state is the reading of −9 fewer spreads away from the mean?",
            "Write both log densities, including the logarithm of the spread, and set them "
            "equal. This is a quadratic equation.",
            "Or search for it: with `pair = Normal(torch.tensor([0.0, 5.0]), "
            "torch.tensor([1.0, 3.0]))`, compare `pair.log_prob(x)` of both states on a fine "
            "grid below zero, or solve with `np.roots`.",
        ),
        tolerance=1e-3,
    ),
    "6.3": Exercise(
        wanted=weighted,
        shows="Each reading counts with its posterior probability, and one that counts for "
        "nothing does not move the state.",
        mistakes=lambda: {
            "Here every reading counts fully. Weight each by its posterior probability.": (
                weighted(np.ones(4))
            ),
            "Both sums are divided by the number of readings. Divide by the sum of the "
            "weights.": by_count(),
            "The spread is measured around the old mean. Insert the new one.": (
                weighted(around=OLD_MEAN)
            ),
            "The second number is the variance. Its root is the spread.": weighted(
                power=1
            ),
            "The variance is divided by the sum of the weights minus one. Setting the "
            "derivative to zero gives the sum itself.": weighted(
                total=sum(POSTERIOR) - 1
            ),
            "Here the readings with a posterior of at least one half count fully. Weights "
            "need not be rounded.": weighted([1, 1, 1, 0]),
        },
        hints=(
            "What does the last reading contribute to the two sums?",
            "The mean is the sum of weight times reading, divided by the sum of the weights.",
            "For the variance, take squares of the distances from the mean that you just "
            "found, with the same weights; then the root.",
            "`mean = (w * x).sum() / w.sum()`, then "
            "`((w * (x - mean).square()).sum() / w.sum()).sqrt()`",
        ),
    ),
    "6.4": Exercise(
        wanted=price,
        shows="The price of a state grows with its row and column of moves, and with the data.",
        mistakes=lambda: {
            "This is the price on the scale of BIC, which is twice that in nats.": price(
                of_each=1
            ),
            "This is the price of all parameters of four states. Three states have some "
            "already.": price(before=0),
            "Only the new state's mean and spread are counted. It also needs moves into it "
            "and out of it, and a start.": price(before=0, after=2),
            "The moves are counted with all entries of A. Each row sums to one.": price(
                before=num_free(3, moves=9), after=num_free(4, moves=16)
            ),
            "This takes half a nat for each parameter, which is what it gains by chance. BIC "
            "multiplies by the log of the number of readings.": price(size=math.e),
            "This is the log of the number of sequences. BIC counts readings.": price(
                size=10
            ),
        },
        hints=(
            "How many free parameters have three states, and how many have four?",
            "Starts K − 1, moves K (K − 1), means and spreads 2 K.",
            "Each additional parameter has to gain half the log of the number of readings.",
            "`(num_params(4) - num_params(3)) / 2 * math.log(n)`",
        ),
    ),
    "6.5": Exercise(
        wanted=lambda: first_low,
        shows="Counting paths gives the same as smoothing. Paths also answer questions that "
        "the probabilities of single years cannot.",
        trials=one_way_paths,
        mistakes=lambda: {
            "These are counts. Divide by the number of paths.": lambda paths: (
                len(paths) * first_low(paths)
            ),
            "This is the share of paths that are in the low state. The question asks where "
            "they enter it.": lambda paths: (paths[:, 1:] == 1).double().mean(dim=0),
            "This is the share of paths that have not changed yet.": lambda paths: (
                (paths[:, 1:] == 0).double().mean(dim=0)
            ),
            "This divides by the number of paths that change. Those that never do count "
            "too.": lambda paths: first_low(paths) / first_low(paths).sum(),
            "The last entry is for paths that never change: it belongs to no year.": (
                lambda paths: num_high(paths)[1:] / len(paths)
            ),
            "The first entry is for paths without a high year. The first year is high in "
            "every path.": lambda paths: num_high(paths)[:-2] / len(paths),
        },
        hints=(
            "How does one read the change year off a single path?",
            "The number of zeros in a path says when it changes. How often does each number "
            "occur?",
            "`torch.bincount((paths == 0).sum(dim=1), minlength=T + 1)`; leave out the first "
            "and the last entry, and divide.",
        ),
    ),
    "6.6": Exercise(
        wanted=bounded,
        shows="A state can shrink onto a reading only if another state takes the rest, and if "
        "no prior outweighs what it gains.",
        mistakes=lambda: {
            "In the first model one state can shrink onto a reading while the other takes the "
            "rest.": only(0, "bounded", 5),
            "In the second model there is no other state to take the other readings. What "
            "happens to their densities?": only(1, "unbounded", 5),
            "In the third model the second state shrinks as well. How far are most readings "
            "from both means, in spreads?": only(2, "unbounded", 5),
            "In the fourth model compare the two logarithms: one grows like −log σ, the other "
            "falls like its square.": only(3, "unbounded", 5),
            "In the fifth model count the powers: one density of 1 / σ for each of the equal "
            "readings, against the power of σ in the prior.": only(4, "bounded", 5),
        },
        hints=(
            "The argument of the chapter has three parts: one density grows, all others stay "
            "above zero, and nothing else changes. Which part fails in each model?",
            "Let σ go to zero in the density of a reading that is not at the mean. The "
            "exponential function falls faster than 1 / σ grows.",
            "With a prior, add its log density: for LogNormal, minus half the square of log σ; "
            "for Gamma(3, 1), two log σ.",
            "A state that sits on several equal readings gains −log σ for each of them.",
        ),
    ),
    "6.7": Exercise(
        wanted=product_holds,
        shows="A product needs independence given the state, and a factor of 1 needs a gap "
        "that says nothing about it.",
        mistakes=lambda: {
            "In the first case the errors are independent. That both gauges show the same "
            "level is dependence without the state, not given it.": only(
                0, "not allowed", 4
            ),
            "In the second case one reading says something about the supply, and the supply "
            "about the other reading, even if the state is known.": only(
                1, "allowed", 4
            ),
            "In the third case a gap is more probable in one state than in another. Then it "
            "is evidence.": only(2, "allowed", 4),
            "In the fourth case the second gauge copies the first one, errors and all.": only(
                3, "allowed", 4
            ),
        },
        hints=(
            "Suppose that the state is known. Does the first reading then still help to "
            "predict the second?",
            "Draw the arrows. A product needs every connection of the two readings to pass "
            "through the state.",
            "For the gap: the factor 1 in every state is right if the probability of a gap is "
            "the same in every state.",
        ),
    ),
}
