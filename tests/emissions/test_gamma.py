"""Gamma, against scipy."""

import numpy as np
import pytest
import scipy.stats
import torch
from rules import (
    MOVES,
    check_climbs,
    check_components,
    check_maximum,
    check_saved,
    check_states,
    f8,
)
from torch.distributions import Chi2, Gamma
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import fit, log_prob, num_free, widened
from hmmlib.learning import em_step

GAMMA = Gamma(f8([0.7, 9.0]), f8([0.5, 3.0]))


def test_its_density_is_scipys():
    x = np.array([1e-200, 1e-3, 0.5, 1.0, 3.0, 70.0])
    expected = scipy.stats.gamma([0.7, 9.0], scale=[2.0, 1 / 3]).logpdf(x[:, None])
    assert_close(log_prob(GAMMA, f8(x)[:, None]), f8(expected), rtol=1e-12, atol=1e-12)
    assert log_prob(GAMMA, f8([0.0])).tolist() == [-np.inf] * 2


def test_its_fit_is_scipys():
    x = scipy.stats.gamma(2.5, scale=4.0).rvs(300, random_state=0)
    shape, _, scale = scipy.stats.gamma.fit(x, floc=0)
    fitted = fit(GAMMA, f8(x), torch.ones(300, 2).double())
    assert_close(fitted.concentration, f8([shape] * 2), rtol=1e-8, atol=0)
    assert_close(fitted.rate, f8([1 / scale] * 2), rtol=1e-8, atol=0)


def test_the_m_step_is_the_maximum():
    check_maximum(GAMMA)
    check_maximum(Gamma(f8([0.05, 4000.0]), f8([1.0, 2.0])))


def test_em_climbs():
    check_climbs(GAMMA, Gamma(f8([1.0, 1.0]), f8([1.0, 0.2])))


def test_states_and_components():
    check_states(GAMMA)
    check_components(GAMMA)
    assert num_free(GAMMA) == 4


def test_it_is_learned_from_data_alone(tmp_path):
    model = hmmlib.HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], GAMMA)
    x = model.sample(600, seed=0).observations
    found = hmmlib.fit(Gamma, 2, x, num_iters=500)
    assert found.log_likelihoods[-1] >= model.log_likelihood(x)
    assert_close(found.model.emission.mean, GAMMA.mean, rtol=0.2, atol=0)
    check_saved(found.model, tmp_path / "model.json")


def test_readings_far_from_zero_keep_their_digits():
    """At 1e9 with spread 1 the shape is 1e18, and the density that of a Gaussian."""
    x = 1e9 + torch.randn(500, generator=torch.Generator().manual_seed(0)).double()
    weights = torch.ones(500, 1).double()
    fitted = fit(Gamma(f8([1.0]), f8([1.0])), x, weights)
    normal = torch.distributions.Normal(x.mean(), x.std(correction=0))
    own = log_prob(fitted, x[:, None])[:, 0]
    assert_close(own, normal.log_prob(x), rtol=1e-4, atol=1e-5)


def test_equal_values_are_held_open():
    x, weights = f8([2.0, 2.0, 2.0, 5.0, 6.0]), f8([[1, 0]] * 3 + [[0, 1]] * 2)
    with pytest.warns(UserWarning, match=r"the scale of state \[0\] shrank"):
        fitted = fit(GAMMA, x, weights)
    assert fitted.stddev.isfinite().all() and (fitted.stddev > 0).all()
    assert_close(fitted.mean, f8([2.0, 5.5]))
    held = fit(GAMMA, x, weights, hmmlib.emissions.Limits(min_scale=0.5))
    assert_close(held.stddev[0].item(), 0.5)
    assert_close(widened(GAMMA, 2.0).stddev, f8([2.0, 2.0]))


@pytest.mark.parametrize("seed", range(5))
def test_em_climbs_on_the_floor_too(seed):
    """The floor of the standard deviation couples mean and shape."""
    x = np.exp(np.random.default_rng(seed).normal(0, 3, 20)).clip(1e-6)
    model = hmmlib.HMM([0.5, 0.5], MOVES, Gamma(f8([1.0, 1.0]), f8([0.5, 2.0])))
    scores = []
    for _ in range(30):
        model, score = em_step(model, x, min_scale=0.3)
        scores.append(score.item())
    assert np.diff(scores).min() > -1e-9 and model.emission.stddev.min() > 0.299


def test_zero_is_refused_and_chi2_has_no_such_fit():
    model = hmmlib.HMM([0.5, 0.5], [[0.5, 0.5]] * 2, GAMMA)
    with pytest.raises(ValueError, match="0 at step 1, needs a finite value above 0"):
        model.log_likelihood([1.0, 0.0])
    with pytest.raises(ValueError, match="no weighted fit for Chi2"):
        fit(Chi2(f8([1.0, 2.0])), f8([1.0]), f8([[1.0, 1.0]]))
