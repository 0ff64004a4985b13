"""Learning: the peers agree step by step, the likelihood never falls, and trouble is told."""

import math
import warnings

import numpy as np
import pytest
import torch
from random_models import rows
from torch.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)
from torch.testing import assert_close

from hmmlib import learning
from hmmlib.datasets import weather
from hmmlib.hmm import HMM, innermost, parameters
from hmmlib.inference import log_likelihood
from hmmlib.learning import (
    PARTS,
    align_states,
    em_step,
    fit_em,
    fit_gradient,
    fit_restarts,
    guess_emission,
    log_prior,
    random_starts,
    weighted_fit,
)

METHODS = ("adam", "lbfgs")


def emissions(g, k):
    """One emission of each family that has a weighted fit, K states."""

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    factor = normal(k, 2, 2)
    return [
        Categorical(rows(g, k, 4)),
        Normal(3 * normal(k), 0.5 + normal(k).abs()),
        MultivariateNormal(
            3 * normal(k, 2), factor @ factor.mT + torch.eye(2).double()
        ),
        Poisson(1 + 5 * normal(k).abs()),
        Bernoulli(rows(g, k, 2)[:, 0]),
        Independent(Normal(3 * normal(k, 2), 0.5 + normal(k, 2).abs()), 1),
        Independent(Bernoulli(rows(g, k, 3, 2)[..., 0]), 1),
        Independent(Categorical(rows(g, k, 2, 3)), 1),
    ]


def problem(seed):
    """A random model, data of another one of the same family, ragged and missing."""
    g = torch.Generator().manual_seed(seed)
    k = 2 + seed % 2
    start, truth = (
        HMM(rows(g, k), rows(g, k, k), emissions(g, k)[seed % 8]) for _ in range(2)
    )
    if seed % 5 == 0:  # left to right: half of the starts and moves have probability 0
        upper = start.transition_matrix.triu()
        upper = upper / upper.sum(1, keepdim=True)
        start = HMM([1.0] + [0.0] * (k - 1), upper, start.emission)
    x = torch.stack(
        [truth.sample(20, seed=10 * seed + n).observations for n in range(4)]
    )
    lengths = torch.tensor([20, 7, 1, 12]) if seed % 3 else None
    observed = torch.rand(4, 20, generator=g) < 0.8 if seed % 2 else None
    return start, x, lengths, observed


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


def fortnights(num_sequences=20, num_steps=50, hmm=weather.hmm):
    return torch.stack(
        [hmm.sample(num_steps, seed=n).observations for n in range(num_sequences)]
    )


