"""The loops for few states: at every length, for every kind of observation, and as EM."""

import math
import warnings

import pytest
import torch
from torch.distributions import Categorical, Gamma, Normal
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.emissions import parameters
from hmmlib.enumeration import path_log_joints
from hmmlib.hmm import HMM
from hmmlib.learning import fit_em

NEAR = {"rtol": 1e-8, "atol": 1e-8}
LENGTHS = [
    1,
    2,
    3,
    4,
    5,
    16,
    17,
    18,
    33,
    128,
    129,
    700,
]  # the last with pairs of symbols
FAMILIES = {
    "symbols": lambda k: Categorical(probs=torch.rand(k, 3).double() + 0.1),
    "Gaussian": lambda k: Normal(torch.randn(k).double(), torch.rand(k).double() + 0.5),
    "in full": lambda k: Gamma(torch.rand(k).double() + 1, torch.rand(k).double() + 1),
}


def model(family: str, size: int, seed: int = 0) -> HMM:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        moves = torch.rand(size, size).double() + 0.2 + 3 * torch.eye(size).double()
        moves = moves / moves.sum(1, keepdim=True)
        initial = torch.full((size,), 1 / size).double()
        return HMM(initial, moves, FAMILIES[family](size))


def some_missing(x: torch.Tensor) -> torch.Tensor:
    x = x.double()
    x[..., 2::7] = math.nan
    return x


def assert_as_the_recursion(hmm, x, lengths=None):
    for verb in ("log_likelihood", "smooth", "total_counts"):
        found = getattr(hmm, verb)(x, lengths)
        expected = getattr(hmm, verb)(x, lengths, engine=engines.recursion)
        assert_close(found, expected, rtol=1e-10, atol=1e-10)
    best = hmm.viterbi(x, lengths)
    expected = hmm.viterbi(x, lengths, engine=engines.recursion)
    assert_close(best.log_joint, expected.log_joint, rtol=1e-12, atol=1e-10)
    if lengths is None:
        scored = path_log_joints(hmm.potentials(x), best.states[None])[0]
        assert_close(scored, best.log_joint, rtol=1e-12, atol=1e-10)


@pytest.fixture
def alone(monkeypatch):
    """No other loop answers in their place."""
    for name in ("passes", "best_path"):
        monkeypatch.setattr(engines.chain, name, None)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_they_give_the_answers_of_the_recursion(family, size, alone):
    hmm = model(family, size)
    for num_steps in LENGTHS:
        x = some_missing(hmm.sample(num_steps, seed=num_steps).observations)
        assert_as_the_recursion(hmm, x)


def test_eight_states_are_few_for_all_but_the_best_path():
    hmm = model("symbols", 8)
    assert_as_the_recursion(hmm, hmm.sample(100, seed=0).observations)
    moves = hmm.total_counts(hmm.sample(100, seed=0).observations).transitions
    assert_close(moves.sum().item(), 99.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_sequence_of_a_batch_has_its_own_length(family, alone):
    hmm = model(family, 3)
    x = some_missing(hmm.sample(200, seed=1, num_sequences=5).observations)
    assert_as_the_recursion(hmm, x, [200, 1, 2, 199, 77])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forbidden_move_is_left_to_the_other_loops(family):
    hmm = model(family, 3)
    moves = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1e-60, 0.0, 1.0]]).double()
    hmm = HMM(hmm.initial_probs, moves, hmm.emission)
    assert_as_the_recursion(hmm, hmm.sample(300, seed=2).observations)


def test_readings_far_from_every_state_lose_nothing():
    hmm = model("Gaussian", 2)
    x = torch.tensor([0.0, 60.0, -60.0, 3.0, 200.0] * 40).double()  # thousands of nats
    assert_as_the_recursion(hmm, x)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pseudo_count": 0.5},
        {"learn": ("transition_matrix",)},
        {"learn": ("emission", "initial_probs")},
        {"min_scale": 2.0},
        {"tolerance": 1.0},
        {"num_iters": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["symbols", "Gaussian"])
def test_em_in_one_run_is_em_step_by_step(family, options):
    truth, start = model(family, 3), model(family, 3, seed=5)
    x = some_missing(truth.sample(60, seed=3, num_sequences=4).observations)
    options = {"num_iters": 12, "tolerance": 1e-9, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        run = fit_em(start, x, [60, 60, 31, 2], **options)
        steps = fit_em(start, x, [60, 60, 31, 2], progress=True, **options)
    assert run.num_iters == steps.num_iters and run.converged == steps.converged
    assert_close(run.log_likelihoods, steps.log_likelihoods, rtol=1e-11, atol=1e-9)
    for name in ("initial_probs", "transition_matrix"):
        assert_close(getattr(run.model, name), getattr(steps.model, name), **NEAR)
    found, expected = (parameters(fit.model.emission) for fit in (run, steps))
    assert_close(found, expected, **NEAR)


def test_em_goes_on_step_by_step_where_the_statistics_do_not_suffice():
    """One state shrinks onto a value that comes again and again."""
    x = torch.cat([torch.full((50,), 7.0), torch.linspace(-3, 3, 50)]).double()
    start = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], Normal(x.new([6.0, 0.0]), 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # held open
        fit = fit_em(start, x, num_iters=200)
    assert fit.log_likelihoods.diff().min() >= -1e-9
    assert fit.model.emission.scale[0] < 1e-3 < fit.model.emission.scale[1]
