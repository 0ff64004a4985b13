"""How narrow a Gaussian may become, in the units of the readings."""

import warnings

import numpy as np
import pytest
import torch
from problems import two_levels
from random_models import rows
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.learning import em_step, fit_em, fit_gradient, guess_emission, weighted_fit


@pytest.mark.parametrize(
    "emission",
    [
        Normal(torch.tensor([0.0, 7.0]).double(), torch.tensor([1.0, 0.01]).double()),
        MultivariateNormal(
            torch.tensor([[0.0], [7.0]]).double(),
            torch.tensor([[[1.0]], [[1e-4]]]).double(),
        ),
        Independent(
            Normal(
                torch.tensor([[0.0], [7.0]]).double(),
                torch.tensor([[1.0], [0.01]]).double(),
            ),
            1,
        ),
    ],
)
def test_a_scale_does_not_shrink_onto_a_point(emission):
    x = torch.cat(
        [
            torch.randn(30, generator=torch.Generator().manual_seed(0)),
            torch.tensor([7.0]),
        ]
    )
    x = x.reshape(-1, *emission.event_shape)
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.5, 0.5]], emission)
    with pytest.warns(UserWarning, match=r"scale of state \[1\] shrank onto a value"):
        step, _ = em_step(hmm, x)
    assert log_likelihood(step.potentials(x)).isfinite()
    again = weighted_fit(step.emission, x.double(), torch.ones(31, 2).double())
    assert again.mean.isfinite().all()


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_units_do_not_matter(unit):
    """Means in thousands: the gradient climbs as well, and no scale is held open."""
    loc, scale = torch.tensor([0.0, 5.0]).double(), torch.ones(2).double()
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], Normal(loc, scale))
    x = hmm.sample(200, seed=0).observations
    start = Normal(unit * torch.tensor([1.0, 2.0]).double(), 3 * unit * scale)
    start = HMM(hmm.initial_probs, hmm.transition_matrix, start)
    fit = fit_gradient(start, unit * x, method="lbfgs")
    found = (fit.model.emission.loc / unit).sort().values
    assert (found - loc).abs().max() < 0.3
    cloud = torch.stack([x, 10.0 * x], 1) + torch.randn(200, 2).double()
    far = cloud + torch.tensor([0.0, 101325.0])
    scores = []
    for points in (cloud, far):
        like = MultivariateNormal(torch.zeros(2, 2).double(), torch.eye(2).double())
        guess = guess_emission(like, points)
        start = HMM(hmm.initial_probs, hmm.transition_matrix, guess)
        scores.append(fit_em(start, points, num_iters=500).log_likelihoods[-1])
    assert_close(*scores, rtol=0, atol=1e-3)


def test_a_start_narrower_than_the_floor_is_not_widened():
    """Widening it would lower the likelihood."""
    x = torch.tensor([0.0, 1e-9, 5.0, 9.0, 4.0, 6.0]).double()
    scales = torch.tensor([1e-9, 2]).double()
    emission = Normal(torch.tensor([0.0, 6.0]).double(), scales)
    start = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, emission)
    with pytest.warns(UserWarning, match="shrank onto a value"):
        fit = fit_em(start, x)
    assert fit.log_likelihoods.diff().min() >= -1e-9
    assert_close(fit.model.emission.scale[0].item(), 1e-9)


