"""The exercises of chapter 7: several hidden causes at once."""

import math
from functools import cache, partial

import torch
from torch.distributions import Normal

from hmmlib.book.exercises.coupled import posterior_is_a_product
from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.values import ANY
from hmmlib.enumeration import all_paths
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM

APPLIANCES = {  # watts in each state, mean minutes in a state
    "fridge": ([0, 90, 130], 25),
    "heater": ([0, 600, 1200], 40),
    "washer": ([0, 180, 2000], 30),
    "kettle": ([0, 1500, 2200], 6),
    "lights": ([0, 40, 160], 60),
    "screen": ([0, 75, 240], 45),
}
M, K = len(APPLIANCES), 3
SIZES = (2, 3, 4)  # of exercises 7.1 and 7.5


def sizes():
    """Joint states, free numbers of the joint matrix, and of one matrix for each chain."""
    states = math.prod(SIZES)
    free = [size * (size - 1) for size in (states, *SIZES)]
    return [states, free[0], sum(free[1:])]


def lamps(reading=75.0, noise=30.0, a_on=0.5, b_on=0.1):
    """p(states of both lamps | reading), (2, 2), by listing the four joint states."""
    start = [torch.tensor([1 - on, on], dtype=torch.float64) for on in (a_on, b_on)]
    total = 60.0 * (torch.arange(2)[:, None] + torch.arange(2))
    density = Normal(total.double(), noise).log_prob(torch.tensor(reading)).exp()
    joint = start[0][:, None] * start[1] * density
    return joint / joint.sum()


def explained_away(joint=None, other=1):
    """P(a on | reading), and P(a on | reading, state of b)."""
    joint = lamps() if joint is None else joint
    return [joint[1].sum(), joint[1, other] / joint[:, other].sum()]


def share_right(noise):
    """Share of a day's minutes in which Viterbi is right, for each appliance, (6,)."""
    watts, minutes = zip(*APPLIANCES.values(), strict=True)
    stay = torch.eye(K, dtype=torch.float64)
    model = FactorialHMM(
        [torch.full((K,), 1 / K, dtype=torch.float64)] * M,
        [(1 - 1.5 / mean) * stay + 0.5 / mean for mean in minutes],
        additive_gaussian(list(torch.tensor(watts, dtype=torch.float64)), noise),
    )
    states, meter = model.sample(1440, seed=0)
    return (model.viterbi(meter).states == states).double().mean(dim=0)


@cache
def who_gains():
    """For each appliance: does the better meter add ten points to its share of minutes right?"""
    gain = share_right(5.0) - share_right(30.0)
    return ["gains" if each > 0.1 else "hardly" for each in gain]


def only(name, word):
    """A list with a word for one appliance, and anything for the others."""
    return [word if each == name else ANY for each in APPLIANCES]


def counted():
    """Products of one step: one chain at a time, and with the joint matrix."""
    states = math.prod(SIZES)
    return [states * sum(SIZES), states**2]


def counting(num_lamps, keep=0.9, start=None, moves=None):
    """The chain of the number of lamps that are on, by listing what each lamp does."""
    lamps = all_paths(2, num_lamps)  # (2^M, M)
    stays = (lamps[:, None] == lamps).double()  # (2^M, 2^M, M)
    joint = (keep * stays + (1 - keep) * (1 - stays)).prod(dim=2)
    counts = torch.eye(num_lamps + 1, dtype=torch.float64)[lamps.sum(dim=1)]
    ways = counts.sum(dim=0)  # (M + 1,)
    start = ways / ways.sum() if start is None else start
    moves = counts.T @ joint @ counts / ways[:, None] if moves is None else moves
    return HMM(start, moves, torch.ones(num_lamps + 1, 1, dtype=torch.float64))


def uniform_start(num_lamps):
    """The same chain, with all counts equally probable on the first step."""
    size = num_lamps + 1
    return counting(num_lamps, start=torch.full((size,), 1 / size, dtype=torch.float64))


def one_at_a_time(num_lamps, leave=0.1):
    """A chain in which at most one lamp changes in a step."""
    burning = torch.arange(num_lamps + 1, dtype=torch.float64) / num_lamps
    down, up = leave * burning[1:], leave * (1 - burning[:-1])
    moves = torch.diag(down, -1) + torch.diag(up, 1)
    return counting(num_lamps, moves=moves + torch.diag(1 - moves.sum(dim=1)))


def without_ways(num_lamps, keep=0.9):
    """Counts one way for each number of changing lamps, and makes the rows sum to one."""
    size = num_lamps + 1
    moves = torch.zeros(size, size, dtype=torch.float64)
    for c in range(size):
        for kept in range(c + 1):
            for new in range(num_lamps - c + 1):
                changed = c - kept + new
                chance = keep ** (num_lamps - changed) * (1 - keep) ** changed
                moves[c, kept + new] += chance
    return counting(num_lamps, moves=moves / moves.sum(dim=1, keepdim=True))


