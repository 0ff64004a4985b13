"""Numbers that inference must survive: zeros, one state, many steps, impossible data."""

import numpy as np
import pytest
import torch
from random_models import random_potentials
from torch.testing import assert_close

from hmmlib.hmm import HMM
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


@pytest.mark.parametrize("batch", [(), (2,)])
def test_of_several_chains_an_impossible_path_is_told(batch):
    p = random_potentials(0, (2, 3), 4, batch=batch)
    p.log_likelihoods[..., 1, :, :] = -torch.inf
    best = viterbi(p)
    assert best.log_joint.isneginf().all() and (best.states == -1).all()
    assert best.states.shape == (*batch, 4, 2)
