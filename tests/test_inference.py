"""The questions agree with enumeration, with hmmlearn, and with what must hold of any
posterior.
"""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from random_models import (
    joint_paths,
    one_sequence,
    potentials,
    random_potentials,
    rows,
)
from torch.testing import assert_close

from hmmlib import inference, logs
from hmmlib.enumeration import path_log_joints
from hmmlib.hmm import HMM
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    pairwise_probs,
    sample_states,
    smooth_states,
    total_counts,
    viterbi,
)
from hmmlib.recursion import Potentials, forward

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
    monkeypatch.setattr(inference, "_compiles", lambda p: False)
    held, pairs = [], inference._pairs

    def watched(*arguments):
        held.append(pairs(*arguments))
        return held[-1]

    monkeypatch.setattr(inference, "_pairs", watched)
    for limit, steps_at_once in ((1, 1), (40, 2), (1000, 6)):  # a step has 2 · 3 · 3
        held.clear()
        monkeypatch.setattr(inference, "PAIRS_AT_ONCE", limit)
        assert_close(expected_counts(p).transitions, whole, **EXACT)
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


@pytest.mark.parametrize("sizes", [(3,), (2, 2)])
@pytest.mark.parametrize("padding", [0.0, -torch.inf, torch.nan])
@pytest.mark.parametrize("forbidden", [0.0, 0.2])
def test_a_ragged_batch_answers_as_its_sequences_do_alone(sizes, padding, forbidden):
    """Whatever lies behind the end of a sequence."""
    lengths = torch.tensor([5, 1, 3])
    p = random_potentials(6, sizes, 5, batch=(3,), forbidden=forbidden, lengths=lengths)
    for n, length in enumerate(lengths):
        p.log_likelihoods[n, length:] = padding
    evidence, filtered, smoothed, best = (
        log_likelihood(p),
        filter_states(p),
        smooth_states(p),
        viterbi(p),
    )
    samples = sample_states(p, 7, seed=0)
    assert samples.shape[:3] == (7, 3, 5)
    for n, length in enumerate(lengths):
        alone = one_sequence(p, n)
        assert_close(evidence[n], log_likelihood(alone), **EXACT)
        assert_close(
            filtered.predicted_probs[n, :length],
            filter_states(alone).predicted_probs,
            **EXACT,
        )
        assert_close(
            smoothed.smoothed_probs[n, :length],
            smooth_states(alone).smoothed_probs,
            **EXACT,
        )
        assert (smoothed.smoothed_probs[n, length:] == 0).all()
        assert_close(best.log_joint[n], viterbi(alone).log_joint, **EXACT)
        assert (best.states[n, :length] == viterbi(alone).states).all() and (
            best.states[n, length:] == -1
        ).all()
        assert (samples[:, n, :length] >= 0).all() and (
            samples[:, n, length:] == -1
        ).all()
        if len(sizes) == 1:
            counts, pairs = expected_counts(p), pairwise_probs(p)
            moves = expected_counts(alone).transitions
            assert_close(counts.transitions[n], moves, **EXACT)
            assert_close(
                counts.states[n, :length], expected_counts(alone).states, **EXACT
            )
            assert_close(pairs[n, : length - 1], pairwise_probs(alone), **EXACT)
            assert (pairs[n, length - 1 :] == 0).all()


@pytest.mark.parametrize("sizes", [(2,), (2, 2)])
def test_padding_is_not_read_when_every_sequence_is_longer_than_all_else(sizes):
    """More steps than states and sequences, and none as long as the batch."""
    lengths = torch.tensor([5, 4])
    p = random_potentials(6, sizes, 7, batch=(2,), lengths=lengths)
    for n, length in enumerate(lengths):
        p.log_likelihoods[n, length:] = torch.nan
    evidence = log_likelihood(p)
    for n in range(2):
        assert_close(evidence[n], log_likelihood(one_sequence(p, n)), **EXACT)
    for other in (lengths.int(), lengths.tolist()):
        assert_close(log_likelihood(p._replace(lengths=other)), evidence, **EXACT)
        assert_close(smooth_states(p._replace(lengths=other)), smooth_states(p))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (0, 1, 2, 3)])
