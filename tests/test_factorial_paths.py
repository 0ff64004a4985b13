"""The score of one joint path."""

import math

import pytest
import torch
from random_models import random_chains, rows
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from hmmlib.enumeration import path_log_joints
from hmmlib.factorial import FactorialHMM, path_log_joint


def test_a_path_through_readings_that_are_vectors():
    g = torch.Generator().manual_seed(0)
    means = torch.randn(2, 3, 2, generator=g, dtype=torch.float64)
    emission = MultivariateNormal(means, torch.eye(2).double())
    model = FactorialHMM(
        (rows(g, 2), rows(g, 3)), (rows(g, 2, 2), rows(g, 3, 3)), emission
    )
    x = torch.randn(4, 2, generator=g, dtype=torch.float64)
    x[1, 0] = math.nan
    states = torch.tensor([[0, 2], [1, 0], [1, 1], [0, 1]])
    listed = path_log_joints(model.potentials(x), states[None])[0]
    assert_close(path_log_joint(model, x, states), listed)


@pytest.mark.parametrize(
    ("observations", "states", "message"),
    [
        ([1.0, 2.0], [[0, 0]], r"states: got .* needs integers \(2, 2\)"),
        (
            torch.zeros(2, 3),
            [[0, 0]] * 2,
            r"observations: got shape \(2, 3\), needs one",
        ),
    ],
)
def test_refusals(observations, states, message):
    with pytest.raises(ValueError, match=message):
        path_log_joint(random_chains((2, 2)), observations, states)
