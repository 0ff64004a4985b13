"""Quantiles of mixtures: the roots that scipy finds of its own cdf, and the counts it sums."""

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from torch.distributions import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Gamma,
    Independent,
    Kumaraswamy,
    LogNormal,
    MixtureSameFamily,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Uniform,
)
from torch.testing import assert_close

from hmmlib.emissions import quantiles
from hmmlib.hmm import HMM

SHARES = np.array([[0.3, 0.7], [0.9, 0.1]])
LEVELS = [0.001, 0.025, 0.25, 0.5, 0.85, 0.999]
A, B = (
    torch.tensor([[0.5, 3.0], [2.0, 7.0]]).double(),
    torch.tensor([0.4, 2.0]).double(),
)
FAR = torch.tensor([[0.0, 5.0], [1e9, -3e4]]).double()
DENSITIES = {
    "normal": (Normal(FAR, B), lambda: stats.norm(FAR, B)),
    "gamma": (Gamma(A, B), lambda: stats.gamma(A, scale=1 / B)),
    "log-normal": (LogNormal(A, B), lambda: stats.lognorm(B, scale=A.exp())),
    "student": (StudentT(A, FAR, B), lambda: stats.t(A, FAR, B)),
    "uniform": (Uniform(A, A + B), lambda: stats.uniform(A, B)),
}
COUNTS = {
    "poisson": (Poisson(9 * A), lambda: stats.poisson(9 * A)),
    "binomial": (Binomial(9 * B.round() + 3, A / 8),
                 lambda: stats.binom(9 * B.round() + 3, A / 8)),
    "overdispersed": (NegativeBinomial(A, B / 3), lambda: stats.nbinom(A, 1 - B / 3)),
    "events": (Bernoulli(A / 8), lambda: stats.bernoulli(A / 8)),
}  # fmt: skip


def mixed(part):
    return MixtureSameFamily(Categorical(torch.from_numpy(SHARES)), part)


@pytest.mark.parametrize("name", DENSITIES)
def test_scipy_finds_the_same_roots(name):
    part, theirs = DENSITIES[name]
    found = quantiles(mixed(part), LEVELS)
    each = theirs()
    low, high = each.ppf(1e-9).min(1), each.ppf(1 - 1e-9).max(1)
    for r, level in enumerate(LEVELS):
        for h in range(2):
            root = optimize.brentq(
                lambda x, h=h, level=level: (SHARES * each.cdf(x))[h].sum() - level,
                low[h], high[h], xtol=1e-12, rtol=1e-14,
            )  # fmt: skip
            assert_close(found[r, h].item(), root, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", COUNTS)
def test_of_counts_the_least_that_is_enough(name):
    part, theirs = COUNTS[name]
    found, each = quantiles(mixed(part), LEVELS).numpy(), theirs()
    levels = np.array(LEVELS)[:, None]
    at, below = ((SHARES * each.cdf(x[..., None])).sum(-1) for x in (found, found - 1))
    assert (at >= levels - 1e-12).all() and (below < levels).all()


def test_a_large_sample_has_these_quantiles():
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(A[:, 0], B))
    ahead = hmm.belief().observe(0.5).predict(3)
    torch.manual_seed(0)
    drawn = ahead.sample((200_000,)).quantile(torch.tensor([0.1, 0.5, 0.9]).double(), 0)
    assert_close(drawn, quantiles(ahead, [0.1, 0.5, 0.9]), rtol=0, atol=0.02)
    nested = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], mixed(Normal(FAR.fmod(9.0), B)))
    ahead = nested.belief().predict(2)
    drawn = ahead.sample((200_000,)).quantile(torch.tensor([0.1, 0.5, 0.9]).double(), 0)
    assert_close(drawn, quantiles(ahead, [0.1, 0.5, 0.9]), rtol=0, atol=0.05)


def test_beyond_its_support_a_cdf_is_0_or_1():
    """torch's own is wrong there, and would lead the search astray."""
    median = quantiles(Kumaraswamy(A[0], B), [0.5])[0]
    assert_close(median, (1 - 0.5 ** (1 / B)) ** (1 / A[0]))


@pytest.mark.parametrize(
    ("distribution", "levels", "message"),
    [
        (Normal(0.0, 1.0), [0.5, 1.0], "levels: got .*, needs some above 0, below 1"),
        (Normal(0.0, 1.0), 0.5, "levels: got 0.5"),
        (Independent(Normal(FAR, B), 1), [0.5], r"distribution: got vectors, \(2,\)"),
        (Beta(A, B), [0.5], "torch has no cdf of Beta"),
    ],
)
def test_what_has_no_quantiles_is_refused(distribution, levels, message):
    with pytest.raises(ValueError, match=message):
        quantiles(distribution, levels)
