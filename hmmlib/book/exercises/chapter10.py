"""The exercises of chapter 10: houses with names."""

import math
from functools import partial

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.values import only

# watts of one minute, and their probabilities
LEVELS, PROBS = (0.0, 120.0, 200.0, 2000.0), (0.3, 0.15, 0.1, 0.45)
DAYS, APPLIANCES = 10, 4
READING, ON, SPREAD, SHARE = 1200.0, 2000.0, 425.0, 0.1  # watts; of the time on
WATTS, MINUTES, CERTAIN = 2000.0, 45, 0.7  # of a run, and that it was the dishwasher


def three_answers(median=LEVELS[2]):
    """The median, the mean and the most probable level."""
    mean = sum(p * level for p, level in zip(PROBS, LEVELS, strict=True))
    return [median, mean, LEVELS[PROBS.index(max(PROBS))]]


def pull(clamped=True, free=True, per_watt=SPREAD**2):
    """The gradient in the level of "on" of log p(on | one reading)."""
    odds = SHARE / (1 - SHARE)
    off_by = READING**2 - (READING - ON) ** 2
    odds = odds * math.exp(off_by / (2 * SPREAD**2))
    on = odds / (1 + odds)
    return (clamped - free * on) * (READING - ON) / per_watt


def deviations(together=True):
    """Of the energy, kWh: the run is one machine's or the other's; minutes by themselves."""
    deviation = math.sqrt(CERTAIN * (1 - CERTAIN)) * WATTS / 1000 / 60
    return [deviation * MINUTES, deviation * MINUTES**0.5][:: 1 if together else -1]


def medians(probs, levels, in_order=True, share=0.5):
    """The lowest level that is exceeded with a probability of at most a half; (T, K) to (T,)."""
    order = levels.argsort() if in_order else torch.arange(len(levels))
    above = probs[:, order].cumsum(-1) < share
    return levels[order][above.sum(-1).clamp(max=len(levels) - 1)]


def factor(errors, level, rank=lambda n, level: math.ceil((n + 1) * level)):
    """The smallest error that a new one does not exceed with probability `level`."""
    return errors.sort().values[min(rank(len(errors), level), len(errors)) - 1]


def minutes():
    """Posteriors of a few minutes, with levels in and out of order."""
    cases = []
    for seed, levels in ((0, [0.0, 120.0, 2000.0]), (1, [1200.0, 0.0, 30.0, 400.0])):
        generator = torch.Generator().manual_seed(seed)
        probs = torch.rand(40, len(levels), generator=generator, dtype=torch.float64)
        probs = probs**3 / (probs**3).sum(-1, keepdim=True)
        cases.append((probs, torch.tensor(levels, dtype=torch.float64)))
    return cases


def errors_of_days():
    """Standardised errors of some days, and the level of an interval."""
    cases = []
    for seed, (num, level) in enumerate(((9, 0.8), (19, 0.9), (14, 0.9), (7, 0.6))):
        generator = torch.Generator().manual_seed(seed)
        errors = torch.rand(num, generator=generator, dtype=torch.float64) * 5
        cases.append((errors, level))
    return cases


