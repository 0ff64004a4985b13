"""The compiled loops give the answers of the recursion, and step aside where they cannot."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import random_potentials, rows
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import inference, kernels
from hmmlib.factorial import FactorialHMM, additive_gaussian
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


def by_recursion(question, p, *arguments):
    """The same question, with the compiled loops out of reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "_compiles", lambda p: False)
        return question(p, *arguments)


@st.composite
def one_chain(draw):
    """One chain of 1-12 states; a sequence or a ragged batch; moves fixed or changing."""
    num_steps = draw(st.integers(1, 25))
    batch = draw(st.sampled_from([(), (3,)]))
    lengths = None
    if batch and draw(st.booleans()):
        ends = st.integers(1, num_steps)
        lengths = torch.tensor(draw(st.lists(ends, min_size=3, max_size=3)))
    p = random_potentials(
        seed=draw(st.integers(0, 2**31)),
        sizes=(draw(st.sampled_from([1, 2, 3, 8, 9, 12])),),
        num_steps=num_steps,
        batch=batch,
        changing=draw(st.booleans()),
        forbidden=draw(st.sampled_from([0.0, 0.4])),
        lengths=lengths,
    )
    missing = torch.rand(p.log_likelihoods.shape[:-1]) < 0.2
    scores = p.log_likelihoods.masked_fill(missing[..., None], 0.0)
    return p._replace(log_likelihoods=scores * draw(st.sampled_from([1.0, 30.0])))


