"""The exercises of chapter 5: learning from data."""

from functools import partial
from operator import itemgetter

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, pi, tables
from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.learning import em_step, fit_em, random_starts

K = 4
same = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], dtype=torch.float64)


def words():
    """The words of the chapter, (60, 100)."""
    return weather.hmm.sample(100, seed=1, num_sequences=60).observations


def emission_after(num_steps):
    """B after some steps of Baum-Welch from two equal rows, (2, 3)."""
    model, observed = HMM(pi, A, same), words()
    for _ in range(num_steps):
        model, _ = em_step(model, observed)
    return model.emission.probs


def num_possible():
    """The number of entries of A above 0 after Baum-Welch from a left-to-right chain."""
    ahead = torch.arange(K) - torch.arange(K)[:, None]
    moves = ((ahead == 0) | (ahead == 1)).double()
    start, _, emission = tables(0, K, 3)
    model = HMM(start, moves / moves.sum(dim=1, keepdim=True), emission)
    for _ in range(3):
        model, _ = em_step(model, words()[:, :20])
    return (model.transition_matrix > 0).sum()


def short_runs(like, sequences, num_steps=20):
    """(score, model) of ten short runs from random starts."""
    runs = []
    for model in random_starts(like, 10, seed=0):
        for _ in range(num_steps):
            model, score = em_step(model, sequences)
        runs.append((score, model))
    return runs


def best_of_short_runs(like, sequences, pick=max, num_iters=200):
    """The short run that `pick` chooses, by default the best, continued."""
    _, leader = pick(short_runs(like, sequences), key=itemgetter(0))
    return fit_em(leader, sequences, num_iters=num_iters)


def best_start(like, sequences):
    """The start with the best score before any step, continued."""
    scores = [score for score, _ in short_runs(like, sequences, num_steps=1)]
    leader = random_starts(like, 10, seed=0)[scores.index(max(scores))]
    return fit_em(leader, sequences, num_iters=220)


EXERCISES = {
    "5.1": Exercise(
        wanted=lambda: emission_after(1),
        shows="Both rows are very nearly the frequencies of the words. In three hundred "
        "steps, the small difference that remains grows into the weather.",
        mistakes=lambda: {
            "This is B as it was. A step moves it: both states take the frequencies of the "
            "words.": same,
            "This is the true table. One step cannot find it: what is γ if both states have "
            "the same probabilities of words?": weather.hmm.emission.probs,
            "This is B after three hundred steps. The question asks for one step.": (
                emission_after(300)
            ),
            "All words have the same probability here, but some are more frequent in the "
            "data.": torch.full((2, 3), 1 / 3),
            "The whole table sums to one. Each row should.": emission_after(1) / 2,
            "These are counts. Divide each row by its sum.": (
                emission_after(1) * words().numel() / 2
            ),
        },
        hints=(
            "The words say nothing about the weather if both rows of B are the same. What "
            "is γ then?",
            "γ is nearly the same on all days, so that each state is assigned the same share "
            "of every word. What do the rows of B become?",
            "Count each word in `words` and divide by the number of words; or take one "
            "`learning.em_step` from `HMM(pi, A, same)`.",
        ),
        tolerance=0.01,
    ),
    "5.2": Exercise(
        wanted=num_possible,
        shows="Baum–Welch learns the probabilities of the moves that the start allows, and "
        "no others.",
        mistakes=lambda: {
            "These are all entries. Those that start at zero stay there.": K**2,
            "This is the upper triangle: a chain that may skip states. This one goes one "
            "state at a time.": K * (K + 1) / 2,
            "This gives the last state a next one. It can only stay.": 2 * K,
            "These are the moves to the next state. Staying counts too.": K - 1,
            "These are the entries for staying. The moves to the next state count too.": K,
            "These are the entries that stay at zero. The question asks for the others.": (
                (K - 1) ** 2
            ),
        },
        hints=(
            "What is the expected number of moves that have probability zero?",
            "Write down the matrix. On which diagonals can its entries differ from zero?",
            "The diagonal, and the one to the right of it, which is one entry shorter.",
        ),
        tolerance=1e-6,
    ),
    "5.3": Exercise(
        wanted=lambda: best_of_short_runs,
        shows="A start that has left its plateau is a safe choice, and each of the others "
        "costs only twenty steps.",
        trials=lambda: [
            (
                weather.sticky(0.9),
                weather.sticky(0.9).sample(40, seed, num_sequences=40).observations,
            )
            for seed in (2, 3)
        ],
        read=lambda fit: fit.log_likelihoods[-1],
        mistakes=lambda: {
            "This continues the worst short run. A larger log-likelihood is better.": (
                partial(best_of_short_runs, pick=min)
            ),
            "This continues the last short run, whatever the others reached. Keep all "
            "scores, and compare.": (
                partial(best_of_short_runs, pick=lambda runs, key: runs[-1])
            ),
            "This continues the first short run, whatever the others reached.": (
                partial(best_of_short_runs, pick=lambda runs, key: runs[0])
            ),
            "This compares the starts before they have run. Compare their scores after "
            "twenty steps.": best_start,
            "The best short run is not continued: this is the score that it had reached.": (
                partial(best_of_short_runs, num_iters=0)
            ),
        },
        hints=(
            "`learning.random_starts(like, num_starts, seed)` gives the starts, and "
            "`learning.em_step` one step with the score of the model before it.",
            "Make a list of (score, model), one pair for each start after its short run.",
            "`max(runs, key=lambda run: run[0])`, and `learning.fit_em` from its model.",
        ),
        tolerance=2e-6,
    ),
}