def test_of_several_chains_the_gradient_is_the_posterior(wanted):
    """Of one table alone, and of all; 0, not NaN, where no move may enter a state."""
    p = random_potentials(3, (2, 3), 4)
    leaves = [p.log_initial, *p.log_transitions, p.log_likelihoods]
    for leaf in leaves[:3]:
        leaf[:, -1] = -torch.inf
    paths, weights, _ = enumerated(p)
    states = marginals(paths, weights, (2, 3))
    moves = [torch.zeros(k, k).double() for k in (2, 3)]
    for m, counts in enumerate(moves):
        for t in range(3):
            at = paths[:, t, m], paths[:, t + 1, m]
            counts.index_put_(at, weights, accumulate=True)
    expected = [states[0], *moves, states]
    leaves = [leaf.requires_grad_(i in wanted) for i, leaf in enumerate(leaves)]
    found = torch.autograd.grad(log_likelihood(p), [leaves[i] for i in wanted])
    for each, i in zip(found, wanted, strict=True):
        assert_close(each, expected[i], **EXACT)


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


def test_threads_count_as_one_does():
    symbols = torch.randint(30, (70, 300), generator=torch.Generator().manual_seed(0))
    shapes, g = [(12,), (12, 12), (12, 30)], torch.Generator().manual_seed(1)
    gathered = HMM(*(rows(g, *shape) for shape in shapes)).potentials(symbols)
    in_full = gathered._replace(log_likelihoods=gathered.log_likelihoods + 0)
    before = torch.get_num_threads()
    for p in (gathered, in_full):
        try:
            torch.set_num_threads(1)
            alone = total_counts(p)
            torch.set_num_threads(3)
            together = total_counts(p)
        finally:
            torch.set_num_threads(before)
        assert_close(together, alone, **EXACT)


def test_the_gradient_is_the_posterior():
    p = random_potentials(7, (3,), 5, forbidden=0.2)
    leaves = [
        x.clone().requires_grad_()
        for x in (p.log_initial, *p.log_transitions, p.log_likelihoods)
    ]
    log_likelihood(Potentials(leaves[0], (leaves[1],), leaves[2])).backward()
    counts = expected_counts(p)
    for leaf, expected in zip(
        leaves, (counts.initial, counts.transitions, counts.states), strict=True
    ):
        assert_close(leaf.grad, expected, **EXACT)


@pytest.mark.parametrize("sizes", [(3,), (2, 2)])
def test_gradcheck(sizes):
    p = random_potentials(8, sizes, 3, batch=(2,), lengths=torch.tensor([3, 2]))
    leaves = [
        x.requires_grad_()
        for x in (p.log_initial, *p.log_transitions, p.log_likelihoods)
    ]
    torch.autograd.gradcheck(
        lambda i, *a: log_likelihood(Potentials(i, a[:-1], a[-1], p.lengths)), leaves
    )


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


# --- numbers it must survive ---


def test_left_to_right_chain_has_finite_gradients():
    pi = torch.tensor([1.0, 0, 0], dtype=torch.float64, requires_grad=True)
    a = torch.tensor(
        [[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1.0]],
        dtype=torch.float64,
        requires_grad=True,
    )
    b = torch.tensor(
        [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]], dtype=torch.float64, requires_grad=True
    )
    p = HMM(pi, a, b).potentials([0, 1, 1, 0])
    log_likelihood(p).backward()
    assert all(x.grad.isfinite().all() for x in (pi, a, b))
    assert_close(a.grad * a, expected_counts(p).transitions, **EXACT)


