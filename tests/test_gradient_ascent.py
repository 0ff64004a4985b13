"""Gradient ascent climbs as high as Baum-Welch, also where there is none."""

import warnings

import pytest
import torch
from problems import METHODS, fortnights, problem
from torch.distributions import (
    Categorical,
    HalfNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.learning import (
    PARTS,
    em_step,
    fit_em,
    fit_gradient,
    fit_restarts,
    log_prior,
    random_starts,
)


def test_gradient_ascent_climbs_the_same_hill():
    x = fortnights()
    by_em = fit_em(weather.hmm, x, num_iters=3000, tolerance=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_gradient = fit_gradient(by_em.model, x, num_steps=5, learning_rate=1e-3)
    assert_close(
        by_gradient.log_likelihoods[-1], by_em.log_likelihoods[-1], rtol=0.0, atol=1e-2
    )


@pytest.mark.parametrize("seed", range(8))
def test_gradient_ascent_improves_every_family(seed):
    start, x, lengths, observed = problem(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(start, x, lengths, 30, observed=observed)
    assert fit.log_likelihoods.isfinite().all()
    assert fit.log_likelihoods[-1] > fit.log_likelihoods[0] + 0.1
    own = log_likelihood(fit.model.potentials(x, lengths, observed)).sum()
    assert_close(fit.log_likelihoods[-1], own, rtol=1e-10, atol=0.0)
    assert (fit.model.transition_matrix[start.transition_matrix == 0] == 0).all()


def test_gradient_ascent_fits_a_family_without_a_weighted_fit():
    truth = HMM(
        [0.5, 0.5],
        [[0.9, 0.1], [0.1, 0.9]],
        HalfNormal(torch.tensor([5.0, 0.3]).double()),
    )
    x = truth.sample(300, seed=0).observations
    start = HMM(
        [0.5, 0.5],
        truth.transition_matrix,
        HalfNormal(torch.tensor([2.0, 1.0]).double()),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(start, x, num_steps=300)
    assert fit.log_likelihoods[-1] >= log_likelihood(truth.potentials(x))
    with pytest.raises(
        ValueError, match="no weighted fit for HalfNormal, needs fit_gradient"
    ):
        em_step(start, x)


@pytest.mark.parametrize("pseudo_count", [0.0, 1.0])
def test_quasi_newton_ends_where_em_ends(pseudo_count):
    climate = weather.sticky(0.9)
    x = climate.sample(30, seed=1, num_sequences=20).observations
    options = {"pseudo_count": pseudo_count}
    em = fit_em(climate, x, num_iters=2000, tolerance=1e-9, **options)
    quasi = fit_gradient(climate, x, method="lbfgs", tolerance=1e-9, **options)
    objective = [
        fit.log_likelihoods[-1] + log_prior(fit.model, PARTS, pseudo_count)
        for fit in (em, quasi)
    ]
    assert_close(*objective, atol=1e-4, rtol=0)
    assert quasi.converged and quasi.num_iters < em.num_iters
    assert len(quasi.log_likelihoods) == quasi.num_iters + 1
    at_the_end = log_likelihood(quasi.model.potentials(x)).sum()
    assert_close(quasi.log_likelihoods[-1], at_the_end)


def test_quasi_newton_tells_when_it_was_stopped():
    x = fortnights()
    with pytest.warns(UserWarning, match="not converged, the last of 2 steps"):
        fit = fit_gradient(weather.hmm, x, num_steps=2, method="lbfgs")
    assert not fit.converged and fit.num_iters == 2
    with pytest.raises(ValueError, match="method: got 'newton', needs 'adam' or"):
        fit_gradient(weather.hmm, x, method="newton")


def test_quasi_newton_does_not_stop_on_the_rim():
    """From these starts a softmax climber sticks where some probability is nearly 0."""
    x = weather.hmm.sample(100, seed=1, num_sequences=60).observations
    starts = random_starts(weather.hmm, 6, seed=0)[4:]
    truth = log_likelihood(weather.hmm.potentials(x)).sum()
    for fit in fit_restarts(starts, x, fit=fit_gradient, method="lbfgs"):
        assert fit.converged and abs(fit.log_likelihoods[-1] - truth - 4.0804) < 0.002


@pytest.mark.parametrize("method", METHODS)
def test_gradient_ascent_takes_odd_cases(method):
    options = {"method": method, "tolerance": torch.inf, "num_steps": 5}
    logits = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Categorical(logits=torch.randn(2, 3)))
    with pytest.warns(UserWarning, match="the last of 0 steps"):
        same = fit_gradient(logits, [0, 1, 2], num_steps=0, method=method)
    assert_close(same.model.emission.probs.float(), logits.emission.probs)
    assert len(fit_gradient(weather.hmm, [1], **options).log_likelihoods) > 1
    blind = fit_gradient(weather.hmm, [torch.nan] * 4, **options)
    assert blind.log_likelihoods.abs().max() < 1e-9
    one_hot = OneHotCategorical(torch.tensor([[0.0, 0.4, 0.6], [0.5, 0.3, 0.2]]))
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], one_hot)
    fit = fit_gradient(hmm, torch.eye(3)[[0, 1, 2, 1]], **options)
    assert fit.model.emission.probs[0, 0] == 0
    with pytest.raises(ValueError, match=r"rate .* stands on the edge"):
        hmm = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Poisson(torch.tensor([0.0, 5.0])))
        fit_gradient(hmm, [3.0, 4.0], **options)
    with pytest.raises(ValueError, match="num_steps: got -1"):
        fit_gradient(weather.hmm, [1, 2], num_steps=-1, method=method)


