"""The exercises of chapter 5: learning from data."""

from functools import cache, partial
from operator import itemgetter

import torch

from hmmlib.book.exercises.freedom import ranks, rows_are_free
from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, listed, pi
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import expected_counts, filter_states, viterbi
from hmmlib.learning import em_step, fit_em, fit_gradient, random_starts

THREE = torch.tensor([0, 1, 1])  # walk, shop, shop
same = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]], dtype=torch.float64)


@cache
def words():
    """`weather_words` of the chapter, (60, 100)."""
    return weather.hmm.sample(100, seed=1, num_sequences=60).observations


def sums_of_counts():
    """What all expected starts, moves and days of the words add up to."""
    counts = expected_counts(weather.hmm.potentials(words()))
    return [each.sum() for each in (counts.initial, counts.transitions, counts.states)]


def truths():
    """Whether each statement of exercise 5.2 holds: three by an example, one by a fit."""
    start, *_ = random_starts(weather.hmm, 1, seed=0)
    after, _ = em_step(start, words())
    falls = (after.log_likelihood(words()) < start.log_likelihood(words())).any()

    stationary = torch.linalg.matrix_power(A, 100)[0]
    at_rest = em_step(HMM(stationary, A, same), words())[0]
    top = fit_gradient(weather.hmm, words(), method="lbfgs").model
    scores = [
        each.log_likelihood(words()).sum() for each in (at_rest, weather.hmm, top)
    ]
    gain = em_step(at_rest, words())[0].log_likelihood(words()).sum() - scores[0]
    rests_below = abs(gain) < 1e-6 and scores[0] < scores[2]

    even = torch.full((2, 2), 0.5, dtype=torch.float64)
    mean = B.mean(dim=0).expand(2, 3)
    pair = [
        HMM(even[0], even, each).log_likelihood(words()).sum() for each in (B, mean)
    ]
    others = torch.isclose(*pair)  # as good, and not the same tables in another order
    found = (falls, not rests_below, not others, scores[2] >= scores[1])
    return ["true" if each else "false" for each in found]


def days_by_word(gamma, x=THREE):
    """Expected days of each state with *walk* and *shop*, (K, 2)."""
    return gamma.T @ torch.nn.functional.one_hot(x, 2).to(gamma)


def rows(counts):
    """The table with each row divided by its sum."""
    return counts / counts.sum(dim=1, keepdim=True)


def smoothed_of_three():
    """gamma of *walk, shop, shop*, (3, 2), by listing the paths."""
    paths, log_joints = listed(weather.hmm.potentials(THREE))
    at_state = torch.nn.functional.one_hot(paths, 2).to(B)  # (8, 3, 2)
    return torch.einsum("p,ptk->tk", log_joints.softmax(dim=0), at_state)


def new_emission(gamma=None):
    """The first two columns of B after one step on *walk, shop, shop*, (2, 2)."""
    return rows(days_by_word(smoothed_of_three() if gamma is None else gamma))


def of_best_path():
    """B from the counts of the best path alone; the Viterbi path of three days."""
    states = viterbi(weather.hmm.potentials(THREE)).states
    return new_emission(torch.nn.functional.one_hot(states, 2).to(B))


def prior_of_three():
    """p(z_t) without the words, (3, 2)."""
    return torch.stack([pi, pi @ A, pi @ A @ A])


