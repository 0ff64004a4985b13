"""The exercises of chapter 6: numbers in place of symbols."""

import math

import numpy as np
import torch
from torch.distributions import Normal

from hmmlib.book.exercises.grading import Exercise
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood

NUM_STEPS = 120
NARROW, WIDE = (0.0, 1.0), (5.0, 3.0)  # mean and spread
UNIT = 1000.0


def crossings(spreads=(NARROW[1], WIDE[1]), with_heights=True):
    """Where the two densities are equal, in increasing order."""
    curves = []
    for mean, spread in zip((NARROW[0], WIDE[0]), spreads, strict=True):
        height = -math.log(spread) if with_heights else 0.0
        curve = -(np.poly1d([1.0, -mean]) ** 2) / (2 * spread**2)
        curves.append(curve + height)
    return sorted((curves[0] - curves[1]).roots)


def change_of_unit():
    """log p of a run in millivolts, minus that in volts."""
    means = torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64)
    moves = [[0.80, 0.15, 0.05], [0.10, 0.80, 0.10], [0.05, 0.15, 0.80]]
    in_volts, in_millivolts = (
        HMM(
            [0.5, 0.3, 0.2],
            moves,
            Normal(unit * means, torch.full_like(means, 2.5 * unit)),
        )
        for unit in (1.0, UNIT)
    )
    run = in_volts.sample(NUM_STEPS, seed=1).observations
    after = log_likelihood(in_millivolts.potentials(UNIT * run))
    return after - log_likelihood(in_volts.potentials(run))


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


EXERCISES = {
    "6.1": Exercise(
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
            "This squares the spread twice: 3 is the standard deviation.": (
                crossings((1.0, WIDE[1] ** 2))[0]
            ),
            "This is halfway between the means. Spreads count too.": (
                (NARROW[0] + WIDE[0]) / 2
            ),
        },
        hints=(
            "In which state is the reading of −9 fewer spreads away from the mean?",
            "Write both log densities, including the logarithm of the spread, and set them "
            "equal. This is a quadratic equation.",
            "Or search for it: compare `two.log_prob(x)` of both states on a fine grid below "
            "zero, or solve with `np.roots`.",
        ),
        tolerance=1e-3,
    ),
    "6.2": Exercise(
        wanted=change_of_unit,
        shows="The change depends on the unit alone and is the same for every model: "
        "differences between models stay.",
        mistakes=lambda: {
            "This is the change for one reading. Each reading of the run contributes it.": (
                -math.log(UNIT)
            ),
            "The first reading contributes a factor too: there are T of them, not T − 1.": (
                -(NUM_STEPS - 1) * math.log(UNIT)
            ),
            "The factor of a density is 1 / a. The square of a belongs to the variance "
            "alone.": -2 * NUM_STEPS * math.log(UNIT),
            "Each path has one density a step, whatever the number of states.": (
                -3 * NUM_STEPS * math.log(UNIT)
            ),
            "A density is not a probability: it falls when the same mass is spread over "
            "larger numbers.": 0.0,
            "This is the factor itself, without its logarithm.": -NUM_STEPS * UNIT,
        },
        hints=(
            "The same probability is spread over a thousand times as many units. What "
            "happens to the density?",
            "Each reading contributes the same factor, 1 / a, and there are T readings.",
            "`-len(run) * math.log(1000)`",
        ),
    ),
    "6.3": Exercise(
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
}
