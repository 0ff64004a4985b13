"""LogNormal, against Normal on the logarithms."""

import pytest
import torch
from rules import (
    check_climbs,
    check_components,
    check_maximum,
    check_saved,
    check_states,
    f8,
)
from torch.distributions import LogNormal, Normal
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import fit, num_free, widened

SIZES = LogNormal(f8([0.0, 2.0]), f8([0.5, 0.2]))


def test_the_m_step_is_the_maximum():
    check_maximum(SIZES)


def test_em_climbs_and_keeps_its_rules():
    check_climbs(SIZES, LogNormal(f8([0.0, 1.0]), f8([1.0, 1.0])))
    check_states(SIZES)
    check_components(SIZES)
    assert num_free(SIZES) == 4


def test_it_is_learned_as_the_logarithms_are(tmp_path):
    """The same optimum, less the logarithm of the Jacobian."""
    model = hmmlib.HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], SIZES)
    x = model.sample(400, seed=0).observations
    found = hmmlib.fit(LogNormal, 2, x, num_iters=500)
    logs = hmmlib.fit(Normal, 2, x.log(), num_iters=500)
    expected = logs.log_likelihoods[-1] - x.log().sum()
    assert_close(found.log_likelihoods[-1], expected, rtol=0, atol=1e-3)
    check_saved(found.model, tmp_path / "model.json")


def test_equal_values_are_held_open_and_zero_is_refused():
    x, weights = f8([2.0, 2.0, 5.0, 6.0]), f8([[1, 0]] * 2 + [[0, 1]] * 2)
    with pytest.warns(UserWarning, match=r"the scale of state \[0\] shrank"):
        assert fit(SIZES, x, weights).scale.gt(0).all()
    assert torch.equal(widened(SIZES, 0.3).scale, f8([0.5, 0.3]))
    model = hmmlib.HMM([0.5, 0.5], [[0.5, 0.5]] * 2, SIZES)
    with pytest.raises(ValueError, match="0 at step 1, needs a finite value above 0"):
        model.log_likelihood([1.0, 0.0])