def emission_after(num_steps):
    """B after some steps of Baum-Welch from two equal rows, (2, 3)."""
    model = HMM(pi, A, same)
    for _ in range(num_steps):
        model, _ = em_step(model, words())
    return model.emission.probs


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
        wanted=sums_of_counts,
        shows="A sum that is the same for every path does not depend on the posterior.",
        mistakes=lambda: {
            "These are the counts of one sequence. Add them over all sequences.": (
                torch.stack(sums_of_counts()) / len(words())
            ),
            "Each sequence has a first day. Add the starts over all of them.": [
                1,
                ANY,
                ANY,
            ],
            "A sequence has one move fewer than days.": [ANY, words().numel(), ANY],
            "No move leads from the end of one sequence to the beginning of the next.": [
                ANY,
                words().numel() - 1,
                ANY,
            ],
            "On each day the expected counts of the two states add up to one.": [
                ANY,
                ANY,
                2 * words().numel(),
            ],
        },
        hints=(
            "Expected counts are averages over paths. What is each sum for a single path?",
            "How many first states, moves and days does every path of one sequence have, "
            "whatever its states are?",
            "Multiply each of them by the number of sequences.",
        ),
        tolerance=1e-6,
    ),
    "5.2": Exercise(
        wanted=truths,
        shows="EM promises something about the sum over all sequences, and nothing more.",
        mistakes=lambda: {
            "The tables are shared by all sequences. What is good for most of them may be "
            "bad for one.": ["false", ANY, ANY, ANY],
            "A run converges when its last step gains little. Is that the case only at a "
            "maximum?": [ANY, "true", ANY, ANY],
            "Look at the example with equal rows of A: two tables, one likelihood.": [
                ANY,
                ANY,
                "true",
                ANY,
            ],
            "The maximum is taken over all tables. Are the true ones among them?": [
                ANY,
                ANY,
                ANY,
                "false",
            ],
        },
        hints=(
            "For which quantity does the page prove that no step lowers it?",
            "What does a run look at when it decides that it has converged?",
            "For the third, look for two different tables with the same likelihood in the "
            "section on what the words determine. For the fourth, compare one point with the "
            "maximum over all points.",
        ),
    ),
    "5.3": Exercise(
        wanted=new_emission,
        shows="Three days without *clean* make it impossible, for ever.",
        mistakes=lambda: {
            "These are counts. Divide each row by its sum.": (
                days_by_word(smoothed_of_three())
            ),
            "The columns sum to one. Each row should.": (
                rows(days_by_word(smoothed_of_three()).T).T
            ),
            "These are filtered probabilities. The posterior of a path is given all words.": (
                new_emission(
                    filter_states(weather.hmm.potentials(THREE)).filtered_probs
                )
            ),
            "These are the counts of the best path. Every path counts, with its posterior "
            "probability.": of_best_path(),
            "These counts do not use the words to judge the states: p(state) in place of "
            "p(state | words).": new_emission(prior_of_three()),
            "These are the frequencies of the words, the same for both states. Weight each day "
            "by the probability of the state.": (
                new_emission(torch.ones(3, 2, dtype=B.dtype))
            ),
        },
        hints=(
            "How probable is rain on each of the three days, given all three words?",
            "For a day, add the posterior probabilities of the paths that are rainy on it.",
            "Add the probability of rain on each day to the column of its word, in the row of "
            "rain; the same for sun.",
            "`count(pi, A, B, x3)[2]`, each row divided by its sum.",
        ),
    ),
    "5.4": Exercise(
        wanted=lambda: emission_after(1),
        shows="Both rows are very nearly the frequencies of the words. In three hundred "
        "steps, the small difference that remains grows into two different states.",
        mistakes=lambda: {
            "This is B as it was. A step changes it: both states take the frequencies of the "
            "words.": same,
            "This is the true table. One step cannot find it: what is γ if both states have "
            "the same probabilities of words?": B,
            "This is B after three hundred steps. The question asks for one step.": (
                emission_after(300)
            ),
            "All words have the same probability here, but some are more frequent in the "
            "data.": torch.full((2, 3), 1 / 3),
            "The whole table sums to one. Each row should.": emission_after(1) / 2,
        },
        hints=(
            "The words say nothing about the states if both rows of B are the same. What "
            "is γ then?",
            "γ is nearly the same on all days, so that each state is assigned the same share "
            "of every word. What do the rows of B become?",
            "Count each word in `weather_words` and divide by the number of words; or take one "
            "`learning.em_step` from `HMM(pi, A, same)`.",
        ),
        tolerance=0.01,
    ),
    "5.5": Exercise(
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
            "This continues the last short run, whatever the others reached. Store all "
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
    "5.6": Exercise(
        wanted=rows_are_free,
        shows="A maximum splits where the sum splits and no condition ties the parts together.",
        mistakes=lambda: {
            "A zero restricts one row and leaves the others free. And its expected count is "
            "zero too.": ["no", ANY, ANY, ANY],
            "Can the rows of a symmetric A be chosen independently of each other?": [
                ANY,
                "yes",
                ANY,
                ANY,
            ],
            "If π is stationary, a change of A changes π. The first states then say something "
            "about A.": [ANY, ANY, "yes", ANY],
            "Two tables B are more rows, and no condition ties them together.": [
                ANY,
                ANY,
                ANY,
                "no",
            ],
        },
        hints=(
            "When is the maximum of a sum the sum of the maxima?",
            "Take two sets of tables that fulfil the condition, and exchange one row. Do the "
            "mixed tables still fulfil it?",
            "In two of the four cases changing one row forces another one to change.",
        ),
    ),
    "5.7": Exercise(
        wanted=ranks,
        shows="Neighbours on both sides of a day tell the states apart.",
        mistakes=lambda: {
            "Knowing the probabilities of single words, how much could you know of A?": [
                7,
                ANY,
                ANY,
            ],
            "These are the numbers of probabilities, less one because they add up to one. "
            "The tables cannot produce all of them.": [2, 8, 26],
            "The probabilities of three words add up to one.": [3, ANY, ANY],
            "Two words do not determine everything: mix the rows of B a little, and change "
            "the matrix between them to undo it.": [ANY, 7, ANY],
            "A further word does not always add the same. Compute the rank.": [2, 4, 6],
            "The seven numbers are free. Compute the rank for three words.": [
                ANY,
                ANY,
                5,
            ],
        },
        hints=(
            "How many of the probabilities of single words can be chosen freely?",
            "For two words the probabilities are the table Bᵀ diag(π) A B. Which "
            "other B gives the same table, with another matrix in the middle?",
            "Write a function from the free numbers to the probabilities of all lists, and "
            "use `torch.autograd.functional.jacobian` and `torch.linalg.matrix_rank`.",
        ),
        tolerance=1e-6,
    ),
}
