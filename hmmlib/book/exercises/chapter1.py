"""The exercises of chapter 1: a story that can be simulated."""

from itertools import product

import torch

from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.models import A, B, pi, tables
from hmmlib.book.exercises.values import ANY
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths

WALK, SHOP, CLEAN = range(3)
assert weather.activities == ("walk", "shop", "clean")


def joint_of_two_days(states=(0, 1), words=(CLEAN, WALK), initial=pi, moves=A):
    """p(x, z) of two days."""
    emitted = B[states[0], words[0]] * B[states[1], words[1]]
    return initial[states[0]] * moves[states[0], states[1]] * emitted


def independences():
    """For each statement of the exercise "yes" or "no", by listing four days of this weather."""
    z = all_paths(2, 4)
    paths = pi[z[:, 0]] * A[z[:, :-1], z[:, 1:]].prod(dim=1)  # p(z_{1:4}), (16,)
    words = torch.cartesian_prod(*[torch.arange(3)] * 4)  # (81, 4)
    joint = paths[:, None] * B[z[:, None], words[None]].prod(dim=2)  # (16, 81)
    values = torch.cat(
        [z[:, None].expand(-1, 81, -1), words[None].expand(16, -1, -1)], dim=2
    ).reshape(-1, 8)  # z_1 ... z_4, x_1 ... x_4
    z1, x1 = 0, 4  # their columns; day t is t - 1 further on

    def independent(one, other, given):
        sizes = torch.tensor([2] * 4 + [3] * 4)
        shape = [*sizes[given], sizes[one], sizes[other]]
        table = torch.zeros(shape, dtype=joint.dtype)
        index = tuple(values[:, [*given, one, other]].T)
        table.index_put_(index, joint.reshape(-1), accumulate=True)
        table = table.reshape(-1, *shape[-2:])
        product = table.sum(2, keepdim=True) * table.sum(1, keepdim=True)
        apart = product / table.sum(dim=(1, 2), keepdim=True)
        return "yes" if torch.allclose(table, apart, rtol=0, atol=1e-12) else "no"

    return [
        independent(x1 + 2, x1 + 3, [z1 + 2]),
        independent(x1 + 2, x1 + 3, []),
        independent(z1 + 2, x1 + 2, [z1 + 1, z1 + 3]),
        independent(z1 + 3, x1 + 1, [z1 + 2]),
    ]


def spell_and_share():
    """Mean length of a rainy spell in days, and the long-run share of days with shop."""
    mu = torch.linalg.matrix_power(A, 100)[0]
    return [1 / (1 - A[0, 0]), mu @ B[:, SHOP]]


def sum_of_joints(row_sum=0.9, num_days=3, days_with_words=None):
    """The sum of p(x, z) over all paths and words, if each row of B sums to `row_sum`."""
    days = range(num_days) if days_with_words is None else days_with_words
    summed = (row_sum * B).sum(dim=1)  # (K,): over the words
    total = 0.0
    for path in all_paths(2, num_days).tolist():
        joint = pi[path[0]]
        for t in range(1, num_days):
            joint = joint * A[path[t - 1], path[t]]
        for t in days:
            joint = joint * summed[path[t]]
        total += joint
    return total


def with_dog(B, scale=0.7, dog=0.3):
    """B, scaled, with one more word of probability `dog` in each state."""
    return torch.cat([scale * B, torch.full_like(B[:, :1], dog)], dim=1)


def states_of_a_tired_friend():
    """The rank of p(past, future), by which the number of states is bounded from below.

    Pasts and futures are all pairs of words before and after one moment. Four states are
    enough by the construction in the solution, so a rank of four proves that four are needed.
    """
    words, tired = B[:, :CLEAN], B[:, CLEAN]
    rested = torch.cat([words, B[:, CLEAN:]], dim=1)
    after = torch.cat([words / (1 - tired)[:, None], torch.zeros(2, 1)], dim=1)

    def probability(sequence):
        message, cleaned = pi, False
        for t, word in enumerate(sequence):
            message = message @ A if t else message
            message = message * (after if cleaned else rested)[:, word]
            cleaned = word == CLEAN
        return message.sum()

    pairs = list(product(range(3), repeat=2))
    table = [[probability(past + future) for future in pairs] for past in pairs]
    return int(torch.linalg.matrix_rank(torch.tensor(table), rtol=1e-9))


