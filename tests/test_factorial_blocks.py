"""Long series in blocks: bounded memory, and the same answers whatever is stored or compiled."""

import copy
import math
import resource

import pytest
import torch
from random_models import random_chains
from torch.distributions import Categorical
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.factorial import FactorialHMM, additive_gaussian, blocks, checks, messages
from hmmlib.inference import viterbi


def test_memory_does_not_grow_with_the_steps():
    """40,000 steps of 486 joint states: all messages would be 156 MB, all pairs of them more."""
    model = random_chains((2, 3, 3, 3, 3, 3), scale=1.0)
    x = model.sample(1000, seed=0).observations.repeat(40)
    model.smooth(x[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = model.viterbi(x)
    model.smooth(x)
    paths = model.sample_states(x[:2000], 20, seed=0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    assert best.states.shape == (40_000, 6) and paths.shape == (20, 2000, 6)
    assert grown < 80  # MB; the answers themselves are 10


@pytest.mark.parametrize("sizes", [(2,), (3, 2), (2, 2, 3)], ids=str)
def test_messages_computed_again_are_those_that_were_stored(sizes, monkeypatch):
    """A long series does not store them."""
    model = random_chains(sizes, seed=6)
    x = model.sample(50, seed=0).observations

    def answers():
        return model.viterbi(x), model.smooth(x), model.sample_states(x, 5, seed=1)

    stored = answers()
    monkeypatch.setattr(blocks, "STORED", 0)
    assert_close(answers(), stored, rtol=1e-9, atol=1e-9)


def test_messages_that_are_stored_change_nothing(monkeypatch):
    sizes = (3, 2, 3, 2)
    even = [torch.full((k,), 1 / k).double() for k in sizes]
    moves = [0.8 * torch.eye(k).double() + 0.2 / k for k in sizes]
    levels = [(m + 1.5) * torch.arange(k).double() for m, k in enumerate(sizes)]
    model = FactorialHMM(even, moves, additive_gaussian(levels, 1.0))
    x = model.sample(50, seed=0).observations
    with_all, smoothed = model.viterbi(x), model.smooth(x)
    monkeypatch.setattr(blocks, "STORED", 0)
    assert_close(model.viterbi(x), with_all)
    assert_close(model.smooth(x), smoothed)
    flat = model.flattened()
    assert_close(viterbi(flat.potentials(x)).log_joint, with_all.log_joint)


def test_a_limit_of_memory_holds_to_the_byte(monkeypatch):
    """Where 12 numbers of 8 bytes are the most, 12 joint states fit, and 13 do not."""
    monkeypatch.setattr(checks, "MOST_BYTES", 8 * 12)
    assert random_chains((3, 4)).potentials([0.0]).log_likelihoods.numel() == 12
    with pytest.raises(ValueError, match="means: 13 joint states"):
        additive_gaussian([torch.zeros(13)], 1.0)
    with pytest.raises(ValueError, match="6 joint states; all log-likelihoods"):
        random_chains((3, 2)).potentials([0.0] * 3)
    # 9 steps are blocks of 3, whose messages alone are 18 numbers.
    with pytest.raises(ValueError, match="6 joint states; the messages of a block"):
        random_chains((3, 2)).viterbi([0.0] * 9)
    monkeypatch.setattr(checks, "MOST_BYTES", 8 * 18 * 20)
    assert random_chains((3, 2)).viterbi([0.0] * 9).states.shape == (9, 2)


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_is_lost_behind_a_forbidden_move(turned):
    """The state that is worse by 1,800 nats is the only one that says symbol 1."""
    said = torch.tensor([[1.0, 0.0], [1e-200, 1.0]], dtype=torch.float64)
    stay = torch.eye(2).double()
    model = FactorialHMM(
        ([0.5, 0.5], [1.0]), (stay, [[1.0]]), Categorical(said[:, None])
    )
    x = torch.tensor([0, 0, 0, 0, 1])
    x = x.flip(0) if turned else x
    expected = 4 * math.log(1e-200) + math.log(0.5)
    assert_close(model.log_likelihood(x).item(), expected)
    assert_close(model.viterbi(x).log_joint.item(), expected)
    assert (model.viterbi(x).states[:, 0] == 1).all()
    assert (model.smooth(x).smoothed_probs[0][:, 1] == 1).all()


def test_nothing_is_printed_unless_it_is_asked_for(capsys):
    model = random_chains((2, 3))
    x = model.sample(9, seed=0).observations
    asks = (
        (model.log_likelihood, ["forwards"]),
        (model.viterbi, ["forwards", "backwards"]),
        (model.smooth, ["forwards", "backwards"]),
        (lambda x, **bar: model.sample_states(x, 1, **bar), ["forwards", "backwards"]),
    )
    for ask, said in asks:
        ask(x)
        assert not capsys.readouterr().err
        ask(x, progress=True)
        told = capsys.readouterr().err
        assert all(word in told for word in said)


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
        return model.log_likelihood(x), best, smooth, model.filter(x), draws

    found = answers()
    apart = len(sizes) if forbidden else 0  # the last chain has the forbidden moves
    assert messages.arrays_of(model.transition_matrices).apart == apart
    monkeypatch.setattr(messages, "arrays_of", lambda matrices: None)
    expected = answers()
    loose = {"rtol": 1e-9, "atol": 1e-9}
    if dtype == torch.float32:
        loose = {"rtol": 1e-4, "atol": 1e-3}
        found, expected = found[:4], expected[:4]
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


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch itself
def test_the_derivatives_of_torch_func_agree_or_are_refused_in_words():
    """A forbidden move, whose logarithm has no derivative forwards."""
    x = torch.tensor([0.2, 1.3, 2.8, 1.1]).double()

    def evidence(logits):
        stay = logits.sigmoid()
        moves = torch.stack([torch.stack([stay, 1 - stay]), torch.eye(2).double()[1]])
        levels = additive_gaussian([[0.0, 1.0], [0.0, 2.0]], 0.5)
        start = ([0.5, 0.5], [1.0, 0.0])
        return FactorialHMM(start, (moves, moves), levels).log_likelihood(x)

    at = torch.tensor(0.3).double()
    expected = torch.autograd.functional.jacobian(evidence, at)
    assert expected.isfinite() and expected != 0
    assert_close(torch.func.grad(evidence)(at), expected)
    with pytest.raises(NotImplementedError, match="needs reverse mode"):
        torch.func.jvp(evidence, (at,), (torch.ones_like(at),))


def test_forbidden_moves_and_messages_that_scaling_cannot_hold():
    """Two states that never meet; the one behind by thousands of nats is right in the end."""
    even, apart = torch.tensor([0.5, 0.5]).double(), torch.eye(2).double()
    other = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.3, 0.0, 0.7]]).double()
    means = [torch.tensor([0.0, 100.0]), torch.tensor([0.0, 2.0, 40.0])]
    watts = additive_gaussian([mean.double() for mean in means], 1.0)
    model = FactorialHMM((even, other[0]), (apart, other), watts)
    x = torch.cat([torch.zeros(4), torch.full((30,), 101.0)]).double()
    named = {"engine": engines.recursion}
    found, expected = model.smooth(x), model.smooth(x, **named)
    assert (found.smoothed_probs[0][:, 1] > 0.999).all()
    assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert_close(model.filter(x), model.filter(x, **named), rtol=1e-9, atol=1e-12)
    draws = model.sample_states(x, 50, seed=1)
    assert torch.equal(draws, model.sample_states(x, 50, seed=1, **named))
