"""Pyro tells the same story and gives the same numbers."""

import math

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO, infer_discrete
from pyro.infer.autoguide import AutoDelta, init_to_value
from random_models import rows
from torch.distributions import (
    Bernoulli,
    Categorical,
    Dirichlet,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
)
from torch.testing import assert_close

from hmmlib import pyro_models
from hmmlib.datasets import weather
from hmmlib.factorial import FactorialHMM, additive_gaussian, path_log_joint
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.learning import fit_em

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
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


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


TABLES = dict(
    zip(("initial_probs", "transition_matrix", "emission_matrix"), STORY, strict=True)
)
SEQUENCES = weather.hmm.sample(9, seed=1, num_sequences=6).observations
LENGTHS = torch.tensor([9, 3, 1, 9, 7, 2])


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("concentration", [1.0, 2.5])
@pytest.mark.parametrize(
    "story", [pyro_models.learnable_story, pyro_models.marginal_story]
)
def test_the_loss_is_ours_once_priors_are_accounted_for(story, concentration, lengths):
    guide = AutoDelta(
        pyro.poutine.block(story, expose=list(TABLES)),
        init_loc_fn=init_to_value(values=TABLES),
    )
    loss = TraceEnum_ELBO(max_plate_nesting=1)
    if story is pyro_models.marginal_story:
        loss = Trace_ELBO()
    found = loss.loss(story, guide, SEQUENCES, lengths, concentration=concentration)
    evidence = log_likelihood(weather.hmm.potentials(SEQUENCES, lengths)).sum()
    prior = sum(
        Dirichlet(torch.full_like(table, concentration)).log_prob(table).sum()
        for table in TABLES.values()
    )
    assert_close(found, -(evidence + prior).item(), rtol=1e-12, atol=1e-9)
    if concentration == 1.0:  # the constant that the chapter tells
        assert_close(prior.item(), 2 * math.log(2))


def test_the_two_stories_have_the_same_gradient():
    gradients = []
    for story in (pyro_models.learnable_story, pyro_models.marginal_story):
        pyro.clear_param_store()
        guide = AutoDelta(
            pyro.poutine.block(story, expose=list(TABLES)),
            init_loc_fn=init_to_value(values=TABLES),
        )
        discrete = story is pyro_models.learnable_story
        elbo = TraceEnum_ELBO(max_plate_nesting=1) if discrete else Trace_ELBO()
        elbo.differentiable_loss(story, guide, SEQUENCES, LENGTHS).backward()
        leaves = sorted(pyro.get_param_store().named_parameters())
        gradients.append([leaf.grad for _, leaf in leaves])
    assert len(gradients[0]) == 3
    for ours, theirs in zip(*gradients, strict=True):
        assert_close(ours, theirs)


def test_svi_reaches_the_maximum_that_em_reaches():
    """With flat priors the MAP is the maximum of the likelihood."""
    climate = weather.sticky(0.9)
    x = climate.sample(30, seed=1, num_sequences=20).observations
    story = pyro_models.marginal_story
    guide = AutoDelta(story, init_loc_fn=init_to_value(values=TABLES))
    losses = pyro_models.fit_svi(story, guide, x, num_steps=300, learning_rate=0.05)
    best = fit_em(climate, x, num_iters=2000).log_likelihoods[-1]
    assert losses.shape == (300,)
    assert abs(-losses[-1] - 2 * math.log(2) - best) < 0.05
    again = AutoDelta(story, init_loc_fn=init_to_value(values=TABLES))
    pyro_models.fit_svi(story, again, x, num_steps=300, learning_rate=0.05)
    for name, value in guide.median().items():
        assert_close(value, again.median()[name])


def test_svi_enumerates_what_the_story_asks_for():
    """`learnable_story` has states, and the loss of each step has them summed out."""
    losses = []
    for story in (pyro_models.learnable_story, pyro_models.marginal_story):
        hidden = pyro.poutine.block(story, expose=list(TABLES))
        guide = AutoDelta(hidden, init_loc_fn=init_to_value(values=TABLES))
        losses.append(pyro_models.fit_svi(story, guide, SEQUENCES, num_steps=5))
    assert_close(*losses)


