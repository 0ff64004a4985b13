"""Pyro learns the tables of a story: its loss is ours, and so is what it finds."""

import math

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta, AutoGuideList, init_to_value
from torch.distributions import Dirichlet
from torch.testing import assert_close

from hmmlib import pyro_models
from hmmlib.datasets import weather
from hmmlib.inference import log_likelihood
from hmmlib.learning import fit_em

pytestmark = pytest.mark.usefixtures("fresh_pyro")
TABLES = {
    "initial_probs": weather.hmm.initial_probs,
    "transition_matrix": weather.hmm.transition_matrix,
    "emission_matrix": weather.hmm.emission.probs,
}
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


def test_a_list_of_guides_does_not_share_what_it_learned():
    story = pyro_models.marginal_story
    fitted = []
    for seed in (0, 1):
        guide, x = AutoGuideList(story), weather.hmm.sample(20, seed=seed).observations
        for names in (["initial_probs"], ["transition_matrix", "emission_matrix"]):
            part = pyro.poutine.block(story, expose=names)
            guide.append(AutoDelta(part, init_loc_fn=init_to_value(values=TABLES)))
        pyro_models.fit_svi(story, guide, x[None], num_steps=10)
        fitted.append((guide, guide.median()["emission_matrix"].clone()))
    for guide, learned in fitted:
        assert_close(guide.median()["emission_matrix"], learned)
    assert not torch.allclose(fitted[0][1], fitted[1][1])


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


def test_initial_values_belong_to_sites():
    with pytest.raises(ValueError, match=r"initial: got \['transition_matrx'\], needs"):
        pyro_models.sample_nuts(
            pyro_models.marginal_story,
            SEQUENCES,
            initial={"transition_matrx": weather.hmm.transition_matrix},
        )
