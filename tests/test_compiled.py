"""The compiled loops give the answers of the recursion, and step aside where they cannot."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from random_models import one_chain, random_potentials, rows
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.engines import numbers
from hmmlib.engines.compact import in_full
from hmmlib.hmm import HMM
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    sample_states,
    smooth_states,
    viterbi,
)
from hmmlib.recursion import Potentials

QUESTIONS = (log_likelihood, filter_states, smooth_states, expected_counts, viterbi)


@given(one_chain())
def test_the_compiled_loops_are_the_recursion(p):
    for question in QUESTIONS:
        try:
            expected = question(p, engine=engines.recursion)
        except ValueError as error:
            with pytest.raises(ValueError, match=str(error).split()[1]):
                question(p)
            continue
        found = question(p)
        if question is viterbi:  # of equally good paths, one
            assert_close(found.log_joint, expected.log_joint, rtol=1e-12, atol=1e-9)
            dead = expected.log_joint.isneginf()
            assert (found.states[dead] == -1).all()
            continue
        assert_close(found, expected, rtol=1e-9, atol=1e-9)


@given(one_chain())
def test_the_loops_in_logarithms_are_the_recursion(p):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engines.compiled, "_takers", lambda *_: [engines.compiled.in_logs.passes]
        )
        found = engines.compiled.each(p)
    evidence = log_likelihood(p, engine=engines.recursion)
    assert_close(found.log_likelihood, evidence, rtol=1e-12, atol=1e-9)
    if evidence.isneginf().any():
        return
    expected = expected_counts(p, engine=engines.recursion)
    assert_close(found.probs, expected.states, rtol=1e-9, atol=1e-9)
    assert_close(found.starts, expected.initial, rtol=1e-9, atol=1e-9)
    assert_close(found.moves, expected.transitions, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [3, 12])
def test_a_long_chain_from_left_to_right_stays_compiled(size, monkeypatch):
    """The states at its beginning are behind by thousands of nats at the end."""
    stay = torch.full((size,), 0.999).double()
    stay[-1] = 1.0
    moves = stay.diag() + (1 - stay[:-1]).diag(1)
    start = torch.eye(size).double()[0]
    hmm = HMM(start, moves, Normal(3 * torch.arange(size).double(), 1.0))
    x = hmm.sample(3000, seed=size).observations
    assert not exact(hmm.compact(x))
    expected = hmm.total_counts(x, engine=engines.recursion)
    monkeypatch.setattr(engines.recursion, "forward", None)
    found = hmm.total_counts(x)
    assert_close(found, expected, rtol=1e-9, atol=1e-7)
    assert_close(hmm.smooth(x).smoothed_probs.sum(1), torch.ones(3000).double())


def test_the_best_path_has_the_best_score():
    from hmmlib.enumeration import path_log_joints

    for seed in range(30):
        size = (4, 11)[seed % 3 == 0]  # few states and many go different ways
        p = random_potentials(seed, (size,), 20, changing=bool(seed % 2), forbidden=0.2)
        best = viterbi(p)
        if best.log_joint > -torch.inf:
            score = path_log_joints(p, best.states[None])[0]
            assert_close(score, best.log_joint, rtol=1e-12, atol=1e-9)


def exact(potentials):
    """Did scaling hold, for every sequence?"""
    return engines.compiled._passes(potentials, filtered=True) is not None


def test_where_scaling_loses_something_the_logarithms_answer():
    """Two ways that never meet; the worse one by 2,000 nats is the only one at the end."""
    lost = torch.zeros(1, 6, 2).double()
    lost[0, 2, 0], lost[0, 5, 1] = -2000.0, -torch.inf
    even, stay = torch.tensor([0.5, 0.5]).double().log(), torch.eye(2).double().log()
    p = Potentials(even, (stay,), lost)
    assert not exact(p)
    assert_close(log_likelihood(p).item(), -2000.0 + np.log(0.5))
    assert (smooth_states(p).smoothed_probs[0, :, 0] == 1).all()
    assert (expected_counts(p).transitions[0, 0, 0] == 5).all()

    extreme = random_potentials(0, (3,), 5)
    far = extreme._replace(log_transitions=(extreme.log_transitions[0] * 500,))
    assert not exact(far._replace(log_likelihoods=far.log_likelihoods[None]))
    assert_close(log_likelihood(far), log_likelihood(far, engine=engines.recursion))

    changing = random_potentials(0, (3,), 5, batch=(1,), changing=True)
    assert exact(changing)
    for t in (0, 3):  # moves that are lost at the first step, or at the last one alone
        changing.log_transitions[0][t] *= 500
        assert not exact(changing)
        expected = log_likelihood(changing, engine=engines.recursion)
        assert_close(log_likelihood(changing), expected)
        changing.log_transitions[0][t] /= 500


def test_states_that_lie_far_apart_are_no_reason_to_step_aside():
    apart = random_potentials(1, (3,), 50, batch=(1,))
    apart = apart._replace(log_likelihoods=apart.log_likelihoods * 1000)
    assert exact(apart)
    for question in (log_likelihood, smooth_states, expected_counts):
        assert_close(
            question(apart),
            question(apart, engine=engines.recursion),
            rtol=1e-9,
            atol=1e-9,
        )


def test_a_state_that_cannot_be_reached_does_not_drown_the_others():
    """It explains every step better by 100 nats, which adds up on the way back."""
    start, stay = torch.tensor([1.0, 0.0]).double().log(), torch.eye(2).double().log()
    better = torch.tensor([0.0, 100.0]).double().expand(1, 20, 2)
    p = Potentials(start, (stay,), better)
    assert exact(p)
    certain = torch.tensor([1.0, 0.0]).double().expand(1, 20, 2)
    assert_close(smooth_states(p).smoothed_probs, certain)
    assert_close(expected_counts(p).transitions[0, 0, 0].item(), 19.0)


def test_float32_is_computed_in_float64():
    p = random_potentials(2, (3,), 30_000)
    p = Potentials(
        *(x.log_softmax(-1) for x in (p[0],)), (p[1][0].log_softmax(-1),), p[2]
    )
    single = Potentials(p[0].float(), (p[1][0].float(),), p[2].float())
    found, expected = smooth_states(single), smooth_states(p)
    assert found.smoothed_probs.dtype == torch.float32
    assert_close(
        found.smoothed_probs.double(), expected.smoothed_probs, atol=1e-3, rtol=0
    )
    assert_close(found.smoothed_probs.sum(1), torch.ones(30_000))


def test_posterior_samples_follow_the_smoothed_probabilities():
    p = random_potentials(4, (3,), 8)
    draws = sample_states(p, 4000, seed=0)
    shares = torch.nn.functional.one_hot(draws, 3).double().mean(0)
    assert_close(shares, smooth_states(p).smoothed_probs, atol=0.04, rtol=0)


def test_filter_and_draws_where_scaling_loses_a_state():
    """A left-to-right chain whose early states fall thousands of nats behind; several."""
    matrix = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]]).double()
    scores = -300 * torch.rand(2, 60, 3, generator=torch.Generator().manual_seed(0))
    scores[:, :20, 0], scores[:, 20:40, 1], scores[:, 40:, 2] = 0.0, 0.0, 0.0
    scores = scores.double()
    for lengths in (None, torch.tensor([60, 45])):
        for moves in (matrix.log(), matrix.log().expand(59, 3, 3).contiguous()):
            p = Potentials(matrix[0].log(), (moves,), scores, lengths)
            found, expected = (
                filter_states(p),
                filter_states(p, engine=engines.recursion),
            )
            assert_close(found, expected, rtol=1e-9, atol=1e-12)
            draws = sample_states(p, 40, seed=2)
            assert torch.equal(draws, sample_states(p, 40, 2, engine=engines.recursion))


FIRST_CALL = """
import time
import torch
from hmmlib.engines import chain
from hmmlib.hmm import HMM
from hmmlib.inference import viterbi
assert not any(f.signatures for f in (chain.forward, chain.backward, chain.best_path))
start = time.perf_counter()
p = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]]).potentials([0, 1])
print(viterbi(p).log_joint.item())  # the loop that compiles in the shortest time
print(time.perf_counter() - start)
"""


def test_nothing_compiles_at_import_and_processes_share_a_cache(tmp_path):
    """Two fresh processes fill one empty cache at once; a third one finds it full."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FIRST_CALL]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    racing = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    said = [process.communicate()[0] for process in racing]
    third = subprocess.run(command, env=environment, check=True, **pipes).stdout
    assert all(process.returncode == 0 for process in racing)
    numbers = {each.splitlines()[0] for each in [*said, third]}
    assert len(numbers) == 1 and list(tmp_path.rglob("*.nbc"))
    cold, warm = (float(each.splitlines()[1]) for each in (said[0], third))
    assert warm < cold / 2


