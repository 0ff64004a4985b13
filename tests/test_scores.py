"""Scores read like the tensor that they stand for, and what is summed in the loop is right."""

import copy
import pickle

import numpy as np
import pytest
import torch
from test_kernels import by_recursion
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import factorial, kernels
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.inference import (
    expected_counts,
    log_likelihood,
    smooth_states,
    total_counts,
    viterbi,
)
from hmmlib.learning import em_step, weighted_fit
from hmmlib.scores import Scores

INITIAL, MOVES = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]
WORDS = HMM(INITIAL, MOVES, [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
LOC, SCALE = torch.tensor([0.0, 2.0]).double(), torch.tensor([1.0, 0.5]).double()
READINGS = HMM(INITIAL, MOVES, Normal(LOC, SCALE))
OBSERVED = {
    "words": (WORDS, torch.tensor([[0, 2, 1, 1], [1, 0, 0, 2]])),
    "gaps": (WORDS, torch.tensor([[0, 2, 1, torch.nan], [1, torch.nan, 0, 2]])),
    "readings": (READINGS, torch.tensor([[0.1, 2.2, 1.9, 0.4], [2.0, 1.0, -1, 0]])),
    "silence": (READINGS, torch.tensor([[0.1, torch.nan, 1.9, 0], [2, 1, -1, 0.3]])),
}
every_kind = pytest.mark.parametrize("kind", OBSERVED)


def scores_of(kind) -> tuple[HMM, torch.Tensor, Scores]:
    hmm, x = OBSERVED[kind]
    return hmm, x, hmm.potentials(x).log_likelihoods


@every_kind
def test_scores_read_like_a_tensor(kind):
    hmm, x, scores = scores_of(kind)
    values = x.nan_to_num(0.0).double().unsqueeze(-1)
    plain = hmm.emission.log_prob(values).masked_fill(x.isnan().unsqueeze(-1), 0.0)
    assert type(scores) is Scores and isinstance(scores, torch.Tensor)
    assert scores.shape == plain.shape and scores.ndim == 3 and len(scores) == 2
    assert scores.dtype is torch.float64 and not scores.requires_grad
    assert_close(scores.dense(), plain)
    assert_close(scores + 1, plain + 1)
    assert_close(1 - scores, 1 - plain)
    assert_close(scores[1, :, 0], plain[1, :, 0])
    assert_close(torch.logsumexp(scores, -1), plain.logsumexp(-1))
    assert_close(torch.stack([scores, plain]).sum(0), 2 * plain)
    assert_close(scores.exp().numpy(), plain.exp().numpy())
    assert_close(np.asarray(scores), plain.numpy())
    assert repr(scores) == repr(scores.dense())
    for twin in (copy.deepcopy(scores), pickle.loads(pickle.dumps(scores))):
        assert_close(twin.dense(), plain)


@every_kind
def test_a_change_in_place_is_what_counts(kind):
    hmm, x = OBSERVED[kind]
    changed, expected = hmm.potentials(x), hmm.potentials(x)
    changed.log_likelihoods[0, 1, 0] = -torch.inf
    dense = expected.log_likelihoods.dense().clone()
    dense[0, 1, 0] = -torch.inf
    expected = expected._replace(log_likelihoods=dense)
    assert_close(log_likelihood(changed), log_likelihood(expected))
    assert_close(smooth_states(changed), smooth_states(expected))


@every_kind
def test_observations_may_be_changed_afterwards(kind):
    hmm, x = OBSERVED[kind]
    theirs = x.clone()
    potentials = hmm.potentials(theirs)
    theirs.zero_()
    assert_close(log_likelihood(potentials), log_likelihood(hmm.potentials(x)))


@every_kind
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 4])])
def test_totals_are_the_counts_added_up(kind, lengths):
    hmm, x = OBSERVED[kind]
    potentials = hmm.potentials(x, lengths)
    found, counts = total_counts(potentials), expected_counts(potentials)
    assert_close(found.log_likelihood, counts.log_likelihood.sum())
    assert_close(found.initial, counts.initial.sum(0))
    assert_close(found.transitions, counts.transitions.sum(0))
    assert_close(found, by_recursion(total_counts, potentials), rtol=1e-9, atol=1e-9)


@every_kind
def test_a_step_of_learning_is_the_fit_to_each_step(kind):
    hmm, x = OBSERVED[kind]
    step, _ = em_step(hmm, x)
    values, seen = hmm.observed_values(x)
    weights = expected_counts(hmm.potentials(x)).states[seen]
    expected = weighted_fit(hmm.emission, values, weights)
    for name in expected.arg_constraints:
        assert_close(getattr(step.emission, name), getattr(expected, name))
    with pytest.raises(ValueError):  # the new emission looks at values as before
        step.emission.log_prob(torch.tensor(torch.nan))


@every_kind
def test_the_gradient_reaches_the_parameters(kind):
    hmm, x = OBSERVED[kind]
    given = [hmm.initial_probs, hmm.transition_matrix]
    given += [LOC, SCALE] if hmm is READINGS else [hmm.emission.probs]

    def weighted(*leaves):
        emission = Normal(*leaves[2:]) if len(leaves) == 4 else leaves[2]
        potentials = HMM(*leaves[:2], emission).potentials(x)
        return log_likelihood(potentials) @ torch.tensor([1.0, -3.0]).double()

    leaves = [each.clone().requires_grad_() for each in given]
    found = torch.autograd.grad(weighted(*leaves), leaves)
    expected = by_recursion(lambda p: torch.autograd.grad(weighted(*p), p), leaves)
    assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_exponentials_are_right_to_the_last_digits():
    x = -np.concatenate([np.linspace(0, 699.9, 100_001), [700.1, 800.0, np.inf]])
    found = x.copy()
    kernels.exponentiate(found)
    assert np.abs(found[:-3] / np.exp(x[:-3]) - 1).max() < 1e-15
    assert (found[-3:] == 0).all()


def test_messages_that_are_kept_change_nothing(monkeypatch):
    sizes = (3, 2, 3, 2)
    even = [torch.full((k,), 1 / k).double() for k in sizes]
    moves = [0.8 * torch.eye(k).double() + 0.2 / k for k in sizes]
    levels = [(m + 1.5) * torch.arange(k).double() for m, k in enumerate(sizes)]
    model = FactorialHMM(even, moves, additive_gaussian(levels, 1.0))
    x = model.sample(50, seed=0).observations
    with_all, smoothed = model.viterbi(x), model.smooth(x)
    monkeypatch.setattr(factorial, "KEPT", 0)
    assert_close(model.viterbi(x), with_all)
    assert_close(model.smooth(x), smoothed)
    flat = model.flattened()
    assert_close(viterbi(flat.potentials(x)).log_joint, with_all.log_joint)
