"""The compiled loops of several chains give the answers of the recursion."""

import copy

import pytest
import torch
from torch.testing import assert_close

from hmmlib import factorial
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.inference import viterbi


def several_chains(seed, sizes, forbidden=False, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    initial = [torch.rand(k, generator=g).softmax(0).to(dtype) for k in sizes]
    moves = [torch.randn(k, k, generator=g).softmax(1).to(dtype) for k in sizes]
    if forbidden:
        moves[-1] = torch.eye(sizes[-1], dtype=dtype)
    means = [100 * torch.rand(k, generator=g).to(dtype) for k in sizes]
    scale = (5 + 10 * torch.rand(sizes, generator=g)).to(dtype)
    return FactorialHMM(initial, moves, additive_gaussian(means, scale))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize(
    "sizes", [(2,), (3, 2), (2, 4, 3), (1, 5, 2, 2), (3, 2, 30), (30, 2), (7, 6, 5)]
)
def test_compiled_chains_are_the_recursion(sizes, forbidden, dtype, monkeypatch):
    model = several_chains(0, sizes, forbidden, dtype)
    x = model.sample(50, seed=1).observations
    x[[3, 20]] = torch.nan

    def answers():
        best, smooth = model.viterbi(x), model.smooth(x)
        draws = model.sample_states(x, 5, seed=2)
        return model.log_likelihood(x), best, smooth, draws

    found = answers()
    assert model._loops.dense == (not forbidden)
    object.__setattr__(model, "_loops", None)
    expected = answers()
    loose = {"rtol": 1e-9, "atol": 1e-9}
    if dtype == torch.float32:
        loose = {"rtol": 1e-4, "atol": 1e-3}
        found, expected = found[:3], expected[:3]
    assert_close(found, expected, **loose)


def test_chains_whose_gradient_is_wanted_are_not_compiled():
    model = several_chains(3, (2, 3))
    means = [mean.clone().requires_grad_() for mean in model.emission.chain_means]
    learner = FactorialHMM(
        model.initial_probs, model.transition_matrices, additive_gaussian(means, 10.0)
    )
    x = model.sample(20, seed=0).observations
    gradient = torch.autograd.grad(learner.log_likelihood(x), means)
    assert all((g.isfinite() & (g != 0)).all() for g in gradient)


def test_tables_changed_in_place_are_read_as_they_are():
    model = several_chains(6, (2, 3))
    x = model.sample(30, seed=0).observations
    before = model.log_likelihood(x)
    model.transition_matrices[0].copy_(torch.tensor([[0.99, 0.01], [0.01, 0.99]]))
    fresh = FactorialHMM(model.initial_probs, model.transition_matrices, model.emission)
    assert_close(model.log_likelihood(x), fresh.log_likelihood(x))
    assert model.log_likelihood(x) != before
    assert_close(copy.deepcopy(model).viterbi(x).log_joint, fresh.viterbi(x).log_joint)
    model.emission.loc.requires_grad_()
    assert model.log_likelihood(x).requires_grad


def test_messages_that_are_kept_change_nothing(monkeypatch):
    sizes = (3, 2, 3, 2)
    even = [torch.full((k,), 1 / k).double() for k in sizes]
    moves = [0.8 * torch.eye(k).double() + 0.2 / k for k in sizes]
    levels = [(m + 1.5) * torch.arange(k).double() for m, k in enumerate(sizes)]
    model = FactorialHMM(even, moves, additive_gaussian(levels, 1.0))
    x = model.sample(50, seed=0).observations
    with_all, smoothed = model.viterbi(x), model.smooth(x)
    monkeypatch.setattr(factorial, "KEPT", 0)
    assert_close(model.viterbi(x), with_all)
    assert_close(model.smooth(x), smoothed)
    flat = model.flattened()
    assert_close(viterbi(flat.potentials(x)).log_joint, with_all.log_joint)
