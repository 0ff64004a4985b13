"""What a fit tells about itself: when it stops, what it warns of, what it refuses."""

import warnings

import pytest
import torch
from problems import METHODS, fortnights, two_levels
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.learning import (
    PARTS,
    align,
    align_states,
    em_step,
    fit_em,
    fit_gradient,
    fit_restarts,
    log_prior,
    random_starts,
)
from hmmlib.learning.result import report


def test_fit_em_tells_the_truth_about_itself():
    x = fortnights()
    fit = fit_em(weather.hmm, x, num_iters=2000, tolerance=1e-5)
    assert fit.converged and fit.num_iters < 2000
    assert len(fit.log_likelihoods) == fit.num_iters + 1
    own = log_likelihood(fit.model.potentials(x)).sum()
    assert_close(fit.log_likelihoods[-1], own, rtol=1e-12, atol=0.0)
    first = log_likelihood(weather.hmm.potentials(x)).sum()
    assert_close(fit.log_likelihoods[0], first, rtol=1e-12, atol=0.0)
    assert fit.log_likelihoods[-1] > fit.log_likelihoods[0]
    with pytest.warns(
        UserWarning, match=r"fit_em: not converged, the last of 3 steps moved"
    ):
        short = fit_em(weather.hmm, x, num_iters=3)
    assert (
        not short.converged and short.num_iters == 3 and len(short.log_likelihoods) == 4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn": "emission"}, "learn: got 'emission'"),
        ({"learn": ()}, r"learn: got \(\), needs some of"),
        (
            {"learn": ["emission", "means"]},
            r"learn: got \['emission', 'means'\], needs",
        ),
        ({"learn": ["means"]}, r"learn: got \['means'\], needs some of"),
        ({"pseudo_count": -1.0}, "pseudo_count: got -1.0"),
        ({"lengths": [0] * 20}, "lengths: got"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        em_step(weather.hmm, fortnights(), **options)


def test_a_fit_that_fell_has_not_converged():
    """No step of EM falls by more than rounding; if one did, it would be told."""
    scores = [(torch.tensor(x).double(),) * 2 for x in (-5.0, -4.0, -6.0)]
    with pytest.warns(UserWarning, match="the last of 2 steps moved .* by -2"):
        fit = report("fit_em", weather.hmm, scores, -2.0, 1e-6)
    assert not fit.converged


@pytest.mark.parametrize("fit", [fit_em, fit_gradient])
def test_states_that_nothing_tells_apart_are_named(fit):
    x, _ = two_levels(1.0)
    one, sticky = torch.tensor([7.0, 7.0, 9.0]).double(), torch.eye(3) * 0.7 + 0.1
    start = HMM([1 / 3] * 3, sticky, Normal(one, torch.ones(3).double()))
    with pytest.warns(UserWarning) as told:
        fit(start, x, **({"num_steps": 5} if fit is fit_gradient else {}))
    said = [str(each.message) for each in told]
    assert any("states [0, 1] started with the same emission" in each for each in said)
    assert not any("[0, 1, 2]" in each for each in said)


def test_a_gain_of_nothing_is_not_less_than_nothing():
    """One state gains nothing after its first step; with a tolerance of 0 all steps run."""
    one = HMM([1.0], [[1.0]], [[0.2, 0.8]])
    with pytest.warns(UserWarning, match="not converged"):
        fit = fit_em(one, [0, 1, 1], num_iters=6, tolerance=0.0)
    assert fit.num_iters == 6


def test_nothing_is_printed_unless_it_is_asked_for(capsys):
    x = weather.fortnight.observations
    for fit, method in (
        (fit_em, {}),
        *((fit_gradient, {"method": m}) for m in METHODS),
    ):
        for asked in ({}, {"progress": True}):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit(weather.hmm, x, None, 2, **method, **asked)
            told = capsys.readouterr().err
            assert "2/2" in told if asked else not told


def test_the_warning_tells_the_gain_of_the_last_step():
    x = weather.fortnight.observations
    start = random_starts(weather.hmm, 1, seed=3)[0]
    with pytest.warns(UserWarning) as told:
        fit = fit_em(start, x, num_iters=6)
    gain = (fit.log_likelihoods[-1] - fit.log_likelihoods[-2]).item()
    assert f"the last of 6 steps moved log p(x) by {gain:.2g}," in str(told[0].message)


def test_a_bound_is_what_the_message_says(monkeypatch):
    x = weather.fortnight.observations
    for rate in (0.0, -0.5, 1000.5):
        with pytest.raises(ValueError, match="a number above 0, and at most 1000"):
            fit_gradient(weather.hmm, x, learning_rate=rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_gradient(weather.hmm, x, num_steps=0, learning_rate=1000)
    even, _ = em_step(weather.hmm, x, pseudo_count=10**9)
    assert_close(even.initial_probs, torch.full((2,), 0.5).double(), rtol=0, atol=1e-6)
    for count in (-0.5, 10**9 + 1):
        with pytest.raises(ValueError, match="at least 0, and at most 1,000,000,000"):
            em_step(weather.hmm, x, pseudo_count=count)
    with pytest.raises(ValueError, match="needs 0 to 9999"):
        align_states([0, 10_000], [0, 1])
    monkeypatch.setattr(align, "MOST_STATES", 3)
    assert align_states([0, 1, 2], [0, 1, 2]).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="got states up to 3, needs 0 to 2"):
        align_states([0, 1, 2], [0, 1, 3])


def test_a_fit_of_no_steps_is_the_start():
    x = weather.fortnight.observations
    for fit in (fit_em, fit_gradient):
        with pytest.warns(UserWarning, match="the last of 0 steps moved") as told:
            same = fit(weather.hmm, x, None, 0)
        assert told[0].filename == __file__  # the line to look at is the caller's
        assert same.num_iters == 0 and not same.converged
        assert_close(
            same.log_likelihoods, log_likelihood(weather.hmm.potentials(x))[None]
        )
        assert_close(same.model.transition_matrix, weather.hmm.transition_matrix)


def test_a_top_is_seen_at_the_first_step():
    top = HMM([1.0], [[1.0]], [[1 / 3, 2 / 3]])
    fit = fit_em(top, [0, 1, 1])
    assert fit.converged and fit.num_iters == 1
    climb = fit_gradient(weather.hmm, fortnights(), method="lbfgs", tolerance=torch.inf)
    assert climb.converged and climb.num_iters == 1


def test_the_last_digits_are_no_fall():
    """With a tolerance of 0 a climb ends where rounding takes away what a step gives."""
    start = random_starts(weather.hmm, 1, seed=0)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # elsewhere it may gain 0 for ever
        fit = fit_em(start, fortnights(), num_iters=3000, tolerance=0.0)
    gains = fit.log_likelihoods.diff()
    assert gains[-1] > -1e-10 and fit.converged == bool(gains[-1] < 0)


def test_with_a_prior_the_warning_tells_what_the_objective_gained():
    x = weather.fortnight.observations
    start = random_starts(weather.hmm, 1, seed=3)[0]
    objective = []
    for num_iters in (5, 6):
        with pytest.warns(UserWarning) as told:
            fit = fit_em(start, x, num_iters=num_iters, pseudo_count=3.0)
        prior = log_prior(fit.model, PARTS, 3.0)
        objective.append((fit.log_likelihoods[-1] + prior).item())
    gain = objective[1] - objective[0]
    assert f"steps moved log p(x) by {gain:.2g}," in str(told[0].message)


def test_with_a_prior_it_is_the_objective_that_converges():
    x = weather.fortnight.observations
    start = random_starts(weather.hmm, 1, seed=3)[0]
    options = {"pseudo_count": 3.0}
    fit = fit_em(start, x, num_iters=1000, tolerance=1e-5, **options)
    assert fit.converged and 5 < fit.num_iters < 1000

    def objective(model):
        return log_likelihood(model.potentials(x)) + log_prior(model, PARTS, 3.0)

    further, _ = em_step(fit.model, x, **options)
    assert 0 <= objective(further) - objective(fit.model) < 1e-5


def test_impossible_data_are_refused():
    hmm = HMM([1.0], [[1.0]], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="probability 0 under this model"):
        fit_em(hmm, [0, 1])


@pytest.mark.parametrize("found", ["abc", None, weather.hmm.emission])
def test_what_is_no_model_is_a_type_error(found):
    for name, call in (
        ("hmm", lambda: em_step(found, [0, 1])),
        ("hmm", lambda: fit_em(found, [0, 1])),
        ("hmm", lambda: fit_gradient(found, [0, 1])),
        ("hmm", lambda: random_starts(found, 2, seed=0)),
        ("starts", lambda: fit_restarts([found], [0, 1])),
    ):
        with pytest.raises(TypeError, match=f"{name}: got .*, needs an HMM"):
            call()