@pytest.mark.parametrize(
    ("gap", "sentinel"), [(0.1, 65535.0), (0.1, -1e6), (65528.0, None), (1e7, None)]
)
def test_what_is_far_off_does_not_widen_the_other_states(gap, sentinel):
    """A sentinel, or levels that are far apart: each scale is that of its own readings."""
    x, level = two_levels(gap)
    means, start_scales, keep = [7.0, 7.0 + gap], [0.03, 0.03], np.ones(len(x), bool)
    if sentinel is not None:
        x[137], keep[137] = sentinel, False
        means, start_scales = [*means, sentinel], [*start_scales, 1.0]
    k = len(means)
    moves = torch.full((k, k), 0.02).double() + (1 - 0.02 * k) * torch.eye(k).double()
    emission = Normal(*(torch.tensor(v).double() for v in (means, start_scales)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sentinel's own state shrinks onto it
        fit = fit_em(HMM([1 / k] * k, moves, emission), x, num_iters=60)
    assert fit.log_likelihoods.diff().min() >= -1e-6
    for k in (0, 1):
        expected = x[keep & (level == k)].std()
        assert fit.model.emission.scale[k].item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("family", ["Normal", "Independent", "MultivariateNormal"])
def test_no_gaussian_is_narrower_than_the_callers_floor(family):
    """A start below it is widened, it holds at each step, and the likelihood rises."""
    x, level = two_levels(1.0, noise=0.0)
    x = x + 0.2 * np.random.default_rng(2).normal(size=400) * level
    loc, scale = torch.tensor([7.0, 8.0]).double(), torch.tensor([0.01, 1.0]).double()
    emission = Normal(loc, scale)
    if family != "Normal":
        x = x[:, None]
        emission = Independent(Normal(loc[:, None], scale[:, None]), 1)
    if family == "MultivariateNormal":
        emission = MultivariateNormal(loc[:, None], scale[:, None, None] ** 2)
    start = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_em(start, x, num_iters=200, min_scale=0.05)
    scales = fit.model.emission.stddev.flatten()
    assert_close(scales[0].item(), 0.05)  # exact readings
    assert_close(scales[1].item(), x[level == 1].std(), rtol=1e-2, atol=0)
    assert fit.log_likelihoods.diff().min() >= -1e-8
    step, _ = em_step(start, x, min_scale=0.05)
    assert step.emission.stddev.min() > 0.0499


@pytest.mark.parametrize("min_scale", [-1.0, float("nan"), float("inf"), "wide"])
def test_a_floor_that_is_none_is_refused(min_scale):
    with pytest.raises(ValueError, match="min_scale: got"):
        fit_em(weather.hmm, [0, 1], min_scale=min_scale)


def test_readings_that_are_all_the_same_leave_a_scale():
    emission = Normal(torch.tensor([0.0, 1.0]).double(), torch.ones(2).double())
    with pytest.warns(UserWarning, match="shrank onto a value"):
        step, _ = em_step(HMM([0.5, 0.5], [[0.5, 0.5]] * 2, emission), [3.0] * 5)
    assert_close(step.emission.scale, torch.full((2,), 1e-4).double())


@pytest.mark.parametrize("unit", [1.0, 1e-5])
def test_a_scale_is_held_in_the_units_of_the_readings(unit):
    values = unit * torch.tensor([0.0, 0.0, 5000.0, 6000.0]).double()
    start = Normal(torch.zeros(2).double(), unit * torch.ones(2).double())
    clusters = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]]).double()
    with pytest.warns(UserWarning, match="shrank onto a value"):
        fitted = weighted_fit(start, values, clusters)
    smallest = 1e-4 * values.std(correction=0)
    expected = torch.stack([smallest, unit * torch.tensor(500.0).double()])
    assert_close(fitted.scale, expected, rtol=1e-9, atol=0)


def test_readings_on_a_line_leave_a_covariance():
    line = torch.linspace(0, 1, 30).double()
    like = MultivariateNormal(torch.zeros(2, 2).double(), torch.eye(2).double())
    weights = rows(torch.Generator().manual_seed(0), 30, 2)
    with pytest.warns(UserWarning, match="shrank onto a value") as told:
        fitted = weighted_fit(like, torch.stack([line, 3 * line], 1), weights)
    assert told[0].filename == __file__
    assert (torch.linalg.eigvalsh(fitted.covariance_matrix) > 0).all()


def test_one_dimension_that_cannot_be_squared_is_refused():
    like = Independent(Normal(torch.zeros(2, 2).double(), 1.0), 1)
    values = torch.tensor([[0.0, 1e200], [1.0, -1e200]]).double()
    with pytest.raises(ValueError, match="too large to be squared"):
        weighted_fit(like, values, torch.ones(2, 2).double())