def test_a_pinned_state_is_not_forgotten_while_another_is_900_nats_better():
    """Peers with scaled recursions return 0.0 here."""
    num_steps = 100
    log_likelihoods = torch.tensor([[-900.0, 0.0]], dtype=torch.float64).expand(
        num_steps, 2
    )
    pinned = Potentials(
        torch.tensor([0.0, -torch.inf]).double(),
        (torch.eye(2).double().log(),),
        log_likelihoods,
    )
    assert_close(
        log_likelihood(pinned).item(), -900.0 * num_steps, rtol=1e-12, atol=0.0
    )
    assert (smooth_states(pinned).smoothed_probs[:, 0] == 1).all()
    assert (viterbi(pinned).states == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_step_one_state(dtype):
    p = HMM(
        torch.ones(1, dtype=dtype),
        torch.ones(1, 1, dtype=dtype),
        torch.ones(1, 1, dtype=dtype),
    ).potentials([0])
    assert log_likelihood(p) == 0
    assert log_likelihood(p).dtype == dtype
    assert viterbi(p).states.tolist() == [0] and smooth_states(
        p
    ).smoothed_probs.tolist() == [[1.0]]
    assert pairwise_probs(p).shape == (0, 1, 1) and expected_counts(
        p
    ).transitions.tolist() == [[0.0]]


def test_a_hundred_thousand_steps_do_not_drift():
    """The forward recursion in extended precision, scaled, is the reference."""
    pi, a, b = (
        np.array(x, dtype=np.longdouble)
        for x in ([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    )
    x = torch.randint(2, (100_000,), generator=torch.Generator().manual_seed(0))
    message, reference = pi, np.longdouble(0)
    for t, symbol in enumerate(x.tolist()):
        message = (message if t == 0 else message @ a) * b[:, symbol]
        reference += np.log(message.sum())
        message = message / message.sum()
    p = HMM(*(torch.tensor(v.astype(float)) for v in (pi, a, b))).potentials(x)
    assert_close(log_likelihood(p).item(), float(reference), rtol=1e-12, atol=0.0)


def test_impossible_observations_are_said_to_be_so():
    p = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]]).potentials(
        [0, 1, 0]
    )
    assert log_likelihood(p) == -torch.inf
    best = viterbi(p)
    assert best.log_joint == -torch.inf and (best.states == -1).all()
    for question in (
        filter_states,
        smooth_states,
        pairwise_probs,
        expected_counts,
        lambda p: sample_states(p, 1),
    ):
        with pytest.raises(ValueError, match="probability 0 under this model"):
            question(p)


def test_which_sequence_of_a_batch_is_impossible():
    p = HMM([1.0], [[1.0]], [[1.0, 0.0]]).potentials([[0, 0], [0, 1]])
    assert log_likelihood(p).tolist() == [0.0, -torch.inf]
    with pytest.raises(ValueError, match=r"sequence \[1\] has probability 0"):
        smooth_states(p)


def broken(sizes=(2,), **fields):
    return random_potentials(10, sizes, 3)._replace(**fields)


FIXED = torch.zeros(2, 2).double()
BAD = torch.tensor([[0.0, torch.nan], [torch.inf, torch.inf]])


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (broken(log_initial=torch.tensor(0.0)), "log_initial: got shape"),
        (
            broken(log_likelihoods=torch.zeros(3, 5)),
            r"log_likelihoods: got shape \(3, 5\)",
        ),
        (broken(log_likelihoods=torch.zeros(0, 2)), "at least one step"),
        (broken(log_transitions=torch.zeros(2, 2)), "log_transitions: needs a tuple"),
        (broken(log_transitions=[FIXED]), "log_transitions: needs a tuple of 1"),
        (broken(log_transitions=(FIXED,) * 2), "log_transitions: needs a tuple of 1"),
        (broken((2, 2), log_transitions=(FIXED,)), "needs a tuple of 2"),
        (
            Potentials(torch.zeros(0), (torch.zeros(0, 0),), torch.zeros(3, 0)),
            r"log_initial: got shape \(0,\)",
        ),
        (broken(log_initial=[0.0, 0.0]), "log_initial: got list, needs a tensor"),
        (broken(log_transitions=("ab",)), r"log_transitions\[0\]: got str, needs a"),
        (broken(log_likelihoods=[[0.0, 0.0]]), "log_likelihoods: got list, needs a"),
        (
            broken(log_initial=torch.zeros(2).half()),
            "log_initial: got torch.float16, needs float64 or float32",
        ),
        (
            broken(log_transitions=(FIXED.long(),)),
            r"log_transitions\[0\]: got torch.int",
        ),
        (
            broken(log_likelihoods=torch.zeros(3, 2).int()),
            "log_likelihoods: got torch.i",
        ),
        (
            broken(log_initial=BAD[0] + BAD[1]),
            r"log_initial: inf at \[0\], needs numbers",
        ),
        (broken(log_transitions=(BAD,)), r"log_transitions\[0\]: nan at \[0, 1\]"),
        (broken(log_likelihoods=BAD), r"log_likelihoods: nan at \[0, 1\]"),
        (broken((2, 2), log_initial=BAD), r"log_initial: nan at \[0, 1\]"),
        (
            broken((2, 2), log_transitions=(FIXED, BAD)),
            r"log_transitions\[1\]: nan at \[0, 1\]",
        ),
        (
            broken((2, 2), log_likelihoods=BAD[None].expand(3, 2, 2)),
            r"log_likelihoods: nan at \[0, 0, 1\]",
        ),
        (
            broken(log_transitions=(torch.zeros(3, 3),)),
            r"log_transitions\[0\]: got shape \(3, 3\)",
        ),
        (
            broken(log_transitions=(torch.zeros(3, 2, 2),)),
            r"needs \(2, 2\) or \(2, 2, 2\)",
        ),
        (
            broken(log_initial=torch.tensor([0.0, torch.nan])),
            r"log_initial: nan at \[1\]",
        ),
        (
            broken(log_initial=torch.tensor([0.0, torch.inf])),
            r"log_initial: inf at \[1\]",
        ),
        (
            broken(lengths=torch.tensor([3])),
            "lengths: given for observations of one sequence",
        ),
        (
            broken(lengths=torch.tensor([1, 2, 1])),
            "lengths: given for observations of one sequence",
        ),
        (random_potentials(0, (2,), 3, (2,), lengths=[3, 0]), r"lengths: got \[3, 0\]"),
        (
            random_potentials(0, (2,), 3, (2,), lengths=[3.0, 1.0]),
            r"lengths: got \[3.0, 1.0\]",
        ),
        (
            random_potentials(0, (2,), 3, (2,), lengths=[True, True]),
            r"lengths: got \[True, True\]",
        ),
        (
            random_potentials(0, (2,), 3, (2,), lengths=torch.tensor([3, 4])),
            r"lengths: got \[3, 4\], needs integers from 1",
        ),
    ],
)
def test_potentials_that_do_not_fit_are_refused_in_words(p, message):
    with pytest.raises(ValueError, match=message):
        log_likelihood(p)


