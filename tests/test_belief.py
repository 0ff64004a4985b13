"""Observations that arrive one by one: the same as filtering and smoothing all of them."""

import numpy as np
import pytest
import torch
from random_models import random_chains, rows
from torch.distributions import Categorical, MultivariateNormal, Normal, Poisson
from torch.testing import assert_close

from hmmlib.durations import HSMM, poisson_durations
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM

G = torch.Generator().manual_seed(0)
WORDS = HMM(rows(G, 3), rows(G, 3, 3), rows(G, 3, 4))
F8 = {"dtype": torch.float64}
LEVELS = torch.tensor([0.0, 2.0, 5.0], **F8)
PLACES = MultivariateNormal(
    torch.tensor([[0.0, 0.0], [1.0, 3.0]], **F8), torch.eye(2, **F8)
)
CYCLE = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.5, 0.0, 0.5]], **F8)
WATTS = torch.tensor([0.0, 90.0], **F8), torch.tensor([0.0, 50.0, 2000.0], **F8)
MODELS = {
    "words": WORDS,
    "logits": HMM(rows(G, 3), rows(G, 3, 3), Categorical(logits=rows(G, 3, 4).log())),
    "readings": HMM(rows(G, 3), rows(G, 3, 3), Normal(LEVELS, 1.0)),
    "counts": HMM(rows(G, 3), rows(G, 3, 3), Poisson(LEVELS + 1)),
    "vectors": HMM(rows(G, 2), rows(G, 2, 2), PLACES),
    "chains": random_chains((2, 3, 2)),
    "forbidden": FactorialHMM(
        (rows(G, 2), CYCLE[2]), (rows(G, 2, 2), CYCLE), additive_gaussian(WATTS, 5.0)
    ),
}
TURNS = torch.tensor([[0.0, 0.4, 0.6], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]], **F8)
LAST = torch.cat([poisson_durations([1.5, 0.5], 9), torch.eye(9)[3:4]])
MODELS["stays"] = HSMM(rows(G, 3), TURNS, Normal(LEVELS, 1.0), LAST)
every_model = pytest.mark.parametrize("name", MODELS)


def filtered(model, x):
    """Joint filtered and predicted probabilities, and log p(x), from all observations."""
    from hmmlib.inference import filter_states

    stays = isinstance(model, HSMM)
    found = model.filter(x) if stays else filter_states(model.potentials(x))
    return found.filtered_probs, found.predicted_probs, found.log_likelihood


@every_model
@pytest.mark.parametrize("gaps", [False, True])
def test_a_belief_is_the_filter(name, gaps):
    model = MODELS[name]
    x = model.sample(12, seed=1).observations
    if gaps:
        x = x.double()
        x[[0, 4, 5]] = torch.nan
    belief = model.belief()
    start, _, _ = filtered(model, x[:1].double() * torch.nan)
    assert_close(belief.probs, start[0], check_dtype=False)
    assert_close(belief.forecast(1)[0], belief.probs)
    assert belief.log_likelihood == 0 and belief.num_steps == 0
    for t, seen in enumerate(x):
        before = belief.forecast(2)
        belief = belief.observe(seen.item() if seen.ndim == 0 else seen)
        probs, predicted, evidence = filtered(model, x[: t + 1])
        assert_close(before[0], predicted[-1], rtol=1e-9, atol=1e-12, check_dtype=False)
        assert_close(belief.probs, probs[-1], rtol=1e-9, atol=1e-12, check_dtype=False)
        assert_close(
            belief.log_likelihood, evidence, rtol=1e-11, atol=1e-9, check_dtype=False
        )
        assert belief.num_steps == t + 1


@every_model
def test_what_is_known_some_steps_later(name):
    from hmmlib.inference import smooth_states

    model, lag = MODELS[name], 3
    smooth = (
        model.smooth
        if name == "stays"
        else lambda x: smooth_states(model.potentials(x))
    )
    x = model.sample(10, seed=2).observations
    belief = model.belief(lag=lag)
    for t, seen in enumerate(x):
        belief = belief.observe(seen)
        smoothed = smooth(x[: t + 1]).smoothed_probs
        expected = smoothed[max(t - lag, 0)]
        assert_close(
            belief.lagged_probs, expected, rtol=1e-9, atol=1e-12, check_dtype=False
        )
        assert len(belief.recent) <= lag


