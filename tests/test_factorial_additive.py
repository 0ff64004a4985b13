"""Levels that add up: what is refused, and what the emission remembers."""

import copy
import math
import pickle

import pytest
import torch
from random_models import random_chains
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib.factorial import additive_gaussian


@pytest.mark.parametrize(
    ("means", "scale", "message"),
    [
        (
            [[0.0, math.nan], [1.0]],
            1.0,
            r"means\[0\]: got .*nan.*, needs finite numbers",
        ),
        ([[0.0, 1.0], [math.inf]], 1.0, r"means\[1\]: got .inf., needs finite"),
        ([[0.0, 1.0]], [1.0, math.nan], r"scale: got .1.0, nan., needs one positive"),
        ([[0.0, 1.0]], math.inf, "scale: got inf"),
        ([[0.0, 1.0]], [1.0, 1.0, 1.0], r"scale: got shape \(3,\), needs one positive"),
        (3, 1.0, "means: got 3, needs M tensors"),
    ],
)
def test_levels_and_noise_are_looked_at(means, scale, message):
    with pytest.raises(ValueError, match=message):
        additive_gaussian(means, scale)


def test_levels_keep_their_precision():
    whole, single = torch.tensor([0, 60]), torch.tensor([0.0, 60.0])
    assert additive_gaussian([whole], 1.0).loc.dtype == torch.float64
    assert additive_gaussian([whole, single], 1.0).loc.dtype == torch.float32
    assert additive_gaussian([single.double(), single], 1.0).loc.dtype == torch.float64


@pytest.mark.parametrize(
    ("means", "scale", "message"),
    [
        ([[0.0, 1.0], []], 1.0, "means: got shapes"),
        ([torch.zeros(2)], -1.0, "scale: got"),
        ([torch.zeros(2)] * 33, 1.0, "8,589,934,592 joint states"),
    ],
)
def test_refusals(means, scale, message):
    with pytest.raises(ValueError, match=message):
        additive_gaussian(means, scale)


def test_the_levels_stay_with_the_emission_and_with_no_other_normal():
    """Copies have them; what is derived has other states, whose levels they are not."""
    model = random_chains((2, 3))
    emission = model.emission
    first, second = emission.chain_means
    assert type(emission) is Normal
    assert_close(emission.loc, first[:, None] + second)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_close(twin.emission.chain_means, (first, second), rtol=0, atol=0)
        assert type(twin.emission) is Normal
    for derived in (emission.expand((4, 2, 3)), model.flattened().emission):
        assert type(derived) is Normal and not hasattr(derived, "chain_means")
