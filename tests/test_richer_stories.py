"""Richer stories in Pyro answer as all paths listed, and as the models of `hmmlib`."""

import pyro
import pytest
import torch
from random_models import random_chains, rows
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import HMM, pyro_models
from hmmlib.durations import HSMM
from hmmlib.emissions import LinearEmission
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.inference import smooth_states, viterbi
from hmmlib.recursion import Potentials
from hmmlib.transitions import SoftmaxTransitions

pytestmark = pytest.mark.usefixtures("fresh_pyro")
EXACT = {"rtol": 1e-10, "atol": 1e-10}
SEEDS = pytest.mark.parametrize("seed", range(4))
NAN = torch.nan


def generator(seed):
    return torch.Generator().manual_seed(seed)


def driven(seed, num_steps=4):
    """Random tables, inputs and words; and the model as `Potentials`, softmax by softmax."""
    g, K = generator(seed), 2 + seed % 2
    weights, inputs = torch.randn(K, K, 3, generator=g), torch.randn(4, 3, generator=g)
    weights, inputs = weights.double(), inputs[:num_steps].double()
    start, table, x = rows(g, K), rows(g, K, 2), torch.tensor([1, 0, 0, 1])[:num_steps]
    moves = torch.empty(num_steps - 1, K, K).double()
    for t in range(num_steps - 1):
        for i in range(K):
            odds = torch.stack([weights[i, j] @ inputs[t] for j in range(K)]).exp()
            moves[t, i] = odds / odds.sum()
    p = Potentials(start.log(), (moves.log(),), table.log()[:, x].T.contiguous())
    story = pyro_models.driven_story
    return story, (start, weights, table, inputs), {"activities": x}, p


def regression(seed):
    g, K = generator(seed), 2 + seed % 2
    weights, inputs = torch.randn(K, 3, generator=g), torch.randn(4, 3, generator=g)
    weights, inputs = weights.double(), inputs.double()
    start, moves, scales = rows(g, K), rows(g, K, K), 0.5 + rows(g, K)
    x = torch.randn(4, generator=g).double()
    scores = Normal(inputs @ weights.T, scales).log_prob(x[:, None])
    p = Potentials(start.log(), (moves.log(),), scores)
    story = pyro_models.regression_story
    return story, (start, moves, weights, scales, inputs), {"readings": x}, p


def autoregressive(seed):
    g, K = generator(seed), 2 + seed % 2
    start, moves, scales = rows(g, K), rows(g, K, K), 0.5 + rows(g, K)
    levels, slopes = torch.randn(2, K, generator=g).double()
    x = torch.randn(5, generator=g).double()
    before, x = x[0], x[1:]
    means = [levels + slopes * last for last in (before, *x[:-1])]
    scores = Normal(torch.stack(means), scales).log_prob(x[:, None])
    p = Potentials(start.log(), (moves.log(),), scores)
    story = pyro_models.autoregressive_story
    return story, (start, moves, levels, slopes, scales, before), {"readings": x}, p


def durations(seed, num_steps=5):
    """A story of stays, and its model; some durations and moves are impossible."""
    g, K = generator(seed), 2 + seed % 2
    moves, lasts = rows(g, K, K), rows(g, K, 3)
    moves.fill_diagonal_(0)
    if K > 2:
        moves[0, 1] = 0
    lasts[0, 0] = 0
    moves, lasts = moves / moves.sum(1, True), lasts / lasts.sum(1, True)
    means, scales = 2 * torch.randn(K, generator=g).double(), 0.5 + rows(g, K)
    hsmm = HSMM(rows(g, K), moves, Normal(means, scales), lasts)
    x = hsmm.sample(num_steps, seed=seed).observations
    given = hsmm.initial_probs, moves, means, scales, lasts
    return pyro_models.durations_story, given, {"readings": x}, hsmm


chains = pytest.mark.parametrize("made", [driven, regression, autoregressive])


