"""Baum-Welch: the likelihood never falls, and what the counts say is what comes out."""

import warnings

import pytest
import torch
from problems import emissions, fortnights, problem
from random_models import rows
from torch.distributions import Bernoulli, Categorical, Independent, Normal
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.datasets import weather
from hmmlib.emissions import innermost, parameters
from hmmlib.hmm import HMM
from hmmlib.learning import (
    PARTS,
    em_step,
    fit_em,
    fit_gradient,
    log_prior,
    weighted_fit,
)


@pytest.mark.parametrize("seed", range(200))
def test_em_never_lowers_the_likelihood(seed):
    start, x, lengths, observed = problem(seed)
    pseudo_count = 0.7 if seed % 7 == 0 else 0.0
    model, objective = start, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a scale that is held open
        for _ in range(10):
            step, score = em_step(
                model, x, lengths, observed, pseudo_count=pseudo_count
            )
            objective.append(score + log_prior(model, PARTS, pseudo_count))
            model = step
    objective = torch.stack(objective)
    assert objective.isfinite().all() and objective.diff().min() >= -1e-8
    assert (model.transition_matrix[start.transition_matrix == 0] == 0).all()


def test_each_engine_counts_the_uses_of_symbols_also_if_there_are_as_many_steps():
    table = [[0.1, 0.25, 0.4, 0.25], [0.5, 0.2, 0.0, 0.3]]
    hmm, x = (
        HMM([0.5, 0.5], [[0.7, 0.3], [0.4, 0.6]], table),
        torch.tensor([0, 0, 3, 2]),
    )
    assert len(x) == len(table[0])
    expected = torch.zeros(4, 2).double().index_add(0, x, hmm.smooth(x).smoothed_probs)
    for engine in (engines.recursion, engines.compiled):
        assert_close(hmm.total_counts(x, engine=engine).uses, expected)


def test_only_what_is_named_moves():
    x = fortnights()
    step, _ = em_step(weather.hmm, x, learn=("transition_matrix",))
    assert (step.initial_probs == weather.hmm.initial_probs).all()
    assert (step.emission.probs == weather.hmm.emission.probs).all()
    assert (step.transition_matrix != weather.hmm.transition_matrix).any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(weather.hmm, x, num_steps=3, learn=("emission",))
    assert (fit.model.transition_matrix == weather.hmm.transition_matrix).all()
    assert (fit.model.emission.probs != weather.hmm.emission.probs).any()


def test_a_pseudo_count_is_a_dirichlet_prior():
    """One day seen, of one state's certain symbol: counts 1 and 0, plus one each."""
    hmm = HMM([1.0], [[1.0]], [[0.5, 0.5]])
    step, _ = em_step(hmm, [0], pseudo_count=1.0)
    assert_close(step.emission.probs, torch.tensor([[2 / 3, 1 / 3]]).double())


def test_a_state_that_nobody_visits_keeps_its_parameters():
    emission = Normal(
        torch.tensor([0.0, 50.0]).double(), torch.tensor([1.0, 2.0]).double()
    )
    hmm = HMM([1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]], emission)
    step, _ = em_step(hmm, [0.1, -0.2, 0.4])
    assert step.emission.loc[1] == 50.0 and step.emission.scale[1] == 2.0
    assert step.transition_matrix[1].tolist() == [0.5, 0.5]


def test_learning_in_single_precision_keeps_zeros_and_what_is_never_visited():
    """State 2 cannot be reached, and no state says symbol 2."""
    start, moves = torch.tensor([0.5, 0.5, 0.0]), torch.eye(3)
    said = torch.tensor([[0.3, 0.7, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]])
    for pseudo_count in (0.0, 2.0):
        step, _ = em_step(HMM(start, moves, said), [0, 1, 1], pseudo_count=pseudo_count)
        assert step.initial_probs.dtype == torch.float32
        assert step.initial_probs[2] == 0 and (step.emission.probs[:, 2] == 0).all()
        assert_close(step.transition_matrix, moves)
        assert_close(step.emission.probs[2], said[2])


def test_tables_of_two_precisions_are_fitted():
    g = torch.Generator().manual_seed(0)
    weights = rows(g, 4, 2)
    fitted = weighted_fit(
        Categorical(rows(g, 2, 3).float()), torch.tensor([0, 1, 2, 0]), weights
    )
    expected = torch.stack([weights[[0, 3]].sum(0), weights[1], weights[2]], 1)
    expected = expected / expected.sum(1, keepdim=True)
    assert_close(fitted.probs.double(), expected, rtol=1e-6, atol=0)


