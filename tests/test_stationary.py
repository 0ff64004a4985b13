"""The stationary distribution: solved for, left alone by the chain, refused where there are two."""

import numpy as np
import pytest
import torch

from hmmlib import nilm
from hmmlib.stationary import stationary_probs


@pytest.mark.parametrize(
    ("moves", "often"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [2 / 3, 1 / 3]),
        ([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5]),  # alternates
        ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [1 / 3] * 3),
        ([[0.5, 0.5], [0.0, 1.0]], [0.0, 1.0]),  # left for good
        ([[0.2, 0.4, 0.4], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [0.0, 0.5, 0.5]),
        ([[1.0, 1e-30], [3e-30, 1.0]], [0.75, 0.25]),  # nearly never moves
        ([[0.5, 0.5, 1e-30, 0.0], [0.5, 0.5, 0.0, 0.0],
          [3e-30, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5]], [3 / 8, 3 / 8, 1 / 8, 1 / 8]),
        ([[1.0]], [1.0]),
    ],
)  # fmt: skip
def test_the_long_run_is_solved_for(moves, often):
    for dtype in (torch.float64, torch.float32):
        matrix = torch.tensor(moves, dtype=dtype)
        found = stationary_probs(matrix)
        assert nilm.long_run(matrix).equal(found)
        assert found.dtype == dtype and np.allclose(found, often, atol=1e-6)


def test_the_long_run_of_any_chain_stays_as_it_is():
    moves = torch.distributions.Dirichlet(torch.full((7, 7), 0.3).double()).sample()
    often = nilm.long_run(moves)
    assert torch.allclose(often @ moves, often, atol=1e-12)
    assert torch.isclose(often.sum(), torch.ones(()).double())


@pytest.mark.parametrize(
    "moves",
    [torch.eye(2), [[1.0, 0.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]], torch.eye(4)[[1, 0, 3, 2]]],
)  # fmt: skip
def test_a_long_run_that_depends_on_the_start_is_refused(moves):
    with pytest.raises(ValueError, match=r"never leaves any of the states \[\[0"):
        nilm.long_run(moves)
