"""Every distribution of torch as an emission: the same number as by listing all paths, an
honest log 0, and learning that improves or refuses in words.
"""

import inspect
import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
import torch.distributions as D
from torch.testing import assert_close

from hmmlib.emissions import in_support, log_prob, parameters, parts, rebuilt
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.learning import (
    align_states,
    em_step,
    fit_em,
    fit_gradient,
    fit_restarts,
    random_starts,
)

PI, MOVES = [0.6, 0.4], [[0.8, 0.2], [0.3, 0.7]]


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


LOW, HIGH = f8([0.5, 2.0]), f8([1.5, 3.0])
P = f8([0.2, 0.7])
ROWS = f8([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
EYE = torch.eye(2).double().expand(2, 2, 2)
PLANE = f8([[0.0, 1.0], [2.0, 3.0]])
TWO = D.Categorical(f8([[0.5, 0.5], [0.25, 0.75]]))
LEVELS = f8([[-1.0, 1.0], [4.0, 6.0]])

FAMILIES = {  # two states of each family; where it can be given logits, those too
    "Bernoulli": D.Bernoulli(P),
    "Bernoulli logits": D.Bernoulli(logits=LOW),
    "Beta": D.Beta(LOW, HIGH),
    "Binomial": D.Binomial(5, P),
    "Binomial logits": D.Binomial(5, logits=LOW),
    "Categorical": D.Categorical(ROWS),
    "Categorical logits": D.Categorical(logits=ROWS),
    "Cauchy": D.Cauchy(LOW, HIGH),
    "Chi2": D.Chi2(HIGH),
    "ContinuousBernoulli": D.ContinuousBernoulli(P),
    "Dirichlet": D.Dirichlet(1 + ROWS),
    "Exponential": D.Exponential(LOW),
    "FisherSnedecor": D.FisherSnedecor(HIGH, LOW),
    "Gamma": D.Gamma(HIGH, LOW),
    "Geometric": D.Geometric(P),
    "Geometric logits": D.Geometric(logits=LOW),
    "Gumbel": D.Gumbel(LOW, HIGH),
    "HalfCauchy": D.HalfCauchy(LOW),
    "HalfNormal": D.HalfNormal(LOW),
    "Independent": D.Independent(D.Normal(PLANE, 1.0), 1),
    "InverseGamma": D.InverseGamma(HIGH, LOW),
    "Kumaraswamy": D.Kumaraswamy(LOW, HIGH),
    "LKJCholesky": D.LKJCholesky(3, LOW),
    "Laplace": D.Laplace(LOW, HIGH),
    "LogNormal": D.LogNormal(LOW, HIGH),
    "LogisticNormal": D.LogisticNormal(PLANE, torch.ones(2, 2).double()),
    "LowRankMultivariateNormal": D.LowRankMultivariateNormal(
        PLANE, torch.ones(2, 2, 1).double(), torch.ones(2, 2).double()
    ),
    "MixtureSameFamily": D.MixtureSameFamily(
        TWO, D.Normal(LEVELS, torch.ones(2, 2).double())
    ),
    "MixtureSameFamily of counts": D.MixtureSameFamily(TWO, D.Poisson(LEVELS.abs())),
    "Multinomial": D.Multinomial(4, ROWS),
    "Multinomial logits": D.Multinomial(4, logits=ROWS),
    "MultivariateNormal": D.MultivariateNormal(PLANE, EYE),
    "NegativeBinomial": D.NegativeBinomial(LOW, P),
    "NegativeBinomial logits": D.NegativeBinomial(HIGH, logits=-LOW),
    "Normal": D.Normal(LOW, HIGH),
    "OneHotCategorical": D.OneHotCategorical(ROWS),
    "OneHotCategoricalStraightThrough": D.OneHotCategoricalStraightThrough(ROWS),
    "Pareto": D.Pareto(f8([1.0, 1.0]), HIGH),
    "Poisson": D.Poisson(HIGH),
    "RelaxedBernoulli": D.RelaxedBernoulli(f8(0.7), P),
    "RelaxedOneHotCategorical": D.RelaxedOneHotCategorical(f8(0.7), ROWS),
    "StudentT": D.StudentT(f8([4.0, 5.0]), LOW, HIGH),
    "TransformedDistribution": D.TransformedDistribution(
        D.Normal(LOW, HIGH), [D.ExpTransform(), D.AffineTransform(0.0, 2.0)]
    ),
    "Uniform": D.Uniform(-LOW, HIGH),
    "VonMises": D.VonMises(LOW, HIGH),
    "Weibull": D.Weibull(LOW, HIGH),
    "Wishart": D.Wishart(f8([4.0, 5.0]), EYE),
}
ABSTRACT = {"Distribution", "ExponentialFamily"}
every_family = pytest.mark.parametrize("name", FAMILIES)


def readings(emission, n, seed=0):
    """n readings from either state, in turns of three."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Singular sample")  # of Wishart
        torch.manual_seed(seed)
        drawn = emission.sample((n,))
    return drawn[torch.arange(n), torch.arange(n) // 3 % 2]


def test_no_distribution_of_torch_is_left_out():
    known = {
        name
        for name in D.__all__
        if inspect.isclass(getattr(D, name))
        and issubclass(getattr(D, name), D.Distribution)
    }
    assert known - ABSTRACT - {"GeneralizedPareto"} <= {
        name.split()[0] for name in FAMILIES
    }


@every_family
def test_the_likelihood_is_that_of_all_paths(name):
    """torch's own density of each state and reading, and every path listed."""
    emission = FAMILIES[name]
    x = readings(emission, 4)
    told = torch.stack(
        [torch.stack([log_of(emission, k, each) for k in range(2)]) for each in x]
    )
    hmm = HMM(PI, MOVES, emission)
    p = hmm.potentials(x)
    assert_close(p.log_likelihoods + 0, told, rtol=1e-9, atol=1e-9)
    listed = path_log_joints(p._replace(log_likelihoods=told), all_paths(2, 4))
    assert_close(log_likelihood(p), listed.logsumexp(0), rtol=1e-9, atol=1e-9)
    assert_close(viterbi(p).log_joint, listed.amax(), rtol=1e-9, atol=1e-9)


def log_of(emission, k, value):
    """log density of one reading in one state, by torch."""
    same = value.expand(2, *value.shape)
    return emission.log_prob(same)[k]


@every_family
def test_it_is_rebuilt_from_its_parameters(name):
    emission = FAMILIES[name]
    x = readings(emission, 5).unsqueeze(1)
    fresh = {key: value.clone() for key, value in parameters(emission).items()}
    twin = rebuilt(emission, fresh)
    assert type(twin) is type(emission) and fresh
    assert_close(log_prob(twin, x), log_prob(emission, x))
    assert_close(log_prob(rebuilt(emission, {}), x), log_prob(emission, x))
    swapped = {key: value.flip(0) for key, value in fresh.items()}
    other = log_prob(rebuilt(emission, swapped), x)
    assert_close(other, log_prob(emission, x).flip(1))


@every_family
@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_gradient_ascent_improves_the_emission_or_refuses_it(name, method):
    """Refused are those whose parameters are the edges of what they can emit."""
    hmm = HMM(PI, MOVES, FAMILIES[name])
    x = readings(FAMILIES[name], 24, seed=1)
    options = {"num_steps": 30, "method": method, "learn": ["emission"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in ("Uniform", "Pareto"):
            with pytest.raises(ValueError, match=f"emission: got {name}, whose param"):
                fit_gradient(hmm, x, **options)
            return
        fit = fit_gradient(hmm, x, **options)
        again = fit_gradient(fit.model, x, **(options | {"num_steps": 0}))
    assert fit.log_likelihoods[-1] > fit.log_likelihoods[0] + 0.01
    assert fit.log_likelihoods[-1] == fit.log_likelihoods.max()
    own = log_likelihood(fit.model.potentials(x))
    assert_close(own, fit.log_likelihoods[-1], rtol=1e-9, atol=1e-9)
    assert type(fit.model.emission) is type(FAMILIES[name])
    assert_close(again.log_likelihoods[0], own, rtol=1e-9, atol=1e-9)


@every_family
def test_em_improves_the_emission_or_refuses_it(name):
    hmm = HMM(PI, MOVES, FAMILIES[name])
    x = readings(FAMILIES[name], 24, seed=1)
    try:
        step, before = em_step(hmm, x, learn=["emission"])
    except ValueError as error:
        assert str(error).startswith("emission: no weighted fit for")
        step, before = em_step(hmm, x, learn=["transition_matrix"])
    assert log_likelihood(step.potentials(x)) > before
    assert smooth_states(step.potentials(x)).smoothed_probs.isfinite().all()


@every_family
def test_starts_and_alignment_know_it(name):
    hmm = HMM(PI, MOVES, FAMILIES[name])
    for start in random_starts(hmm, 2, seed=0):
        assert type(start.emission) is type(hmm.emission)
        assert start.potentials(readings(hmm.emission, 3)).log_likelihoods.shape
    flipped = {key: v.flip(0) for key, v in parameters(hmm.emission).items()}
    other = HMM(PI, MOVES, rebuilt(hmm.emission, flipped))
    assert align_states(hmm, other).tolist() == [1, 0]


@every_family
def test_a_missing_reading_says_nothing(name):
    emission = FAMILIES[name]
    x = readings(emission, 3)
    observed = torch.tensor([True, False, True])
    p = HMM(PI, MOVES, emission).potentials(x, observed=observed)
    assert (p.log_likelihoods[1] == 0).all() and (p.log_likelihoods[0] != 0).any()


@every_family
def test_in_single_precision_it_is_the_same(name):
    emission = FAMILIES[name]
    given = {part.name: part.value.float() for part in parts(emission)}
    x = readings(emission, 4)
    if name.startswith(("Relaxed", "Transformed")):
        return  # their fixed parts stay in double precision
    single = HMM(torch.tensor(PI), torch.tensor(MOVES), rebuilt(emission, given))
    p = single.potentials(x)
    assert p.log_likelihoods.dtype is torch.float32
    expected = log_likelihood(HMM(PI, MOVES, emission).potentials(x))
    assert_close(log_likelihood(p).double(), expected, rtol=1e-4, atol=1e-3)


# --- an honest log 0, against scipy

COUNTS = [
    (D.Binomial(5, P), lambda k: scipy.stats.binom(5, P[k].item()).logpmf),
    (
        D.NegativeBinomial(f8([3.0, 2.5]), P),
        lambda k: scipy.stats.nbinom([3.0, 2.5][k], 1 - P[k].item()).logpmf,
    ),
    (
        D.Geometric(P),
        lambda k: lambda n: scipy.stats.geom(P[k].item()).logpmf(n + 1),
    ),
    (D.Poisson(HIGH), lambda k: scipy.stats.poisson(HIGH[k].item()).logpmf),
]


@pytest.mark.parametrize(("emission", "peer"), COUNTS, ids=lambda x: type(x).__name__)
def test_counts_agree_with_scipy(emission, peer):
    n = torch.arange(5).double()
    expected = np.stack([peer(k)(n.numpy()) for k in range(2)], axis=1)
    assert_close(log_prob(emission, n[:, None]), torch.as_tensor(expected))


ZEROS = [  # what state 0 cannot emit, and state 1 can
    (D.Binomial(5, f8([0.0, 0.5])), 2.0),
    (D.Binomial(5, f8([1.0, 0.5])), 2.0),
    (D.Binomial(5, logits=f8([-math.inf, 0.0])), 2.0),
    (D.Binomial(f8([3.0, 5.0]), f8([0.5, 0.5])), 4.0),
    (D.Bernoulli(f8([0.0, 0.5])), 1.0),
    (D.Geometric(f8([1.0, 0.5])), 3.0),
    (D.NegativeBinomial(2, f8([0.0, 0.5])), 1.0),
    (D.Poisson(f8([0.0, 2.0])), 1.0),
    (D.Categorical(f8([[1.0, 0.0], [0.5, 0.5]])), 1.0),
    (D.OneHotCategorical(f8([[1.0, 0.0], [0.5, 0.5]])), [0.0, 1.0]),
    (D.Multinomial(3, f8([[1.0, 0.0], [0.5, 0.5]])), [2.0, 1.0]),
    (D.Uniform(f8([0.0, 1.0]), f8([1.0, 3.0])), 2.0),
    (D.Pareto(f8([2.0, 1.0]), f8([1.0, 1.0])), 1.5),
    (
        D.MixtureSameFamily(
            D.Categorical(f8([[1.0, 0.0], [0.5, 0.5]])),
            D.Uniform(f8([[0.0, 2.0], [0.0, 2.0]]), f8([[1.0, 3.0], [1.0, 3.0]])),
        ),
        2.5,
    ),
    (
        D.Independent(D.Binomial(5, f8([[0.0, 0.5], [0.5, 0.5]])), 1),
        [2.0, 1.0],
    ),
]


@pytest.mark.parametrize(
    ("emission", "value"), ZEROS, ids=lambda x: getattr(type(x), "__name__", x)
)
def test_log_0_is_minus_infinity_and_so_is_an_impossible_path(emission, value):
    """State 0 never leaves: with one reading that it cannot emit nothing is left."""
    hmm = HMM([1.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], emission)
    p = hmm.potentials([value])
    assert p.log_likelihoods[0, 0] == -math.inf and p.log_likelihoods[0, 1].isfinite()
    assert log_likelihood(p) == -math.inf and viterbi(p).states.tolist() == [-1]
    parameter = next(
        part for part in parts(emission) if not part.constraint.is_discrete
    )
    leaf = parameter.value.detach().clone().requires_grad_()
    moved = HMM(PI, MOVES, rebuilt(emission, {parameter.name: leaf}))
    (gradient,) = torch.autograd.grad(log_likelihood(moved.potentials([value])), leaf)
    assert gradient.isfinite().all()


def test_what_torch_cannot_evaluate_is_told():
    """torch's generalised Pareto works in single precision only."""
    single = [torch.tensor(v) for v in ([0.0, 0.0], [0.5, 2.0], [0.1, 0.2])]
    x = [0.5, 1.0, 2.0]
    hmm = HMM(torch.tensor(PI), torch.tensor(MOVES), D.GeneralizedPareto(*single))
    told = [
        [
            scipy.stats.genpareto(c, loc, scale).logpdf(each)
            for loc, scale, c in zip(*single, strict=True)
        ]
        for each in x
    ]
    assert_close(hmm.potentials(x).log_likelihoods, torch.tensor(told).float())
    double = D.GeneralizedPareto(*(v.double() for v in single))
    with pytest.raises(ValueError, match="emission: GeneralizedPareto has no log_prob"):
        HMM(PI, MOVES, double).potentials(x)


def test_a_multinomial_of_another_total_or_of_halves_is_refused():
    hmm = HMM(PI, MOVES, D.Multinomial(4, ROWS))
    for wrong in ([1.0, 1.0, 1.0], [0.5, 0.5, 3.0], [5.0, -1.0, 0.0]):
        with pytest.raises(ValueError, match=r"observations: .* at step 0"):
            hmm.potentials([wrong])


def test_a_mixture_emits_what_one_of_its_components_does():
    edges = f8([[0.0, 2.0], [5.0, 7.0]])
    mixture = D.MixtureSameFamily(TWO, D.Uniform(edges, edges + 1))
    assert in_support(mixture, f8([[0.5], [1.5], [7.5]])).tolist() == [
        [True, False],
        [False, False],
        [False, True],
    ]
    assert_close(log_prob(mixture, f8([[2.5]]))[0, 0].exp().item(), 0.5)


# --- learning from a start that is off


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


class Own(D.Normal):
    """A family of the caller's, with other names than it tells."""

    def __init__(self, middle, width):
        super().__init__(middle, width)


def test_a_family_that_cannot_be_made_anew_is_refused_in_words():
    hmm = HMM(PI, MOVES, Own(LOW, HIGH))
    assert log_likelihood(hmm.potentials([1.0, 2.0])).isfinite()
    with pytest.raises(
        ValueError, match=r"emission: got Own, which cannot be made anew"
    ):
        fit_gradient(hmm, [1.0, 2.0])


@pytest.mark.parametrize(
    "name", ["Binomial", "Multinomial", "MixtureSameFamily", "Gamma"]
)
def test_several_chains_emit_it_too(name):
    """Two chains of two and one states are one chain of two."""
    emission = FAMILIES[name]
    wide = {key: value.unsqueeze(1) for key, value in parameters(emission).items()}
    house = FactorialHMM([PI, [1.0]], [MOVES, [[1.0]]], rebuilt(emission, wide))
    x = readings(emission, 6)
    expected = log_likelihood(HMM(PI, MOVES, emission).potentials(x))
    assert_close(house.log_likelihood(x), expected)
    assert_close(log_likelihood(house.flattened().potentials(x)), expected)
    assert house.sample(3, seed=0).observations.shape == (3, *emission.event_shape)
