"""The questions agree with enumeration, and with what must hold of any posterior."""

import pytest
import torch
from hypothesis import assume, given
from random_models import joint_paths, potentials, random_potentials
from torch.testing import assert_close

from hmmlib.engines import recursion
from hmmlib.enumeration import path_log_joints
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    pairwise_probs,
    sample_states,
    smooth_states,
    viterbi,
)
from hmmlib.recursion import Potentials

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def enumerated(p):
    """Every path (P, T, M), its posterior probability (P,), and the evidence."""
    paths = joint_paths(p)
    log_joints = path_log_joints(p, paths)
    return paths, log_joints.softmax(0), log_joints.logsumexp(0)


def marginals(paths, weights, sizes):
    """Probability of each joint state at each step, from weighted paths."""
    probs = torch.zeros(paths.shape[1], *sizes, dtype=torch.float64)
    for t in range(paths.shape[1]):
        probs[t].index_put_(tuple(paths[:, t].unbind(-1)), weights, accumulate=True)
    return probs


@given(potentials())
def test_log_likelihood_and_smoothing_are_sums_over_paths(p):
    paths, weights, evidence = enumerated(p)
    assume(evidence.isfinite())
    assert_close(log_likelihood(p), evidence, **EXACT)
    smoothed = smooth_states(p)
    assert_close(smoothed.log_likelihood, evidence, **EXACT)
    assert_close(
        smoothed.smoothed_probs, marginals(paths, weights, p.log_initial.shape), **EXACT
    )


@given(potentials())
def test_filtering_is_smoothing_of_what_was_seen_so_far(p):
    assume(log_likelihood(p).isfinite())
    filtered = filter_states(p)
    for t in range(len(p.log_likelihoods)):
        moves = tuple(a[:t] if a.ndim == 3 else a for a in p.log_transitions)
        past = Potentials(p.log_initial, moves, p.log_likelihoods[: t + 1])
        assert_close(
            filtered.filtered_probs[t], smooth_states(past).smoothed_probs[t], **EXACT
        )
        unseen = past._replace(
            log_likelihoods=past.log_likelihoods.index_fill(0, torch.tensor(t), 0.0)
        )
        assert_close(
            filtered.predicted_probs[t],
            smooth_states(unseen).smoothed_probs[t],
            **EXACT,
        )


@given(potentials(num_chains=1))
def test_pairs_and_counts_are_sums_over_paths(p):
    paths, weights, evidence = enumerated(p)
    assume(evidence.isfinite())
    states = paths[..., 0]
    pairs = torch.zeros(
        len(p.log_likelihoods) - 1,
        *p.log_transitions[0].shape[-2:],
        dtype=torch.float64,
    )
    for t in range(len(pairs)):
        pairs[t].index_put_((states[:, t], states[:, t + 1]), weights, accumulate=True)
    assert_close(pairwise_probs(p), pairs, **EXACT)
    counts = expected_counts(p)
    assert_close(counts.transitions, pairs.sum(0), **EXACT)
    assert_close(counts.states, smooth_states(p).smoothed_probs, **EXACT)
    assert_close(counts.initial, counts.states[0], **EXACT)
    assert_close(counts.log_likelihood, evidence, **EXACT)


def test_counts_do_not_depend_on_how_many_moves_are_held_at_once(monkeypatch):
    lengths = torch.tensor([7, 4])
    p = random_potentials(3, (3,), 7, batch=(2,), changing=True, lengths=lengths)
    whole = expected_counts(p).transitions
    held, pairs = [], recursion.pairs

    def watched(*arguments):
        held.append(pairs(*arguments))
        return held[-1]

    monkeypatch.setattr(recursion, "pairs", watched)
    for limit, steps_at_once in ((1, 1), (40, 2), (1000, 6)):  # a step has 2 · 3 · 3
        held.clear()
        monkeypatch.setattr(recursion, "PAIRS_AT_ONCE", limit)
        found = expected_counts(p, engine=recursion)
        assert_close(found.transitions, whole, **EXACT)
        assert {each.shape[1] for each in held} == {steps_at_once}
        assert len(held) == 6 // steps_at_once
    assert_close(
        whole.sum((-2, -1)), torch.tensor([6.0, 3.0], dtype=torch.float64), **EXACT
    )


