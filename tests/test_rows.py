"""Several chains with forbidden moves: sums stay exact where probabilities are beyond floats."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.engines.moves import moves_of
from hmmlib.factorial import FactorialHMM, additive_gaussian

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def rows(g, size, forbidden=0.0):
    """Random moves, some of them impossible; a state can always be kept."""
    values = torch.rand(size, size, generator=g, dtype=torch.float64) + 0.01
    values[torch.rand(size, size, generator=g) < forbidden] = 0.0
    values.diagonal().clamp_(min=0.05)
    return values / values.sum(1, keepdim=True)


def chains(seed, sizes, forbidden, scale=20.0):
    """Levels up to 3 kW apart, read to `scale` watts: wrong states cost up to 10,000 nats."""
    g = torch.Generator().manual_seed(seed)
    moves = [rows(g, k, p) for k, p in zip(sizes, forbidden, strict=True)]
    means = [3000 * torch.rand(k, generator=g, dtype=torch.float64) for k in sizes]
    even = [torch.full((k,), 1 / k, dtype=torch.float64) for k in sizes]
    return FactorialHMM(even, moves, additive_gaussian(means, scale))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("sizes", "forbidden"),
    [
        ((3,), [0.5]),
        ((4, 5), [0.5, 0.0]),
        ((5, 4), [0.0, 0.5]),
        ((2, 4, 3), [0.0, 0.6, 0.0]),
        ((4, 3, 25), [0.5, 0.5, 0.0]),
        ((3, 25, 4), [0.4, 0.0, 0.4]),
    ],
)
def test_forbidden_moves_beside_readings_of_kilowatts(seed, sizes, forbidden):
    """Readings that no model has sent: most joint states are beyond what floats can hold."""
    model = chains(seed, sizes, forbidden)
    g = torch.Generator().manual_seed(seed)
    x = 5000 * torch.rand(25, generator=g, dtype=torch.float64)
    found, expected = model.smooth(x), model.smooth(x, engine=engines.recursion)
    assert_close(found, expected, **EXACT)
    assert_close(model.log_likelihood(x), expected.log_likelihood, **EXACT)
    assert_close(
        model.viterbi(x).log_joint,
        model.viterbi(x, engine=engines.recursion)[0],
        **EXACT,
    )


def test_what_is_left_of_a_state_decides_a_thousand_nats_later():
    """Stage 1 leads to stage 2 alone; the reading after it says that it was never there."""
    moves = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    levels = additive_gaussian([[0.0, 3000.0, 3000.0], [0.0, 50.0]], 20.0)
    model = FactorialHMM(([1.0, 0, 0], [0.5, 0.5]), (moves, [[0.9, 0.1]] * 2), levels)
    x = torch.tensor([0.0, 3000.0, 400.0, 0.0], dtype=torch.float64)
    total, scores = -math.inf, {}
    for path in itertools.product(range(3), repeat=4):
        for other in itertools.product(range(2), repeat=4):
            score = math.log(0.5) if path[0] == 0 else -math.inf
            for t in range(4):
                level = [0.0, 3000.0, 3000.0][path[t]] + 50.0 * other[t]
                score -= 0.5 * ((x[t].item() - level) / 20) ** 2
                score -= math.log(20 * math.sqrt(2 * math.pi))
                if t:
                    p = moves[path[t - 1]][path[t]] * [0.9, 0.1][other[t]]
                    score += math.log(p) if p else -math.inf
            total = np.logaddexp(total, score)
            scores[path] = np.logaddexp(scores.get(path, -np.inf), score)
    found = model.smooth(x)
    assert_close(found.log_likelihood.item(), total, **EXACT)
    marginals = np.zeros((4, 3))
    for path, score in scores.items():
        marginals[range(4), path] += math.exp(score - total)
    assert_close(found.smoothed_probs[0].numpy(), marginals, rtol=1e-6, atol=0)


def test_only_the_chains_up_to_the_last_forbidden_move_go_apart():
    dense, sparse = np.full((2, 2), 0.5), np.eye(2)
    assert moves_of([dense, dense]).apart == 0
    assert moves_of([sparse, dense]).apart == 1
    assert moves_of([dense, sparse, dense, dense]).apart == 2
    tiny = np.array([[1 - 1e-130, 1e-130], [0.5, 0.5]])
    assert moves_of([tiny, dense]).apart == 0
    assert moves_of([tiny, dense, tiny]).apart == 1  # together below 1e-250
