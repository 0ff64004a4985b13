"""Which state is which: states of two models, or of two paths, matched."""

import math

import pytest
import torch
from random_models import rows
from torch.distributions import Normal

from hmmlib.hmm import HMM
from hmmlib.learning import align_states


def test_align_states():
    order = torch.tensor([2, 0, 1])
    emission = Normal(torch.tensor([0.0, 5.0, 10.0]).double(), 1.0)
    a = rows(torch.Generator().manual_seed(0), 3, 3)
    reference = HMM([0.2, 0.3, 0.5], a, emission)
    inverse = order.argsort()
    shuffled = HMM(
        reference.initial_probs[inverse],
        a[inverse][:, inverse],
        Normal(emission.loc[inverse], 1.0),
    )
    found = align_states(reference, shuffled)
    assert (found == order).all() and (
        shuffled.emission.loc[found] == emission.loc
    ).all()
    states = torch.tensor([0, 0, 1, 2, 2, 1])
    assert (align_states(states, order[states]) == order).all()
    with pytest.raises(ValueError, match=r"estimate: got shapes \(6,\) and \(3,\)"):
        align_states(states, order)


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        ([-1, 1], [0, 1], "estimate: got states"),
        ([0, 1], [1, -1], "estimate: got states"),
        ([0, 1], [0.0, 1.0], "estimate: got shapes"),
        ([[0.0, 1.0]], [[0, 1], [1, 0]], "estimate: got shapes"),
        ([[0.0, math.nan]], [[0.0, 1.0]], "needs finite numbers"),
        ([[0.0, 1.0]], [[math.inf, 1.0]], "needs finite numbers"),
    ],
)
def test_what_does_not_match_is_not_aligned(reference, estimate, message):
    with pytest.raises(ValueError, match=message):
        align_states(reference, estimate)


def test_paths_are_aligned_by_most_of_their_days():
    reference = torch.tensor([0] * 6 + [1] * 6)
    estimate = torch.tensor([0] + [1] * 5 + [1] + [0] * 5)
    assert align_states(reference, estimate).tolist() == [1, 0]
    more = align_states([0, 0, 1, 1], [2, 2, 0, 1])  # a state that only one path visits
    assert more[0] == 2 and sorted(more.tolist()) == [0, 1, 2]
    fewer = align_states([2, 2, 0, 1], [0, 0, 1, 1])
    assert fewer[2] == 0 and sorted(fewer.tolist()) == [0, 1, 2]