@given(potentials())
def test_viterbi_finds_the_best_path_and_its_score(p):
    log_joints = path_log_joints(p, joint_paths(p))
    best = viterbi(p)
    assert_close(best.log_joint, log_joints.amax(), **EXACT)
    if best.log_joint.isfinite():
        assert_close(path_log_joints(p, best.states[None])[0], best.log_joint, **EXACT)


@pytest.mark.parametrize("sizes", [(3,), (2, 2)])
def test_posterior_samples_have_the_exact_marginals(sizes):
    p = random_potentials(4, sizes, 4)
    num_samples = 40_000
    samples = sample_states(p, num_samples, seed=0)
    assert samples.shape == (num_samples, 4, len(sizes))[: 2 + (len(sizes) > 1)]
    samples = samples.reshape(num_samples, 4, -1)
    drawn = marginals(
        samples, torch.full((num_samples,), 1 / num_samples, dtype=torch.float64), sizes
    )
    exact = smooth_states(p).smoothed_probs
    # five standard errors of a frequency
    assert (
        (drawn - exact).abs() <= 5 * (exact * (1 - exact) / num_samples).sqrt() + 1e-12
    ).all()
    # ... and of whole paths, not of days alone
    paths, weights, _ = enumerated(p)
    best = paths[weights.argmax()]
    share = (samples == best).all(-1).all(-1).double().mean()
    assert (
        abs(share - weights.max())
        <= 5 * (weights.max() * (1 - weights.max()) / num_samples) ** 0.5
    )


def test_the_same_seed_gives_the_same_samples():
    p = random_potentials(5, (3,), 6)
    assert (sample_states(p, 10, seed=1) == sample_states(p, 10, seed=1)).all()
    assert (sample_states(p, 10, seed=1) != sample_states(p, 10, seed=2)).any()


@pytest.mark.parametrize("sizes", [(3,), (2, 2)])
def test_of_what_wants_gradients_the_draws_are_the_same_and_want_none(sizes):
    p = random_potentials(5, sizes, 6)
    draws = sample_states(p, 10, seed=1)
    for leaf in (p.log_initial, *p.log_transitions, p.log_likelihoods):
        leaf.requires_grad_()
    assert torch.equal(sample_states(p, 10, seed=1), draws)


def test_without_a_seed_torchs_decides():
    p = random_potentials(5, (3,), 6)
    assert (sample_states(p, 10) != sample_states(p, 10)).any()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        draws = sample_states(p, 10)
        torch.manual_seed(3)
        assert torch.equal(sample_states(p, 10), draws)


def test_relabelling_the_states_relabels_the_answers():
    p = random_potentials(9, (4,), 6)
    order = torch.tensor([2, 0, 3, 1])
    moved = Potentials(
        p.log_initial[order],
        (p.log_transitions[0][order][:, order],),
        p.log_likelihoods[:, order],
    )
    assert_close(log_likelihood(moved), log_likelihood(p), **EXACT)
    assert_close(
        smooth_states(moved).smoothed_probs,
        smooth_states(p).smoothed_probs[:, order],
        **EXACT,
    )
    assert (order[viterbi(moved).states] == viterbi(p).states).all()


@pytest.mark.parametrize("question", [filter_states, smooth_states, viterbi])
def test_where_no_gradient_is_wanted_none_is_made(question):
    p = random_potentials(7, (3,), 5)
    expected = question(p)
    for leaf in (p.log_initial, *p.log_transitions, p.log_likelihoods):
        leaf.requires_grad_()
    with torch.no_grad():
        found = question(p)
    assert_close(found, expected, rtol=0, atol=0)
    assert not any(each.requires_grad for each in found)