@chains
@SEEDS
def test_a_story_of_one_chain_is_its_potentials(made, seed):
    """Evidence, posterior of each day, best path: by all paths listed, and by hmmlib."""
    story, given, seen, p = made(seed)
    paths = all_paths(len(given[0]), 4)
    joints = path_log_joints(p, paths)
    evidence = pyro_models.evidence(story, *given, **seen)
    assert_close(evidence, joints.logsumexp(0).item(), **EXACT)
    best = pyro_models.best_path(story, *given, **seen)
    assert (best == paths[joints.argmax()]).all() and (best == viterbi(p).states).all()
    smoothed = pyro_models.smoothed_probs(story, *given, **seen)
    assert list(smoothed) == ["z_0", "z_1", "z_2", "z_3"]
    found = torch.stack(list(smoothed.values()))
    assert_close(found, smooth_states(p).smoothed_probs, **EXACT)


@SEEDS
@pytest.mark.parametrize("censored", [True, False])
def test_the_story_of_stays_is_the_semi_markov_model(seed, censored):
    story, given, seen, hsmm = durations(seed)
    if not censored:  # the last stay ends with the last day
        story = pyro.condition(story, data={"left_4": torch.tensor(0)})
    (x,) = seen.values()
    exact = hsmm.log_likelihood(x, censored=censored).item()
    assert_close(pyro_models.evidence(story, *given, **seen), exact, **EXACT)
    by_listing = listed(given, x, censored).logsumexp(0).item()
    assert_close(exact, by_listing, **EXACT)
    smoothed = pyro_models.smoothed_probs(story, *given, **seen)
    found = torch.stack([smoothed[f"z_{t}"] for t in range(5)])
    expected = hsmm.smooth(x, censored=censored).smoothed_probs
    assert_close(found, expected, **EXACT)
    if not censored:
        best = pyro_models.best_path(story, *given, **seen)
        assert (best == hsmm.viterbi(x, censored=False).states).all()


def listed(given, x, censored):
    """log p(x, path, durations) of each path and each way to go on, one after the other."""
    start, moves, means, scales, lasts = given
    K, longest, scores = *lasts.shape, []
    emitted = Normal(means, scales).log_prob(x[:, None])

    def go_on(t, before, score):
        for k in range(K):
            entered = start[k] if before is None else moves[before, k]
            for d in range(1, longest + 1):
                so_far = score + (entered * lasts[k, d - 1]).log()
                so_far = so_far + emitted[t : t + d, k].sum()
                if t + d < len(x):
                    go_on(t + d, k, so_far)
                elif t + d == len(x) or censored:
                    scores.append(so_far)

    go_on(0, None, torch.tensor(0.0))
    return torch.stack(scores)


def test_a_story_of_stays_samples_stays_of_the_table():
    """Of the first state exactly two days, of the second three."""
    lasts = torch.tensor([[0, 1.0, 0], [0, 0, 1.0]])
    given = (
        torch.tensor([0.0, 1.0]),
        torch.eye(2).flip(0),
        torch.zeros(2),
        torch.ones(2),
    )
    states, drawn = pyro_models.durations_story(*given, lasts, num_days=9)
    assert [int(z) for z in states] == [1, 1, 1, 0, 0, 1, 1, 1, 0]
    assert len(drawn) == 9


def test_days_of_a_stay_are_drawn_as_often_as_they_are_probable():
    story, given, seen, hsmm = durations(2)
    paths = pyro_models.posterior_paths(story, 4000, *given, **seen)
    exact = hsmm.smooth(*seen.values()).smoothed_probs
    counted = torch.nn.functional.one_hot(paths, 2).double().mean(0)
    assert (
        (counted - exact).abs() < 5 * (exact * (1 - exact) / 4000).sqrt() + 1e-3
    ).all()


