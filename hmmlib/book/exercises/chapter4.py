"""The exercises of chapter 4: the single best explanation."""

import torch

from hmmlib.book.exercises.grading import ANY, Exercise
from hmmlib.book.exercises.models import listed, potentials
from hmmlib.datasets import weather
from hmmlib.inference import BestPath, filter_states, smooth_states, viterbi

RAIN = 0
TRIALS = ((32, 3, 4), (1, 3, 4), (30, 3, 4), (0, 2, 5), (0, 3, 1))  # seed, K, T


def without(day):
    """Potentials of the fortnight with the word of a day crossed out; 0 crosses out none."""
    x = weather.fortnight.observations
    return weather.hmm.potentials(x, observed=torch.arange(1, 15) != day)


def what_changes():
    """Which word changes the path, and what becomes of rain on day 7 without clean."""
    best = viterbi(without(0)).states
    clean, walk = ((viterbi(without(day)).states != best).any() for day in (7, 6))
    which = {(True, True): "both", (True, False): "clean", (False, True): "walk"}
    then, now = (smooth_states(without(day)).smoothed_probs[6, RAIN] for day in (7, 0))
    moved = "higher" if then > now + 1e-9 else "lower" if then < now - 1e-9 else "same"
    return [which.get((bool(clean), bool(walk)), "neither"), moved]


def gamma():
    """Smoothed probabilities of the fortnight, (14, 2)."""
    return smooth_states(without(0)).smoothed_probs


def ranked(p):
    """All paths of a model, most probable first."""
    paths, log_joints = listed(p)
    return paths[log_joints.argsort(descending=True)]


def best_where(p, holds):
    """The best of the paths for which `holds(on which days it leaves the best one)`."""
    paths = ranked(p)
    return next(path for path in paths if holds(path != paths[0]))


EXERCISES = {
    "4.1": Exercise(
        wanted=what_changes,
        shows="A path cannot show that it has become less certain.",
        mistakes={
            "Clean is the strongest word for rain, but its neighbours keep the spell without "
            "it. Try the other one too.": lambda: ["clean", ANY],
            "Only one of the two changes the path. Run Viterbi without each.": lambda: [
                "both",
                ANY,
            ],
            "One of the two does change the path. Run Viterbi without each.": lambda: [
                "neither",
                ANY,
            ],
            "The path stays, but not its certainty. Look at the smoothed probability.": (
                lambda: [ANY, "same"]
            ),
            "Clean is the strongest word for rain. Can rain get more probable without it?": (
                lambda: [ANY, "higher"]
            ),
        },
        hints=(
            "Which of the two words stands among others that say the same, and which one "
            "breaks a run?",
            "Cross a word out with `observed=torch.arange(14) != ...` and compare the paths.",
            "The path of `viterbi`, with and without each word; for the second answer "
            "`smooth_states`, day 7 at index six.",
        ),
    ),
    "4.2": Exercise(
        wanted=lambda: gamma().amax(dim=1).min(),
        shows="One open day is enough to cap the probability of every path.",
        mistakes={
            "This is the largest over the days. A path must pass every day, also the one "
            "that is most open: take the smallest.": lambda: gamma().max(),
            "This is the smallest over days and states. On each day take the more probable "
            "state first.": lambda: gamma().min(),
            "These are filtered, not smoothed probabilities.": lambda: (
                filter_states(without(0)).filtered_probs.amax(dim=1).min()
            ),
            "This is the posterior probability of the path itself. Asked is the bound.": (
                lambda: listed(without(0))[1].softmax(dim=0).max()
            ),
            "This multiplies the days, as if they were independent. It bounds nothing.": (
                lambda: gamma().amax(dim=1).prod()
            ),
            "This is the mean over the days.": lambda: gamma().amax(dim=1).mean(),
            "This holds too, and is tighter: it asks for the states of the path. Asked is "
            "the more probable state of each day.": lambda: (
                gamma().gather(1, viterbi(without(0)).states[:, None]).min()
            ),
        },
        hints=(
            "On which day is the weather most open?",
            "On each day take the larger of the two smoothed probabilities; then compare "
            "days.",
            "`smooth_states(p).smoothed_probs`, `.amax(dim=1)`, `.min()`",
        ),
    ),
    "4.3": Exercise(
        wanted=lambda p: ranked(p)[1],
        shows="As many Viterbi runs as there are days, in place of a list of all paths.",
        trials=lambda: [(potentials(*each),) for each in TRIALS],
        read=lambda found: found.states if isinstance(found, BestPath) else found,
        mistakes={
            "This is the best path. Forbid it, one day after the other.": lambda p: (
                viterbi(p).states
            ),
            "This is the best path with one day flipped. After the day on which they part, "
            "the second best may go its own way.": lambda p: best_where(
                p, lambda leaves: leaves.sum() == 1
            ),
            "This only looks at paths that end in another state. They may part and meet "
            "again.": lambda p: best_where(p, lambda leaves: leaves[-1]),
            "This avoids the best path on every day. To differ on one is enough.": lambda p: (
                best_where(p, lambda leaves: leaves.all())
            ),
            "This takes the second state of each day. Days do not make a path.": lambda p: (
                smooth_states(p).smoothed_probs.topk(2, dim=1).indices[:, 1]
            ),
            "This is the least probable path.": lambda p: ranked(p)[-1],
            "This is the third best path.": lambda p: ranked(p)[2],
        },
        hints=(
            "The second best path leaves the best one somewhere for the first time. On which "
            "day? Try them all.",
            "Force the states of the best path before day t, forbid its state on day t, and "
            "leave the rest free. An ordinary Viterbi run finds the best such path.",
            "To forbid a state, set its entry of `log_likelihoods` to `-torch.inf` and give "
            "`viterbi` the result of `p._replace(log_likelihoods=...)`. Of the T paths keep "
            "the one with the largest `log_joint`.",
        ),
    ),
}
