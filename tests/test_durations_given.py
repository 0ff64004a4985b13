"""Explicit durations, with what is known beside the readings: states, and inputs."""

import pytest
import torch
from test_durations import (
    EXACT,
    each_end,
    each_engine,
    listed,
    middle,
    occupied,
    random_hsmm,
)
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib.durations import HSMM, recursion
from hmmlib.emissions import LinearEmission
from hmmlib.learning import fit_hsmm, hsmm_em_step


def known(model, x, seed):
    """The states of a third of the steps, as some path has them; others are -1."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(model.num_states, x.shape, generator=g)
    return labels.masked_fill(torch.rand(x.shape, generator=g) > 0.35, -1)


def listed_given(model, x, labels, censored):
    paths, probs = listed(model, x.tolist(), censored)
    return paths, probs * ((paths == labels) | (labels < 0)).all(-1)


@each_engine
@each_end
@pytest.mark.parametrize("seed", range(60))
def test_of_all_paths_only_those_through_the_known_states_count(seed, censored, engine):
    model, x = random_hsmm(seed, share=0.15)
    labels = known(model, x, seed)
    given = {"labels": labels, "engine": engine}
    paths, probs = listed_given(model, x, labels, censored)
    found = model.log_likelihood(x, censored=censored, **given)
    assert_close(found, probs.sum().log(), **EXACT)
    best = model.viterbi(x, censored=censored, **given)
    assert_close(best.log_joint, probs.max().log(), **EXACT)
    if probs.sum() == 0:
        with pytest.raises(ValueError, match="no posterior exists"):
            model.smooth(x, censored=censored, **given)
        return
    known_here = labels >= 0
    assert (best.states[known_here] == labels[known_here]).all()
    smoothed = model.smooth(x, censored=censored, **given).smoothed_probs
    filtered = model.filter(x, censored=censored, **given).filtered_probs
    drawn = model.sample_states(x, 50, seed=0, censored=censored, **given)
    assert (drawn[:, known_here] == labels[known_here]).all()
    for t in range(len(x)):
        expected = occupied(paths, probs, model.num_states, t)
        assert_close(smoothed[t], expected, **EXACT)
        so_far = listed_given(model, x[: t + 1], labels[: t + 1], True)
        expected = occupied(*so_far, model.num_states, t)
        assert_close(filtered[t], expected, **EXACT)


@each_end
def test_known_states_are_learned_from(censored):
    model, *_ = middle(1)
    pairs = [model.sample(n, seed=n) for n in (40, 25, 1)]
    rows = [pair.observations for pair in pairs]
    labels = [pair.states.where(torch.arange(len(pair.states)) % 3 == 0, -1)
              for pair in pairs]  # fmt: skip
    given = {"labels": labels, "censored": censored}
    whole = model.log_likelihood(rows, **given) > -torch.inf
    rows, labels = ([x for x, fits in zip(each, whole, strict=True) if fits]
                    for each in (rows, labels))  # fmt: skip
    given, scores = given | {"labels": labels}, []
    for _ in range(8):
        model, score = hsmm_em_step(model, rows, min_scale=0.1, **given)
        scores.append(score)
    assert len(rows) > 1 and torch.stack(scores).diff().min() >= -1e-9
    score = model.log_likelihood(rows, **given).sum()
    assert scores[-1] < score < model.log_likelihood(rows, censored=censored).sum()
    fit = fit_hsmm(model, rows, num_iters=2, tolerance=1e9, **given)
    assert_close(fit.log_likelihoods[0], score, **EXACT)


def test_all_states_known_is_counting():
    """Three stays that ended, of 2, 1 and 2 steps, and one of at least 1."""
    table = [[0.25] * 4] * 2
    model = HSMM([0.5, 0.5], [[0, 1], [1, 0]], [[0.5, 0.5]] * 2, table)
    x, labels = [0, 0, 1, 0, 0, 1], [0, 0, 1, 0, 0, 1]
    step, _ = hsmm_em_step(model, x, labels=labels, censored=False)
    assert_close(step.initial_probs.tolist(), [1.0, 0.0])
    assert_close(step.durations[0].tolist(), [0.0, 1.0, 0.0, 0.0])
    assert_close(step.durations[1].tolist(), [1.0, 0.0, 0.0, 0.0])
    assert_close(step.emission.probs.tolist(), [[1.0, 0.0], [0.0, 1.0]])


def test_inputs_drive_the_readings():
    g = torch.Generator().manual_seed(0)
    weights, scale = torch.tensor([[0.0, 2.0], [3.0, -1.0]]).double(), [0.5, 1.0]
    inputs = torch.stack([torch.ones(300), torch.randn(300, generator=g)], 1).double()
    table = [[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]]
    model = HSMM([0.5, 0.5], [[0, 1], [1, 0]], LinearEmission(weights, scale), table)
    states, x = model.sample(300, seed=1, inputs=inputs)
    scores = Normal(inputs @ weights.mT, torch.tensor(scale).double()).log_prob(
        x[:, None]
    )
    (stays,) = model.stays(x, inputs=inputs)
    assert_close(stays.log_likelihoods, scores)
    found = model.smooth(x, inputs=inputs)
    counts = recursion.expected_counts(stays._replace(log_likelihoods=scores))
    assert_close(found.smoothed_probs, counts.states, **EXACT)
    assert (found.smoothed_probs.argmax(1) == states).double().mean() > 0.9
    belief = model.belief()
    for value, row in zip(x[:50], inputs, strict=False):
        belief = belief.observe(value.item(), inputs=row)
    assert_close(
        belief.log_likelihood, model.log_likelihood(x[:50], inputs=inputs[:50])
    )
    apart = HSMM(
        [0.5, 0.5], [[0, 1], [1, 0]], LinearEmission(weights + 0.5, 1.0), table
    )
    fit = fit_hsmm(apart, x, inputs=inputs, num_iters=200, tolerance=1e-3)
    assert_close(fit.model.emission.weights, weights, rtol=0, atol=0.3)
    with pytest.raises(ValueError, match="inputs: got none"):
        model.smooth(x)


def test_what_is_no_state_is_refused():
    model, x = random_hsmm(3)
    for labels in ([0] * (len(x) + 1), [model.num_states] * len(x)):
        with pytest.raises(ValueError, match="labels: got"):
            model.smooth(x, labels=labels)