def test_fit_em_tells_the_truth_about_itself():
    x = fortnights()
    fit = fit_em(weather.hmm, x, num_iters=2000, tolerance=1e-5)
    assert fit.converged and fit.num_iters < 2000
    assert len(fit.log_likelihoods) == fit.num_iters + 1
    own = log_likelihood(fit.model.potentials(x)).sum()
    assert_close(fit.log_likelihoods[-1], own, rtol=1e-12, atol=0.0)
    assert fit.log_likelihoods[0] == log_likelihood(weather.hmm.potentials(x)).sum()
    assert fit.log_likelihoods[-1] > fit.log_likelihoods[0]
    with pytest.warns(
        UserWarning, match=r"fit_em: not converged, the last of 3 steps moved"
    ):
        short = fit_em(weather.hmm, x, num_iters=3)
    assert (
        not short.converged and short.num_iters == 3 and len(short.log_likelihoods) == 4
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
        Exponential(torch.tensor([0.2, 3.0]).double()),
    )
    x = truth.sample(300, seed=0).observations
    start = HMM(
        [0.5, 0.5],
        truth.transition_matrix,
        Exponential(torch.tensor([0.5, 1.0]).double()),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_gradient(start, x, num_steps=300)
    assert fit.log_likelihoods[-1] >= log_likelihood(truth.potentials(x))
    with pytest.raises(
        ValueError, match="no weighted fit for Exponential, needs fit_gradient"
    ):
        em_step(start, x)


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


def test_align_states():
    order = torch.tensor([2, 0, 1])
    emission = Normal(torch.tensor([0.0, 5.0, 10.0]).double(), 1.0)
    a = rows(torch.Generator().manual_seed(0), 3, 3)
    reference = HMM([0.2, 0.3, 0.5], a, emission)
    inverse = order.argsort()
    shuffled = HMM(
        reference.initial_probs[inverse],
        a[inverse][:, inverse],
        Normal(emission.loc[inverse], 1.0),
    )
    found = align_states(reference, shuffled)
    assert (found == order).all() and (
        shuffled.emission.loc[found] == emission.loc
    ).all()
    states = torch.tensor([0, 0, 1, 2, 2, 1])
    assert (align_states(states, order[states]) == order).all()
    with pytest.raises(ValueError, match=r"estimate: got shapes \(6,\) and \(3,\)"):
        align_states(states, order)


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


def test_impossible_data_are_refused():
    hmm = HMM([1.0], [[1.0]], [[1.0, 0.0]])
    with pytest.raises(ValueError, match="probability 0 under this model"):
        fit_em(hmm, [0, 1])


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


def test_random_starts_have_symbols_of_their_own():
    """Rows of a categorical emission are drawn afresh: nothing of the model is told."""
    starts = random_starts(weather.hmm, 200, seed=0)
    walks = torch.stack([start.emission.probs[:, 0] for start in starts]).flatten()
    assert walks.min() < 0.1 and walks.max() > 0.6
    assert abs(walks.mean() - 1 / 3) < 0.05  # Dirichlet(1, 1, 1)


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
    assert_close(same.model.emission.probs, logits.emission.probs)
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


def test_random_starts_tell_states_apart():
    even = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Bernoulli(torch.tensor([0.5, 0.5])))
    for start in random_starts(even, 5, seed=0):
        assert abs(start.emission.probs[0] - start.emission.probs[1]) > 1e-3
    alike = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Poisson(torch.tensor([3.0, 3.0])))
    with pytest.raises(ValueError, match="its states emit all alike"):
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


def test_a_fit_that_fell_has_not_converged():
    """No step of EM falls by more than rounding; if one did, it would be told."""
    scores = [(torch.tensor(x).double(),) * 2 for x in (-5.0, -4.0, -6.0)]
    with pytest.warns(UserWarning, match="the last of 2 steps moved .* by -2"):
        fit = learning._told("fit_em", weather.hmm, scores, -2.0, 1e-6)
    assert not fit.converged


