"""Learning by gradient from a start that is off."""

import warnings

import numpy as np
import pytest
import torch.distributions as D
from all_families import MOVES, PI, P, f8, readings
from torch.testing import assert_close

from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.learning import fit_em, fit_gradient, fit_restarts, random_starts


def sequence(low, high, n=300, turns=30):
    """Readings of two states that take turns; `low` and `high` draw n."""
    rng = np.random.default_rng(0)
    return np.where(np.arange(n) // turns % 2 == 0, low(rng, n), high(rng, n))


def test_lognormal_readings_are_learned_as_well_as_their_logarithms():
    """Baum-Welch on log x reaches the same optimum, less the Jacobian."""
    x = np.exp(
        sequence(lambda r, n: r.normal(8, 0.3, n), lambda r, n: r.normal(10, 0.3, n))
    )
    moves = [[0.9, 0.1], [0.1, 0.9]]
    loc, scale = f8([7.0, 11.0]), f8([1.0, 1.0])
    by_em = fit_em(
        HMM([0.5, 0.5], moves, D.Normal(loc, scale)), np.log(x), num_iters=500
    )
    optimum = by_em.log_likelihoods[-1].item() - np.log(x).sum()
    for method in ("adam", "lbfgs"):
        start = HMM([0.5, 0.5], moves, D.LogNormal(loc, scale))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = fit_gradient(start, x, num_steps=400, method=method)
        assert fit.log_likelihoods[-1].item() == pytest.approx(optimum, abs=0.05)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_counts_with_logits_climb(method):
    """Negative binomial counts in thousands: steps in the unit of the data would overshoot."""
    x = sequence(
        lambda r, n: r.negative_binomial(5, 5 / 505, n),
        lambda r, n: r.negative_binomial(5, 5 / 5005, n),
    )
    start = D.NegativeBinomial(f8([5.0, 5.0]), logits=f8([4.0, 8.0]))
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(hmm, x, num_steps=200, method=method)
    means = fit.model.emission.mean
    assert_close(means, f8([500.0, 5000.0]), rtol=0.15, atol=0)
    truth = D.NegativeBinomial(5.0, logits=f8([100.0, 1000.0]).log())
    best = log_likelihood(HMM([1, 0], [[29 / 30, 1 / 30]] * 2, truth).potentials(x))
    assert fit.log_likelihoods[-1] > best


def test_a_sentinel_does_not_set_the_steps_of_gradient_ascent():
    x = sequence(lambda r, n: r.normal(7, 0.02, n), lambda r, n: r.normal(7.1, 0.02, n))
    clean = HMM(
        [0.5, 0.5],
        [[0.9, 0.1], [0.1, 0.9]],
        D.StudentT(f8([3.0, 3.0]), f8([7.0, 7.1]), 0.1),
    )
    x[137] = 65535.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(clean, x, num_steps=200)
    assert_close(fit.model.emission.loc, f8([7.0, 7.1]), rtol=0, atol=0.01)


def test_the_best_model_on_the_way_is_returned():
    """Steps that are far too long: the last model is worse than one before."""
    x = sequence(lambda r, n: r.normal(0, 1, n), lambda r, n: r.normal(5, 1, n))
    start = HMM(
        [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], D.Normal(f8([0.0, 5.0]), f8([1.0, 1.0]))
    )
    with pytest.warns(UserWarning, match="the last of 20 steps"):
        fit = fit_gradient(start, x, num_steps=20, learning_rate=3.0)
    assert fit.num_iters == len(fit.log_likelihoods) - 1 < 20
    assert fit.log_likelihoods[-1] == fit.log_likelihoods.max()
    own = log_likelihood(fit.model.potentials(x))
    assert_close(own, fit.log_likelihoods[-1])


def test_the_number_of_trials_stays():
    emission = D.Binomial(f8([4.0, 5.0]), P)
    x = readings(emission, 30)
    hmm = HMM(PI, MOVES, emission)
    with pytest.warns(UserWarning, match="not converged"):
        fit = fit_restarts(random_starts(hmm, 2, 0), x, fit=fit_gradient, num_steps=3)[
            0
        ]
    assert fit.model.emission.total_count.tolist() == [4.0, 5.0]