@pytest.mark.parametrize("made", [driven, regression, autoregressive, durations])
def test_without_observations_a_richer_story_samples(made):
    story, given, _, _ = made(1)
    days = (
        {} if made in (driven, regression) else {"num_days": 4}
    )  # or as many as inputs
    states, drawn = story(*given, **days)
    assert len(states) == len(drawn) == 4 and all(x.ndim == 0 for x in drawn)


def test_autoregression_goes_on_from_what_it_drew():
    """Without noise, each reading follows from the one before."""
    one = torch.ones(1)
    given = one, torch.ones(1, 1), one, 2 * one, 1e-9 * one, torch.tensor(3.0)
    _, drawn = pyro_models.autoregressive_story(*given, num_days=3)
    assert_close(torch.stack(drawn), torch.tensor([7.0, 15.0, 31.0]), atol=1e-6, rtol=0)


def test_a_reading_that_the_next_one_needs_must_not_be_missing():
    story, given, seen, _ = autoregressive(0)
    seen["readings"][1] = NAN
    with pytest.raises(ValueError, match="x_1"):
        pyro_models.evidence(story, *given, **seen)


@pytest.mark.parametrize("made", [driven, regression, autoregressive])
@pytest.mark.filterwarnings("ignore:infer_discrete found no")  # all states known
@pytest.mark.parametrize("labels", [[-1, 1, -1, -1], [0, -1, -1, 1], [1, 0, 0, 1]])
def test_known_states_leave_the_paths_that_agree(made, labels):
    story, given, seen, p = made(2)
    labels, paths = torch.tensor(labels), all_paths(2, 4)
    agreeing = ((paths == labels) | (labels < 0)).all(1)
    joints = path_log_joints(p, paths[agreeing])
    known = pyro_models.labelled(story, labels)
    found = pyro_models.evidence(known, *given, **seen)
    assert_close(found, joints.logsumexp(0).item(), **EXACT)
    best = pyro_models.best_path(known, *given, **seen)
    assert (best == paths[agreeing][joints.argmax()]).all()
    drawn = pyro_models.posterior_paths(known, 50, *given, **seen)
    assert ((drawn == labels) | (labels < 0)).all()
    smoothed = pyro_models.smoothed_probs(known, *given, **seen)
    weights = joints.softmax(0)
    for name, probs in smoothed.items():
        at = paths[agreeing][:, int(name[2:])]
        assert_close(probs, torch.zeros(2).index_add(0, at, weights), **EXACT)


@SEEDS
def test_known_states_of_a_story_of_stays(seed):
    story, given, seen, hsmm = durations(seed)
    (x,) = seen.values()
    labels = torch.tensor([-1, 1, -1, 0, -1])
    known = pyro_models.labelled(story, labels)
    found = pyro_models.evidence(known, *given, **seen)
    assert_close(found, hsmm.log_likelihood(x, labels=labels).item(), **EXACT)


def test_known_states_of_several_chains():
    """(T, M), of the second chain only; against all joint paths."""
    model = random_chains((2, 3), seed=1)
    levels = [torch.zeros(2), torch.tensor([0.0, 1.0, 3.0])]
    given = *model.initial_probs, *model.transition_matrices
    given = given[:2], given[2:], levels, 0.7
    x, labels = (
        torch.tensor([0.2, 2.9, 1.1]),
        torch.tensor([[-1, 0], [-1, -1], [-1, 2]]),
    )
    known = pyro_models.labelled(pyro_models.factorial_story, labels)
    found = pyro_models.evidence(known, *given, readings=x)
    second = HMM(given[0][1], given[1][1], Normal(levels[1], 0.7))
    paths = all_paths(3, 3)
    joints = path_log_joints(second.potentials(x), paths)
    agreeing = (paths[:, 0] == 0) & (paths[:, 2] == 2)
    assert_close(found, joints[agreeing].logsumexp(0).item(), **EXACT)


