"""The fortnight of the book, and every number that the chapters tell of it."""

import itertools
import math

import torch
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.inference import filter_states, log_likelihood, smooth_states, viterbi

P = weather.hmm.potentials(weather.fortnight.observations)


def test_seed_18_is_the_fortnight_of_the_book():
    sample = weather.sample(14, seed=18)
    assert "".join("RS"[z] for z in sample.states) == "SSSRRSRRRRSSSS"
    words = "walk walk walk shop shop walk clean shop shop shop walk shop walk walk"
    assert " ".join(weather.activities[x] for x in sample.observations) == words
    assert (sample.states == weather.fortnight.states).all()
    assert (sample.observations == weather.fortnight.observations).all()


def test_log_likelihood():
    assert_close(log_likelihood(P).item(), -15.148962, rtol=0.0, atol=1e-6)
    assert_close(
        path_log_joints(P, all_paths(2, 14)).logsumexp(0),
        log_likelihood(P),
        rtol=1e-12,
        atol=0.0,
    )


def test_the_true_path_is_the_runner_up():
    log_joints, order = path_log_joints(P, all_paths(2, 14)).sort(descending=True)
    paths = all_paths(2, 14)[order]
    assert (paths[0] == viterbi(P).states).all() and "".join(
        "RS"[z] for z in paths[0]
    ) == "SSSSSSRRRRSSSS"
    assert (paths[1] == weather.fortnight.states).all()
    assert_close(
        log_joints[:2], torch.tensor([-18.8229, -19.1920]).double(), rtol=0.0, atol=5e-5
    )
    posterior = (log_joints[:2] - log_likelihood(P)).exp()
    assert_close(
        posterior, torch.tensor([0.0254, 0.0175]).double(), rtol=0.0, atol=5e-5
    )
    assert (viterbi(P).states == weather.fortnight.states).sum() == 12


def test_day_by_day_posterior():
    rainy = smooth_states(P).smoothed_probs[:, 0]
    told = [
        0.127,
        0.083,
        0.123,
        0.498,
        0.526,
        0.260,
        0.824,
        0.719,
        0.664,
        0.556,
        0.189,
        0.398,
        0.117,
        0.121,
    ]
    assert_close(rainy, torch.tensor(told).double(), rtol=0.0, atol=6e-4)
    assert ((rainy < 0.5).long() == weather.fortnight.states).sum() == 13


# The same tables once more, for sums over paths in plain Python.
PI, MOVES = (0.6, 0.4), ((0.7, 0.3), (0.4, 0.6))
WORDS = ((0.1, 0.4, 0.5), (0.6, 0.3, 0.1))


def joints(heard):
    """{path: p(path, words)}; None in the place of a word that was not heard."""
    result = {}
    for path in itertools.product((0, 1), repeat=len(heard)):
        joint = PI[path[0]]
        for before, after in itertools.pairwise(path):
            joint *= MOVES[before][after]
        for state, word in zip(path, heard, strict=True):
            joint *= 1.0 if word is None else WORDS[state][word]
        result[path] = joint
    return result


def share(heard, holds):
    """The posterior probability of the paths for which `holds`."""
    listed = joints(heard)
    return sum(p for path, p in listed.items() if holds(path)) / sum(listed.values())


def test_what_is_known_of_day_4_with_more_and_more_words():
    heard = weather.fortnight.observations.tolist()
    given = {
        0.5722: [None] * 4,
        0.6407: [None] * 3 + heard[3:4],
        0.5059: heard[:4],
        0.4982: heard,
    }
    for told, words in given.items():
        assert math.isclose(share(words, lambda path: path[3] == 0), told, abs_tol=5e-5)


def test_the_true_path_is_not_the_product_of_its_days():
    heard = weather.fortnight.observations.tolist()
    truth = tuple(weather.fortnight.states.tolist())
    path = math.log(share(heard, lambda path: path == truth))
    days = sum(
        math.log(share(heard, lambda path, t=t: path[t] == truth[t])) for t in range(14)
    )
    assert math.isclose(path, -4.043, abs_tol=5e-4)
    assert math.isclose(days, -4.4814, abs_tol=5e-5)
    # day by day from each word alone, p(z_t) from the moves alone
    rain, alone = PI[0], 0.0
    for state, word in zip(truth, heard, strict=True):
        scores = rain * WORDS[0][word], (1 - rain) * WORDS[1][word]
        alone += math.log(scores[state] / sum(scores))
        rain = 0.4 + 0.3 * rain
    assert math.isclose(alone, -4.8270, abs_tol=5e-5)


def test_between_two_and_eight_days_were_rainy():
    heard = weather.fortnight.observations.tolist()
    exact = share(heard, lambda path: 2 <= path.count(0) <= 8)
    assert math.isclose(exact, 0.931, abs_tol=5e-4)


def test_filtering_says_what_the_word_alone_says():
    """Predicted rain is between the roots of r = 0.4 + 0.3 f(r), f after walk or clean."""
    low = (7.7 - math.sqrt(7.7**2 - 48)) / 10  # 5 r^2 - 7.7 r + 2.4 = 0
    high = (2.1 + math.sqrt(2.1**2 + 6.4)) / 8  # 4 r^2 - 2.1 r - 0.4 = 0
    assert math.isclose(low, 0.434, abs_tol=5e-4)
    assert math.isclose(high, 0.673, abs_tol=5e-4)
    # above the threshold of shop, below that of walk
    assert low > 3 / 7 and high < 6 / 7
    words = all_paths(3, 9)
    filtered = filter_states(weather.hmm.potentials(words))
    rain = filtered.predicted_probs[..., 0]
    assert low < rain.min() < low + 1e-3 and high - 1e-3 < rain.max() < high
    assert (filtered.filtered_probs.argmax(-1) == (words == 0)).all()


def test_a_sticky_weather_differs_in_its_chain_alone():
    climate = weather.sticky(0.7)
    assert (climate.emission.probs == weather.hmm.emission.probs).all()
    assert climate.initial_probs.tolist() == [0.5, 0.5]
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert_close(half @ climate.transition_matrix, half)
