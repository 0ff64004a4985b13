"""Samples follow their model, and a seed gives the same ones again."""

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
)

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import smooth_states

PI, A = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]


B = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]


GAUSS = HMM(PI, A, Normal(torch.tensor([0.0, 5.0]).double(), 1.0))


def test_sampling_is_repeatable_and_leaves_the_stream_alone():
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    one, two = GAUSS.sample(20, seed=5), GAUSS.sample(20, seed=5)
    assert torch.rand(1) == before
    assert (one.states == two.states).all() and (
        one.observations == two.observations
    ).all()
    assert (GAUSS.sample(20, seed=6).observations != one.observations).any()
    with pytest.raises(ValueError, match="num_steps"):
        GAUSS.sample(0)


def test_without_a_seed_each_sample_is_another_and_torchs_seed_decides():
    one, two = GAUSS.sample(20), GAUSS.sample(20)
    assert (one.observations != two.observations).all()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = GAUSS.sample(20)
        torch.manual_seed(3)
        assert torch.equal(one.observations, GAUSS.sample(20).observations)


@pytest.mark.parametrize(
    "emission",
    [
        Categorical(torch.tensor(B).double()),
        Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()),
        Poisson(torch.tensor([1.0, 7.0]).double()),
        Independent(Normal(torch.zeros(2, 3).double(), 1.0), 1),
        Independent(Bernoulli(torch.tensor([[0.1, 0.9], [0.8, 1.0]]).double()), 1),
    ],
)
def test_samples_follow_the_model(emission):
    """Visits and moves within five standard errors of the stationary chain, emissions
    of their own mean.
    """
    model = HMM(PI, A, emission)
    states, x = model.sample(4000, seed=0)
    assert x.shape == (4000, *emission.event_shape)
    rainy = (states == 0).double().mean().item()
    # an autocorrelated share: variance pi0 pi1 (1 + rho) / (1 - rho) / T, rho = .7 + .6 - 1
    assert abs(rainy - 4 / 7) <= 5 * (4 / 7 * 3 / 7 * 1.3 / 0.7 / 4000) ** 0.5
    stays = (states[1:][states[:-1] == 0] == 0).double()
    assert abs(stays.mean() - 0.7) <= 5 * (0.7 * 0.3 / len(stays)) ** 0.5
    expected = (
        emission.probs @ torch.arange(3).double()
        if isinstance(emission, Categorical)
        else emission.mean
    )
    for k in range(2):
        mine = x[states == k].double()
        assert (
            (mine.mean(0) - expected[k]).abs() <= 5 * mine.std(0) / len(mine) ** 0.5
        ).all()
    assert smooth_states(model.potentials(x)).smoothed_probs.isfinite().all()


def test_many_sequences_at_once():
    """Independent copies, whose first is nothing special; one alone as ever."""
    states, words = weather.hmm.sample(50, seed=0, num_sequences=2000)
    assert states.shape == words.shape == (2000, 50)
    later = states[:, -1].double().mean()  # stationary: 3/7 Sunny
    assert abs(later - 3 / 7) < 5 * (12 / 49 / 2000) ** 0.5
    moves = (states[:, 1:][states[:, :-1] == 0] == 0).double()
    assert abs(moves.mean() - 0.7) < 0.01
    said = words[states == 1]
    frequencies = torch.bincount(said, minlength=3) / len(said)
    assert (frequencies - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.01
    with pytest.raises(ValueError, match="num_sequences: got 0"):
        weather.hmm.sample(5, num_sequences=0)


def test_many_signals_at_once():
    emission = MultivariateNormal(
        torch.tensor([[0.0, 0], [9, 9]]).double(), torch.eye(2).double()
    )
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission)
    states, x = hmm.sample(7, seed=0, num_sequences=5)
    assert states.shape == (5, 7) and x.shape == (5, 7, 2)
    assert ((x.mean(-1) > 4.5).long() == states).all()
