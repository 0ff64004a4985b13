"""recursion = enumeration, on random small models; and what must hold of the recursion
whatever the model.
"""

import pytest
import torch
from hypothesis import given
from random_models import joint_paths, one_sequence, potentials, random_potentials
from torch.testing import assert_close

from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.recursion import Potentials, backward, forward, trace_back

EXACT = {"rtol": 1e-12, "atol": 1e-12}


@given(potentials())
def test_forward_adds_up_all_paths(p):
    log_joints = path_log_joints(p, joint_paths(p))
    assert_close(
        forward(p)[-1].flatten().logsumexp(0), log_joints.logsumexp(0), **EXACT
    )
    assert_close(forward(p, torch.amax)[-1].amax(), log_joints.amax(), **EXACT)


@given(potentials())
def test_forward_and_backward_split_the_same_paths_at_every_step(p):
    """logsumexp of alpha[t] + beta[t] is the evidence at each t; amax of the two is the
    best score.
    """
    log_joints = path_log_joints(p, joint_paths(p))
    for reduce, total in (
        (torch.logsumexp, log_joints.logsumexp(0)),
        (torch.amax, log_joints.amax()),
    ):
        split = (forward(p, reduce) + backward(p, reduce)).flatten(1)
        assert_close(reduce(split, -1), total.expand(len(split)), **EXACT)


@given(potentials())
def test_the_path_traced_back_has_the_best_score(p):
    delta = forward(p, torch.amax)
    path = trace_back(p, delta, torch.argmax)
    best = delta[-1].amax()
    if best.isfinite():
        assert_close(path_log_joints(p, path[None])[0], best, **EXACT)


@pytest.mark.parametrize("sizes", [(1,), (3,), (2, 3)])
def test_zero_potentials_count_the_paths(sizes):
    """With every potential log 1, the evidence is the log of the number of paths."""
    zeros = Potentials(
        torch.zeros(sizes),
        tuple(torch.zeros(k, k) for k in sizes),
        torch.zeros(5, *sizes),
    )
    num_paths = torch.tensor(float(torch.tensor(sizes).prod())) ** 5
    assert_close(
        forward(zeros)[-1].flatten().logsumexp(0).exp(), num_paths, rtol=1e-5, atol=0.0
    )


@pytest.mark.parametrize("sizes", [(3,), (2, 3)])
@pytest.mark.parametrize("changing", [False, True])
def test_each_sequence_of_a_ragged_batch_is_as_if_alone(sizes, changing):
    lengths = torch.tensor([4, 1, 6, 3])
    p = random_potentials(0, sizes, 6, batch=(4,), changing=changing, lengths=lengths)
    alpha, beta, delta = forward(p), backward(p), forward(p, torch.amax)
    path = trace_back(p, delta, torch.argmax)
    for n, length in enumerate(lengths):
        alone = one_sequence(p, n)
        assert_close(alpha[n, :length], forward(alone), **EXACT)
        assert_close(
            alpha[n, length:],
            alpha[n, length - 1].expand_as(alpha[n, length:]),
            **EXACT,
        )
        assert_close(beta[n, :length], backward(alone), **EXACT)
        assert (beta[n, length:] == 0).all()
        assert (
            path[n, :length]
            == trace_back(alone, forward(alone, torch.amax), torch.argmax)
        ).all()
        assert (path[n, length:] == -1).all()


def test_two_chains_are_one_chain_over_pairs_of_states():
    p = random_potentials(1, (2, 3), 5)
    a, b = p.log_transitions
    pairs = (a[:, None, :, None] + b[None, :, None, :]).reshape(6, 6)
    flat = Potentials(p.log_initial.flatten(), (pairs,), p.log_likelihoods.flatten(1))
    assert_close(forward(p).flatten(1), forward(flat), **EXACT)
    assert_close(backward(p).flatten(1), backward(flat), **EXACT)


def test_all_paths_lists_each_path_once():
    paths = all_paths(3, 4)
    assert paths.shape == (81, 4) and len(paths.unique(dim=0)) == 81
    assert paths.min() == 0 and paths.max() == 2


@pytest.mark.parametrize(
    ("args", "named"),
    [((0, 3), "num_states"), ((2, 0), "num_steps"), ((2, 40), "num_steps")],
)
def test_enumeration_refuses_in_words(args, named):
    with pytest.raises(ValueError, match=named):
        all_paths(*args)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (all_paths(2, 4), "paths: got shape"),
        (all_paths(2, 3) - 1, r"paths: states -1 to 0 of chain 0, needs 0 to 1"),
        (all_paths(2, 3) + 1, "paths: states 1 to 2"),
        (all_paths(2, 3).double(), "paths: got torch.float64, needs integers"),
    ],
)
def test_path_log_joints_refuses_paths_that_do_not_fit(paths, message):
    with pytest.raises(ValueError, match=message):
        path_log_joints(random_potentials(2, (2,), 3), paths)


def test_as_many_matrices_as_moves():
    p = random_potentials(2, (2,), 4, changing=True)
    for transitions in (p.log_transitions[0][:2], p.log_transitions[0].repeat(2, 1, 1)):
        wrong = p._replace(log_transitions=(transitions,))
        with pytest.raises(ValueError, match="zip"):
            forward(wrong)
        with pytest.raises(ValueError, match=r"log_transitions\[0\]: got shape"):
            path_log_joints(wrong, all_paths(2, 4))


@pytest.mark.parametrize("sizes", [(2, 3, 2), (3, 1, 2)])
def test_three_chains_add_up_as_their_paths_do(sizes):
    """With three, the order of the axes matters, which with two it need not."""
    p = random_potentials(1, sizes, 3)
    log_joints = path_log_joints(p, joint_paths(p))
    evidence = (forward(p) + backward(p)).flatten(1).logsumexp(1)
    assert_close(evidence, log_joints.logsumexp(0).expand(3), **EXACT)
    path = trace_back(p, forward(p, torch.amax), torch.argmax)
    assert_close(path_log_joints(p, path[None])[0], log_joints.amax(), **EXACT)