def test_long_series_take_no_python_loop(monkeypatch):
    p = random_potentials(5, (3,), 200_000)
    for name in ("forward", "backward"):  # calling them would fail
        monkeypatch.setattr(engines.recursion, name, None)
        monkeypatch.setattr(engines.gradient, name, None)
    for question in QUESTIONS:
        question(p)
    p.log_likelihoods.requires_grad_()
    (gradient,) = torch.autograd.grad(log_likelihood(p), p.log_likelihoods)
    assert_close(gradient.sum(1), torch.ones(200_000).double())


def test_what_is_said_to_be_impossible_is_nothing_lost():
    p = random_potentials(2, (3,), 7, batch=(1,), forbidden=0.3)
    p.log_likelihoods[0, 3, 1] = -torch.inf
    assert (
        log_likelihood(p).isfinite().all() and not p.log_transitions[0].isfinite().all()
    )
    assert exact(p)
    assert_close(log_likelihood(p), log_likelihood(p, engine=engines.recursion))


LOC, SCALE = torch.tensor([0.0, 2.0, 5.0]).double(), torch.tensor([1, 0.5, 2]).double()


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("emission", ["symbols", "readings", "in full"])
def test_what_is_worked_out_block_by_block_fits_together(emission, changing):
    """Blocks are of 128 steps: series that end on a border, before it and behind it."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 4, (3, 300), generator=g).double()
    x[torch.rand(x.shape, generator=g) < 0.2] = torch.nan
    said = Normal(LOC, SCALE) if emission == "readings" else rows(g, 3, 4)
    hmm = HMM(rows(g, 3), rows(g, 3, 3), said)
    for lengths in ([300, 128, 257], [256, 129, 255], [127, 1, 2]):
        p = hmm.compact(x, lengths)
        p = in_full(p) if emission == "in full" else p
        if changing:
            moves = rows(g, 299, 3, 3)
            in_probs = {"transition_matrix": moves}
            p = p._replace(
                **(
                    {"log_transitions": (moves.log(),)}
                    if emission == "in full"
                    else in_probs
                )
            )
        assert exact(p)
        for question in QUESTIONS:
            by_loops = getattr(engines.compiled, question.__name__)(p)
            expected = question(in_full(p), engine=engines.recursion)
            assert_close(by_loops, expected, rtol=1e-9, atol=1e-9)


def test_readings_that_are_lost_are_looked_at_in_logarithms():
    """State 1 is 5,000 nats worse at first, and twice as much better from then on."""
    emission = Normal(torch.tensor([0.0, 100.0]).double(), 1.0)
    hmm = HMM([0.5, 0.5], torch.eye(2).double(), emission)
    x = [[0.0, 100.0, 100.0]]
    assert not exact(hmm.compact(x))
    assert (hmm.smooth(x).smoothed_probs[0, :, 1] == 1).all()
    apart = emission.log_prob(torch.tensor([0.0, 100.0, 100.0]).double()[:, None])
    assert_close(hmm.log_likelihood(x)[0], apart[:, 1].sum() + np.log(0.5))


def test_exponentials_are_right_to_the_last_digits():
    x = -np.concatenate([np.linspace(0, 699.9, 100_001), [700.1, 800.0, np.inf]])
    found = x.copy()
    numbers.exponentiate(found)
    assert np.abs(found[:-3] / np.exp(x[:-3]) - 1).max() < 1e-15
    assert (found[-3:] == 0).all()
