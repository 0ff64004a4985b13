"""StudentT: one step never falls, many reach scipy's maximum, and outliers do no harm."""

import numpy as np
import pytest
import scipy.stats
import torch
from rules import (
    check_climbs,
    check_components,
    check_saved,
    check_states,
    drawn,
    f8,
    optimised,
    uneven_weights,
    weighted_score,
)
from torch.distributions import StudentT
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import Limits, fit, num_free, widened
from hmmlib.emissions.student_t import MOST
from hmmlib.learning import fit_em

HEAVY = StudentT(f8([2.5, 6.0]), f8([0.0, 5.0]), f8([1.0, 0.5]))


@pytest.mark.parametrize("seed", range(5))
def test_steps_climb_to_the_maximum(seed):
    x, weights = drawn(HEAVY, 80, seed), uneven_weights(80, seed)
    emission, scores = StudentT(f8([5.0, 5.0]), f8([1.0, 2.0]), f8([2.0, 2.0])), []
    for _ in range(3000):
        scores.append(weighted_score(emission, x, weights).sum().item())
        if len(scores) > 2 and scores[-1] - scores[-2] < 1e-11:
            break
        emission = fit(emission, x, weights)
    assert np.diff(scores).min() > -1e-9
    most = max(optimised(start, x, weights) for start in (emission, HEAVY))
    bounded = emission.df.max() >= 0.99 * MOST  # the optimiser goes on to infinity
    assert scores[-1] >= most - (1e-2 if bounded else 1e-5)


def test_it_is_scipys_fit():
    x = scipy.stats.t(3.0, 2.0, 0.5).rvs(400, random_state=0)
    emission, weights = StudentT(f8([5.0]), f8([0.0]), f8([1.0])), f8([[1.0]] * 400)
    for _ in range(300):
        emission = fit(emission, f8(x), weights)
    expected = scipy.stats.t.fit(x)
    own = torch.cat([emission.df, emission.loc, emission.scale])
    assert_close(own, f8(expected), rtol=1e-3, atol=0)


def test_em_climbs_and_keeps_its_rules():
    check_climbs(HEAVY, StudentT(f8([4.0, 4.0]), f8([0.0, 1.0]), f8([2.0, 2.0])))
    check_states(HEAVY)
    check_components(HEAVY)
    assert num_free(HEAVY) == 6


def test_it_is_learned_from_data_alone(tmp_path):
    model = hmmlib.HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], HEAVY)
    x = model.sample(600, seed=0).observations
    found = hmmlib.fit(StudentT, 2, x, num_iters=300, tolerance=1e-3)
    assert found.log_likelihoods[-1] >= model.log_likelihood(x)
    near = found.model.emission.loc.sort().values
    assert_close(near, HEAVY.loc, rtol=0, atol=0.3)
    check_saved(found.model, tmp_path / "model.json")


def test_a_sentinel_does_not_move_the_centres():
    model = hmmlib.HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], HEAVY)
    x = model.sample(600, seed=0).observations
    x[::97] = 65535.0
    found = fit_em(model, x, num_iters=500, tolerance=1e-3)
    assert_close(found.model.emission.loc, HEAVY.loc, rtol=0, atol=0.3)


def test_gaussian_values_get_gaussian_tails_and_equal_ones_a_floor():
    grid = f8(scipy.stats.norm.ppf(np.linspace(0.01, 0.99, 99)))
    emission = fit(StudentT(f8([4.0]), f8([0.0]), f8([1.0])), grid, f8([[1.0]] * 99))
    for _ in range(50):
        emission = fit(emission, grid, f8([[1.0]] * 99))
    assert emission.df > 100
    x, weights = f8([2.0, 2.0, 5.0, 6.0]), f8([[1, 0]] * 2 + [[0, 1]] * 2)
    start = StudentT(f8([4.0, 4.0]), f8([2.0, 5.5]), f8([1.0, 1.0]))
    with pytest.warns(UserWarning, match=r"the scale of state \[0\] shrank"):
        fitted = fit(start, x, weights)
    assert fitted.scale.gt(0).all() and fitted.df.isfinite().all()
    assert fit(start, x, weights, Limits(min_scale=0.5)).scale[0] == 0.5
    assert widened(HEAVY, 0.7).scale.tolist() == [1.0, 0.7]