@every_model
def test_a_forecast_is_what_comes_after_missing_observations(name):
    model = MODELS[name]
    x = model.sample(5, seed=3).observations
    belief = model.belief()
    for seen in x:
        belief = belief.observe(seen)
    ahead = belief.forecast(4)
    for row in ahead:
        belief = belief.observe(
            torch.nan if x.ndim == 1 else torch.full_like(x[0], torch.nan)
        )
        assert_close(row, belief.probs)


def test_a_prediction_is_a_mixture_and_not_the_most_likely_state():
    """The most likely state's most likely symbol is not the most likely symbol."""
    emission = [[0.6, 0.4, 0.0], [0.0, 0.45, 0.55], [0.0, 0.45, 0.55]]
    hmm = HMM([0.4, 0.3, 0.3], torch.eye(3), emission)
    symbols = hmm.belief().predict(1).log_prob(torch.arange(3)[:, None]).exp().flatten()
    assert_close(symbols, torch.tensor([0.24, 0.43, 0.33], dtype=symbols.dtype))
    watts = MODELS["chains"].belief().predict(2)
    assert watts.batch_shape == (2,) and watts.mean.isfinite().all()


def test_several_beliefs_go_on_from_one():
    one = WORDS.belief().observe(1)
    assert_close(one.observe(2).log_likelihood, WORDS.log_likelihood([1, 2]))
    assert_close(one.observe(0).log_likelihood, WORDS.log_likelihood([1, 0]))


def test_names_and_gaps_are_read():
    hmm = HMM([0.5, 0.5], torch.eye(2), [[0.9, 0.1], [0.2, 0.8]], symbols=["a", "b"])
    belief = hmm.belief().observe("b").observe(None).observe(np.int64(1))
    assert_close(belief.log_likelihood, hmm.log_likelihood(["b", None, "b"]))


def test_what_cannot_be_is_said_in_words():
    hmm = HMM([1.0, 0.0], torch.eye(2), [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(
        ValueError, match=r"observations: 2 .*needs an integer from 0 to 1"
    ):
        hmm.belief().observe(2)
    belief = hmm.belief(lag=1).observe(1)
    assert belief.log_likelihood == -torch.inf
    for ask in (
        lambda: belief.probs,
        lambda: belief.forecast(1),
        lambda: belief.lagged_probs,
        lambda: belief.observe(0).probs,
    ):
        with pytest.raises(ValueError, match="probability 0 under this model"):
            ask()
    for call in (lambda: hmm.belief(-1), lambda: hmm.belief().forecast(0)):
        with pytest.raises(ValueError, match="needs an integer of at least"):
            call()


def test_a_long_run_loses_nothing():
    """One state fixed for ever, 900 nats behind at every step: still exact zeros and ones."""
    hmm = HMM(
        [0.5, 0.5], torch.eye(2), Normal(torch.tensor([0.0, 42.5]), torch.ones(2))
    )
    belief = hmm.belief()
    for _ in range(2000):
        belief = belief.observe(0.0)
    assert_close(belief.log_likelihood, hmm.log_likelihood(torch.zeros(2000)))
    assert belief.message[1] < -1.8e6
    for _ in range(2001):
        belief = belief.observe(42.5)
    assert belief.probs[1] == 1.0


@pytest.mark.parametrize(
    "several", [[21.0, 99.0], np.array([21.0, -5.0, 7.0]), torch.tensor([1.0, 2.0])]
)
def test_several_numbers_are_not_taken_for_one(several):
    """The first of them was scored, and the others were lost."""
    emission = Normal(torch.tensor([0.0, 9.0]), 1.0)
    belief = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission).belief()
    with pytest.raises(
        ValueError, match=r"x_t: got .*, needs one observation, a single"
    ):
        belief.observe(several)


def test_several_vectors_are_not_taken_for_one():
    emission = MultivariateNormal(torch.zeros(2, 2), torch.eye(2))
    belief = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission).belief()
    with pytest.raises(
        ValueError, match=r"x_t: got .* needs one observation, a vector of 2"
    ):
        belief.observe(torch.zeros(3, 2))