@given(one_chain())
def test_kernels_are_the_recursion(p):
    for question in QUESTIONS:
        try:
            expected = by_recursion(question, p)
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
def test_the_compiled_gradient_is_that_of_the_recursion(p):
    leaves = [x.clone().requires_grad_() for x in (p[0], p[1][0], p[2])]
    q = Potentials(leaves[0], (leaves[1],), leaves[2], p.lengths)
    found = torch.autograd.grad(log_likelihood(q).sum(), leaves, allow_unused=True)
    expected = by_recursion(
        lambda q: torch.autograd.grad(
            log_likelihood(q).sum(), leaves, allow_unused=True
        ),
        q,
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        assert ours.isfinite().all()


def test_the_best_path_has_the_best_score():
    from hmmlib.enumeration import path_log_joints

    for seed in range(30):
        size = (4, 11)[seed % 3 == 0]  # few states and many go different ways
        p = random_potentials(seed, (size,), 20, changing=bool(seed % 2), forbidden=0.2)
        best = viterbi(p)
        if best.log_joint > -torch.inf:
            score = path_log_joints(p, best.states[None])[0]
            assert_close(score, best.log_joint, rtol=1e-12, atol=1e-9)


def exact(p):
    """Did scaling hold, for each sequence?"""
    arrays, (num, *_) = inference._as_arrays(p)
    flags, evidence, none = np.empty(num, dtype=bool), np.empty(num), np.empty((0,) * 3)
    kernels.passes(*arrays, 0, num, -1, evidence, flags, none, none, np.empty((0, 0)),
                   none, none)  # fmt: skip
    return flags


def test_where_scaling_loses_something_the_logarithms_answer():
    """Two ways that never meet; the worse one by 2,000 nats is the only one at the end."""
    lost = torch.zeros(1, 6, 2).double()
    lost[0, 2, 0], lost[0, 5, 1] = -2000.0, -torch.inf
    even, stay = torch.tensor([0.5, 0.5]).double().log(), torch.eye(2).double().log()
    p = Potentials(even, (stay,), lost)
    assert not exact(p).any()
    assert_close(log_likelihood(p).item(), -2000.0 + np.log(0.5))
    assert (smooth_states(p).smoothed_probs[0, :, 0] == 1).all()
    assert (expected_counts(p).transitions[0, 0, 0] == 5).all()

    extreme = random_potentials(0, (3,), 5)
    far = extreme._replace(log_transitions=(extreme.log_transitions[0] * 500,))
    assert not exact(far._replace(log_likelihoods=far.log_likelihoods[None])).any()
    assert_close(log_likelihood(far), by_recursion(log_likelihood, far))

    changing = random_potentials(0, (3,), 5, batch=(1,), changing=True)
    assert exact(changing).all()
    for t in (0, 3):  # moves that are lost at the first step, or at the last one alone
        changing.log_transitions[0][t] *= 500
        assert not exact(changing).any()
        expected = by_recursion(log_likelihood, changing)
        assert_close(log_likelihood(changing), expected)
        changing.log_transitions[0][t] /= 500


def test_states_that_lie_far_apart_are_no_reason_to_step_aside():
    apart = random_potentials(1, (3,), 50, batch=(1,))
    apart = apart._replace(log_likelihoods=apart.log_likelihoods * 1000)
    assert exact(apart).all()
    for question in (log_likelihood, smooth_states, expected_counts):
        assert_close(
            question(apart), by_recursion(question, apart), rtol=1e-9, atol=1e-9
        )


def test_a_state_that_cannot_be_reached_does_not_drown_the_others():
    """It explains every step better by 100 nats, which adds up on the way back."""
    start, stay = torch.tensor([1.0, 0.0]).double().log(), torch.eye(2).double().log()
    better = torch.tensor([0.0, 100.0]).double().expand(1, 20, 2)
    p = Potentials(start, (stay,), better)
    assert exact(p).all()
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


def test_threads_share_the_sequences():
    p = random_potentials(3, (12,), 300, batch=(70,))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [question(p) for question in QUESTIONS]
        torch.set_num_threads(4)
        together = [question(p) for question in QUESTIONS]
    finally:
        torch.set_num_threads(before)
    for one, four in zip(alone, together, strict=True):
        assert_close(one, four, rtol=0, atol=0)
    done = []
    kernels.in_parallel(lambda *each: done.append(each), 10, 3)
    assert sorted(done) == [(0, 3, 0), (3, 6, 1), (6, 10, 2)]


def test_posterior_samples_follow_the_smoothed_probabilities():
    p = random_potentials(4, (3,), 8)
    draws = sample_states(p, 4000, seed=0)
    shares = torch.nn.functional.one_hot(draws, 3).double().mean(0)
    assert_close(shares, smooth_states(p).smoothed_probs, atol=0.04, rtol=0)


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


FIRST_CALL = """
import time
import torch
from hmmlib import kernels
from hmmlib.hmm import HMM
from hmmlib.inference import expected_counts, viterbi
assert not any(f.signatures for f in (kernels.forward, kernels.backward, kernels.best_path))
start = time.perf_counter()
p = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]]).potentials([0, 1])
print(expected_counts(p).log_likelihood.item(), viterbi(p).log_joint.item())
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
    monkeypatch.setattr(inference, "forward", None)  # calling it would fail
    for question in QUESTIONS:
        question(p)
    p.log_likelihoods.requires_grad_()
    (gradient,) = torch.autograd.grad(log_likelihood(p), p.log_likelihoods)
    assert_close(gradient.sum(1), torch.ones(200_000).double())


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


def test_a_copy_of_a_changed_model_keeps_nothing_old():
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    x = torch.tensor([0, 1, 1])
    hmm.potentials(x)
    hmm.transition_matrix.copy_(torch.tensor([[0.1, 0.9], [0.2, 0.8]]))
    for twin in (copy.deepcopy(hmm), pickle.loads(pickle.dumps(hmm))):
        assert_close(
            log_likelihood(twin.potentials(x)), log_likelihood(hmm.potentials(x))
        )


def test_where_scaling_loses_something_gradients_are_right_too():
    """The lost way of above, and another sequence; weights that differ."""
    lost = torch.zeros(2, 6, 2).double()
    lost[0, 2, 0], lost[0, 5, 1] = -2000.0, -torch.inf
    even, stay = torch.tensor([0.5, 0.5]).double().log(), torch.eye(2).double().log()
    for scores, weights in ((lost, [1.0, 3.0]), (lost[0], 2.0)):
        leaves = [x.clone().requires_grad_() for x in (even, stay, scores)]
        p = Potentials(leaves[0], (leaves[1],), leaves[2])
        weights = torch.tensor(weights).double()

        def gradient(p, leaves=leaves, weights=weights):
            return torch.autograd.grad((log_likelihood(p) * weights).sum(), leaves)

        assert_close(gradient(p), by_recursion(gradient, p))


def test_what_is_said_to_be_impossible_is_nothing_lost():
    p = random_potentials(2, (3,), 7, batch=(1,), forbidden=0.3)
    p.log_likelihoods[0, 3, 1] = -torch.inf
    assert (
        log_likelihood(p).isfinite().all() and not p.log_transitions[0].isfinite().all()
    )
    assert exact(p).all()
    assert_close(log_likelihood(p), by_recursion(log_likelihood, p))


def dense(p):
    return p._replace(log_likelihoods=p.log_likelihoods + 0)


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
        p = hmm.potentials(x, lengths)
        p = dense(p) if emission == "in full" else p
        if changing:
            p = p._replace(log_transitions=(rows(g, 299, 3, 3).log(),))
        for question in (log_likelihood, smooth_states, expected_counts):
            expected = by_recursion(question, dense(p))
            assert_close(question(p), expected, rtol=1e-9, atol=1e-9)
        best, expected = viterbi(p), by_recursion(viterbi, dense(p))
        assert_close(best, expected, rtol=1e-9, atol=1e-9)


def test_readings_that_are_lost_are_looked_at_in_logarithms():
    """State 1 is 5,000 nats worse at first, and twice as much better from then on."""
    emission = Normal(torch.tensor([0.0, 100.0]).double(), 1.0)
    hmm = HMM([0.5, 0.5], torch.eye(2).double(), emission)
    p = hmm.potentials([[0.0, 100.0, 100.0]])
    assert not exact(p).any()
    assert (smooth_states(p).smoothed_probs[0, :, 1] == 1).all()
    apart = emission.log_prob(torch.tensor([0.0, 100.0, 100.0]).double()[:, None])
    assert_close(log_likelihood(p)[0], apart[:, 1].sum() + np.log(0.5))


def test_rows_as_probabilities():
    counts = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    old = np.array([[0.2, 0.3, 0.5], [0.0, 0.4, 0.6]])
    probs = np.empty((2, 3))
    kernels.normalise(counts, old, 0.0, probs)
    assert_close(probs, np.array([[0.25, 0.75, 0.0], [0.0, 0.4, 0.6]]))
    kernels.normalise(counts, old, 2.0, probs)
    assert_close(probs, np.array([[0.3, 0.5, 0.2], [0.0, 0.5, 0.5]]))


def test_gaussians_from_their_moments():
    """As means and scales of the readings; the last state has none, and keeps its own."""
    g = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(50, generator=g, dtype=torch.float64)
    weights = torch.cat([rows(g, 50, 2), torch.zeros(50, 1).double()], 1)
    loc, scale = torch.tensor([1.0, 5.0, 7.0]).double(), torch.ones(3).double()
    apart = x[:, None] - loc
    new_loc, new_scale = np.empty(3), np.empty(3)

    def fitted(smallest=1e-4, least=0.0):
        moments = torch.stack([(weights * apart**n).sum(0) for n in range(3)]).numpy()
        return kernels.fit_gaussians(
            moments, loc.numpy(), scale.numpy(), smallest, least, new_loc, new_scale
        )

    assert fitted()
    total = weights[:, :2].sum(0)
    mean = (weights[:, :2] * x[:, None]).sum(0) / total
    variance = (weights[:, :2] * (x[:, None] - mean) ** 2).sum(0) / total
    assert_close(torch.from_numpy(new_loc[:2]), mean)
    assert_close(torch.from_numpy(new_scale[:2]), variance.sqrt())
    assert (new_loc[2], new_scale[2]) == (7.0, 1.0)
    spread = x.std(correction=0)
    narrow = variance.sqrt().min() / (2 * spread)  # by as much as twice the smallest
    assert fitted(0.99 * narrow.item()) and not fitted(1.01 * narrow.item())
    apart += 1e5  # squares of what is far from the old mean cancel
    assert not fitted()


def test_what_is_copied_and_summed_is_looked_at():
    even = np.array([[0.5, 0.5], [0.25, 1.0]])
    assert kernels.sum_to_one(even, 0.25) and not kernels.sum_to_one(even, 0.2)
    assert kernels.sum_to_one(np.array([[1.0, 0.0]]), 0.0)
    for wrong in ([1.5, -0.5], [np.nan, 1.0], [0.5, 0.1]):
        assert not kernels.sum_to_one(np.array([wrong, [0.5, 0.5]]), 0.25)
    symbols = np.empty(3, np.int64)
    assert kernels.copied_rows(np.array([0, 2, 1]), 3, symbols)
    assert symbols.tolist() == [0, 2, 1]
    for wrong in ([3, 0, 0], [0, -1, 0]):
        assert not kernels.copied_rows(np.array(wrong), 3, symbols)
    values = np.empty(3)
    assert kernels.copied_values(np.array([0.5, -1e300, 2.0]), values)
    assert values.tolist() == [0.5, -1e300, 2.0]
    for wrong in ([np.nan, 0.0, 0.0], [0.0, -np.inf, 0.0], [np.inf, 0.0, 0.0]):
        assert not kernels.copied_values(np.array(wrong), values)
    row, table = np.array([-np.inf, 0.0]), np.zeros((2, 2))
    assert kernels.below_infinity(row, table[None], table)
    for wrong in (np.nan, np.inf):
        wrong = np.array([[wrong, 0.0], [0.0, 0.0]])
        assert not kernels.below_infinity(wrong[0], table[None], table)
        assert not kernels.below_infinity(row, wrong[None], table)
        assert not kernels.below_infinity(row, table[None], wrong)


def test_a_thread_has_to_be_worth_it():
    """No more of them than there are, than sequences, or than the work fills."""
    assert kernels.num_shares(10, 0.0, 4) == 1
    assert kernels.num_shares(10, 2 * kernels.WORK, 4) == 2
    assert kernels.num_shares(10, 1e15, 4) == 4
    assert kernels.num_shares(3, 1e15, 4) == 3
    done = []
    kernels.in_parallel(lambda *each: done.append(each), 7, 1)
    assert done == [(0, 7, 0)]


def test_impossible_sequences_are_told_beside_possible_ones():
    hmm = HMM([1.0, 0.0], torch.eye(2).double(), [[1.0, 0.0], [0.5, 0.5]])
    p = hmm.potentials([[0, 0], [0, 1], [0, 0]])
    assert exact(p).all()
    assert log_likelihood(p).tolist() == [0.0, -torch.inf, 0.0]
    best = viterbi(p)
    assert best.log_joint.tolist() == [0.0, -torch.inf, 0.0]
    assert best.states.tolist() == [[0, 0], [-1, -1], [0, 0]]