def test_a_start_that_is_a_top_has_converged():
    fit = fit_gradient(
        HMM([1.0, 0.0], weather.hmm.transition_matrix, weather.hmm.emission),
        fortnights(),
        learn=["initial_probs"],
        method="lbfgs",
    )
    assert fit.converged and fit.num_iters == 1


def test_single_precision_is_fitted_in_double():
    x = weather.hmm.sample(100, seed=1, num_sequences=60).observations
    start = random_starts(weather.hmm, 1, seed=0)[0]
    probs = start.emission.probs.float()
    single = HMM(
        start.initial_probs.float(), start.transition_matrix.float(), Categorical(probs)
    )
    fit = fit_gradient(single, x, method="lbfgs")
    assert fit.model.initial_probs.dtype == fit.model.emission.probs.dtype
    assert fit.model.initial_probs.dtype == torch.float32
    best = fit_gradient(start, x, method="lbfgs").log_likelihoods[-1]
    assert abs(fit.log_likelihoods[-1] - best) < 0.01


@pytest.mark.filterwarnings("ignore:emission. the scale of state")  # and it does
def test_a_step_out_of_all_range_is_told():
    emission = Normal(
        torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()
    )
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission)
    huge = [9.480751908109176e153, 9.480751908109177e153]
    with pytest.raises(ValueError, match=r"learning_rate: a step led .* other units"):
        fit_gradient(hmm, huge, num_steps=2)


def test_moves_that_no_step_takes_are_not_climbed():
    """A series of one step says nothing about moves."""
    for method in METHODS:
        fit = fit_gradient(
            weather.hmm, [1], num_steps=3, method=method, tolerance=torch.inf
        )
        assert_close(fit.model.transition_matrix, weather.hmm.transition_matrix)


def test_quasi_newton_that_stops_by_itself_ends_with_its_own_likelihood():
    """No gain is less than a loss of 1: only the gradient says that this is the top."""
    x = fortnights(4, 20)
    with pytest.warns(UserWarning, match="needs less than -1"):
        fit = fit_gradient(weather.sticky(0.9), x, method="lbfgs", tolerance=-1.0)
    assert 1 < fit.num_iters < 200 and fit.log_likelihoods.diff().min() > -1e-9
    own = log_likelihood(fit.model.potentials(x)).sum()
    assert_close(fit.log_likelihoods[-1], own)
    assert own > fit.log_likelihoods[0] + 1
