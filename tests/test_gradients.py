"""The gradient of log p(x) is the posterior, whoever computes it."""

import pytest
import torch
from hypothesis import given
from random_models import joint_paths, one_chain, random_potentials
from torch.testing import assert_close

from hmmlib import engines, logs
from hmmlib.enumeration import path_log_joints
from hmmlib.inference import expected_counts, log_likelihood
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


@given(one_chain())
def test_the_compiled_gradient_is_that_of_the_recursion(p):
    leaves = [x.clone().requires_grad_() for x in (p[0], p[1][0], p[2])]
    q = Potentials(leaves[0], (leaves[1],), leaves[2], p.lengths)
    found = torch.autograd.grad(log_likelihood(q).sum(), leaves, allow_unused=True)
    evidence = log_likelihood(q, engine=engines.recursion).sum()
    expected = torch.autograd.grad(evidence, leaves, materialize_grads=True)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        assert ours.isfinite().all()


def test_where_scaling_loses_something_gradients_are_right_too():
    """The lost way of above, and another sequence; weights that differ."""
    lost = torch.zeros(2, 6, 2).double()
    lost[0, 2, 0], lost[0, 5, 1] = -2000.0, -torch.inf
    even, stay = torch.tensor([0.5, 0.5]).double().log(), torch.eye(2).double().log()
    for scores, weights in ((lost, [1.0, 3.0]), (lost[0], 2.0)):
        leaves = [x.clone().requires_grad_() for x in (even, stay, scores)]
        p = Potentials(leaves[0], (leaves[1],), leaves[2])
        weights = torch.tensor(weights).double()

        def gradient(engine, p=p, leaves=leaves, weights=weights):
            evidence = log_likelihood(p, engine)
            return torch.autograd.grad((evidence * weights).sum(), leaves)

        assert_close(gradient(None), gradient(engines.recursion))
