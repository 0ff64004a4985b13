"""MultivariateNormal, full, tied, spherical and diagonal, with components that are missing."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from rules import MOVES, check_saved, drawn, f8, uneven_weights, weighted_score
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

import hmmlib
from hmmlib import HMM
from hmmlib.emissions import (
    SphericalNormal,
    TiedNormal,
    check_support,
    fit,
    log_prob,
    num_free,
    parameters,
    widened,
)
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.learning import em_step

LOC = f8([[0.0, 1.0, -1.0], [3.0, 2.0, 0.0]])
SKEW = f8([[1.0, 0.6, 0.2], [0.6, 2.0, -0.5], [0.2, -0.5, 1.5]])
FULL = MultivariateNormal(LOC, torch.stack([SKEW, 2 * torch.eye(3).double()]))
SHAPES = {  # each with its number of free parameters, counted by hand
    "full": (FULL, 6 + 12),
    "tied": (TiedNormal(LOC, SKEW), 6 + 6),
    "spherical": (SphericalNormal(LOC, f8([1.0, 2.0])), 6 + 2),
    "diagonal": (Independent(Normal(LOC, 1 + LOC.abs()), 1), 6 + 6),
}
every_shape = pytest.mark.parametrize("name", SHAPES)


def gappy(emission, n, seed):
    """Values of which each component is missing a quarter of the time, and one step whole."""
    x = drawn(emission, n, seed)
    generator = torch.Generator().manual_seed(seed)
    x[torch.rand(x.shape, generator=generator) < 0.25] = torch.nan
    x[2] = torch.nan
    return x


def covariances(emission):
    if isinstance(emission, Independent):
        return torch.diag_embed(emission.variance)
    return emission.covariance_matrix


@every_shape
def test_missing_components_are_integrated_out(name):
    """scipy's density of the components that are there, and every path listed."""
    emission, _ = SHAPES[name]
    x = gappy(emission, 5, 1)
    told = torch.zeros(5, 2).double()
    for t, k in np.ndindex(5, 2):
        seen = ~x[t].isnan()
        if seen.any():
            matrix = covariances(emission)[k][seen][:, seen]
            peer = scipy.stats.multivariate_normal(LOC[k, seen], matrix)
            told[t, k] = peer.logpdf(x[t, seen])
    hmm = HMM([0.6, 0.4], MOVES, emission)
    p = hmm.potentials(x)
    assert_close(p.log_likelihoods, told, rtol=1e-9, atol=1e-9)
    listed = path_log_joints(p._replace(log_likelihoods=told), all_paths(2, 5))
    assert_close(hmm.log_likelihood(x), listed.logsumexp(0), rtol=1e-9, atol=0)


@every_shape
@pytest.mark.parametrize("gaps", [False, True])
def test_em_climbs(name, gaps):
    emission, _ = SHAPES[name]
    for seed in range(3):
        x = (gappy if gaps else drawn)(emission, 60, seed)
        model, scores = HMM([0.6, 0.4], MOVES, emission), []
        for _ in range(25):
            model, score = em_step(model, x)
            scores.append(score.item())
        assert np.diff(scores).min() > -1e-9 * abs(scores[-1])
        assert scores[-1] > scores[0]


@every_shape
def test_the_m_step_is_the_maximum(name):
    """Moved by a little in any direction, the weighted score falls."""
    emission, _ = SHAPES[name]
    x, weights = drawn(emission, 60, 4), uneven_weights(60, 5)
    fitted = fit(emission, x, weights)
    best = weighted_score(fitted, x, weights).sum()
    covariance = covariances(fitted)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2, 1e-1) * 5:
        loc = fitted.mean + size * torch.randn(2, 3, generator=generator).double()
        scale = torch.exp(size * torch.randn(2, generator=generator).double())
        for other in (
            MultivariateNormal(loc, covariance),
            MultivariateNormal(fitted.mean, covariance * scale.mean()),
        ):
            assert weighted_score(other, x, weights).sum() < best
    centred = (x[:, None] - fitted.mean) * weights.sqrt()[..., None]
    moments = torch.einsum("nki,nkj->kij", centred, centred)
    mass = weights.sum(0)
    if name == "full":
        assert_close(covariance, moments / mass[:, None, None])
    if name == "tied":
        assert_close(covariance[0], moments.sum(0) / mass.sum())
    if name == "spherical":
        trace = moments.diagonal(dim1=1, dim2=2).sum(-1)
        assert_close(fitted.scale.square(), trace / (3 * mass))


@every_shape
def test_with_gaps_many_steps_reach_a_stationary_point(name):
    emission, _ = SHAPES[name]
    x = gappy(emission, 60, 3)
    x = x[~x.isnan().all(-1)]
    weights = uneven_weights(len(x), 5)
    for _ in range(500):
        emission = fit(emission, x, weights)
    given = {k: v.detach().clone() for k, v in parameters(emission).items()}
    given["loc"].requires_grad_()
    moved = hmmlib.emissions.rebuilt(emission, given)
    (slope,) = torch.autograd.grad(
        weighted_score(moved, x, weights).sum(), given["loc"]
    )
    assert slope.abs().max() < 1e-5


@every_shape
def test_counts_files_floors_and_states(name, tmp_path):
    emission, free = SHAPES[name]
    assert num_free(emission) == free
    check_saved(HMM([0.6, 0.4], MOVES, emission), tmp_path / "model.json")
    x, weights = drawn(emission, 40, 1), uneven_weights(40, 2)
    alone = fit(emission, x, weights * f8([1.0, 0.0]))
    assert_close(alone.mean[1], emission.mean[1])
    if name != "tied":
        assert_close(covariances(alone)[1], covariances(emission)[1])
    assert (
        torch.linalg.eigvalsh(covariances(widened(emission, 1.3))).min() > 1.3**2 - 1e-9
    )
    flipped = fit(emission, x, weights.flip(1))
    assert_close(flipped.mean.flip(0), fit(emission, x, weights).mean)


@every_shape
def test_it_is_learned_from_data_alone(name):
    emission, _ = SHAPES[name]
    truth = HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], emission)
    x = truth.sample(300, seed=2).observations
    family = type(emission)
    if name == "diagonal":  # columns of a table, each read by a family of single values
        family, x = Normal, pd.DataFrame(x.numpy())
    found = hmmlib.fit(family, 2, x, num_starts=2, num_iters=300, tolerance=1e-3)
    assert type(found.model.emission) is type(emission)
    assert found.log_likelihoods[-1] >= truth.log_likelihood(x) - 0.1


@pytest.mark.parametrize("name", ["full", "spherical"])
def test_equal_values_are_held_open(name):
    emission, _ = SHAPES[name]
    x = torch.cat([f8([[1.0, 2.0, 3.0]] * 5), drawn(emission, 20, 1)])
    weights = torch.zeros(25, 2).double()
    weights[:5, 0] = weights[5:, 1] = 1.0
    with pytest.warns(UserWarning, match=r"the scale of state \[0\] shrank"):
        fitted = fit(emission, x, weights)
    assert torch.linalg.eigvalsh(covariances(fitted)).min() > 0
    assert log_prob(fitted, x[:, None]).isfinite().all()


def test_infinity_beside_a_gap_is_refused():
    with pytest.raises(ValueError, match="needs a finite value"):
        check_support(FULL, f8([[torch.inf, torch.nan, 1.0]]))
