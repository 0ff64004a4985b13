"""A model of `hmmlib` as Pyro's DiscreteHMM has the same log-likelihoods."""

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    Independent,
    MixtureSameFamily,
    Multinomial,
    MultivariateNormal,
    Normal,
    Poisson,
)
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.pyro_models import to_discrete_hmm

pytestmark = pytest.mark.usefixtures("fresh_pyro")


@pytest.mark.parametrize("num_steps", [1, 2, 14])
def test_discrete_hmm_starts_where_the_book_starts(num_steps):
    converted = to_discrete_hmm(weather.hmm, num_steps)
    x = weather.fortnight.observations[:num_steps]
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
        to_discrete_hmm(model, 9).log_prob(x),
        log_likelihood(model.potentials(x)),
    )


@pytest.mark.parametrize(
    "emission",
    [
        Multinomial(3, weather.hmm.emission.probs),
        Binomial(3, torch.tensor([0.2, 0.7]).double()),
        Geometric(torch.tensor([0.2, 0.7]).double()),
        MixtureSameFamily(
            Categorical(weather.hmm.transition_matrix),
            Normal(weather.hmm.transition_matrix, 1.0),
        ),
    ],
    ids=lambda emission: type(emission).__name__,
)
def test_pyro_is_told_of_every_part_of_an_emission(emission):
    hmm = HMM(weather.hmm.initial_probs, weather.hmm.transition_matrix, emission)
    x = hmm.sample(4, seed=0).observations
    by_pyro = to_discrete_hmm(hmm, 4).log_prob(x)
    assert_close(by_pyro, log_likelihood(hmm.potentials(x)))


@pytest.mark.parametrize("probs", [[60.0, 60.0], [-60.0, 3.0]])
def test_discrete_hmm_of_extreme_bernoullis(probs):
    model = HMM(
        [0.6, 0.4],
        [[0.7, 0.3], [0.4, 0.6]],
        Bernoulli(logits=torch.tensor(probs).double()),
    )
    x = torch.zeros(3).double()
    assert_close(
        to_discrete_hmm(model, 3).log_prob(x),
        log_likelihood(model.potentials(x)),
    )


def test_discrete_hmm_refuses_in_words():
    with pytest.raises(ValueError, match="num_steps: got 0"):
        to_discrete_hmm(weather.hmm, 0)


def test_a_probability_of_zero_that_pyro_would_replace_is_refused():
    emission = Binomial(3, torch.tensor([0.0, 0.7]).double())
    hmm = HMM(weather.hmm.initial_probs, weather.hmm.transition_matrix, emission)
    with pytest.raises(ValueError, match="emission: Binomial with a probability of 0"):
        to_discrete_hmm(hmm, 4)
