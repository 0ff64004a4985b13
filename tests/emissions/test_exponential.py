"""Exponential, against scipy and the closed form."""

import pytest
import scipy.stats
import torch
from rules import (
    check_climbs,
    check_components,
    check_maximum,
    check_saved,
    check_states,
    f8,
)
from torch.distributions import Exponential
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import Limits, fit, num_free, widened

WAITS = Exponential(f8([0.5, 4.0]))


def test_its_fit_is_scipys_and_the_maximum():
    x = scipy.stats.expon(scale=3.0).rvs(50, random_state=0)
    _, scale = scipy.stats.expon.fit(x, floc=0)
    fitted = fit(WAITS, f8(x), torch.ones(50, 2).double())
    assert_close(fitted.rate, f8([1 / scale] * 2))
    check_maximum(WAITS)


def test_em_climbs_and_keeps_its_rules():
    check_climbs(WAITS, Exponential(f8([0.8, 1.2])))
    check_states(WAITS)
    check_components(WAITS)
    assert num_free(WAITS) == 2


def test_it_is_learned_from_data_alone(tmp_path):
    model = hmmlib.HMM([0.5, 0.5], [[0.97, 0.03], [0.05, 0.95]], WAITS)
    x = model.sample(1000, seed=0).observations
    found = hmmlib.fit(Exponential, 2, x, num_iters=500)
    assert found.log_likelihoods[-1] >= model.log_likelihood(x)
    assert_close(found.model.emission.rate.sort().values, WAITS.rate, rtol=0.2, atol=0)
    check_saved(found.model, tmp_path / "model.json")


def test_a_state_of_zeros_is_held_open():
    x, weights = f8([0.0, 0.0, 5.0, 7.0]), f8([[1, 0]] * 2 + [[0, 1]] * 2)
    with pytest.warns(UserWarning, match=r"the scale of state \[0\] shrank"):
        fitted = fit(WAITS, x, weights)
    assert fitted.rate.isfinite().all()
    assert_close(fit(WAITS, x, weights, Limits(min_scale=0.5)).rate, f8([2.0, 1 / 6]))
    assert_close(widened(WAITS, 1.0).rate, f8([0.5, 1.0]))
