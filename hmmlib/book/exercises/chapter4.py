"""The exercises of chapter 4: the single best explanation."""

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import RAIN, listed, potentials, without
from hmmlib.book.exercises.values import ANY
from hmmlib.inference import BestPath, filter_states, smooth_states, viterbi

TRIALS = ((32, 3, 4), (1, 3, 4), (30, 3, 4), (0, 2, 5), (0, 3, 1))  # seed, K, T


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


EXERCISES = {
    "4.1": Exercise(
        wanted=what_changes,
        shows="A path does not show that it has become less certain.",
        mistakes=lambda: {
            "Clean is the strongest evidence of rain, but its neighbours keep the spell "
            "without it. Try the other word too.": ["clean", ANY],
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
            "Clean is the strongest evidence of rain. Can rain become more probable without "
            "it?": [ANY, "higher"],
        },
        hints=(
            "Which of the two words stands among others that say the same, and which one "
            "breaks a run?",
            "Cross a word out with `observed=torch.arange(14) != ...` and compare the paths.",
            "Compare the path of `viterbi` with and without each word; for the second answer "
            "use `smooth_states`, where day 7 is at index six.",
        ),
    ),
    "4.2": Exercise(
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
            "On which day is the weather least certain?",
            "On each day take the larger of the two smoothed probabilities; then compare "
            "days.",
            "`smooth_states(p).smoothed_probs`, `.amax(dim=1)`, `.min()`",
        ),
    ),
    "4.3": Exercise(
        wanted=lambda: lambda p: ranked(p)[1],
        shows="As many Viterbi runs as there are days replace a list of all paths.",
        trials=lambda: [(potentials(*each),) for each in TRIALS],
        read=lambda found: found.states if isinstance(found, BestPath) else found,
        mistakes=lambda: {
            "This is the best path. Forbid it, one day after the other.": lambda p: (
                viterbi(p).states
            ),
            "This is the best path with one day changed. After the day on which they part, "
            "the second best path may differ on later days too.": lambda p: best_where(
                p, lambda differs: differs.sum() == 1
            ),
            "This considers only paths that end in another state. They may part and meet "
            "again.": lambda p: best_where(p, lambda differs: differs[-1]),
            "This avoids the best path on every day. It is enough to differ on one.": (
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
            "`viterbi` the result of `p._replace(log_likelihoods=...)`. Of the T paths keep "
            "the one with the largest `log_joint`.",
        ),
    ),
}
