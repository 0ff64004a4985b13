"""A story answers as the model of `hmmlib` does: evidence, best path, posterior paths."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import infer_discrete
from random_models import rows
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import pyro_models
from hmmlib.datasets import weather
from hmmlib.factorial import FactorialHMM, additive_gaussian, path_log_joint
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi

pytestmark = pytest.mark.usefixtures("fresh_pyro")
STORY = (
    weather.hmm.initial_probs,
    weather.hmm.transition_matrix,
    weather.hmm.emission.probs,
)
SEEN = weather.fortnight.observations
P = weather.hmm.potentials(SEEN)


def f8(values):
    """In double precision from the first digit on: Pyro normalises what sums to 1.0000001."""
    return torch.tensor(values, dtype=torch.float64)


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


def test_the_signal_story_is_the_gaussian_chain():
    hmm = HMM(*STORY[:2], Normal(torch.tensor([0.0, 3]), torch.tensor([1.0, 2])))
    loc, scale = hmm.emission.loc.double(), hmm.emission.scale.double()
    hmm = HMM(*STORY[:2], Normal(loc, scale))
    readings = hmm.sample(12, seed=0).observations
    story, given = pyro_models.signal_story, (*STORY[:2], loc, scale)
    evidence = pyro_models.evidence(story, *given, readings=readings)
    assert_close(evidence, log_likelihood(hmm.potentials(readings)).item())
    path = pyro_models.best_path(story, *given, readings=readings)
    assert (path == viterbi(hmm.potentials(readings)).states).all()
    states, drawn = story(*given, num_days=5)
    assert len(states) == len(drawn) == 5


def test_nan_is_a_missing_observation_in_every_story():
    """The likelihood of what is left, by the library."""
    pi, moves = weather.hmm.initial_probs, weather.hmm.transition_matrix
    loc, scale = torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()
    readings = torch.tensor([0.3, torch.nan, 5.5, torch.nan]).double()
    found = pyro_models.evidence(
        pyro_models.signal_story, pi, moves, loc, scale, readings=readings
    )
    hmm = HMM(pi, moves, torch.distributions.Normal(loc, scale))
    assert found == pytest.approx(log_likelihood(hmm.potentials(readings)).item())
    path = pyro_models.best_path(
        pyro_models.signal_story, pi, moves, loc, scale, readings=readings
    )
    assert path.tolist() == viterbi(hmm.potentials(readings)).states.tolist()
    words = torch.tensor([0.0, torch.nan, 2.0]).double()
    tables = pi, moves, weather.hmm.emission.probs
    found = pyro_models.evidence(pyro_models.weather_story, *tables, activities=words)
    expected = log_likelihood(weather.hmm.potentials(words)).item()
    assert found == pytest.approx(expected)


def test_a_vector_with_a_nan_is_missing_and_other_masks_stay():
    seen = f8([[0.0, torch.nan], [1.0, 2.0], [3.0, 4.0]])
    unmasked = torch.tensor([True, True, False])

    @pyro_models.nan_is_missing
    def story():
        with pyro.plate("steps", 3), pyro.poutine.mask(mask=unmasked):
            pyro.sample("x", dist.Normal(f8([0.0, 0.0]), 1.0).to_event(1), obs=seen)

    left = Normal(0.0, 1.0).log_prob(seen[1]).sum()
    assert_close(pyro.poutine.trace(story).get_trace().log_prob_sum(), left)


@pytest.mark.parametrize("num_chains", [1, 2, 3])
def test_the_factorial_story_is_the_factorial_model(num_chains):
    """The same evidence, and a best joint path with the same score."""
    g = torch.Generator().manual_seed(num_chains)
    sizes = (2, 3, 2)[:num_chains]
    means = [4 * torch.randn(k, generator=g) for k in sizes]
    chains = [rows(g, k) for k in sizes], [rows(g, k, k) for k in sizes]
    model = FactorialHMM(*chains, additive_gaussian(means, 1.0))
    x = model.sample(4, seed=0).observations
    story, given = pyro_models.factorial_story, (*chains, means, 1.0)
    evidence = pyro_models.evidence(story, *given, readings=x)
    assert_close(evidence, model.log_likelihood(x).item(), rtol=0, atol=1e-9)
    decode = infer_discrete(story, first_available_dim=-1, temperature=0)
    path = torch.tensor(
        [[int(z) for z in now] for now in decode(*given, readings=x)[0]]
    )
    assert_close(path_log_joint(model, x, path), model.viterbi(x).log_joint)
    states, drawn = story(*given, num_steps=5)
    assert len(states) == len(drawn) == 5 and len(states[0]) == num_chains


CHAINS = [
    [f8([0.6, 0.4]), f8([0.5, 0.3, 0.2])],
    [
        f8([[0.9, 0.1], [0.2, 0.8]]),
        f8([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]),
    ],
    [f8([0.0, 10.0]), f8([0.0, 4.0, 7.0])],
]
HOUSE = FactorialHMM(*CHAINS[:2], additive_gaussian(CHAINS[2], 2.0))


@pytest.mark.parametrize("gap", [False, True])
def test_paths_of_several_chains(gap):
    """As the library's own, by another algorithm; a missing reading too."""
    x = torch.tensor([1.0, 11.0, 15.0, 6.5, 3.0]).double()
    if gap:
        x[2] = torch.nan
    args, story = (*CHAINS, f8(2.0)), pyro_models.factorial_story
    path = pyro_models.best_path(story, *args, readings=x)
    assert path.shape == (5, 2)
    assert_close(path_log_joint(HOUSE, x, path), HOUSE.viterbi(x).log_joint)
    evidence = pyro_models.evidence(story, *args, readings=x)
    assert evidence == pytest.approx(HOUSE.log_likelihood(x).item(), abs=1e-9)
    pyro.set_rng_seed(0)
    paths = pyro_models.posterior_paths(story, 4000, *args, readings=x)
    assert paths.shape == (4000, 5, 2)
    for m, exact in enumerate(HOUSE.smooth(x).smoothed_probs):
        counted = torch.nn.functional.one_hot(paths[..., m], exact.shape[1])
        wrong = (counted.double().mean(0) - exact).abs()
        assert (wrong < 5 * (exact * (1 - exact) / 4000).sqrt() + 1e-3).all()