def test_missing_days_at_the_end_are_the_forecast():
    """As `Belief.forecast`, and as powers of the transition matrix."""
    g = generator(0)
    hmm = HMM(rows(g, 3), rows(g, 3, 3), Normal(torch.tensor([0.0, 1, 2]), 1.0))
    x = hmm.sample(5, seed=0).observations
    given = hmm.initial_probs, hmm.transition_matrix, hmm.emission.loc, torch.ones(3)
    ahead = torch.cat([x, torch.full((4,), NAN)])
    probs = pyro_models.smoothed_probs(pyro_models.signal_story, *given, readings=ahead)
    found = torch.stack([probs[f"z_{t}"] for t in range(5, 9)])
    belief = hmm.belief()
    for x_t in x.tolist():
        belief = belief.observe(x_t)
    assert_close(found, belief.forecast(4), **EXACT)
    now, expected = belief.probs, []
    for _ in range(4):
        now = now @ hmm.transition_matrix
        expected.append(now)
    assert_close(found, torch.stack(expected), **EXACT)


def test_a_forecast_uses_the_inputs_of_the_days_to_come():
    story, given, _, p = driven(1)
    words = torch.tensor([1.0, 0.0, NAN, NAN])
    probs = pyro_models.smoothed_probs(story, *given, activities=words)
    first = Potentials(
        p.log_initial, (p.log_transitions[0][:1],), p.log_likelihoods[:2]
    )
    now = smooth_states(first).smoothed_probs[-1]
    for t in (2, 3):
        now = now @ p.log_transitions[0][t - 1].exp()
        assert_close(probs[f"z_{t}"], now, **EXACT)


def test_a_story_goes_on_from_a_path_that_fits_the_readings():
    """Posterior paths as conditions, and the days after them drawn: the predictive mean."""
    story, given, seen, p = autoregressive(1)
    start, moves, levels, slopes, _, _ = given
    (x,), num = seen.values(), 20_000
    paths = pyro_models.posterior_paths(story, num, *given, **seen)
    known = {f"x_{t}": x[t] for t in range(4)} | {
        f"z_{t}": paths[:, t] for t in range(4)
    }
    with pyro.plate("samples", num):
        states, drawn = pyro.condition(story, data=known)(*given, num_days=5)
    after = smooth_states(p).smoothed_probs[-1] @ moves
    mean = (after * (levels + slopes * x[-1])).sum()
    counted = torch.bincount(states[-1], minlength=len(start)) / num
    assert (counted - after).abs().max() < 0.02
    assert abs(drawn[-1].mean() - mean) < 5 * drawn[-1].std() / num**0.5


def by_verbs(made, given):
    """The model of `hmmlib` for a story of one chain, and its inputs."""
    if made is driven:
        start, weights, table, inputs = given
        return HMM(start, SoftmaxTransitions(weights), table), inputs
    if made is regression:
        start, moves, weights, scales, inputs = given
        return HMM(start, moves, LinearEmission(weights, scales)), inputs
    start, moves, levels, slopes, scales, before = given
    weights = torch.stack([levels, slopes], dim=1)
    return HMM(start, moves, LinearEmission(weights, scales)), before


@chains
@SEEDS
def test_a_story_with_inputs_is_the_model_with_inputs(made, seed):
    """By the verbs, with labels and without."""
    story, given, seen, _ = made(seed)
    hmm, inputs = by_verbs(made, given)
    (x,) = seen.values()
    if made is autoregressive:
        inputs = torch.stack([torch.ones(4), torch.cat([inputs[None], x[:-1]])], dim=1)
    evidence = pyro_models.evidence(story, *given, **seen)
    assert_close(evidence, hmm.log_likelihood(x, inputs=inputs).item(), **EXACT)
    labels = torch.tensor([-1, 1, -1, 0])
    known = pyro_models.labelled(story, labels)
    expected = hmm.log_likelihood(x, inputs=inputs, labels=labels).item()
    assert_close(pyro_models.evidence(known, *given, **seen), expected, **EXACT)
    best = pyro_models.best_path(known, *given, **seen)
    assert (best == hmm.viterbi(x, inputs=inputs, labels=labels).states).all()