EXERCISES = {
    "1.1": Exercise(
        wanted=joint_of_two_days,
        shows="A joint probability has one factor for each circle of the graph.",
        mistakes=lambda: {
            "The start is missing: day 1 contributes its initial probability too.": (
                joint_of_two_days(initial=torch.ones(2))
            ),
            "The move is missing: day 2 is drawn given the state of day 1.": (
                joint_of_two_days(moves=torch.ones(2, 2))
            ),
            "The move is wrong. Its row is the state that is left, its column the one that is "
            "entered; and only day 1 uses π.": joint_of_two_days(moves=A.T),
            "The two words are exchanged.": joint_of_two_days(words=(WALK, CLEAN)),
            "This sums over the paths. The question names the states of both days.": (
                (pi * B[:, CLEAN]) @ A @ B[:, WALK]
            ),
        },
        hints=(
            "How many circles does the graph have for two days?",
            "Four factors: the start, a word, the move, a word.",
            "Start in row Rainy of π, take the word from row Rainy of B, move along row Rainy "
            "of A, and take the second word from row Sunny of B.",
        ),
    ),
    "1.2": Exercise(
        wanted=independences,
        shows="In this graph a known state blocks every route that passes through it, and two "
        "variables are independent if every route between them is blocked.",
        mistakes=lambda: {
            "(a) is wrong. The word of day 4 depends on the state of day 4, which is not "
            "known. But what could the word of day 3 add, once its own state is known?": [
                *("no", ANY, ANY, ANY)
            ],
            "(b) is wrong. Hearing *clean* on day 3 makes rain on day 3 more probable, and so "
            "rain on day 4, and so *clean* on day 4.": [ANY, "yes", ANY, ANY],
            "(c) is wrong. The word of a day depends on the state of that day directly, "
            "whatever is known about its neighbours.": [ANY, ANY, "yes", ANY],
            "(d) is wrong. The word of day 2 can change what we think of day 4 only through "
            "the state of day 3, and that is known.": [ANY, ANY, ANY, "no"],
        },
        hints=(
            "Find the two variables in the graph, and every route between them. Arrows may be "
            "followed in both directions.",
            "A route is blocked if it passes through a variable that is known. (In this graph "
            "no two arrows meet in the same circle, so there is no other rule.)",
            "If all routes are blocked, the two are independent. A direct arrow cannot be "
            "blocked.",
        ),
    ),
    "1.3": Exercise(
        wanted=spell_and_share,
        shows="The length of a spell is geometric, and in the long run the first day does "
        "not matter.",
        mistakes=lambda: {
            "The first number leaves out the first day of the spell.": [
                A[0, 0] / (1 - A[0, 0]),
                ANY,
            ],
            "The first number is one over the probability of staying. A spell ends with a "
            "move to the other state.": [1 / A[0, 0], ANY],
            "The first number is the mean of a sunny spell: it uses row Sunny in place of "
            "row Rainy.": [1 / (1 - A[1, 1]), ANY],
            "The second number starts from π, which holds on day 1. In the long run the "
            "shares of rain and sun are those of μ.": [ANY, pi @ B[:, SHOP]],
            "The second number weights both states equally. One of them is more "
            "frequent.": [ANY, B[:, SHOP].mean()],
            "The second number is the share of shop on rainy days alone.": [
                ANY,
                B[0, SHOP],
            ],
        },
        hints=(
            "A spell of rain ends on each day with the same probability. Which one?",
            "The mean of a geometric waiting time is one over the probability of the end. "
            "For the word: what share of days is rainy in the long run, and what share sunny?",
            "The long-run shares μ satisfy μ A = μ. Weight the shop column of B with them.",
        ),
    ),
    "1.4": Exercise(
        wanted=lambda: with_dog,
        shows="The rows sum to one again, and the old words keep their proportions.",
        trials=lambda: [(B.clone(),), (tables(0, 3, 2)[2],)],
        mistakes=lambda: {
            "The old columns were not scaled: with the dog park, each row sums to more than "
            "one.": lambda B: with_dog(B, scale=1.0),
            "The rows were divided by their sums at the end, which makes the dog park rarer "
            "than it should be.": lambda B: with_dog(B, scale=1 / 1.3, dog=0.3 / 1.3),
            "The weights of the dog park and of the old columns are exchanged.": lambda B: (
                with_dog(B, scale=0.3, dog=0.7)
            ),
            "The same amount was subtracted from each old word. To keep their proportions, "
            "multiply.": lambda B: with_dog(B - 0.3 / B.shape[1], scale=1.0),
            "The dog park was added as a row. Rows are states, columns are words.": lambda B: (
                torch.cat([0.7 * B, torch.full_like(B[:1], 0.3)], dim=0)
            ),
            "The dog park comes first. It is the last of the four words.": lambda B: (
                with_dog(B).roll(1, dims=1)
            ),
        },
        hints=(
            "A word is a column of B. What must each row still sum to?",
            "How much probability is left for the old words? Proportions stay the same when "
            "a row is multiplied by a number.",
            "`torch.cat([scaled, column], dim=1)`, with a column of shape (len(B), 1).",
        ),
    ),
    "1.5": Exercise(
        wanted=sum_of_joints,
        shows="Each day contributes one row sum of B as a factor, whatever the path.",
        mistakes=lambda: {
            "This is the row sum of one day. Each day has a word, so each contributes one.": (
                sum_of_joints(days_with_words=[0])
            ),
            "This counts one word for each move. Day 1 has a word too.": (
                sum_of_joints(days_with_words=[1, 2])
            ),
            "This is the sum if the rows of B sum to one. Here they sum to less.": (
                sum_of_joints(row_sum=1.0)
            ),
            "This adds the row sums of the days. They are factors of a joint probability.": (
                3 * sum_of_joints(days_with_words=[0])
            ),
            "This has the row sums of both states on each day. A path visits one of them.": (
                sum_of_joints() ** 2
            ),
        },
        hints=(
            "Follow the proof. Which sums were one, and no longer are?",
            "The sum over the words of the last day is a row sum of B. The same holds for "
            "every other day; π and the rows of A are as before.",
            "There is one factor for each day, and all factors are equal.",
        ),
    ),
    "1.6": Exercise(
        wanted=states_of_a_tired_friend,
        shows="Whatever the present needs to know of the past has to be part of the state.",
        mistakes=lambda: {
            "These are the states of the weather alone, and the word of a day would still "
            "depend on the word of the day before.": 2,
            "This remembers the last word completely. It works, but is all of it needed? "
            "Walking and shopping have the same consequences.": 6,
            "Which weather would the third state have? After cleaning, the weather of the next "
            "day still depends on today's weather.": 3,
            "This doubles what must be remembered: today's state can hold whether the friend "
            "cleans today, and need not hold yesterday's as well.": 8,
        },
        hints=(
            "What do you have to know today to draw tomorrow's weather and tomorrow's word?",
            "Put that into the state: the weather, and one fact about the activity.",
            "The fact is whether the friend cleans today. Count the combinations.",
        ),
    ),
}
