"""Stays that last, inside one appliance and inside a house."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import HMM, HSMM, nilm
from hmmlib.nilm.stages import (
    compare_stages,
    learn_stages,
    log_prob_of_stays,
    staged,
    stays_of,
)

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def appliance(moves, watts, spread=20.0):
    moves, watts = (torch.tensor(x, dtype=torch.float64) for x in (moves, watts))
    even = torch.full((len(watts),), 1 / len(watts), dtype=torch.float64)
    return HMM(even, moves, Normal(watts, torch.full_like(watts, spread)))


WASHER = appliance(
    [[0.95, 0.04, 0.01], [0.05, 0.8, 0.15], [0.3, 0.0, 0.7]], [0.0, 200.0, 2000.0]
)


def starting_afresh(hmm, num_stages, initial):
    """The same with its first stay in the first stage, as an HSMM has it."""
    probs = torch.zeros_like(hmm.initial_probs)
    probs[list(np.cumsum(num_stages) - num_stages)] = torch.as_tensor(initial).double()
    return HMM(probs, hmm.transition_matrix, hmm.emission)


@pytest.mark.parametrize("early", [0.0, 0.1])
@pytest.mark.parametrize("num_stages", [[1, 1, 1], [1, 3, 2], [4, 2, 3]], ids=str)
def test_an_appliance_with_stages_is_an_hsmm(num_stages, early):
    """Durations beyond the end of a series are one column: the last stay may go on."""
    steps, stays = 12, np.arange(1, 13)
    means = 1 / (1 - WASHER.transition_matrix.diagonal().numpy())
    logs = [
        log_prob_of_stays(stays, mean, num, early)
        for mean, num in zip(means, num_stages, strict=True)
    ]
    table = np.exp(np.array(logs))
    table = np.column_stack([table, 1 - table.sum(1)])
    moves = WASHER.transition_matrix.clone()
    moves.fill_diagonal_(0.0)
    moves = moves / moves.sum(1, keepdim=True)
    hsmm = HSMM([0.5, 0.2, 0.3], moves, WASHER.emission, table)
    hmm = staged(WASHER, num_stages, early)
    hmm = starting_afresh(hmm, np.array(num_stages), [0.5, 0.2, 0.3])
    g = torch.Generator().manual_seed(0)
    for _ in range(3):
        x = 2200 * torch.rand(steps, generator=g, dtype=torch.float64)
        assert_close(hmm.log_likelihood(x), hsmm.log_likelihood(x), **EXACT)
        found = hmm.smooth(x).smoothed_probs.split(num_stages, 1)
        found = torch.stack([each.sum(1) for each in found], 1)
        assert_close(found, hsmm.smooth(x).smoothed_probs, rtol=1e-6, atol=1e-9)


def test_stages_keep_means_and_long_run():
    """A stay is as long as before, and the appliance is in each state as often."""
    num_stages = [2, 3, 2]
    hmm = staged(WASHER, num_stages, 0.05)
    long_run = hmm.stationary_probs().split(num_stages)
    expected = WASHER.stationary_probs()
    assert_close(torch.stack([each.sum() for each in long_run]), expected, **EXACT)
    stays = np.arange(1, 5000)
    for k, num in enumerate(num_stages):
        mean = 1 / (1 - WASHER.transition_matrix[k, k].item())
        probs = np.exp(log_prob_of_stays(stays, mean, num, 0.05))
        assert np.isclose(probs.sum(), 1) and np.isclose(probs @ stays, mean)
    assert_close(hmm.emission.loc, WASHER.emission.loc.repeat_interleave(
        torch.tensor(num_stages)))  # fmt: skip


def test_one_stage_each_changes_nothing():
    hmm = staged(WASHER, [1, 1, 1])
    assert_close(hmm.transition_matrix, WASHER.transition_matrix)
    assert_close(hmm.initial_probs, WASHER.initial_probs)


def test_a_house_of_stages_is_its_joint_paths():
    """Enumerated: 4 steps, 5 states of the washer with stages, 2 of the kettle."""
    washer = staged(WASHER, [1, 3, 1], early=0.0)
    kettle = appliance([[0.9, 0.1], [0.3, 0.7]], [0.0, 1900.0])
    house = nilm.House({"washer": washer, "kettle": kettle}, pd.Timedelta("1min"))
    x = [190.0, 2100.0, 2050.0, 210.0]
    with np.errstate(divide="ignore"):
        chains = [
            [np.log(each.initial_probs.numpy()) for each in (washer, kettle)],
            [np.log(each.transition_matrix.numpy()) for each in (washer, kettle)],
        ]
    total, best, scores = -math.inf, -math.inf, np.full((4, 5), -np.inf)
    for a in itertools.product(range(5), repeat=4):
        for b in itertools.product(range(2), repeat=4):
            watts = washer.emission.loc[list(a)] + kettle.emission.loc[list(b)]
            meter = Normal(watts, 800**0.5)
            score = meter.log_prob(torch.tensor(x)).sum().item()
            for m, z in enumerate((a, b)):
                score += chains[0][m][z[0]] + chains[1][m][z[:-1], z[1:]].sum()
            total, best = np.logaddexp(total, score), max(best, score)
            scores[range(4), a] = np.logaddexp(scores[range(4), a], score)
    found = house.model.smooth(x)
    assert_close(found.log_likelihood.item(), total, rtol=1e-6, atol=0)
    expected = torch.as_tensor(np.exp(scores - total))
    assert_close(found.smoothed_probs[0], expected, rtol=1e-4, atol=1e-7)
    assert_close(house.model.viterbi(x).log_joint.item(), best, rtol=1e-6, atol=0)


def meter(hmm, num_steps, seed):
    x = hmm.sample(num_steps, seed).observations.numpy()
    index = pd.date_range("2026-03-01", periods=num_steps, freq="min")
    return pd.Series(x, index).clip(lower=0.0)


def test_stays_counted_by_hand():
    on = appliance([[0.9, 0.1], [0.3, 0.7]], [0.0, 2000.0])
    index = pd.date_range("2026-03-01", periods=7, freq="min")
    power = pd.Series([0.0, 2000, 2010, 1990, 0, 0, 2000], index)
    stays = stays_of(on, power)
    assert stays["state"].tolist() == [0, 1, 0, 1]
    assert stays["steps"].tolist() == [1, 3, 2, 1]
    assert stays["whole"].tolist() == [False, True, True, False]
    assert stays.index.tolist() == [index[0], index[1], index[4], index[6]]


def test_stages_that_made_the_stays_are_found():
    """Held-out stays tell four stages from one, and one from four."""
    plain = appliance([[0.95, 0.05], [0.05, 0.95]], [0.0, 2000.0])
    power = meter(staged(plain, [1, 4]), 20_000, seed=0)
    table = compare_stages(plain, power)
    gain = table["gain"].xs(1, level="state")
    assert gain.idxmax() >= 3
    assert table["gain"].xs(0, level="state").idxmax() == 1
    learned = learn_stages(plain, power)
    assert 3 <= (learned.emission.loc == 2000).sum() <= 4
    assert (learned.emission.loc == 0).sum() == 1
    assert learn_stages(plain, power[:300]).transition_matrix.shape == (2, 2)  # few


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: staged(WASHER, [1, 6, 1]), "got 6 for state 1.*5 steps on average"),
        (lambda: staged(WASHER, [1, 2]), "needs 3, one for each state"),
        (lambda: staged(WASHER, 2), "needs 3 numbers"),
        (lambda: staged(WASHER, [1, 0, 1]), "num_stages"),
        (lambda: staged(WASHER, [1, 2, 1], early=1.0), "early"),
    ],
)
def test_what_cannot_be_staged_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