def test_what_is_not_given_is_no_prior_and_a_small_tolerance():
    x = fortnights(4, 20)
    plain = em_step(weather.hmm, x, pseudo_count=0.0)[0]
    assert_close(em_step(weather.hmm, x)[0].emission.probs, plain.emission.probs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = fit_em(weather.hmm, x, num_iters=1).model
        adam = [
            fit_gradient(weather.hmm, x, num_steps=2, **prior).log_likelihoods
            for prior in ({}, {"pseudo_count": 0.0})
        ]
    assert_close(one.transition_matrix, plain.transition_matrix)
    assert_close(*adam)
    fit = fit_em(weather.hmm, x, num_iters=5000)
    assert fit.converged and fit.log_likelihoods.diff()[-1] < 1e-6
    symbols = Independent(Categorical(torch.full((1, 2, 2), 0.5).double()), 1)
    fitted = weighted_fit(symbols, torch.tensor([[0, 1]]), torch.ones(1, 1).double())
    assert fitted.base_dist.probs.tolist() == [[[1.0, 0.0], [0.0, 1.0]]]


@pytest.mark.parametrize("kind", range(8))
def test_only_ratios_of_weights_count_and_without_any_nothing_moves(kind):
    g = torch.Generator().manual_seed(kind)
    emission = emissions(g, 3)[kind]
    values = emission.sample((40,))[:, 0]
    weights = torch.rand(40, 3, generator=g, dtype=torch.float64)
    weights[:, 1] = 0.0
    fitted, small = (weighted_fit(emission, values, f * weights) for f in (1.0, 1e-3))
    names = {"probs", "rate", "loc", "scale", "covariance_matrix"}
    for name in names & set(dir(innermost(emission))):
        old, new, less = (
            getattr(innermost(each), name) for each in (emission, fitted, small)
        )
        assert_close(new[1], old[1])
        assert_close(less, new)
        assert (new[0] != old[0]).any()


def test_certain_readings_are_fitted_whatever_their_weights():
    """Sums of many weights differ in their last digits."""
    emission = Bernoulli(torch.tensor([0.5, 0.5]).double())
    for seed in range(50):
        weights = rows(torch.Generator().manual_seed(seed), 1000, 2)
        fitted = weighted_fit(emission, torch.ones(1000).double(), weights)
        assert_close(fitted.probs, torch.ones(2).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("pseudo_count", [0.0, 2.0])
def test_learning_in_single_precision_is_learning_in_double(pseudo_count):
    x = fortnights(3, 20)
    loc, scale = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2.0])
    parts = [weather.hmm.initial_probs, weather.hmm.transition_matrix]
    for emission in (weather.hmm.emission.probs, (loc, scale)):
        steps = []
        for dtype in (torch.float32, torch.float64):
            said = (
                Normal(*(each.to(dtype) for each in emission))
                if isinstance(emission, tuple)
                else emission.to(dtype)
            )
            hmm = HMM(*(each.to(dtype) for each in parts), said)
            step, _ = em_step(hmm, x.to(dtype), pseudo_count=pseudo_count)
            steps.append(step)
            assert all(
                each.dtype == dtype for each in parameters(step.emission).values()
            )
        single, double = (
            [each.initial_probs, each.transition_matrix, each.emission.mean]
            for each in steps
        )
        if isinstance(emission, tuple):
            assert_close([each.double() for each in single], double, rtol=1e-4, atol=0)
        else:
            assert_close(
                steps[0].emission.probs.double(), steps[1].emission.probs,
                rtol=1e-4, atol=0,
            )  # fmt: skip


def test_readings_that_are_all_missing_leave_the_emission_as_it_is():
    emission = Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1, 2]).double())
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission)
    step, score = em_step(hmm, [torch.nan] * 4)
    assert_close(
        (step.emission.loc, step.emission.scale), (emission.loc, emission.scale)
    )
    assert_close(step.initial_probs, hmm.initial_probs)
    assert_close(score.item(), 0.0)


def test_a_warning_reaches_code_that_belongs_to_no_module():
    code = (
        "from hmmlib.learning import fit_em\nfit_em(hmm, [0, 1, 1, 0, 1], num_iters=1)"
    )
    with pytest.warns(UserWarning, match="not converged"):
        exec(code, {"hmm": weather.hmm})