def test_nuts_finds_the_posterior_of_a_case_that_can_be_integrated():
    """One state: symbols are drawn from one row, and its posterior is a Dirichlet."""
    x = torch.tensor([[0, 0, 1, 2, 0, 1, 0, 0, 2, 0]])
    draws = pyro_models.sample_nuts(
        pyro_models.marginal_story, x, num_states=1, num_samples=400, num_warmup=200
    )["emission_matrix"]
    exact = Dirichlet(torch.tensor([7.0, 3.0, 3.0]).double())
    assert draws.shape == (400, 1, 3)
    error = 5 * exact.stddev / 100**0.5  # as if 100 draws were independent
    assert ((draws[:, 0].mean(0) - exact.mean).abs() < error).all()
    assert ((draws[:, 0].std(0) / exact.stddev - 1).abs() < 0.35).all()


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


def test_missing_words_and_padding_are_not_read():
    """What stands behind the end, or is NaN, counts the same in both stories: not at all."""
    padded = SEQUENCES.double()
    padded[torch.arange(9) >= LENGTHS[:, None]] = -1
    padded[0, 4] = math.nan
    losses = []
    for story in (pyro_models.learnable_story, pyro_models.marginal_story):
        guide = AutoDelta(
            pyro.poutine.block(story, expose=list(TABLES)),
            init_loc_fn=init_to_value(values=TABLES),
        )
        losses += pyro_models.fit_svi(
            story, guide, padded, LENGTHS.tolist(), num_steps=1
        ).tolist()
    expected = -log_likelihood(weather.hmm.potentials(padded, LENGTHS)).sum()
    assert_close(losses, [expected.item() - 2 * math.log(2)] * 2)


def test_guides_do_not_share_what_they_learned():
    story, guides = pyro_models.marginal_story, []
    for seed in (0, 1):
        x = weather.hmm.sample(20, seed=seed).observations[None]
        guides.append(AutoDelta(story, init_loc_fn=init_to_value(values=TABLES)))
        pyro_models.fit_svi(story, guides[-1], x, num_steps=30)
        learned = guides[-1].median()["emission_matrix"].clone()
        if seed == 0:
            first = learned
    assert not torch.allclose(first, learned)
    assert_close(guides[0].median()["emission_matrix"], first)
    assert_close(guides[1].median()["emission_matrix"], learned)


def test_initial_values_belong_to_sites():
    with pytest.raises(ValueError, match=r"initial: got \['transition_matrx'\], needs"):
        pyro_models.sample_nuts(
            pyro_models.marginal_story,
            SEQUENCES,
            initial={"transition_matrx": STORY[1]},
        )


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


def f8(values):
    """In double precision from the first digit on: Pyro normalises what sums to 1.0000001."""
    return torch.tensor(values, dtype=torch.float64)


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


@pytest.mark.parametrize(
    "emission",
    [
        torch.distributions.Multinomial(3, weather.hmm.emission.probs),
        torch.distributions.Binomial(3, torch.tensor([0.2, 0.7]).double()),
        torch.distributions.Geometric(torch.tensor([0.2, 0.7]).double()),
        torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(weather.hmm.transition_matrix),
            torch.distributions.Normal(weather.hmm.transition_matrix, 1.0),
        ),
    ],
    ids=lambda emission: type(emission).__name__,
)
def test_pyro_is_told_of_every_part_of_an_emission(emission):
    hmm = HMM(weather.hmm.initial_probs, weather.hmm.transition_matrix, emission)
    x = hmm.sample(4, seed=0).observations
    by_pyro = pyro_models.to_discrete_hmm(hmm, 4).log_prob(x)
    assert_close(by_pyro, log_likelihood(hmm.potentials(x)))


def test_a_probability_of_zero_that_pyro_would_replace_is_refused():
    emission = torch.distributions.Binomial(3, torch.tensor([0.0, 0.7]).double())
    hmm = HMM(weather.hmm.initial_probs, weather.hmm.transition_matrix, emission)
    with pytest.raises(ValueError, match="emission: Binomial with a probability of 0"):
        pyro_models.to_discrete_hmm(hmm, 4)
