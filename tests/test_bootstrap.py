"""The bootstrap, against standard errors by hand, and its pieces against counts."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, Poisson
from torch.testing import assert_close

from hmmlib import HMM
from hmmlib.emissions import LinearEmission
from hmmlib.learning import (
    bootstrap,
    bootstrap_intervals,
    confidence_intervals,
    fit_em,
    standard_errors,
)
from hmmlib.learning.bootstrap import _pieces, _simulated, reordered


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def fitted(num_steps=300):
    true = HMM(
        [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(f8([0.0, 5.0]), f8([1.0, 2.0]))
    )
    x = true.sample(num_steps, seed=0).observations
    return fit_em(true, x, num_iters=500).model, x


@pytest.mark.parametrize("block", [None, 1, 6])
def test_a_coin_by_hand(block):
    coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
    x = [0, 1, 1, 1] * 30
    found = bootstrap(coin, x, num_draws=300, block=block)
    expected = math.sqrt(0.25 * 0.75 / 120)
    if block == 6:  # a piece holds 1 or 2 of the regular zeros, and hardly differs
        expected = math.sqrt(0.25) / 6 / math.sqrt(20)
    error = found.table.loc["probs[0, 0]", "standard_error"]
    assert abs(error / expected - 1) < 4 / math.sqrt(2 * 300)
    assert found.num_converged == 300
    assert found.draws["probs"].shape == (300, 1, 2)


def test_it_agrees_with_the_curvature():
    hmm, x = fitted()
    by_curve = standard_errors(hmm, x).table["standard_error"].dropna()
    for block in (None, 20):
        table = bootstrap(hmm, x, num_draws=100, block=block).table
        ratio = table["standard_error"][by_curve.index] / by_curve
        assert ratio.between(0.6, 1.5).all(), (block, ratio)
        known = table.loc[by_curve.index]
        assert ((known.low < known.estimate) & (known.estimate < known.high)).all()


def test_the_same_seed_gives_the_same():
    hmm, x = fitted(60)
    one, two, other = (bootstrap(hmm, x, num_draws=5, seed=s).table for s in (1, 1, 2))
    assert one.equals(two) and not one.equals(other)
    table = confidence_intervals(
        hmm, x, method=bootstrap_intervals, num_draws=5, seed=1
    )
    assert table.equals(one)


def test_states_are_matched():
    hmm, x = fitted(100)

    def turned(model, seen, **options):
        found = fit_em(model, seen, **options)
        return found._replace(model=reordered(found.model, torch.tensor([1, 0])))

    one, two = (bootstrap(hmm, x, num_draws=4, fit=f) for f in (fit_em, turned))
    for name, draws in one.draws.items():
        assert_close(draws, two.draws[name])


def test_a_simulated_series_has_the_gaps_lengths_and_inputs():
    g, emission = (
        torch.Generator().manual_seed(0),
        LinearEmission([[0.0], [5.0]], f8([1, 1])),
    )
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], emission)
    x, inputs = [[0.0, math.nan, 2.0], [1.0]], [[[1.0]] * 3, [[2.0]]]
    seen = hmm.read(x, inputs=inputs)
    (drawn,) = _simulated(hmm, seen, g, 1)
    assert drawn.lengths.tolist() == [3, 1]
    assert drawn.values[0, 1, 0].isnan() and drawn.values[0, :, 1].eq(1).all()
    assert (drawn.values[..., 0] != seen.values[..., 0])[[0, 0, 1], [0, 2, 0]].all()
    plane = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]],
                Independent(Normal(torch.zeros(2, 2), torch.ones(2, 2)), 1))  # fmt: skip
    one, drawn = _simulated(plane, plane.read([[0.0, np.nan], [1.0, 2.0]]), g, 2)
    assert not torch.equal(one.values[1], drawn.values[1])
    assert drawn.values.isnan().tolist() == [[False, True], [False, False]]


def test_pieces_are_pieces_and_each_place_is_as_likely():
    hmm = HMM([1.0], [[1.0]], Normal(f8([0.0]), f8([1.0])))
    x = [[0.0, 1, 2, 3, 4], [10.0, 11, 12]]
    seen, g = hmm.read(x), torch.Generator().manual_seed(0)
    draw = _pieces(hmm, seen, 3)
    starts = []
    for _ in range(500):
        drawn = draw(g).values
        assert drawn.shape == (3, 3) and (drawn.diff() == 1).all()
        starts += drawn[:, 0].tolist()
    values, counts = np.unique(starts, return_counts=True)
    assert values.tolist() == [0, 1, 2, 10] and (abs(counts - 375) < 4 * 17).all()
    whole = _pieces(hmm, seen, 0)(g)
    assert set(whole.lengths.tolist()) <= {3, 5} and len(whole.values) == 2


def test_the_start_of_one_sequence_is_not_drawn_by_blocks():
    hmm, x = fitted(60)
    found = bootstrap(hmm, x, block=10, num_draws=3)
    assert found.draws["initial_probs"].isnan().all()
    assert found.table.loc["initial_probs[0]"][["low", "high"]].isna().all()


def test_too_long_a_block_is_refused_and_poor_fits_are_counted():
    hmm, x = fitted(40)
    for block in (0, 41, -1, 1.5):
        with pytest.raises(ValueError, match="block: got"):
            bootstrap(hmm, x, block=block)
    with pytest.warns(UserWarning, match="bootstrap: 3 of 3 fits did not converge"):
        assert bootstrap(hmm, x, num_draws=3, num_iters=1).num_converged == 0
    with pytest.raises(TypeError, match="hmm: got Poisson"):
        bootstrap(Poisson(1.0), x)
