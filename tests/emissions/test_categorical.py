"""Families of symbols: Categorical, OneHotCategorical, Multinomial."""

import numpy as np
import pytest
import torch
from rules import MOVES, check_saved, drawn, f8, uneven_weights, weighted_score
from torch.distributions import Categorical, Multinomial, OneHotCategorical
from torch.testing import assert_close

import hmmlib
from hmmlib import HMM
from hmmlib.emissions import Limits, fit, num_free
from hmmlib.learning import em_step

ROWS = f8([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]])
SYMBOLS = {
    "Categorical": Categorical(ROWS),
    "Categorical logits": Categorical(logits=f8([[0.1, 0.2, 0.7], [2.0, 1.0, -1.0]])),
    "OneHotCategorical": OneHotCategorical(ROWS),
    "Multinomial": Multinomial(4, ROWS),
    "Multinomial logits": Multinomial(
        4, logits=f8([[0.1, 0.2, 0.7], [2.0, 1.0, -1.0]])
    ),
}
every_family = pytest.mark.parametrize("name", SYMBOLS)


@every_family
def test_the_m_step_is_the_maximum(name):
    emission = SYMBOLS[name]
    x, weights = drawn(emission, 50, 1), uneven_weights(50, 2)
    if "logits" not in name:
        weights = weights.clone()
        possible = (x == 2) if x.ndim == 1 else (x[:, 2] > 0)
        weights[possible, 1] = 0.0  # state 1 cannot emit the last symbol
    fitted = fit(emission, x, weights)
    counts = torch.nn.functional.one_hot(x.long(), 3) if x.ndim == 1 else x
    expected = weights.T @ counts.double()
    expected = expected / expected.sum(-1, keepdim=True)
    assert_close(fitted.probs, expected)
    best = weighted_score(fitted, x, weights)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        noise = torch.rand(2, 3, generator=generator).double() * 0.1
        other = (fitted.probs + noise) * (fitted.probs > 0)
        assert (
            weighted_score(type_of(emission, other), x, weights) <= best + 1e-9
        ).all()


def type_of(emission, probs):
    probs = probs / probs.sum(-1, keepdim=True)
    if isinstance(emission, Multinomial):
        return Multinomial(emission.total_count, probs)
    return type(emission)(probs)


@every_family
def test_em_climbs_and_zeros_stay(name):
    emission = SYMBOLS[name]
    x = drawn(emission, 90, 3)
    model, scores = HMM([0.6, 0.4], MOVES, emission), []
    for _ in range(12):
        model, score = em_step(model, x)
        scores.append(score.item())
    assert np.diff(scores).min() > -1e-9
    if "logits" not in name:
        assert model.emission.probs[1, 2] == 0.0


@every_family
def test_counts_files_and_a_state_without_weight(name, tmp_path):
    emission = SYMBOLS[name]
    assert num_free(emission) == 4
    x, weights = drawn(emission, 20, 1), uneven_weights(20, 2)
    weights[x[..., -1] > 0 if x.ndim == 2 else x == 2] = f8([1.0, 0.0])
    alone = fit(emission, x, weights * f8([1.0, 0.0]), Limits(pseudo_count=0.0))
    assert_close(alone.probs[1], emission.probs[1])
    check_saved(HMM([0.6, 0.4], MOVES, emission), tmp_path / "model.json")
    for seed in range(30):  # probabilities whose sum is off 1 by a bit
        generator = torch.Generator().manual_seed(seed)
        probs = torch.rand(2, 7, generator=generator).double()
        check_saved(HMM([0.6, 0.4], MOVES, type_of(emission, probs)), tmp_path / "m")


def test_they_are_learned_from_data_alone():
    truth = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Categorical(ROWS))
    x = truth.sample(500, seed=0).observations
    one_hot = torch.nn.functional.one_hot(x).double()
    options = {"num_iters": 1000, "tolerance": 1e-3}
    by_number = hmmlib.fit(Categorical, 2, x, **options)
    by_vector = hmmlib.fit(OneHotCategorical, 2, one_hot, **options)
    assert_close(by_number.log_likelihoods[-1], by_vector.log_likelihoods[-1])
    assert by_number.log_likelihoods[-1] >= truth.log_likelihood(x) - 0.1
    truth = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Multinomial(4, ROWS))
    x = truth.sample(200, seed=0).observations
    found = hmmlib.fit(Multinomial, 2, x, **options)
    assert found.model.emission.total_count == 4
    assert found.log_likelihoods[-1] >= truth.log_likelihood(x) - 0.1