def tables_of(hmm):
    """What is compared of a counting chain."""
    return {name: getattr(hmm, name) for name in ("initial_probs", "transition_matrix")}


def divergence(a_on, b_on, noise=5.0):
    """Nats between the product q of two lamps and the posterior at 60 watts."""
    total = 60.0 * (torch.arange(2)[:, None] + torch.arange(2)).double()
    log_p = (-((60 - total) ** 2) / (2 * noise**2)).flatten().log_softmax(dim=0)
    q = torch.tensor([1 - a_on, a_on])[:, None] * torch.tensor([1 - b_on, b_on])
    q = q.double().flatten()
    return torch.special.xlogy(q, q).sum() - (q * log_p).sum()


def gaps(even=None, sure=None):
    """The divergence of even odds, and of one lamp on and the other off."""
    return [
        divergence(0.5, 0.5) if even is None else even,
        divergence(1.0, 0.0) if sure is None else sure,
    ]


EXERCISES = {
    "7.1": Exercise(
        wanted=sizes,
        shows="Independent chains need few numbers. Their joint states are many all the same.",
        mistakes=lambda: {
            "Each state of one chain can occur with each state of the others: multiply.": [
                sum(SIZES),
                ANY,
                ANY,
            ],
            "This is the number of entries of the joint matrix. Each row sums to one, which "
            "takes one number from each row.": [ANY, math.prod(SIZES) ** 2, ANY],
            "These are the entries of the matrices of the chains. Each row sums to one, which "
            "takes one number from each row.": [ANY, ANY, sum(k * k for k in SIZES)],
            "A chain has a row for each of its states. Count the free numbers of all rows.": [
                ANY,
                ANY,
                sum(k - 1 for k in SIZES),
            ],
            "The chains move on their own: add their free numbers.": [
                ANY,
                ANY,
                math.prod(k * (k - 1) for k in SIZES),
            ],
        },
        hints=(
            "How many combinations of one state of each appliance are there?",
            "A matrix with n rows has n entries in each row, and each row sums to one.",
            "For the joint matrix use the number of joint states as n. For the chains add up "
            "three small matrices.",
        ),
        tolerance=1e-6,
    ),
    "7.2": Exercise(
        wanted=explained_away,
        shows="What b draws need not be explained by a.",
        mistakes=lambda: {
            "The second number is given that b is off.": [
                ANY,
                explained_away(other=0)[1],
            ],
            "The second number is P(both on | reading). Divide by P(b on | reading).": [
                ANY,
                lamps()[1, 1],
            ],
            "Both lamps have the same prior here. That of b is smaller.": (
                explained_away(lamps(b_on=0.5))
            ),
            "These are P(b on | reading) and P(b on | reading, a on).": (
                explained_away(lamps().T)
            ),
            "This treats the lamps as independent given the reading.": (
                [ANY, explained_away()[0]]
            ),
            "The noise is 30 watts here, not 5.": explained_away(lamps(noise=5.0)),
        },
        hints=(
            "Four joint states: for each, multiply the two priors and the density of the "
            "reading.",
            "For the first number add the two joint states with a on, and divide by the sum "
            "of all.",
            "For the second use only the two joint states with b on.",
        ),
    ),
    "7.3": Exercise(
        wanted=who_gains,
        shows="A better meter helps where the difference of levels was within the noise.",
        mistakes=lambda: {
            "Do the levels of the fridge stand out from a noise of 30 watts? And which other "
            "appliance looks like it?": only("fridge", "hardly"),
            "Do the levels of the lights stand out from a noise of 30 watts? And which other "
            "appliance looks like them?": only("lights", "hardly"),
            "The heater was right before: hundreds of watts stand out from any noise here.": (
                only("heater", "gains")
            ),
            "The washer was right in nearly all minutes before: it had less than ten "
            "points to gain.": only("washer", "gains"),
            "The kettle was right before: it draws the most of all.": only(
                "kettle", "gains"
            ),
            "The screen gains a little, but it had less than ten points to gain.": (
                only("screen", "gains")
            ),
        },
        hints=(
            "Compare levels with the noise of the old meter. Which are hard to tell apart?",
            "An appliance that was right in nearly all minutes has little to gain. The page "
            "printed the shares for the old meter.",
            "`house(appliances, noise=5.0)`: sample from it, run `viterbi`, and compare with "
            "the shares of the old meter. Count a gain above ten points.",
        ),
    ),
    "7.4": Exercise(
        wanted=lambda: counting,
        shows="Equal lamps need not be told apart, and nothing is approximated.",
        trials=lambda: [(1,), (2,), (3,), (4,)],
        read=tables_of,
        mistakes=lambda: {
            "The start is uniform over the counts. Each lamp is on or off with equal "
            "probability, so that their number is binomial.": uniform_start,
            "At most one lamp changes here. Any number may change in the same step.": (
                one_at_a_time
            ),
            "The ways are not counted: `math.comb` says how many choices of lamps lead to "
            "the same number.": without_ways,
            "Staying and changing are swapped.": partial(counting, keep=0.1),
        },
        hints=(
            "Of the lamps that are on, how many stay on? Of the others, how many come on?",
            "Both numbers are binomial and independent. The next count is their sum, which "
            "can come about in several ways: add their probabilities.",
            "Loop over c, kept and new; add `math.comb(c, kept) * math.comb(M - c, new)` "
            "times `keep` to the power of the lamps that stay as they are, times `1 - keep` "
            "to the power of the others, to `moves[c, kept + new]`.",
        ),
    ),
    "7.5": Exercise(
        wanted=counted,
        shows="One chain at a time, the sizes are added where the joint matrix multiplies them.",
        mistakes=lambda: {
            "The first number counts new entries. Each is a sum over the states of the "
            "chain that moves.": [math.prod(SIZES) * len(SIZES), ANY],
            "The first number moves each chain alone, and loses which states occur together. "
            "The message has an entry for each joint state.": [
                sum(size**2 for size in SIZES),
                ANY,
            ],
            "The second number counts the joint states. Each is a sum over all of "
            "them.": [ANY, math.prod(SIZES)],
            "The second number adds the sizes of the chains. Joint states multiply.": [
                ANY,
                sum(SIZES) ** 2,
            ],
            "The second number has the number of chains as a factor. With the joint matrix "
            "there is only one chain.": [ANY, len(SIZES) * math.prod(SIZES) ** 2],
            "The two numbers are in the wrong order.": counted()[::-1],
        },
        hints=(
            "How many entries does the message have, and over how many terms is each a sum?",
            "One chain at a time: as many passes as chains, and in each of them every entry "
            "is a sum over the states of one chain. Jointly: one pass, and every entry is a "
            "sum over all joint states.",
            "`math.prod(sizes) * sum(sizes)` and `math.prod(sizes) ** 2`",
        ),
        tolerance=1e-6,
    ),
    "7.6": Exercise(
        wanted=posterior_is_a_product,
        shows="Chains stay independent while every factor contains only one of them.",
        mistakes=lambda: {
            "Without readings only the priors are left, and they are a product.": [
                "no",
                *[ANY] * 4,
            ],
            "Each of the two readings depends on one lamp. Write down the factors.": [
                ANY,
                "no",
                *[ANY] * 3,
            ],
            "An exact sum ties the lamps together even more: which of the two makes 60 watts?": [
                ANY,
                ANY,
                "yes",
                *[ANY] * 2,
            ],
            "One reading of the sum is enough to tie the paths together.": [
                *[ANY] * 3,
                "yes",
                ANY,
            ],
            "The factor of the move contains both lamps, even if no reading does.": [
                *[ANY] * 4,
                "yes",
            ],
        },
        hints=(
            "Write the joint probability as a product of factors. Which of them contain states "
            "of both lamps?",
            "A posterior is the joint probability divided by a number. It is a product of a "
            "function of a and a function of b if every factor contains only one of them.",
            "Check three: is 60 watts still possible in two ways? Check four: multiply the factors "
            "of both steps.",
        ),
    ),
    "7.7": Exercise(
        wanted=gaps,
        shows="The product that is closest to an even posterior is sure of a wrong thing.",
        mistakes=lambda: {
            "The two numbers are in the wrong order.": gaps()[::-1],
            "For even odds, the average of log q is missing.": gaps(
                even=divergence(0.5, 0.5) + 2 * math.log(2)
            ),
            "If a is on and b is off, q gives all probability to one joint state. The "
            "posterior gives it one half.": gaps(sure=0.0),
            "The prior of the joint states is the same for all four, and drops out when p is "
            "normalised.": gaps(sure=2 * math.log(2)),
            "Here the noise is 30 watts. In this question it is 5.": gaps(
                divergence(0.5, 0.5, noise=30.0), divergence(1.0, 0.0, noise=30.0)
            ),
        },
        hints=(
            "List the four joint states, with q and the posterior of each.",
            "The posterior gives nearly one half to each of two joint states, and nearly "
            "nothing to the others. Take its logarithm before it underflows.",
            "`(q * (q.log() - log_p)).sum()`, with 0 log 0 = 0, and `log_p` the log_softmax "
            "of `-(60 - total) ** 2 / 50`.",
        ),
    ),
}
