"""Every distribution of torch as an emission: the same number as by listing all paths, and
learning that improves or refuses in words.
"""

import inspect
import warnings

import pytest
import torch
import torch.distributions as D
from all_families import FAMILIES, HIGH, LOW, MOVES, PI, every_family, readings
from rules import check_saved
from torch.testing import assert_close

from hmmlib.emissions import log_prob, parameters, parts, rebuilt
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.learning import align_states, em_step, fit_gradient, random_starts

ABSTRACT = {"Distribution", "ExponentialFamily"}


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


WITHOUT_EM = {
    "Beta", "Cauchy", "Chi2", "ContinuousBernoulli", "Dirichlet", "FisherSnedecor",
    "Gumbel", "HalfCauchy", "HalfNormal", "InverseGamma", "Kumaraswamy", "LKJCholesky",
    "Laplace", "LogisticNormal", "LowRankMultivariateNormal", "Pareto",
    "RelaxedBernoulli", "RelaxedOneHotCategorical", "TransformedDistribution", "Uniform",
    "VonMises", "Weibull", "Wishart",
}  # fmt: skip


@every_family
def test_em_improves_the_emission_or_refuses_it(name):
    hmm = HMM(PI, MOVES, FAMILIES[name])
    x = readings(FAMILIES[name], 24, seed=1)
    if name in WITHOUT_EM:
        with pytest.raises(ValueError, match="emission: no weighted fit for"):
            em_step(hmm, x, learn=["emission"])
        step, before = em_step(hmm, x, learn=["transition_matrix"])
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="emission: the counts of state")
            step, before = em_step(hmm, x, learn=["emission"])
    assert type(step.emission) is type(hmm.emission) or "Straight" in name
    assert log_likelihood(step.potentials(x)) > before
    assert smooth_states(step.potentials(x)).smoothed_probs.isfinite().all()


@every_family
def test_it_comes_back_from_a_file_to_the_last_bit(name, tmp_path):
    hmm = HMM(PI, MOVES, FAMILIES[name])
    if name == "TransformedDistribution":
        with pytest.raises(ValueError, match=r"emission: .* cannot be saved"):
            hmm.save(tmp_path / "model.json")
        return
    check_saved(hmm, tmp_path / "model.json")


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