def two_levels(gap, n=400, noise=0.02):
    """Readings of two levels that take turns of 40, and which one each belongs to."""
    level = (np.arange(n) // 40) % 2
    noise = np.random.default_rng(1).normal(0, noise, n)
    return 7.0 + gap * level + noise, level


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


def test_readings_that_are_all_the_same_leave_a_scale():
    emission = Normal(torch.tensor([0.0, 1.0]).double(), torch.ones(2).double())
    with pytest.warns(UserWarning, match="shrank onto a value"):
        step, _ = em_step(HMM([0.5, 0.5], [[0.5, 0.5]] * 2, emission), [3.0] * 5)
    assert_close(step.emission.scale, torch.full((2,), 1e-4).double())


def test_a_gain_of_nothing_is_not_less_than_nothing():
    """One state gains nothing after its first step; with a tolerance of 0 all steps run."""
    one = HMM([1.0], [[1.0]], [[0.2, 0.8]])
    with pytest.warns(UserWarning, match="not converged"):
        fit = fit_em(one, [0, 1, 1], num_iters=6, tolerance=0.0)
    assert fit.num_iters == 6


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


def test_starts_keep_the_precision_of_their_model():
    tables = torch.tensor([0.5, 0.5]).double(), torch.full((2, 2), 0.5).double()
    for dtype in (torch.float64, torch.float32):
        probs = torch.tensor([0.2, 0.7], dtype=dtype)
        start = random_starts(HMM(*tables, Bernoulli(probs)), 1, seed=0)[0]
        assert start.emission.probs.dtype == dtype


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


@pytest.mark.filterwarnings("ignore:emission. the scale of state")  # and it does
def test_a_step_out_of_all_range_is_told():
    emission = Normal(
        torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()
    )
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission)
    huge = [9.480751908109176e153, 9.480751908109177e153]
    with pytest.raises(ValueError, match=r"learning_rate: a step led .* other units"):
        fit_gradient(hmm, huge, num_steps=2)


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
    monkeypatch.setattr(learning, "MOST_STATES", 3)
    assert align_states([0, 1, 2], [0, 1, 2]).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="got states up to 3, needs 0 to 2"):
        align_states([0, 1, 2], [0, 1, 3])


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        ([-1, 1], [0, 1], "estimate: got states"),
        ([0, 1], [1, -1], "estimate: got states"),
        ([0, 1], [0.0, 1.0], "estimate: got shapes"),
        ([[0.0, 1.0]], [[0, 1], [1, 0]], "estimate: got shapes"),
        ([[0.0, math.nan]], [[0.0, 1.0]], "needs finite numbers"),
        ([[0.0, 1.0]], [[math.inf, 1.0]], "needs finite numbers"),
    ],
)
def test_what_does_not_match_is_not_aligned(reference, estimate, message):
    with pytest.raises(ValueError, match=message):
        align_states(reference, estimate)


def test_paths_are_aligned_by_most_of_their_days():
    reference = torch.tensor([0] * 6 + [1] * 6)
    estimate = torch.tensor([0] + [1] * 5 + [1] + [0] * 5)
    assert align_states(reference, estimate).tolist() == [1, 0]
    more = align_states([0, 0, 1, 1], [2, 2, 0, 1])  # a state that only one path visits
    assert more[0] == 2 and sorted(more.tolist()) == [0, 1, 2]
    fewer = align_states([2, 2, 0, 1], [0, 0, 1, 1])
    assert fewer[2] == 0 and sorted(fewer.tolist()) == [0, 1, 2]


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


def test_the_last_digits_are_no_fall():
    """With a tolerance of 0 a climb ends where rounding takes away what a step gives."""
    start = random_starts(weather.hmm, 1, seed=0)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # elsewhere it may gain 0 for ever
        fit = fit_em(start, fortnights(), num_iters=3000, tolerance=0.0)
    gains = fit.log_likelihoods.diff()
    assert gains[-1] > -1e-10 and fit.converged == bool(gains[-1] < 0)


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


def test_moves_that_no_step_takes_are_not_climbed():
    """A series of one step says nothing about moves."""
    for method in METHODS:
        fit = fit_gradient(
            weather.hmm, [1], num_steps=3, method=method, tolerance=torch.inf
        )
        assert_close(fit.model.transition_matrix, weather.hmm.transition_matrix)


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


def test_quasi_newton_that_stops_by_itself_ends_with_its_own_likelihood():
    """No gain is less than a loss of 1: only the gradient says that this is the top."""
    x = fortnights(4, 20)
    with pytest.warns(UserWarning, match="needs less than -1"):
        fit = fit_gradient(weather.sticky(0.9), x, method="lbfgs", tolerance=-1.0)
    assert 1 < fit.num_iters < 200 and fit.log_likelihoods.diff().min() > -1e-9
    own = log_likelihood(fit.model.potentials(x)).sum()
    assert_close(fit.log_likelihoods[-1], own)
    assert own > fit.log_likelihoods[0] + 1


def test_readings_that_are_all_missing_leave_the_emission_as_it_is():
    emission = Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1, 2]).double())
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission)
    step, score = em_step(hmm, [torch.nan] * 4)
    assert_close(
        (step.emission.loc, step.emission.scale), (emission.loc, emission.scale)
    )
    assert_close(step.initial_probs, hmm.initial_probs)
    assert_close(score.item(), 0.0)
