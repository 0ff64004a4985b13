"""The exercises of chapter 5: learning from data."""

from operator import itemgetter

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import tables
from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.learning import em_step, fit_em, random_starts

pi = weather.hmm.initial_probs
A = weather.hmm.transition_matrix
NUM_STATES = 4
same = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], dtype=torch.float64)


def words():
    """Those of the chapter, (60, 100)."""
    return weather.hmm.sample(100, seed=1, num_sequences=60).observations


def emission_after(num_steps):
    """B after some steps of Baum-Welch from two equal rows, (2, 3)."""
    model, seen = HMM(pi, A, same), words()
    for _ in range(num_steps):
        model, _ = em_step(model, seen)
    return model.emission.probs


def num_possible():
    """Entries of A above 0 after Baum-Welch from a left-to-right chain."""
    ahead = torch.arange(NUM_STATES) - torch.arange(NUM_STATES)[:, None]
    moves = ((ahead == 0) | (ahead == 1)).double()
    start, _, said = tables(0, NUM_STATES, 3)
    model = HMM(start, moves / moves.sum(dim=1, keepdim=True), said)
    for _ in range(3):
        model, _ = em_step(model, words()[:, :20])
    return (model.transition_matrix > 0).sum()


def short_runs(like, sequences, num_starts=10, short=20, seed=0):
    """(score, model) of short runs from random starts."""
    runs = []
    for model in random_starts(like, num_starts, seed):
        score = None
        for _ in range(short):
            model, score = em_step(model, sequences)
        runs.append((score, model))
    return runs


def best_of_short_runs(like, sequences, pick=max, num_iters=200):
    """The best of some short runs, continued."""
    _, leader = pick(short_runs(like, sequences), key=itemgetter(0))
    return fit_em(leader, sequences, num_iters=num_iters)


def best_start(like, sequences):
    """The start that is best before any step, and what it comes to."""
    (_, leader), *_ = sorted(
        zip(
            short_runs(like, sequences, short=1),
            random_starts(like, 10, 0),
            strict=True,
        ),
        key=lambda run: -run[0][0],
    )
    return fit_em(leader, sequences, num_iters=220)


EXERCISES = {
    "5.1": Exercise(
        wanted=lambda: emission_after(1),
        shows="Both rows are very nearly the frequencies of the words. The trace that is "
        "left grows, in three hundred steps, to all of the weather.",
        mistakes={
            "This is B as it was. A step moves it: both states say the words as often as "
            "they are heard.": lambda: same,
            "These are the true tables. One step cannot find them: what is γ when both "
            "states say the same?": lambda: weather.hmm.emission.probs,
            "This is B after three hundred steps. Asked is one step.": lambda: (
                emission_after(300)
            ),
            "All words alike: the step counts the words, and some are heard more often.": (
                lambda: torch.full((2, 3), 1 / 3)
            ),
            "The whole table sums to one. Each row should.": lambda: (
                emission_after(1) / 2
            ),
            "These are counts. Divide each row by its sum.": lambda: (
                emission_after(1) * words().numel() / 2
            ),
        },
        hints=(
            "The words say nothing of the weather if both states say the same. What is γ "
            "then?",
            "γ is nearly the same for all days, so that each state is handed the same share "
            "of every word. What do the rows of B become?",
            "Count each word in `words` and divide by the number of words; or take one "
            "`learning.em_step` from `HMM(pi, A, same)`.",
        ),
        tolerance=0.01,
    ),
    "5.2": Exercise(
        wanted=num_possible,
        shows="Baum–Welch learns how probable the moves are that the start allows, and no "
        "others.",
        mistakes={
            "These are all entries. Those that start at zero stay there.": lambda: (
                NUM_STATES**2
            ),
            "This is the upper triangle: a chain that may jump ahead. This one goes one "
            "state at a time.": lambda: NUM_STATES * (NUM_STATES + 1) / 2,
            "This gives the last state somewhere to go. It can only stay.": lambda: (
                2 * NUM_STATES
            ),
            "These are the moves to the right. Staying counts too.": lambda: (
                NUM_STATES - 1
            ),
            "This is staying alone. The moves to the right count too.": lambda: (
                NUM_STATES
            ),
            "These are the entries that stay at zero. Asked are the others.": lambda: (
                (NUM_STATES - 1) ** 2
            ),
        },
        hints=(
            "What is the expected number of moves that have probability zero?",
            "Write down the matrix. On which diagonals can it differ from zero?",
            "The diagonal, and the one to the right of it, which is one entry shorter.",
        ),
        tolerance=1e-6,
    ),
    "5.3": Exercise(
        wanted=best_of_short_runs,
        shows="A start that has left its plateau is a safe choice, and the others cost only "
        "twenty steps each.",
        trials=lambda: [
            (
                weather.sticky(0.9),
                weather.sticky(0.9).sample(40, seed, num_sequences=40).observations,
            )
            for seed in (2, 3)
        ],
        read=lambda fit: fit.log_likelihoods[-1],
        mistakes={
            "The worst short run is continued. A log-likelihood is better when it is "
            "larger.": lambda like, sequences: best_of_short_runs(like, sequences, min),
            "The last short run is continued, whatever the others reached. Keep all scores, "
            "and compare.": lambda like, sequences: best_of_short_runs(
                like, sequences, lambda runs, key: runs[-1]
            ),
            "The first short run is continued, whatever the others reached.": (
                lambda like, sequences: best_of_short_runs(
                    like, sequences, lambda runs, key: runs[0]
                )
            ),
            "The starts are compared before they have run. Compare what twenty steps make of "
            "them.": best_start,
            "The best short run is not continued: this is where it stood.": (
                lambda like, sequences: best_of_short_runs(like, sequences, num_iters=0)
            ),
        },
        hints=(
            "`learning.random_starts(like, num_starts, seed)` gives the starts, and "
            "`learning.em_step` one step with the score of the model before it.",
            "Keep a list of (score, model), one pair for each start after its short run.",
            "`max(runs, key=lambda run: run[0])`, and `learning.fit_em` from its model.",
        ),
        tolerance=2e-6,
    ),
}
