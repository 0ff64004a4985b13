"""The fortnight of the book, and every number that the chapters tell of it."""

import torch
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.inference import log_likelihood, smooth_states, viterbi

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
