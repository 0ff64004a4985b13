"""Scaled probabilities of several chains: where they serve, and where logarithms step in."""

import math

import numpy as np
import pytest
import torch
from random_models import rows
from torch.distributions import Categorical
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.factorial import FactorialHMM, additive_gaussian, blocks, passes
from hmmlib.factorial.messages import chains_of
from hmmlib.factorial.series import series_of

SIZES = (3, 2, 4)
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def house(rare=1e-3, scale=1.0, seed=0):
    """Chains that stay for long; `rare` is the least probable move of each."""
    g = torch.Generator().manual_seed(seed)
    moves = []
    for size in SIZES:
        matrix = 0.05 * rows(g, size, size)
        matrix[0, -1] = rare
        matrix.fill_diagonal_(0.0)
        moves.append(matrix + torch.diag(1 - matrix.sum(1)))
    starts = [rows(g, size) for size in SIZES]
    levels = [900 * torch.rand(size, generator=g).double() for size in SIZES]
    return FactorialHMM(starts, moves, additive_gaussian(levels, scale))


def readings(model, num_steps=200, seed=1):
    """A sample with gaps, outliers and a level that no state has."""
    x = model.sample(num_steps, seed=seed).observations
    x[5:9], x[20], x[50], x[60:65] = math.nan, 65_535.0, -2e4, 333.0
    x[-1] = math.nan
    return x


def from_blocks(model, x):
    """For each block, whether it is summed as probabilities."""
    chains = chains_of(model.initial_probs, model.transition_matrices)
    (series,) = series_of(model.read(x), chains, model.emission)
    found = [each for _, each in blocks.forwards(series, passes.sums)]
    return [each.likely is not None for each in found]


def assert_equal(model, x, **given):
    recursion = {"engine": engines.recursion, **given}
    assert_close(model.smooth(x, **given), model.smooth(x, **recursion), **CLOSE)
    assert_close(model.filter(x, **given), model.filter(x, **recursion), **CLOSE)
    found, expected = (
        model.log_likelihood(x, **given),
        model.log_likelihood(x, **recursion),
    )
    assert_close(found, expected, rtol=1e-12, atol=1e-9)
    best, other = model.viterbi(x, **given), model.viterbi(x, **recursion)
    assert_close(best.log_joint, other.log_joint, rtol=1e-12, atol=1e-9)
    assert torch.equal(best.states, other.states)


@pytest.mark.parametrize("scale", [1.0, 20.0, 1e-3])
@pytest.mark.parametrize("rare", [1e-3, 1e-12, 1e-40])
def test_readings_that_no_state_explains(rare, scale):
    model = house(rare, scale)
    x = readings(model)
    assert_equal(model, x)
    if rare > 1e-40:
        assert all(from_blocks(model, x))


@pytest.mark.parametrize("rare", [1e-60, 1e-80, 1e-100, 0.0])
def test_moves_that_hardly_happen(rare):
    """A joint move is less probable than a float can hold beside what it is added to."""
    model = house(rare)
    x = readings(model)
    assert_equal(model, x)
    assert not all(from_blocks(model, x)) or rare > 1e-100


@pytest.mark.parametrize(("rare", "stays"), [(1e-240, True), (1e-160, False)])
def test_an_outlier_against_two_moves_that_hardly_happen(rare, stays):
    """800 nats against 1105 or 737; what is lost beside the other is below 1e-300."""
    moves = torch.tensor([[1.0, rare], [rare, 1.0]], dtype=torch.float64)
    levels = additive_gaussian([[0.0, 100.0], [0.0]], 1.0)
    model = FactorialHMM(([0.5, 0.5], [1.0]), (moves, [[1.0]]), levels)
    x = torch.zeros(21).double()
    x[10] = 58.0
    assert_equal(model, x)
    assert model.smooth(x).smoothed_probs[0][10, 0].round() == stays
    assert not all(from_blocks(model, x))


def test_forbidden_moves_have_loops_of_their_own():
    """Each row of joint states has a scale, whether or not a state falls far behind."""
    model = house(0.0, scale=100.0)
    x = model.sample(400, seed=2).observations
    x[205] = 20_000.0
    scaled = from_blocks(model, x)
    assert not any(scaled)
    assert_equal(model, x)


def test_an_impossible_step_among_others():
    model, x = house(), torch.zeros(50).double()
    ruled_out = torch.zeros(50, 2).double()
    ruled_out[30] = -math.inf
    given = {"evidence": (None, ruled_out, None)}
    assert model.log_likelihood(x, **given) == -math.inf
    for ask in (model.smooth, model.filter):
        with pytest.raises(ValueError, match="the sequence has probability 0"):
            ask(x, **given)


def test_evidence_that_drives_a_state_to_nothing():
    model = house()
    x = readings(model)
    g = torch.Generator().manual_seed(3)
    evidence = [2000 * torch.randn(200, size, generator=g).double() for size in SIZES]
    evidence[1][40:60, 0] = -math.inf
    assert_equal(model, x, evidence=evidence)
    assert_equal(house(0.0), x, evidence=evidence)


def test_other_families_are_scored_in_full():
    g = torch.Generator().manual_seed(0)
    chains = [rows(g, k) for k in (3, 2)], [rows(g, k, k) for k in (3, 2)]
    table = rows(g, 3, 2, 5)
    table[0, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    model = FactorialHMM(*chains, Categorical(table))
    x = model.sample(60, seed=0).observations
    assert_equal(model, x)
    assert all(from_blocks(model, x))


@pytest.mark.parametrize("sizes", [(1,), (2,), (30,), (1, 1), (2, 1, 40), (25, 2, 2)])
def test_chains_of_any_sizes(sizes):
    g = torch.Generator().manual_seed(1)
    levels = [5 * torch.rand(size, generator=g).double() for size in sizes]
    model = FactorialHMM(
        [rows(g, k) for k in sizes],
        [rows(g, k, k) for k in sizes],
        additive_gaussian(levels, 1.0),
    )
    assert_equal(model, model.sample(70, seed=0).observations)


def test_a_hundred_thousand_steps_do_not_drift():
    """The forward recursion in extended precision, scaled, is the reference."""
    model = house(scale=300.0)
    drawn = model.sample(1000, seed=0, num_sequences=100)  # quicker than one of 100,000
    x = drawn.observations.flatten()
    flat = model.flattened()
    moves = flat.transition_matrix.numpy().astype(np.longdouble)
    mean = model.emission.loc.flatten().numpy().astype(np.longdouble)
    message, total = flat.initial_probs.numpy().astype(np.longdouble), np.longdouble(0)
    for value in x.numpy():
        density = np.exp(-(((value - mean) / 300.0) ** 2) / 2) / 300.0
        message = message * density
        total += np.log(message.sum())
        filtered = message / message.sum()
        message = filtered @ moves
    total -= len(x) * np.log(2 * np.longdouble(np.pi)) / 2
    assert_close(model.log_likelihood(x).item(), float(total), rtol=1e-13, atol=0)
    last = torch.tensor(filtered.astype(float)).reshape(SIZES).sum((0, 1))
    assert_close(model.filter(x).filtered_probs[2][-1], last, **CLOSE)
