"""hmmlearn gives the same numbers, and takes the same steps."""

import numpy as np
import pytest
import torch
from random_models import rows
from torch.distributions import Categorical, Normal, Poisson
from torch.testing import assert_close

from hmmlib.enumeration import path_log_joints
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.learning import em_step

hmmlearn = pytest.importorskip("hmmlearn.hmm")  # has no wheel for the newest Python


def test_hmmlearn_agrees():
    g = torch.Generator().manual_seed(0)
    pi, a, b = (
        torch.rand(*s, generator=g, dtype=torch.float64) for s in ((4,), (4, 4), (4, 6))
    )
    pi, a, b = (x / x.sum(-1, keepdim=True) for x in (pi, a, b))
    x = torch.randint(6, (300,), generator=g)
    peer = hmmlearn.CategoricalHMM(n_components=4)
    peer.startprob_, peer.transmat_, peer.emissionprob_ = (
        v.numpy() for v in (pi, a, b)
    )
    p = HMM(pi, a, b).potentials(x)
    log_prob, probs = peer.score_samples(x.numpy()[:, None])
    assert_close(log_likelihood(p).item(), log_prob, rtol=1e-10, atol=0.0)
    assert_close(
        smooth_states(p).smoothed_probs, torch.as_tensor(probs), rtol=1e-8, atol=1e-12
    )
    score, path = peer.decode(x.numpy()[:, None])
    assert_close(viterbi(p).log_joint.item(), score, rtol=1e-10, atol=0.0)
    # paths may tie (the same moves in another order); their scores may not differ
    scores = path_log_joints(p, torch.stack([viterbi(p).states, torch.as_tensor(path)]))
    assert_close(scores[0], scores[1], rtol=1e-12, atol=0.0)


def peers(family, g, k=3):
    """A peer and our model with the same random start, and data."""
    pi, a = rows(g, k), rows(g, k, k)
    shared = {"n_components": k, "n_iter": 1, "tol": -np.inf, "init_params": ""}
    if family == "categorical":
        emission = Categorical(rows(g, k, 5))
        peer = hmmlearn.CategoricalHMM(**shared)
        peer.emissionprob_ = emission.probs.numpy()
    elif family == "poisson":
        emission = Poisson(torch.tensor([1.0, 4.0, 9.0]).double())
        peer = hmmlearn.PoissonHMM(**shared)
        peer.lambdas_ = emission.rate.numpy()[:, None]
    else:
        emission = Normal(torch.tensor([-1.0, 0.5, 2.0]).double(), 1.0)
        peer = hmmlearn.GaussianHMM(
            **shared, covars_prior=0.0, covars_weight=0.0, min_covar=0.0
        )
        peer.means_ = emission.loc.numpy()[:, None]
        peer.covars_ = emission.variance.expand(k).numpy()[:, None]
    peer.startprob_, peer.transmat_ = pi.numpy(), a.numpy()
    ours = HMM(pi, a, emission)
    x = torch.stack([ours.sample(40, seed=n).observations for n in range(5)])
    return peer, HMM(rows(g, k), rows(g, k, k), emission), x


@pytest.mark.parametrize("family", ["categorical", "gaussian", "poisson"])
def test_hmmlearn_takes_the_same_steps(family):
    peer, model, x = peers(family, torch.Generator().manual_seed(0))
    peer.startprob_, peer.transmat_ = (
        model.initial_probs.numpy(),
        model.transition_matrix.numpy(),
    )
    flat = x.reshape(-1, 1).numpy()
    for _ in range(10):
        score = peer.score(flat, lengths=[40] * 5)
        model, ours = em_step(model, x)
        assert_close(ours.item(), score, rtol=1e-10, atol=0.0)
        peer.fit(flat, lengths=[40] * 5)
        assert_close(
            model.initial_probs, torch.as_tensor(peer.startprob_), rtol=1e-8, atol=1e-10
        )
        assert_close(
            model.transition_matrix,
            torch.as_tensor(peer.transmat_),
            rtol=1e-8,
            atol=1e-10,
        )
