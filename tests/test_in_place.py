"""A model that is changed in place is read as it is, and one of inference mode too."""

import operator

import pytest
import torch
from torch.distributions import (
    Categorical,
    Normal,
)
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi

PI, A = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]
B = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]


@pytest.mark.parametrize(
    "name", ["initial_probs", "transition_matrix", "emission.loc", "emission.scale"]
)
def test_a_gaussian_model_changed_in_place_is_read_as_it_is(name):
    loc, scale = torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()
    hmm, x = HMM(PI, A, Normal(loc, scale)), torch.tensor([0.0, 4.0])
    before = log_likelihood(hmm.potentials(x))
    changed = operator.attrgetter(name)(hmm)
    changed.copy_(changed.flip(0).clone())
    fresh = HMM(hmm.initial_probs, hmm.transition_matrix, hmm.emission)
    found = log_likelihood(hmm.potentials(x))
    assert found == log_likelihood(fresh.potentials(x)) != before
    assert_close(hmm.log_likelihood(x), found)


@pytest.mark.parametrize("change", [lambda x: x.mul_(2.0), lambda x: x[0].zero_()])
def test_scores_changed_in_place_are_read_as_they_are(change):
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    p = hmm.potentials(torch.tensor([0, 1, 1, 0]))
    change(p.log_likelihoods)
    for question in (log_likelihood, viterbi, smooth_states):
        assert_close(question(p), question(p, engine=engines.recursion))
    assert log_likelihood(p) != log_likelihood(
        hmm.potentials(torch.tensor([0, 1, 1, 0]))
    )


def test_a_table_of_symbols_changed_in_place_is_read_as_it_is():
    hmm, x = HMM(PI, A, [[0.1, 0.9], [0.6, 0.4]]), torch.tensor([0, 1, 1])
    before = hmm.potentials(x)
    hmm.emission.probs[0] = torch.tensor([0.5, 0.5], dtype=torch.float64)
    after = hmm.potentials(x)
    assert_close(after.log_likelihoods[:, 0].exp(), torch.full((3,), 0.5).double())
    assert (after.log_likelihoods[:, 1] == before.log_likelihoods[:, 1]).all()
    assert_close(hmm.log_likelihood(x), log_likelihood(after))


def test_inference_mode_is_no_obstacle():
    """Its tensors do not say when they change."""
    with torch.inference_mode():
        hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        first = log_likelihood(hmm.potentials(torch.tensor([0, 1, 1])))
        again = log_likelihood(hmm.potentials(torch.tensor([0, 1, 1])))
    assert first == again and first < 0
    outside = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    with torch.inference_mode():
        x = torch.tensor([0, 1, 1])
        assert log_likelihood(outside.potentials(x)) == first
        assert (viterbi(outside.potentials(x)).states >= 0).all()


def test_an_emission_from_outside_of_inference_mode_may_change():
    emission = Categorical(torch.tensor(B).double())
    with torch.inference_mode():
        hmm = HMM(PI, A, emission)
    assert hmm.potentials([0]).log_likelihoods[0, 0].isfinite()
    emission.probs[0] = torch.tensor([0.0, 0.5, 0.5]).double()
    assert hmm.potentials([0]).log_likelihoods[0, 0] == -torch.inf


def test_a_model_whose_gradient_is_wanted_answers_again():
    """What a gradient went through is not kept: it is used up."""
    probs = torch.tensor(PI, dtype=torch.float64, requires_grad=True)
    hmm = HMM(probs, A, B)
    once, again = (
        torch.autograd.grad(log_likelihood(hmm.potentials([0, 1])), probs)[0]
        for _ in range(2)
    )
    assert_close(once, again, rtol=0, atol=0)
