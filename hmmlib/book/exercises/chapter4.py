"""The exercises of chapter 4: the single best explanation."""

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import (
    RAIN,
    A,
    B,
    listed,
    pi,
    potentials,
    without,
)
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.inference import BestPath, filter_states, smooth_states, viterbi
from hmmlib.recursion import forward

TRIALS = ((32, 3, 4), (1, 3, 4), (30, 3, 4), (0, 2, 5), (0, 3, 1))  # seed, K, T
WORDS = (0, 1, 1, 0)  # walk, shop, shop, walk
SIGNED_START = torch.tensor([1.0, 5.0], dtype=torch.float64)
SIGNED_MOVES = torch.tensor([[1.0, -3.0], [-2.0, 1.0]], dtype=torch.float64)


def what_to_report():
    """The name of what is best for right days, for a right path, and for a spell."""
    paths, log_joints = listed(without(0))
    weights = log_joints.softmax(dim=0)
    rain = weights @ (paths == RAIN).double()  # of each day
    names = {  # a spell is no path, so that neither answers the third question
        tuple(gamma().argmax(dim=1).tolist()): "days",
        tuple(viterbi(without(0)).states.tolist()): "path",
    }
    best = ((rain < 0.5).long(), paths[weights.argmax()])
    return [*(names[tuple(each.tolist())] for each in best), "draws"]


def last_delta(emitted=B[:, WORDS[-1]], reduce=torch.amax, days=3):
    """The message of the last of WORDS: its predecessors reduced, times `emitted`."""
    before = pi * B[:, WORDS[0]]
    for word in WORDS[1:days]:
        before = reduce(before[:, None] * A, 0) * B[:, word]
    return reduce(before[:, None] * A, 0) * emitted


def from_best_only():
    """As if only the best path of three days could go on."""
    paths, log_joints = listed(weather.hmm.potentials(list(WORDS[:3])))
    best = log_joints.argmax()
    return log_joints[best].exp() * A[paths[best, -1]] * B[:, WORDS[-1]]


def what_changes():
    """Which word changes the path, and what happens to rain on day 7 without clean."""
    best = viterbi(without(0)).states
    clean, walk = ((viterbi(without(day)).states != best).any() for day in (7, 6))
    which = {(True, True): "both", (True, False): "clean", (False, True): "walk"}
    after, before = (
        smooth_states(without(day)).smoothed_probs[6, RAIN] for day in (7, 0)
    )
    change = after - before
    moved = "same" if abs(change) < 1e-9 else "higher" if change > 0 else "lower"
    return [which.get((bool(clean), bool(walk)), "neither"), moved]


def gamma():
    """Smoothed probabilities of the fortnight, (14, 2)."""
    return smooth_states(without(0)).smoothed_probs


def ranked(p):
    """All paths, (P, T), the most probable first."""
    paths, log_joints = listed(p)
    return paths[log_joints.argsort(descending=True)]


def best_where(p, holds):
    """The most probable path for which `holds(on which steps it differs from the best)`."""
    paths = ranked(p)
    return next(path for path in paths if holds(path != paths[0]))


def signed(reduce=torch.amax):
    """The recursion of exercise 4.6 with `reduce`, to the end."""
    message = SIGNED_START
    for _ in range(2):
        message = reduce(message[:, None] * SIGNED_MOVES, 0)
    return reduce(message, 0)


def signed_values():
    """The values of the eight paths of exercise 4.6, (2, 2, 2)."""
    return SIGNED_START[:, None, None] * SIGNED_MOVES[:, :, None] * SIGNED_MOVES


def ratios(largest=None, total=None, day=5):
    """Rain to sun on a day: of the largest joint probabilities, and of their sums."""
    paths, log_joints = listed(without(0))
    joints, rain = log_joints.exp(), paths[:, day - 1] == RAIN
    if largest is None:
        largest = joints[rain].max() / joints[~rain].max()
    if total is None:
        total = joints[rain].sum() / joints[~rain].sum()
    return torch.stack([largest, total])


def odds(log_message):
    """Rain to sun on day 5, from a message in logarithms, (14, 2)."""
    return (log_message[4, RAIN] - log_message[4, 1 - RAIN]).exp()


