"""Pseudo-residuals: by listing all paths, by simulation, and far out in the tails."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from random_models import rows
from scipy import stats
from torch.distributions import (
    Bernoulli,
    Binomial,
    Exponential,
    Gamma,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from torch.distributions import Categorical as Symbols
from torch.testing import assert_close

from hmmlib import HMM
from hmmlib.emissions import LinearEmission
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.learning import pseudo_residuals
from hmmlib.transitions import SoftmaxTransitions

G = torch.Generator().manual_seed(5)
MOVES = [[0.8, 0.2], [0.3, 0.7]]


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def listed(hmm, x, t, states_cdf, ahead, **given):
    """sum_k p(z_t = k | others) p(x or less | k), every path listed."""
    hidden = torch.ones(len(x), dtype=torch.bool)
    hidden[t:] = not ahead
    hidden[t] = False
    p = hmm.potentials(x, observed=hidden & ~x.isnan(), **given)
    paths = all_paths(hmm.num_states, len(x))
    probs = path_log_joints(p, paths).softmax(0)
    weights = torch.stack(
        [probs[paths[:, t] == k].sum() for k in range(hmm.num_states)]
    )
    return (weights * f8(states_cdf)).sum().item()


DENSITIES = [
    (Normal(f8([0.0, 2.0]), f8([1.0, 0.5])), stats.norm([0, 2], [1, 0.5])),
    (Exponential(f8([1.0, 3.0])), stats.expon(0, [1, 1 / 3])),
    (Gamma(f8([2.0, 9.0]), f8([1.0, 1.5])), stats.gamma([2, 9], 0, [1, 1 / 1.5])),
    (LogNormal(f8([0.0, 1.0]), f8([1.0, 0.5])), stats.lognorm([1, 0.5], 0, [1, np.e])),
    (StudentT(f8([3.0, 6.0]), f8([0.0, 4.0]), f8([1.0, 0.5])),
     stats.t([3, 6], [0, 4], [1, 0.5])),
]  # fmt: skip
COUNTS = [
    (Poisson(f8([1.0, 6.0])), stats.poisson([1, 6])),
    (Bernoulli(f8([0.3, 0.9])), stats.bernoulli([0.3, 0.9])),
    (Binomial(5, f8([0.3, 0.9])), stats.binom(5, [0.3, 0.9])),
    (
        NegativeBinomial(f8([2.0, 5.0]), f8([0.3, 0.6])),
        stats.nbinom([2, 5], [0.7, 0.4]),
    ),
]
X = f8([0.4, 1.7, math.nan, 3.1, 0.2])


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(
    ("emission", "known"), DENSITIES, ids=lambda x: type(x).__name__
)
def test_densities_by_listing_all_paths(emission, known, ahead):
    hmm = HMM([0.4, 0.6], MOVES, emission)
    found = pseudo_residuals(hmm, X, ahead=ahead)
    for t in (0, 1, 3, 4):
        expected = stats.norm.ppf(listed(hmm, X, t, known.cdf(X[t].item()), ahead))
        assert_close(found.values[t].item(), float(expected))
    assert found.values[2].isnan()
    assert_close(found.low, found.values, equal_nan=True)
    assert_close(found.high, found.values, equal_nan=True)


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize(("emission", "known"), COUNTS, ids=lambda x: type(x).__name__)
def test_counts_by_listing_all_paths(emission, known, ahead):
    hmm = HMM([0.4, 0.6], MOVES, emission)
    x = f8([1, 0, math.nan, 1, 0])
    found = pseudo_residuals(hmm, x, ahead=ahead)
    drawn = pseudo_residuals(hmm, x, ahead=ahead, seed=0).values
    for t in (0, 1, 3, 4):
        value = x[t].item()
        ends = [listed(hmm, x, t, known.cdf(value - step), ahead) for step in (1, 0)]
        for part, share in ((found.low, 0.0), (found.values, 0.5), (found.high, 1.0)):
            expected = (1 - share) * ends[0] + share * ends[1]
            assert_close(float(stats.norm.cdf(part[t])), expected)
        assert found.low[t] <= drawn[t] <= found.high[t]
        assert drawn[t] != found.values[t]
    assert all(part[2].isnan() for part in found)


def test_symbols_go_by_their_numbers():
    hmm = HMM([0.4, 0.6], MOVES, rows(G, 2, 3))
    x, table = torch.tensor([2, 0, 1, 2]), hmm.emission.probs
    found = pseudo_residuals(hmm, x)
    assert found.low[1] == -torch.inf and found.high[0] == found.high[3] == torch.inf
    expected = listed(hmm, x.double(), 2, table[:, :2].sum(1).tolist(), False)
    assert_close(found.high[2].item(), float(stats.norm.ppf(expected)))


def test_batches_are_sequences_one_by_one():
    driven = SoftmaxTransitions(torch.randn(2, 2, 2, generator=G).double())
    emission = LinearEmission([[0.0, 1.0], [2.0, -1.0]], f8([0.5, 1.0]))
    for hmm in (
        HMM([0.4, 0.6], driven, emission),
        HMM([0.4, 0.6], MOVES, Poisson(f8([1, 6]))),
    ):
        size = hmm.num_inputs
        inputs = [torch.randn(n, size, generator=G).double() for n in (4, 1, 6)]
        inputs = inputs if size else [None] * 3
        x = [
            hmm.sample(n, n, inputs=u).observations
            for n, u in zip((4, 1, 6), inputs, strict=True)
        ]
        labels = [torch.full((len(each),), -1) for each in x]
        labels[2][3] = 1
        for ahead in (False, True):
            options = {"ahead": ahead}
            together = pseudo_residuals(
                hmm, x, inputs=inputs if size else None, labels=labels, **options
            )
            for n, each in enumerate(x):
                alone = pseudo_residuals(
                    hmm, each, inputs=inputs[n], labels=labels[n], **options
                )
                for many, one in zip(together, alone, strict=True):
                    assert_close(many[n, : len(each)], one)
                    assert many[n, len(each) :].isnan().all()


def test_a_regression_is_read_beside_its_inputs():
    hmm = HMM([1.0], [[1.0]], LinearEmission([[1.0, 2.0]], f8([0.5])))
    inputs = f8([[1.0, 0.0], [1.0, 3.0]])
    found = pseudo_residuals(hmm, [2.0, math.nan], inputs=inputs).values
    assert_close(found[0], f8(2.0))
    assert found[1].isnan()


def test_of_the_true_model_they_are_standard_normal():
    for emission in (Normal(f8([0.0, 3.0]), f8([1.0, 0.5])), Poisson(f8([1.0, 6.0]))):
        hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], emission)
        x = hmm.sample(4000, seed=1).observations
        for ahead in (False, True):
            values = pseudo_residuals(hmm, x, ahead=ahead, seed=2).values
            assert stats.kstest(values.numpy(), "norm").pvalue > 0.01
            if ahead:
                assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.04


def test_outliers_far_out_have_digits():
    hmm = HMM([0.5, 0.5], MOVES, Normal(f8([0.0, 1.0]), f8([1.0, 1.0])))
    x = f8([0.0, 30.0, 1.0, -20.0, 0.5])
    found = pseudo_residuals(hmm, x).values
    assert 28.9 < found[1] < 30 and -21 < found[3] < -20
    counts = HMM([1.0], [[1.0]], Poisson(f8([1.0])))
    tail = stats.poisson(1).sf([29, 30])
    found = pseudo_residuals(counts, [30, 0, 1])
    assert_close(found.low[0].item(), -stats.norm.ppf(tail[0]))
    assert_close(found.high[0].item(), -stats.norm.ppf(tail[1]))


def test_states_hundreds_of_nats_apart():
    """A state that the filter and what follows both hold impossible by themselves."""
    moves = [[1 - 1e-3, 1e-3], [1e-3, 1 - 1e-3]]
    hmm = HMM([0.5, 0.5], moves, Normal(f8([0.0, 60.0]), f8([1.0, 1.0])))
    x = f8([0.0] * 3 + [60.0] * 3)
    found = pseudo_residuals(hmm, x).values
    assert found.isfinite().all() and (found.abs() < 4).all()


def test_a_mixture_and_float32():
    shares = Symbols(probs=torch.tensor([[0.5, 0.5], [0.1, 0.9]]))
    inside = Normal(torch.tensor([[0.0, 2.0], [5.0, 9.0]]), 1.0)
    hmm = HMM(torch.tensor([1.0, 0.0]), torch.eye(2), MixtureSameFamily(shares, inside))
    found = pseudo_residuals(hmm, [1.0]).values
    assert found.dtype == torch.float32 and abs(found) < 1e-6


def test_a_series_and_all_missing():
    hmm = HMM([1.0], [[1.0]], Normal(f8([0.0]), f8([1.0])))
    assert_close(pseudo_residuals(hmm, pd.Series([1.0, None])).values[0], f8(1.0))
    assert pseudo_residuals(hmm, [math.nan, math.nan]).values.isnan().all()


def test_vectors_are_refused():
    plane = HMM([1.0], [[1.0]], MultivariateNormal(torch.zeros(1, 2), torch.eye(2)))
    with pytest.raises(
        ValueError, match=r"observations: got vectors \(2,\), needs single"
    ):
        pseudo_residuals(plane, [[0.0, 1.0]])