def test_pairs_and_counts_need_one_chain_and_samples_at_least_one():
    for question in (pairwise_probs, expected_counts, total_counts):
        with pytest.raises(ValueError, match=r"got 2 chains, shape \(2, 2\); needs 1"):
            question(random_potentials(0, (2, 2), 3))
    with pytest.raises(ValueError, match="num_samples"):
        sample_states(random_potentials(0, (2,), 3), 0)


@pytest.mark.parametrize("seed", range(12))
def test_the_gradient_is_that_of_the_recursion(seed):
    """Fisher's identity against autograd through `forward`: batches, ragged, forbidden."""
    g = torch.Generator().manual_seed(seed)
    k, t, n = 3, 5, 4

    def scores(*shape):
        values = torch.randn(*shape, generator=g, dtype=torch.float64)
        holes = torch.rand(*shape, generator=g) < (0.15 if seed % 2 else 0.0)
        return values.masked_fill(holes, -torch.inf)

    moves = scores(t - 1, k, k) if seed % 3 == 0 else scores(k, k)
    batched = seed % 4 > 0
    likelihoods = scores(n, t, k) if batched else scores(t, k)
    lengths = torch.tensor([5, 1, 3, 2]) if seed % 4 == 3 else None
    if seed % 4 == 2:
        likelihoods[1, 2] = -torch.inf  # impossible
    given = [scores(k).masked_fill_(torch.arange(k) == 0, 0.0), moves, likelihoods]
    found = []
    for ours in (True, False):
        leaves = [x.clone().requires_grad_() for x in given]
        p = Potentials(leaves[0], (leaves[1],), leaves[2], lengths)
        if ours:
            evidence = log_likelihood(p)
        else:
            alpha = forward(p, logs.logsumexp)
            evidence = logs.logsumexp(alpha.select(-2, -1), -1)
        weights = torch.arange(evidence.numel()).reshape(evidence.shape) + 1.5
        possible = torch.where(evidence.isneginf(), 0.0, evidence)
        (weights * possible).sum().backward()
        found.append([leaf.grad.nan_to_num(0.0) for leaf in leaves])
        assert all(leaf.grad.isfinite().all() for leaf in leaves if ours)
    for mine, theirs in zip(*found, strict=True):
        assert_close(mine, theirs)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_of_several_chains_an_impossible_path_is_told(batch):
    p = random_potentials(0, (2, 3), 4, batch=batch)
    p.log_likelihoods[..., 1, :, :] = -torch.inf
    best = viterbi(p)
    assert best.log_joint.isneginf().all() and (best.states == -1).all()
    assert best.states.shape == (*batch, 4, 2)
