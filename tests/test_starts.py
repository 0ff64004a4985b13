"""Where fits start, and which of them is best."""

import math
import warnings

import pytest
import torch
from problems import fortnights
from random_models import rows
from torch.distributions import Bernoulli, MultivariateNormal, Normal, Poisson
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.learning import (
    PARTS,
    fit_restarts,
    guess_emission,
    log_prior,
    random_starts,
)


def test_restarts_are_all_shown_best_first():
    x = fortnights()
    starts = random_starts(weather.hmm, 4, seed=0)
    assert len({tuple(start.initial_probs.tolist()) for start in starts}) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = fit_restarts(starts, x, num_iters=20)
    scores = [fit.log_likelihoods[-1].item() for fit in fits]
    assert len(fits) == 4 and scores == sorted(scores, reverse=True)
    left_to_right = HMM([1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], weather.hmm.emission)
    assert (random_starts(left_to_right, 1, seed=0)[0].transition_matrix[1, 0]) == 0
    with pytest.raises(ValueError, match="starts: got none"):
        fit_restarts([], x)
    with pytest.raises(ValueError, match="num_starts: got 0"):
        random_starts(weather.hmm, 0, seed=0)


def test_a_guess_is_the_same_each_time_and_another_seed_may_make_another():
    values = torch.rand(60, generator=torch.Generator().manual_seed(0)).double()
    like = Normal(torch.zeros(7).double(), 1.0)
    by_seed = [guess_emission(like, values, seed=seed).loc for seed in range(3)]
    assert_close(guess_emission(like, values).loc, by_seed[0])
    assert not torch.allclose(by_seed[0], by_seed[1])
    assert not torch.allclose(by_seed[0], by_seed[2])


def test_a_guess_from_the_data_finds_the_clusters():
    truth = Normal(torch.tensor([0.0, 5.0, 10.0]).double(), 0.7)
    x = HMM(
        [0.4, 0.3, 0.3], rows(torch.Generator().manual_seed(0), 3, 3), truth
    ).sample(300, 0)
    guess = guess_emission(Normal(torch.zeros(3).double(), 1.0), x.observations)
    assert_close(guess.loc, truth.loc, rtol=0.0, atol=0.3)
    with pytest.raises(ValueError, match="values: got too few different ones, needs 3"):
        guess_emission(truth, torch.ones(10).double())


def test_random_starts_have_symbols_of_their_own():
    """Rows of a categorical emission are drawn afresh: nothing of the model is told."""
    starts = random_starts(weather.hmm, 200, seed=0)
    walks = torch.stack([start.emission.probs[:, 0] for start in starts]).flatten()
    assert walks.min() < 0.1 and walks.max() > 0.6
    assert abs(walks.mean() - 1 / 3) < 0.05  # Dirichlet(1, 1, 1)


def test_random_starts_tell_states_apart():
    even = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Bernoulli(torch.tensor([0.5, 0.5])))
    for start in random_starts(even, 5, seed=0):
        assert abs(start.emission.probs[0] - start.emission.probs[1]) > 1e-3
    alike = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Poisson(torch.tensor([3.0, 3.0])))
    with pytest.raises(ValueError, match="all its states emit alike"):
        random_starts(alike, 1, seed=0)
    mixed = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Normal(torch.tensor([0.0, 1.0]), 1.0))
    assert random_starts(mixed, 1, seed=0)[0].emission.loc.dtype == torch.float32


def test_restarts_are_ranked_by_what_was_maximised():
    x = weather.hmm.sample(30, seed=0).observations
    starts = random_starts(weather.hmm, 4, seed=0)
    fits = fit_restarts(starts, x, num_iters=5, tolerance=torch.inf, pseudo_count=5.0)
    objective = [
        fit.log_likelihoods[-1] + log_prior(fit.model, PARTS, 5.0) for fit in fits
    ]
    assert objective == sorted(objective, reverse=True)


def test_starts_keep_the_precision_of_their_model():
    tables = torch.tensor([0.5, 0.5]).double(), torch.full((2, 2), 0.5).double()
    for dtype in (torch.float64, torch.float32):
        probs = torch.tensor([0.2, 0.7], dtype=dtype)
        start = random_starts(HMM(*tables, Bernoulli(probs)), 1, seed=0)[0]
        assert start.emission.probs.dtype == dtype


def test_a_seed_draws_the_same_starts_again():
    bernoulli = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Bernoulli(torch.tensor([0.2, 0.5])))
    for hmm in (weather.hmm, bernoulli):
        first, again, other = (random_starts(hmm, 1, seed)[0] for seed in (0, 0, 1))
        for part in (lambda h: h.transition_matrix, lambda h: h.emission.probs):
            assert (part(first) == part(again)).all()
            assert (part(first) != part(other)).any()


def test_a_guess_is_in_the_order_of_the_first_means():
    corners = torch.tensor([[0.0, 9.0, 5.0], [5.0, 0.0, 9.0], [9.0, 5.0, 0.0]])
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    x = corners[[2, 0, 1]].repeat(20, 1) + 0.1 * noise
    like = MultivariateNormal(torch.zeros(3, 3), torch.eye(3))
    guess = guess_emission(like, x)
    assert guess.loc.dtype == torch.float32
    assert_close(guess.loc, corners, rtol=0, atol=0.2)


def test_a_guess_takes_as_many_values_as_states():
    with pytest.warns(UserWarning, match=r"states? \[0, 1\] shrank"):
        guess = guess_emission(
            Normal(torch.zeros(2).double(), 1.0), torch.tensor([5, 0, 0, 5])
        )
    assert guess.loc.tolist() == [0.0, 5.0]
    pair = MultivariateNormal(torch.zeros(2, 2), torch.eye(2))
    for emission, values, message in (
        (pair, torch.tensor([[1.0, 2.0]] * 5), "got too few different ones, needs 2"),
        (Normal(torch.zeros(2), 1.0), torch.zeros(4, 2), r"values: got shape \(4, 2\)"),
        (Normal(torch.zeros(2), 1.0), [0.0, math.inf, 1.0], "needs finite ones"),
        (pair, [[0.0, 1.0], [1.0, math.nan]], "needs finite ones"),
    ):
        with pytest.raises(ValueError, match=message):
            guess_emission(emission, values)
