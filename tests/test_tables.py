"""What a model shows of itself: its tables, and how often each state is visited."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM

PI, A = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]


def test_the_repr_shows_the_tables():
    words = HMM(
        PI, A, [[0.125, 1 / 3, 13 / 24], [1.0, 0.0, 0.0]], symbols=["a", "b", "c"]
    )
    assert repr(words) == (
        "HMM of 2 states\n"
        "initial_probs\n"
        "  0.6  0.4\n"
        "transition_matrix\n"
        "  0.7  0.3\n"
        "  0.4  0.6\n"
        "Categorical probs\n"
        "   0.125  0.3333  0.5417\n"
        "       1       0       0\n"
        "symbols  a, b, c"
    )
    loc = torch.tensor([0.0, 12345.678], requires_grad=True)
    told = repr(HMM(PI, A, Normal(loc, 1.0)))
    assert "Normal loc\n          0  1.235e+04\nNormal scale\n  1  1" in told
    assert "symbols" not in told
    vectors = MultivariateNormal(torch.zeros(2, 2), torch.eye(2))
    told = repr(HMM(PI, A, vectors))
    assert "MultivariateNormal scale_tril\n  1  0  0  1\n  1  0  0  1" in told


def test_the_stationary_probs_are_left_alone_by_a_move():
    probs = weather.hmm.stationary_probs()
    assert_close(probs, torch.tensor([4 / 7, 3 / 7]).double())
    assert_close(probs @ weather.hmm.transition_matrix, probs)
    visits = weather.hmm.sample(5, seed=0, num_sequences=4000).states[:, -1]
    assert abs((visits == 0).double().mean() - 4 / 7) < 5 * (12 / 49 / 4000) ** 0.5
    with pytest.raises(
        ValueError, match=r"never leaves any of the states \[\[0\], \[1\]"
    ):
        HMM(PI, torch.eye(2), [[1.0], [1.0]]).stationary_probs()
