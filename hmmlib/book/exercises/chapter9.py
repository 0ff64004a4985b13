"""The exercises of chapter 9: richer stories."""

import itertools

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, pi, tables
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.emissions import LinearEmission
from hmmlib.hmm import HMM
from hmmlib.transitions import SoftmaxTransitions

SHORT, LONG, PASSED = 2, 10, 3  # minutes
K, D = 2, 50
STATES, WORDS, INPUTS = 3, 4, 3


def still_to_run(forgets=False):
    """The mean of the minutes left after some, by the table and by a chain of that mean."""
    mean = (SHORT + LONG) / 2
    return [mean if forgets else LONG - PASSED, mean]


def upper_end():
    """Where clean and walk are equally probable: B[0, 2] w + B[1, 2] (1 - w) is both."""
    gap = B[:, 0] - B[:, 2]  # walk less clean, in rain and in sun
    return gap[1] / (gap[1] - gap[0])


def num_free(moves=STATES * (STATES - 1) * INPUTS, starts=STATES - 1):
    """Free parameters: of the moves, of the start, and of the rows of words."""
    return moves + starts + STATES * (WORDS - 1)


def forecast(probs, A, B, num_days):
    """p(word) of the days ahead, (num_days, V)."""
    return torch.stack(states_ahead(probs, A, num_days)) @ B


def states_ahead(probs, A, num_days):
    """p(z) of the days ahead, a list of (K,)."""
    days = []
    for _ in range(num_days):
        probs = probs @ A
        days.append(probs)
    return days


def most_likely(probs, A, B, num_days):
    """The words of the most likely state of each day ahead."""
    return torch.stack([B[each.argmax()] for each in states_ahead(probs, A, num_days)])


def from_today(probs, A, B, num_days):
    """The words from today on, so that tomorrow's are in the second row."""
    return torch.stack([probs, *states_ahead(probs, A, num_days - 1)]) @ B


def beliefs():
    """Two beliefs with their tables, of two and of four states, and a number of days."""
    _, moves, emission = tables(0, 4, 5)
    return [
        (pi.flip(0), A, B, 4),
        (torch.eye(4, dtype=moves.dtype)[1], moves, emission, 3),
    ]


def only(place, word, size):
    """An answer of words with that word in one place, and whatever is right elsewhere."""
    return [word if k == place else ANY for k in range(size)]