EXERCISES = {
    "4.1": Exercise(
        wanted=what_to_report,
        shows="What is right to report depends on what counts.",
        mistakes=lambda: {
            "The Viterbi path is the best whole, but here each day is paid for on its own.": [
                "path",
                ANY,
                ANY,
            ],
            "The most probable states of single days need not form a probable path, and here "
            "one wrong day loses everything.": [ANY, "days", ANY],
            "The best path has such a spell or it does not. That is no probability.": [
                ANY,
                ANY,
                "path",
            ],
            "Single days do not say which states occur together, and a spell is several days "
            "together.": [ANY, ANY, "days"],
            "Draws show what is possible. For the cost of each day something answers exactly.": [
                "draws",
                ANY,
                ANY,
            ],
        },
        hints=(
            "Ask of each: does it count single days, one whole path, or many paths?",
            "A cost that adds up over days is smallest where each day is best on its own.",
            "A prize for one whole path is won most often with the most probable path. And a "
            "probability of something about whole paths needs all of them.",
        ),
    ),
    "4.2": Exercise(
        wanted=last_delta,
        shows="Sun has the larger number, and going back from it the path is sunny on all days.",
        mistakes=lambda: {
            "These are sums over the predecessors, as in the forward algorithm. Take the "
            "larger product instead.": last_delta(reduce=torch.sum),
            "The word of day 4 is missing: multiply by the probability of a walk.": (
                last_delta(emitted=torch.ones_like(pi))
            ),
            "This is the word shop on day 4. The fourth word is walk.": (
                last_delta(emitted=B[:, 1])
            ),
            "Only the best path of day 3 goes on here. The best path into a state may come "
            "from the other one.": from_best_only(),
            "These are the numbers of day 3: one step is missing.": (
                last_delta(days=2, emitted=B[:, WORDS[2]])
            ),
        },
        hints=(
            "You need only the two numbers of day 3, one column of B, and A.",
            "For each state of day 4 multiply both numbers of day 3 by the move into it, and "
            "take the larger product.",
            "Then multiply by the probability of a walk in that state, the first column of B.",
            "`(delta[:, None] * A).amax(dim=0) * B[:, 0]`, where `delta` holds the two numbers "
            "of day 3.",
        ),
    ),
    "4.3": Exercise(
        wanted=what_changes,
        shows="A path does not show that it has become less certain.",
        mistakes=lambda: {
            "Clean is the strongest sign of rain, but the days beside it are enough for "
            "the spell. Try the other word too.": ["clean", ANY],
            "Only one of the two changes the path. Run Viterbi without each.": [
                "both",
                ANY,
            ],
            "One of the two does change the path. Run Viterbi without each.": [
                "neither",
                ANY,
            ],
            "The path stays the same, but its certainty changes. Look at the smoothed "
            "probability.": [ANY, "same"],
            "Clean is the strongest sign of rain. Can rain become more probable without "
            "it?": [ANY, "higher"],
        },
        hints=(
            "Which of the two words stands among others that say the same, and which one "
            "interrupts them?",
            "Leave a word out with `observed=torch.arange(14) != ...` and compare the paths.",
            "Compare the path of `viterbi` with and without each word; for the second answer "
            "use `smooth_states`, where day 7 is at index six.",
        ),
    ),
    "4.4": Exercise(
        wanted=lambda: lambda p: ranked(p)[1],
        shows="As many Viterbi runs as there are days replace a list of all paths.",
        trials=lambda: [(potentials(*each),) for each in TRIALS],
        read=lambda found: found.states if isinstance(found, BestPath) else found,
        mistakes=lambda: {
            "This is the best path. Forbid it, one day after the other.": lambda p: (
                viterbi(p).states
            ),
            "This is the best path with one day changed. After the first day on which the two "
            "differ, the second best path may differ on others too.": lambda p: (
                best_where(p, lambda differs: differs.sum() == 1)
            ),
            "This considers only paths that end in another state. Two paths may differ and end "
            "in the same state.": lambda p: best_where(p, lambda differs: differs[-1]),
            "This differs from the best path on every day. It is enough to differ on one.": (
                lambda p: best_where(p, lambda differs: differs.all())
            ),
            "This takes the second most probable state of each day. Single days do not make "
            "a path.": lambda p: (
                smooth_states(p).smoothed_probs.topk(2, dim=1).indices[:, 1]
            ),
            "This is the least probable path.": lambda p: ranked(p)[-1],
            "This is the third best path.": lambda p: ranked(p)[2],
        },
        hints=(
            "The second best path differs from the best one for the first time on some day. "
            "On which? Try them all.",
            "Force the states of the best path before day t, forbid its state on day t, and "
            "leave the rest free. An ordinary Viterbi run finds the best such path.",
            "To forbid a state, set its entry of `log_likelihoods` to `-torch.inf` and give "
            "`viterbi` the result of `p._replace(log_likelihoods=...)`. Of the T paths choose "
            "the one with the largest `log_joint`.",
        ),
    ),
    "4.5": Exercise(
        wanted=lambda: gamma().amax(dim=1).min(),
        shows="One uncertain day is enough to bound the probability of every path.",
        mistakes=lambda: {
            "This is the largest over the days. A path passes through every day, also the "
            "least certain one: take the smallest.": gamma().max(),
            "This is the smallest over days and states. On each day take the more probable "
            "state first.": gamma().min(),
            "These are filtered, not smoothed probabilities.": (
                filter_states(without(0)).filtered_probs.amax(dim=1).min()
            ),
            "This is the posterior probability of the path itself. The question asks for "
            "the bound.": listed(without(0))[1].softmax(dim=0).max(),
            "This multiplies the days, as if they were independent. It bounds nothing.": (
                gamma().amax(dim=1).prod()
            ),
            "This is the mean over the days.": gamma().amax(dim=1).mean(),
            "This is also a bound, and a tighter one, from the states of the path. The "
            "question asks for the more probable state of each day.": (
                gamma().gather(1, viterbi(without(0)).states[:, None]).min()
            ),
        },
        hints=(
            "If a path has a certain state on day t, how probable can the path be at most?",
            "On which day is the weather least certain?",
            "On each day take the larger of the two smoothed probabilities; then compare "
            "days.",
            "`smooth_states(p).smoothed_probs`, `.amax(dim=1)`, `.min()`",
        ),
    ),
    "4.6": Exercise(
        wanted=lambda: torch.stack([signed(), signed_values().max()]),
        shows="A negative factor reverses the order, and the recursion drops a path that it "
        "would need.",
        mistakes=lambda: {
            "The recursion does not find this path: on the way it drops the smaller of two "
            "values. Go through it day by day.": signed_values().max().expand(2),
            "The second number is the recursion's. List the values of all eight paths.": (
                signed().expand(2)
            ),
            "The first number is a sum over the paths: replace the sum by a maximum.": (
                torch.stack([signed(torch.sum), signed_values().max()])
            ),
            "The second number is the smallest value of a path. The question asks for the "
            "largest.": torch.stack([signed(), signed_values().min()]),
            "These are the smallest values, by a recursion with the minimum and by listing.": (
                torch.stack([signed(torch.amin), signed_values().min()])
            ),
        },
        hints=(
            "For the recursion, take the larger product for each state of day two, and go on "
            "from these two numbers alone.",
            "For the truth, list the paths. What happens to a negative value when it is "
            "multiplied by a negative move?",
            "`(delta[:, None] * moves).amax(dim=0)`, twice, and `.max()`; then "
            "`(start[:, None, None] * moves[:, :, None] * moves).max()`.",
        ),
        tolerance=1e-6,
    ),
    "4.7": Exercise(
        wanted=ratios,
        shows="The best path of all is sunny on day 5, and the sum over the others outweighs it.",
        mistakes=lambda: {
            "These are ratios of sun to rain.": 1 / ratios(),
            "The two are in the wrong order: the largest first, then the sums.": (
                ratios().flip(0)
            ),
            "The first number ignores the days after day 5: this is δ of day 5 alone.": ratios(
                largest=odds(forward(without(0), reduce=torch.amax))
            ),
            "The second number ignores the days after day 5: this is α of day 5 alone.": (
                ratios(total=odds(forward(without(0))))
            ),
            "The second number is a probability. Divide by that of sun.": ratios(
                total=gamma()[4, RAIN]
            ),
            "This is about day 4. Day 5 is at index four.": ratios(day=4),
        },
        hints=(
            "The cell that checks against enumeration has all paths and their log joint "
            "probabilities.",
            "Split the paths by their state on day 5, `paths[:, 4]`.",
            "In each of the two groups take the largest joint probability, and the sum. Divide "
            "rain by sun.",
            "`joints[rainy].max() / joints[~rainy].max()`, and the same with `.sum()`, where "
            "`joints = log_joints.exp()`.",
        ),
    ),
}