def which_cover():
    """In which cases of exercise 10.7 a widened interval covers a tenth day: by simulation."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, 10, generator=generator, dtype=torch.float64)
    uniform = torch.rand(20_000, 10, generator=generator, dtype=torch.float64)
    inputs = torch.randn(20_000, 10, 4, generator=generator, dtype=torch.float64)
    nine, of_nine = inputs[:, :9], normal[:, :9, None]
    weights = torch.linalg.lstsq(nine, of_nine).solution
    learned = normal - (inputs @ weights)[..., 0]
    cases = (
        normal,
        (math.pi * (uniform - 0.5)).tan(),  # Cauchy
        normal * uniform[:, :1],  # one factor for all days of a house
        normal * torch.arange(1.0, 11.0),
        learned,
        3 * normal,
    )
    held = []
    for each in cases:
        errors = each.abs()
        widest = errors[:, :9].sort(dim=1).values[:, 8]  # rank 9: 0.9 (9 + 1)
        held.append((errors[:, 9] <= widest).double().mean())
    return ["holds" if each > 0.885 else "fails" for each in held]


EXERCISES = {
    "10.1": Exercise(
        wanted=three_answers,
        shows="Three reasonable answers to one minute. Which is best depends on how an error "
        "is counted.",
        mistakes=lambda: {
            "The first number is the most probable level. The median is the level at which "
            "the probability below reaches one half.": three_answers(median=LEVELS[3]),
            "The first number is the median of the four levels. It ignores how probable "
            "they are.": three_answers(median=(LEVELS[1] + LEVELS[2]) / 2),
            "The mean weighs each level by its probability.": [
                three_answers()[0],
                sum(LEVELS) / 4,
                three_answers()[2],
            ],
            "The last number is the least probable level.": [
                *three_answers()[:2],
                LEVELS[2],
            ],
        },
        hints=(
            "Add the probabilities up, from the lowest level on.",
            "The median is the first level at which the sum reaches one half. The mean is a "
            "sum of products.",
            "The sums are 0.3, 0.45, 0.55 and 1. The mean is 0.15 times the second level plus "
            "0.1 times the third plus 0.45 times the last, which is the most probable one.",
        ),
    ),
    "10.2": Exercise(
        wanted=lambda: DAYS ** (APPLIANCES + 1),
        shows="Independent appliances make a few days into many, as the factorial model says "
        "that they are. What it does not know is that real days are not so mixed.",
        mistakes=lambda: {
            "The rest has a day of its own, too.": DAYS**APPLIANCES,
            "This adds the choices. Each choice of one can be combined with each of another.": (
                DAYS * (APPLIANCES + 1)
            ),
            "Base and exponent are exchanged.": (APPLIANCES + 1) ** DAYS,
            "Two appliances may come from the same day.": math.perm(
                DAYS, APPLIANCES + 1
            ),
            "The order matters: the kettle of one day and the dishwasher of another are not "
            "the same as the other way round.": math.comb(DAYS, APPLIANCES + 1),
        },
        hints=(
            "How many choices are there for the kettle alone?",
            "The choices are independent, so their numbers are multiplied.",
            "The number of days, to the power of the number of columns that are added up.",
        ),
        tolerance=1e-6,
    ),
    "10.3": Exercise(
        wanted=lambda: medians,
        shows="A cumulative sum in order of watts: a posterior that is sure of nothing still "
        "has a best answer.",
        trials=minutes,
        mistakes=lambda: {
            "The levels may come in any order. Sort them, and the probabilities with them.": (
                partial(medians, in_order=False)
            ),
            "This is the most probable level.": lambda p, levels: levels[p.argmax(-1)],
            "This is the mean, not the median.": lambda p, levels: p @ levels,
            "This is another quantile: the sum has to reach one half.": partial(
                medians, share=0.9
            ),
        },
        hints=(
            "Sort the levels, and the columns of the probabilities in the same way.",
            "`cumsum` along the levels; how many of the sums are below one half?",
            "`order = levels.argsort()`, then `levels[order]` at the number of sums of "
            "`probs[:, order].cumsum(-1)` that are below one half.",
        ),
    ),
    "10.4": Exercise(
        wanted=lambda: factor,
        shows="A new day is as likely to have any rank among the days as the others. That is "
        "all that the rule assumes.",
        trials=errors_of_days,
        mistakes=lambda: {
            "This is the quantile of the days that were seen. A new day is one more: count "
            "n + 1.": partial(factor, rank=lambda n, level: math.ceil(n * level)),
            "The rank is rounded down, which covers too little.": partial(
                factor, rank=lambda n, level: max(math.floor((n + 1) * level), 1)
            ),
            "This is the largest error, whatever the level.": lambda errors, level: (
                errors.max()
            ),
            "This is the mean of the errors.": lambda errors, level: errors.mean(),
        },
        hints=(
            "With a new day there are n + 1 errors. Each rank is as likely as any other.",
            "Sort the errors; the rank is (n + 1) times the level, rounded up.",
            "`errors.sort().values[rank - 1]`, where the rank is at most n.",
        ),
    ),
    "10.5": Exercise(
        wanted=deviations,
        shows="Errors of one run go together. Counted minute by minute they seem to cancel, "
        "and the interval comes out too narrow.",
        mistakes=lambda: {
            "The order is the other way round: first the run as a whole.": deviations(
                together=False
            ),
            "These are variances. Take their roots.": [x**2 for x in deviations()],
            "These are watt-hours.": [1000 * x for x in deviations()],
            "In the second number variances add up, so that the deviation grows with the root "
            "of the number of minutes.": [deviations()[0]] * 2,
        },
        hints=(
            "An indicator that is 1 with probability p has variance p (1 − p).",
            "As a whole the energy is all or nothing. Minute by minute it is a sum of "
            "independent parts, whose variances add up.",
            "The first is the root of p (1 − p) times the energy of the run; the second is "
            "smaller by the root of the number of minutes.",
        ),
        tolerance=1e-3,
    ),
    "10.6": Exercise(
        wanted=pull,
        shows="What is known less what is expected, times the gradient of one reading. Where "
        "the model already expects what is known, nothing moves.",
        mistakes=lambda: {
            "This is the gradient of log p(reading, on). The expected part, with the state "
            "free, has to be subtracted.": pull(free=False),
            "This is the free part with its sign, without the clamped one.": pull(
                clamped=False
            ),
            "The variance is the square of the spread.": pull(per_watt=SPREAD),
            "The difference is not divided by the variance.": pull(per_watt=1.0),
        },
        hints=(
            "log p(on | x) = log p(on, x) − log p(x). Take the gradient of both terms.",
            "Both have the factor (x − μ) / σ². In the second it is weighted by the "
            "probability that the state is on, given the reading.",
            "The answer is (1 − p(on | x)) (x − μ) / σ².",
        ),
        tolerance=1e-3,
    ),
    "10.7": Exercise(
        wanted=which_cover,
        shows="The rule needs days that could change places, the new one included, and "
        "nothing else: no distribution, no independence, no right model.",
        mistakes=lambda: {
            "Independent days of the same distribution can change places.": only(
                0, "fails", 6
            ),
            "A rank does not depend on how large the largest errors are.": only(
                1, "fails", 6
            ),
            "A factor that all days of a house share moves no day to another rank.": only(
                2, "fails", 6
            ),
            "If errors grow, the last day is more likely than the others to have the largest "
            "one.": only(3, "holds", 6),
            "Days that the model was learned on have smaller errors than a new one, so the new "
            "one cannot change places with them.": only(4, "holds", 6),
            "All standardised errors become larger by the same factor, and the widening "
            "with them.": only(5, "fails", 6),
        },
        hints=(
            "What the argument needs is that the new day has each rank with the same "
            "probability. In which cases does it?",
            "Exchange the new day with one of the nine. Is the result as probable as before?",
            "Simulate it: many houses, ten errors each, and how often the last one is at most "
            "the largest of the nine.",
        ),
    ),
}
