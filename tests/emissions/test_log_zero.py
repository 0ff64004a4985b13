"""An honest log 0, against scipy: -inf in the table, and finite gradients."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
import torch.distributions as D
from all_families import HIGH, MOVES, PI, ROWS, TWO, P, f8
from torch.testing import assert_close

from hmmlib.emissions import in_support, log_prob, parts, rebuilt
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, viterbi

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
