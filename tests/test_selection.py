"""How many parameters a model has, and AIC and BIC, by hand and as hmmlearn counts them."""

import math

import numpy as np
import pytest
import torch
from random_models import rows
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
)
from torch.testing import assert_close

from hmmlib.durations import HSMM
from hmmlib.emissions import Product, SphericalNormal, TiedNormal
from hmmlib.hmm import HMM
from hmmlib.learning import aic, bic, num_params

G = torch.Generator().manual_seed(0)
EYE, MEANS = torch.eye(3).double(), torch.arange(6.0).reshape(2, 3).double()
ONES, SHARES = torch.ones(2).double(), rows(G, 2, 4)
TABLES = [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("emission", "free"),
    [
        (SHARES, 2 * 3),  # V - 1 a state
        (Categorical(logits=SHARES.log()), 2 * 3),
        (OneHotCategorical(SHARES), 2 * 3),
        (Bernoulli(ONES / 2), 2),
        (Poisson(ONES), 2),
        (Normal(ONES, ONES), 2 * 2),
        (Gamma(ONES, ONES), 2 * 2),
        (StudentT(3 * ONES, ONES, ONES), 2 * 3),
        (Binomial(5 * ONES, ONES / 2), 2),  # how many trials is known
        (MultivariateNormal(MEANS, EYE), 2 * (3 + 6)),
        (MultivariateNormal(MEANS, scale_tril=EYE), 2 * (3 + 6)),
        (TiedNormal(MEANS, EYE), 2 * 3 + 6),
        (SphericalNormal(MEANS, ONES), 2 * (3 + 1)),
        (Independent(Normal(MEANS, 1 + MEANS), 1), 2 * (3 + 3)),
        (Independent(Categorical(rows(G, 2, 3, 4)), 1), 2 * 3 * 3),
        (Product([Normal(ONES, ONES), Categorical(SHARES)]), 2 * 2 + 2 * 3),
        (
            MixtureSameFamily(Categorical(rows(G, 2, 3)), Normal(MEANS, 1 + MEANS)),
            2 * (2 + 3 + 3),
        ),
    ],
    ids=lambda x: type(x).__name__,
)
def test_free_parameters_are_counted_as_by_hand(emission, free):
    """One of the start and two of the moves, of two states, and those of the emission."""
    assert num_params(HMM(*TABLES, emission)) == 1 + 2 + free


def test_of_one_state_only_the_emission_is_free():
    assert num_params(HMM([1.0], [[1.0]], [[0.2, 0.3, 0.5]])) == 2
    assert num_params(HMM([1 / 3] * 3, torch.eye(3), torch.ones(3, 1))) == 2 + 6


def test_criteria_by_hand():
    """log p(x) of a coin thrown four times, of which one throw was not seen."""
    coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
    score = math.log(0.25 * 0.75 * 0.75)
    for x, more in (
        ([0, 1, None, 1], ()),
        ([[0, 1], [1, 0]], ([2, 1],)),
        ([[0, 1], [1]], ()),
        ([0, 1, 1, 1], (None, [True, True, True, False])),
    ):
        assert_close(aic(coin, x, *more), 2 * 1 - 2 * score)
        assert_close(bic(coin, x, *more), 1 * math.log(3) - 2 * score)


def test_of_explicit_durations_by_hand():
    """Two starts, three times one move of two, three times three durations of four."""
    jumps, last = (torch.ones(3, 3) - torch.eye(3)) / 2, torch.full((3, 4), 0.25)
    model = HSMM([1 / 3] * 3, jumps, Poisson(torch.ones(3)), last)
    assert num_params(model) == 2 + 3 + 3 * 3 + 3
    one = HSMM([1.0], [[0.0]], [[0.25, 0.75]], [[0.5, 0.3, 0.2]])
    score = math.log(0.25 * 0.75) + math.log(0.2)  # a stay of at least three steps
    assert num_params(one) == 2 + 1
    assert_close(aic(one, [0, None, 1]), 2 * 3 - 2 * score)
    assert_close(bic(one, [0, None, 1]), 3 * math.log(2) - 2 * score)


def test_a_step_counts_if_a_component_was_seen():
    plane = HMM([1.0], [[1.0]], MultivariateNormal(torch.zeros(1, 2), torch.eye(2)))
    x = [[0.0, 1.0], [np.nan, 2.0], [np.nan, np.nan]]
    score = plane.log_likelihood(x).item()
    assert_close(bic(plane, x), 5 * math.log(2) - 2 * score)


def test_what_is_no_model_is_refused():
    for question in (num_params, lambda x: aic(x, [0]), lambda x: bic(x, [0])):
        with pytest.raises(TypeError, match="hmm: got str, needs an HMM"):
            question("model")


def as_hmmlearn(kind, hmm, covariance):
    """The same model in hmmlearn; `covariance` its type there."""
    theirs = pytest.importorskip("hmmlearn.hmm")
    emission = hmm.emission
    if kind == "gaussian":
        twin = theirs.GaussianHMM(hmm.num_states, covariance_type=covariance)
        twin.n_features = emission.event_shape[0]
        twin.means_ = emission.mean.numpy()
        twin.covars_ = {
            "full": lambda: emission.covariance_matrix.numpy(),
            "tied": lambda: emission.covariance_matrix[0].numpy(),
            "diag": lambda: emission.variance.numpy(),
            "spherical": lambda: emission.scale.numpy() ** 2,
        }[covariance]()
    elif kind == "poisson":
        twin = theirs.PoissonHMM(hmm.num_states)
        twin.n_features, twin.lambdas_ = 1, emission.rate.numpy()[:, None]
    else:
        twin = theirs.CategoricalHMM(hmm.num_states)
        twin.n_features = emission.probs.shape[1]
        twin.emissionprob_ = emission.probs.numpy()
    twin.startprob_ = hmm.initial_probs.numpy()
    twin.transmat_ = hmm.transition_matrix.numpy()
    return twin


FULL = EYE + torch.tensor([[0.0, 0.3, 0], [0.3, 0, 0], [0, 0, 1]]).double()


@pytest.mark.parametrize(
    ("kind", "covariance", "emission"),
    [
        ("gaussian", "full", MultivariateNormal(MEANS, torch.stack([EYE, FULL]))),
        ("gaussian", "tied", TiedNormal(MEANS, FULL)),
        ("gaussian", "diag", Independent(Normal(MEANS, 0.5 + MEANS / 4), 1)),
        ("gaussian", "spherical", SphericalNormal(MEANS, 1 + ONES.cumsum(0))),
        ("poisson", None, Poisson(torch.tensor([1.0, 6.0]).double())),
        ("categorical", None, SHARES),
    ],
)
@pytest.mark.parametrize("lengths", [None, [30, 1, 19]])
def test_hmmlearn_agrees(kind, covariance, emission, lengths):
    hmm = HMM(*TABLES, emission)
    x = hmm.sample(50, seed=0).observations
    parts = x if lengths is None else list(x.split(lengths))
    twin = as_hmmlearn(kind, hmm, covariance)
    column = x.numpy().reshape(50, -1)
    column = column if kind == "gaussian" else column.astype(int)
    assert_close(hmm.log_likelihood(parts).sum().item(), twin.score(column, lengths))
    assert_close(aic(hmm, parts), twin.aic(column, lengths))
    assert_close(bic(hmm, parts), twin.bic(column, lengths))
