"""Models to learn, and data to learn them from."""

import numpy as np
import torch
from random_models import rows
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
)

from hmmlib.datasets import weather
from hmmlib.hmm import HMM

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


def fortnights(num_sequences=20, num_steps=50, hmm=weather.hmm):
    return torch.stack(
        [hmm.sample(num_steps, seed=n).observations for n in range(num_sequences)]
    )


def two_levels(gap, n=400, noise=0.02):
    """Readings of two levels that take turns of 40, and which one each belongs to."""
    level = (np.arange(n) // 40) % 2
    noise = np.random.default_rng(1).normal(0, noise, n)
    return 7.0 + gap * level + noise, level
