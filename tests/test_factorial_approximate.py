"""Mean field and coordinate ascent against the exact answers."""

import math

import pytest
import torch
from random_models import random_chains
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib.factorial import (
    FactorialHMM,
    coordinate_ascent,
    mean_field,
    path_log_joint,
)
from hmmlib.hmm import HMM
from hmmlib.inference import smooth_states


@pytest.mark.parametrize("seed", range(6))
def test_approximations_against_the_exact_answer(seed):
    model = random_chains((2, 2, 3), seed=seed, scale=1.0)
    x = model.sample(40, seed=seed).observations
    x[3] = math.nan
    best = model.viterbi(x)
    found = coordinate_ascent(model, x)
    assert found.log_joint <= best.log_joint + 1e-9
    assert_close(path_log_joint(model, x, found.states), found.log_joint)
    again = coordinate_ascent(model, x, start=best.states)
    assert (again.states == best.states).all()  # the optimum is a fixed point
    one_sweep = coordinate_ascent(model, x, num_sweeps=1)
    assert found.log_joint >= one_sweep.log_joint - 1e-9
    for probs in mean_field(model, x):
        assert_close(probs.sum(1), torch.ones(40).double())


def test_mean_field_is_exact_for_one_chain():
    model = random_chains((3,), seed=2)
    x = model.sample(25, seed=0).observations
    assert_close(mean_field(model, x)[0], model.smooth(x).smoothed_probs[0])


def test_mean_field_stops_when_no_probability_moves_any_more():
    model = random_chains((2, 2, 3), seed=1, scale=1.0)
    x = model.sample(40, seed=1).observations
    endless = mean_field(model, x, num_sweeps=300, tolerance=-1.0)
    for found, fixed in zip(mean_field(model, x, 300, 1e-9), endless, strict=True):
        assert_close(found, fixed, rtol=0, atol=1e-7)


def test_mean_field_begins_with_even_odds():
    """The first chain is smoothed against the mean of the levels of the other one."""
    model = random_chains((2, 3), seed=4, scale=1.0)
    x = model.sample(10, seed=0).observations
    first, other = model.emission.chain_means
    alone = HMM(
        model.initial_probs[0],
        model.transition_matrices[0],
        Normal(first + other.mean(), 1.0),
    )
    expected = smooth_states(alone.potentials(x)).smoothed_probs
    assert_close(mean_field(model, x, num_sweeps=1)[0], expected)


def test_mean_field_stops_at_its_tolerance():
    """No probability can move by 1 from even odds, so that one sweep is all."""
    model = random_chains((2, 3), seed=4, scale=1.0)
    x = model.sample(20, seed=0).observations
    one, more = mean_field(model, x, num_sweeps=1), mean_field(model, x)
    assert_close(mean_field(model, x, tolerance=1.0), one, rtol=0, atol=0)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(one, more, strict=True))
    fixed = mean_field(model, x, num_sweeps=300, tolerance=-1.0)
    assert_close(more, fixed, rtol=0, atol=1e-4)


def test_coordinate_ascent_begins_in_state_0_and_ends_where_no_chain_gains():
    model = random_chains((2, 2, 3), seed=8, scale=3.0)
    x = model.sample(40, seed=0).observations
    nothing = torch.zeros(40, 3, dtype=torch.long)
    first = coordinate_ascent(model, x, num_sweeps=1)
    begun = coordinate_ascent(model, x, num_sweeps=1, start=nothing)
    assert (first.states == begun.states).all()
    end = coordinate_ascent(model, x).states
    assert (end == coordinate_ascent(model, x, num_sweeps=1, start=end).states).all()
    assert (end != first.states).any()


def several_scales():
    scale = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    return random_chains((2, 2), scale=scale)


def not_additive():
    emission = Normal(torch.zeros(2), 1.0)
    return FactorialHMM(([0.5, 0.5],), ([[0.5, 0.5]] * 2,), emission)


def changed():
    model = random_chains((2, 2))
    model.emission.loc[0, 0] += 1.0
    return model


@pytest.mark.parametrize(
    ("model", "observations", "message"),
    [
        (not_additive(), [1.0], "got emission Normal, needs additive_gaussian"),
        (several_scales(), [1.0], "needs additive_gaussian with one scale"),
        (changed(), [1.0], "model: got an emission whose loc was changed"),
        (
            random_chains((2, 2)),
            torch.zeros(2, 3),
            r"observations: got shape \(2, 3\), needs one series \(T\)",
        ),
        (
            random_chains((2, 2)),
            [math.inf, 1.0],
            "observations: inf at step 0, needs a finite value",
        ),
    ],
)
@pytest.mark.parametrize("approximate", [mean_field, coordinate_ascent])
def test_refusals(approximate, model, observations, message):
    with pytest.raises(ValueError, match=message):
        approximate(model, observations)


@pytest.mark.parametrize("start", [[[2, 0]], [[0, 2]], [[-1, -1]], [[0.0, 1.0]]])
@pytest.mark.parametrize("approximate", [mean_field, coordinate_ascent])
def test_a_start_that_the_chains_cannot_have(approximate, start):
    found = r"states: got torch.* of shape \(1, 2\), needs integers \(1, 2\), from 0"
    with pytest.raises(ValueError, match=found):
        approximate(random_chains((2, 2)), [1.0], start=start)
