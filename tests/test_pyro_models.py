"""Pyro tells the same story and gives the same numbers."""

import pyro
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
from torch.testing import assert_close

from hmmlib import pyro_models
from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi

STORY = (
    weather.hmm.initial_probs,
    weather.hmm.transition_matrix,
    weather.hmm.emission.probs,
)
SEEN = weather.fortnight.observations
P = weather.hmm.potentials(SEEN)


@pytest.fixture(autouse=True)
def fresh_pyro():
    pyro.clear_param_store()
    pyro.set_rng_seed(3)


def test_the_story_samples():
    states, activities = pyro_models.weather_story(*STORY, num_days=14)
    assert "".join("RS"[z] for z in states) == "RSRRRRSSSRRSRS"
    words = "shop walk shop clean walk shop walk walk walk clean clean walk walk clean"
    assert " ".join(weather.activities[x] for x in activities) == words


def test_evidence():
    assert_close(
        pyro_models.evidence(pyro_models.weather_story, *STORY, activities=SEEN),
        log_likelihood(P).item(),
    )


def test_best_path():
    assert (
        pyro_models.best_path(pyro_models.weather_story, *STORY, activities=SEEN)
        == viterbi(P).states
    ).all()


def test_posterior_paths_have_the_exact_marginals():
    num_samples = 4000
    paths = pyro_models.posterior_paths(
        pyro_models.weather_story, num_samples, *STORY, activities=SEEN
    )
    exact = smooth_states(P).smoothed_probs[:, 1]
    assert paths.shape == (num_samples, 14)
    assert (
        (paths.double().mean(0) - exact).abs()
        <= 5 * (exact * (1 - exact) / num_samples).sqrt()
    ).all()


@pytest.mark.parametrize("num_steps", [1, 2, 14])
def test_discrete_hmm_starts_where_the_book_starts(num_steps):
    converted = pyro_models.to_discrete_hmm(weather.hmm, num_steps)
    x = SEEN[:num_steps]
    assert_close(converted.log_prob(x), log_likelihood(weather.hmm.potentials(x)))


@pytest.mark.parametrize(
    "emission",
    [
        Categorical(logits=torch.zeros(2, 3).double()),
        Normal(torch.tensor([0.0, 5.0]).double(), 1.0),
        Poisson(torch.tensor([1.0, 7.0]).double()),
        MultivariateNormal(torch.zeros(2, 3).double(), torch.eye(3).double()),
        Independent(Normal(torch.arange(4.0).reshape(2, 2).double(), 1.0), 1),
    ],
)
def test_discrete_hmm_of_other_emissions(emission):
    model = HMM([1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], emission)
    x = model.sample(9, seed=0).observations
    assert_close(
        pyro_models.to_discrete_hmm(model, 9).log_prob(x),
        log_likelihood(model.potentials(x)),
    )


def test_exact_zeros_stay_exact():
    """Given probabilities, Pyro's log 0 is -36: the pinned state would escape."""
    pinned = (
        torch.tensor([1.0, 0.0]),
        torch.eye(2),
        torch.tensor([[0.999, 0.001], [0.001, 0.999]]),
    )
    pinned, seen = tuple(x.double() for x in pinned), torch.ones(8, dtype=torch.long)
    p = HMM(*pinned).potentials(seen)
    assert_close(
        pyro_models.evidence(pyro_models.weather_story, *pinned, activities=seen),
        log_likelihood(p).item(),
    )
    assert (
        pyro_models.best_path(pyro_models.weather_story, *pinned, activities=seen) == 0
    ).all()


@pytest.mark.filterwarnings("ignore")  # Pyro: nothing to enumerate
def test_one_state():
    one = (torch.ones(1), torch.ones(1, 1), torch.ones(1, 2) / 2)
    seen = torch.tensor([0, 1])
    assert pyro_models.best_path(
        pyro_models.weather_story, *one, activities=seen
    ).tolist() == [0, 0]
    paths = pyro_models.posterior_paths(
        pyro_models.weather_story, 3, *one, activities=seen
    )
    assert paths.tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("probs", [[60.0, 60.0], [-60.0, 3.0]])
def test_discrete_hmm_of_extreme_bernoullis(probs):
    model = HMM(
        [0.6, 0.4],
        [[0.7, 0.3], [0.4, 0.6]],
        Bernoulli(logits=torch.tensor(probs).double()),
    )
    x = torch.zeros(3).double()
    assert_close(
        pyro_models.to_discrete_hmm(model, 3).log_prob(x),
        log_likelihood(model.potentials(x)),
    )


def test_discrete_hmm_refuses_in_words():
    with pytest.raises(ValueError, match="num_steps: got 0"):
        pyro_models.to_discrete_hmm(weather.hmm, 0)