def what_changes():
    """Which potentials differ from those of the plain chain, for four richer stories."""
    x = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    u = torch.tensor([[1.0, 0.5], [1.0, -1.0], [1.0, 2.0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    scale = torch.ones(2, dtype=torch.float64)
    steady = torch.stack([A.log(), torch.zeros_like(A)], dim=-1)
    pull = torch.tensor([0.0, 0.3], dtype=torch.float64)
    moved = SoftmaxTransitions(steady + pull * torch.eye(2).double()[..., None])
    level = LinearEmission(weights, scale)
    plain = HMM(pi, SoftmaxTransitions(steady), level)
    remembers = LinearEmission(weights + pull, scale)
    labels = torch.tensor([-1, 1, -1])
    richer = [
        HMM(pi, moved, level).potentials(x, inputs=u),
        HMM(pi, plain.transition_matrix, remembers).potentials(x, inputs=u),
        plain.potentials(x, inputs=u, labels=labels),
    ]
    found = [_differing(plain.potentials(x, inputs=u), p) for p in richer]

    words = weather.fortnight.observations[:4]
    belief = weather.hmm.belief()
    for word in words.tolist():
        belief = belief.observe(word)
    at_once = weather.hmm.filter(words).filtered_probs[-1]
    return [*found, "none" if torch.allclose(belief.probs, at_once) else "readings"]


def _differing(plain, other):
    """Which kind of factor differs between two `Potentials`."""
    if not torch.equal(plain.log_transitions[0], other.log_transitions[0]):
        return "moves"
    same = torch.equal(plain.log_likelihoods, other.log_likelihoods)
    return "none" if same else "readings"


def allowed_inputs():
    """Whether the probabilities of all series sum to one, for five kinds of input."""
    found = []
    for given in (
        lambda x: (0.7, 0.0, 1.0),  # the season
        lambda x: (0.0, x[0], 0.0),  # the last reading, in the density
        lambda x: (0.0, 0.0, x[0]),  # today's reading, in the move
        lambda x: ((x[0] + x[1]) / 2, (x[0] + x[1]) / 2, 0.0),  # the mean of all
        lambda x: (0.0, 0.0, x[1]),  # the reading after the move, in the move
    ):
        total = sum(_of_two(x, *given(x)) for x in itertools.product((0, 1), repeat=2))
        found.append("allowed" if abs(total - 1) < 1e-9 else "not allowed")
    return found


def _of_two(x, first, second, move):
    """p(x) of two readings of two values, with inputs of each reading and of the move."""
    word = torch.tensor([[0.2, 1.0], [-1.5, 0.6]], dtype=torch.float64)  # log odds of 1
    shown = [torch.sigmoid(word[:, 0] + word[:, 1] * u) for u in (first, second)]
    like = [p if reading else 1 - p for p, reading in zip(shown, x, strict=True)]
    odds = (
        torch.tensor([-0.8, 0.9], dtype=torch.float64)
        + torch.tensor([0.5, -2.0]) * move
    )
    stay = torch.sigmoid(odds)
    moves = torch.stack([torch.stack([s, 1 - s]) for s in stay])
    return float((pi * like[0]) @ moves @ like[1])


EXERCISES = {
    "9.1": Exercise(
        wanted=what_changes,
        shows="Each of these changes one kind of factor, and the recursion never asks how it "
        "was computed.",
        mistakes=lambda: {
            "An input that drives the moves leaves every reading's probability in its state "
            "as it is.": only(0, "readings", 4),
            "In an autoregression the states move as before. Which factor contains the last "
            "reading?": only(1, "moves", 4),
            "A label forbids states on its day. No move gets another probability by it.": (
                only(2, "moves", 4)
            ),
            "A label is used: it sets one factor of its day to zero in all states but "
            "one.": only(2, "none", 4),
            "Filtering live uses the same factors, one step after the other.": only(
                3, "readings", 4
            ),
        },
        hints=(
            "Go through the table at the beginning of the chapter.",
            "Write the joint probability of a path, and ask of each factor whether it is "
            "still computed as before.",
            "Moves are the factors with two states, readings those with one state and an "
            "observation. One of the four stories changes none of them.",
        ),
    ),
    "9.2": Exercise(
        wanted=still_to_run,
        shows="A table of durations knows which kind of run this must be. The chain has "
        "forgotten when it began.",
        mistakes=lambda: {
            "The first number takes the mean of the durations that are still possible, and "
            "not what is left of them.": [LONG, still_to_run()[1]],
            "The first number is the mean of all runs. The short ones are over by now.": (
                still_to_run(forgets=True)
            ),
            "The second number subtracts the minutes that have passed. A geometric duration "
            "does not remember them.": [LONG - PASSED, still_to_run()[1] - PASSED],
            "The order is the other way round.": still_to_run()[::-1],
        },
        hints=(
            "Which of the two kinds of run is still going on after the third minute?",
            "A geometric duration has no memory. What is left of it has the same mean at "
            "every minute.",
            "For the table, the long duration less what has passed; for the chain, the mean "
            "of all durations.",
        ),
    ),
    "9.3": Exercise(
        wanted=upper_end,
        shows="A little more rain than sun, and the word of the rain is the least likely of "
        "all. A decision about the state is no forecast of the word.",
        mistakes=lambda: {
            "Here clean and shop would be equally likely. Compare clean with walk.": (
                (B[1, 1] - B[1, 2]) / (B[1, 1] - B[1, 2] + B[0, 2] - B[0, 1])
            ),
            "This is the other state's probability.": 1 - upper_end(),
            "This is where the interval begins: from here on rain is the likelier state.": 0.5,
            "This is the probability of rain in the long run, just above the interval.": (
                A[1, 0] / (A[1, 0] + A[0, 1])
            ),
        },
        hints=(
            "Above one half the shortcut says clean. Which word is likely in the sun and "
            "could be likelier than clean?",
            "Write the probabilities of clean and of walk as w times that in the rain plus "
            "(1 − w) times that in the sun.",
            "Solve 0.5 w + 0.1 (1 − w) = 0.1 w + 0.6 (1 − w).",
        ),
        tolerance=1e-3,
    ),
    "9.4": Exercise(
        wanted=lambda: forecast,
        shows="The states are averaged before they emit. Nothing is decided on the way.",
        trials=beliefs,
        mistakes=lambda: {
            "These are the words of the most likely state. Sum over the states instead, each "
            "with its probability.": most_likely,
            "The first row is today. Move before you emit.": from_today,
            "These are the states. Each of them emits by its row of B.": (
                lambda probs, A, B, num_days: torch.stack(
                    states_ahead(probs, A, num_days)
                )
            ),
            "A is used from the wrong side: a row is the state that is left.": (
                lambda probs, A, B, num_days: forecast(probs, A.T, B, num_days)
            ),
            "This forecasts every day as if it were tomorrow.": (
                lambda probs, A, B, num_days: forecast(probs, A, B, 1).expand(
                    num_days, -1
                )
            ),
        },
        hints=(
            "What is the distribution of tomorrow's state, given today's?",
            "`probs @ A` is one day later. `probs @ B` averages the rows of B.",
            "In a loop over the days: `probs = probs @ A`, then keep `probs @ B`; stack them.",
        ),
    ),
    "9.5": Exercise(
        wanted=num_free,
        shows="Only differences of weights count, one vector fewer than states in each row.",
        mistakes=lambda: {
            "This counts all weights. In each row, one vector can be set to zero.": (
                num_free(moves=STATES**2 * INPUTS)
            ),
            "This is an ordinary chain. Each free move has one weight for each input.": (
                num_free(moves=STATES * (STATES - 1))
            ),
            "These are the weights of the moves alone. The start and the words have "
            "parameters too.": STATES * (STATES - 1) * INPUTS,
            "The start is missing.": num_free(starts=0),
            "The start sums to one: it has one free number fewer than states.": (
                num_free(starts=STATES)
            ),
            "Each row of words sums to one: it has one free number fewer than words.": (
                num_free() + STATES
            ),
        },
        hints=(
            "Multiply the numerator and the denominator of the softmax by the same factor.",
            "The moves have K (K − 1) P free weights.",
            "Add the start, K − 1, and for each state a row of words, V − 1.",
        ),
        tolerance=1e-6,
    ),
    "9.6": Exercise(
        wanted=lambda: K * (D - 1) + K * (K - 1) * D,
        shows="Nearly all entries are zero, and a recursion from stay to stay never sees "
        "them.",
        mistakes=lambda: {
            "These are all entries of the matrix. Most moves are impossible.": (K * D)
            ** 2,
            "These are the moves that count down. A stay that is over moves on.": K
            * (D - 1),
            "These are the moves into new stays. The others count down.": K
            * (K - 1)
            * D,
            "A stay with nothing left cannot count down: there are D − 1 such moves for each "
            "state.": K * D + K * (K - 1) * D,
            "This lets a state follow itself. A move leads to another state.": (
                K * (D - 1) + K * K * D
            ),
        },
        hints=(
            "From a pair with steps left there is a single move. Where to?",
            "From a pair with nothing left, one move for each other state and each duration.",
            "K (D − 1) moves that count down, and K (K − 1) D that begin a stay.",
        ),
        tolerance=1e-6,
    ),
    "9.7": Exercise(
        wanted=allowed_inputs,
        shows="What has happened already may be given; what is still to be predicted may not.",
        mistakes=lambda: {
            "The season is known for all days beforehand and is not predicted by the model.": (
                only(0, "not allowed", 5)
            ),
            "When a reading is scored, the earlier ones are known. The product rule allows "
            "each factor to depend on them.": only(1, "not allowed", 5),
            "Today's reading comes before the move into tomorrow, so the move may depend on "
            "it.": only(2, "not allowed", 5),
            "The mean of the whole series contains the reading that is scored, and later ones. "
            "Do the probabilities of all series still sum to one?": only(
                3, "allowed", 5
            ),
            "The next reading is predicted from the move that it is supposed to drive: that "
            "uses it twice.": only(4, "allowed", 5),
        },
        hints=(
            "Think of simulating the model from the first day on. When you need the input, "
            "have you drawn it yet?",
            "The product rule: each factor may depend on everything that comes before what "
            "it predicts.",
            "For two readings of two values, add up the probabilities of all four series. "
            "What must the sum be?",
        ),
    ),
}
