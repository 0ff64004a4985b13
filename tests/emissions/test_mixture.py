"""Mixtures: each step improves the weighted score, many reach a maximum."""

import numpy as np
import pytest
import torch
from rules import MOVES, check_saved, drawn, f8, uneven_weights, weighted_score
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
)

from hmmlib import HMM
from hmmlib.emissions import (
    SphericalNormal,
    TiedNormal,
    counted_probs,
    fit,
    num_free,
    parameters,
    widened,
)
from hmmlib.learning import em_step
from hmmlib.learning.from_data import fit as fit_from_data

ODDS = f8([[0.5, 0.5], [0.2, 0.8]])
LEVELS = f8([[-3.0, 1.0], [4.0, 9.0]])
PLANE = torch.stack([LEVELS, LEVELS.flip(0)], -1)  # (K, C, D)
ONE = torch.ones(2, 2).double()
EYE = torch.eye(2).double().expand(2, 2, 2, 2)


def mixture(component):
    return MixtureSameFamily(Categorical(ODDS), component)


MIXTURES = {  # each with its number of free parameters, counted by hand
    "Normal": (mixture(Normal(LEVELS, ONE)), 2 + 4 + 4),
    "Independent": (mixture(Independent(Normal(PLANE, 1.0), 1)), 2 + 8 + 8),
    "MultivariateNormal": (mixture(MultivariateNormal(PLANE, EYE)), 2 + 8 + 12),
    "SphericalNormal": (mixture(SphericalNormal(PLANE, ONE)), 2 + 8 + 4),
    "Poisson": (mixture(Poisson(LEVELS.abs())), 2 + 4),
}
every_mixture = pytest.mark.parametrize("name", MIXTURES)


@every_mixture
@pytest.mark.parametrize("gaps", [False, True])
def test_em_climbs(name, gaps):
    emission, _ = MIXTURES[name]
    for seed in range(2):
        x = drawn(emission, 80, seed)
        if gaps:
            x[3:80:7] = torch.nan
            if x.ndim == 2:
                x[::5, 0] = torch.nan
                x[1::6, 1] = torch.nan
        model, scores = HMM([0.6, 0.4], MOVES, emission), []
        for _ in range(15):
            model, score = em_step(model, x)
            scores.append(score.item())
        assert np.diff(scores).min() > -1e-9 * abs(scores[-1])
        assert scores[-1] > scores[0] + 0.01


@every_mixture
def test_many_steps_reach_a_maximum(name):
    """No direction improves the weighted score: its gradient vanishes."""
    emission, _ = MIXTURES[name]
    x, weights = drawn(emission, 60, 1), uneven_weights(60, 2)
    for _ in range(400):
        emission = fit(emission, x, weights)
    given = parameters(emission)
    for key, value in given.items():
        if key.endswith(("loc", "rate")):
            value.requires_grad_()
            score = weighted_score(emission, x, weights).sum()
            if "scale_tril" in given or value.grad_fn is None:
                (slope,) = torch.autograd.grad(score, value)
                assert slope.abs().max() < 1e-3


@every_mixture
def test_free_parameters_files_and_counts(name, tmp_path):
    emission, expected = MIXTURES[name]
    assert num_free(emission) == expected
    assert len(counted_probs(emission)) == 1
    check_saved(HMM([0.6, 0.4], MOVES, emission), tmp_path / "model.json")


@every_mixture
def test_a_state_without_weight_keeps_its_parameters(name):
    emission, _ = MIXTURES[name]
    x, weights = drawn(emission, 40, 1), uneven_weights(40, 2) * f8([1.0, 0.0])
    fitted = parameters(fit(emission, x, weights))
    for key, value in parameters(emission).items():
        torch.testing.assert_close(fitted[key][1], value[1])


def test_clusters_are_a_start_and_floors_hold():
    emission, _ = MIXTURES["Normal"]
    x = drawn(emission, 200, 0)
    found = fit_from_data(emission, 2, x, num_iters=300, tolerance=1e-3)
    assert found.log_likelihoods[-1] > HMM([0.6, 0.4], MOVES, emission).log_likelihood(
        x
    )
    assert widened(emission, 2.0).component_distribution.scale.min() == 2.0
    with pytest.raises(ValueError, match="no weighted fit for a mixture of TiedNormal"):
        tied = mixture(TiedNormal(PLANE, torch.eye(2).double()))
        fit(tied, drawn(tied, 20, 0), uneven_weights(20, 0))
