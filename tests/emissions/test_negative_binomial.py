"""Negative binomial: the profile likelihood has one maximum, or none, which is told."""

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
from torch.distributions import NegativeBinomial
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import fit, log_prob, num_free

COUNTS = NegativeBinomial(f8([2.0, 5.0]), f8([0.4, 0.8]))


def test_the_m_step_is_the_maximum():
    check_maximum(COUNTS, n=200)


@pytest.mark.filterwarnings("ignore:emission. the counts of state")
def test_em_climbs_and_keeps_its_rules():
    check_climbs(COUNTS, NegativeBinomial(f8([1.0, 1.0]), f8([0.5, 0.9])))
    check_states(COUNTS)
    check_components(COUNTS, n=200)
    assert num_free(COUNTS) == 4


def test_it_is_learned_from_data_alone(tmp_path):
    model = hmmlib.HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], COUNTS)
    x = model.sample(800, seed=0).observations
    found = hmmlib.fit(NegativeBinomial, 2, x, num_iters=500)
    assert found.log_likelihoods[-1] >= model.log_likelihood(x)
    means = found.model.emission.mean.sort().values
    assert_close(means, COUNTS.mean, rtol=0.2, atol=0)
    check_saved(found.model, tmp_path / "model.json")


def test_counts_that_poisson_describes_are_told():
    x, weights = f8([3.0, 3.0, 3.0, 0.0, 9.0]), f8([[1, 0]] * 3 + [[0, 1]] * 2)
    with pytest.warns(UserWarning, match=r"the counts of state \[0\] are no more"):
        fitted = fit(COUNTS, x, weights)
    assert_close(fitted.total_count[0].item(), 3e4)
    assert_close(fitted.mean, f8([3.0, 4.5]))
    rate = torch.distributions.Poisson(f8([3.0, 3.0]))
    near = log_prob(fitted, f8([3.0])) - log_prob(rate, f8([3.0]))
    assert abs(near[0]) < 1e-3


def test_a_state_of_zeros_keeps_its_total():
    fitted = fit(COUNTS, f8([0.0, 0.0, 4.0, 0.0]), f8([[1, 0]] * 2 + [[0, 1]] * 2))
    assert fitted.total_count[0] == 2.0 and fitted.probs[0] == 0.0
    assert log_prob(fitted, f8([0.0]))[0] == 0.0
