"""Several chains, some of whose moves inputs drive."""

import itertools

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hmmlib import HMM, engines, inference
from hmmlib.factorial import FactorialHMM, additive_gaussian, blocks
from hmmlib.transitions import SoftmaxTransitions

EXACT = {"rtol": 1e-9, "atol": 1e-9}


def driven_chains(sizes, driven, num_inputs=2, seed=0, forbidden=False, scale=30.0):
    """Levels up to 100 W apart; which chains inputs drive is said by `driven`."""
    g = torch.Generator().manual_seed(seed)
    moves = []
    for size, by_inputs in zip(sizes, driven, strict=True):
        weights = torch.randn(size, size, num_inputs, generator=g, dtype=torch.float64)
        if forbidden and size > 1:
            weights[0, -1] = -torch.inf
        probs = torch.rand(size, size, generator=g, dtype=torch.float64) + 0.1
        probs = probs / probs.sum(1, keepdim=True)
        moves.append(SoftmaxTransitions(2 * weights) if by_inputs else probs)
    initial = [torch.full((k,), 1 / k, dtype=torch.float64) for k in sizes]
    means = [100 * torch.rand(k, generator=g, dtype=torch.float64) for k in sizes]
    return FactorialHMM(initial, moves, additive_gaussian(means, scale))


def inputs_of(num_steps, num_inputs=2, seed=0, each=1):
    """Inputs that stay the same for `each` steps."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_steps, num_inputs, generator=g, dtype=torch.float64)
    return rows.repeat_interleave(each, 0)[:num_steps]


@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("driven", [(True, False), (False, True), (True, True)])
def test_answers_are_those_of_all_joint_paths(driven, forbidden):
    """4 steps, 3 and 2 states: 1,296 joint paths, each scored by hand."""
    model = driven_chains((3, 2), driven, forbidden=forbidden)
    x = torch.tensor([50.0, 120.0, torch.nan, 20.0], dtype=torch.float64)
    rows, scores, paths = inputs_of(4), [], []
    for a in itertools.product(range(3), repeat=4):
        for b in itertools.product(range(2), repeat=4):
            score = -np.log(6)
            for t in range(4):
                if x[t] == x[t]:
                    score += model.emission.log_prob(x[t])[a[t], b[t]].item()
                for chain, moves in zip((a, b), model.transition_matrices, strict=True):
                    if t and isinstance(moves, SoftmaxTransitions):
                        odds = (moves.weights @ rows[t - 1]).exp()[chain[t - 1]]
                        odds[moves.weights[chain[t - 1], :, 0].isneginf()] = 0.0
                        score += (odds[chain[t]] / odds.sum()).log().item()
                    elif t:
                        score += moves[chain[t - 1], chain[t]].log().item()
            scores.append(score)
            paths.append(np.array([a, b]).T)
    scores, paths = np.array(scores), np.array(paths)
    weights = np.exp(scores - scores.max())
    total = np.log(weights.sum()) + scores.max()
    weights /= weights.sum()
    found = model.smooth(x, inputs=rows)
    assert_close(found.log_likelihood.item(), total, **EXACT)
    for m, size in enumerate((3, 2)):
        expected = [[weights[paths[:, t, m] == k].sum() for k in range(size)]
                    for t in range(4)]  # fmt: skip
        assert_close(found.smoothed_probs[m].tolist(), expected, **EXACT)
    best = model.viterbi(x, inputs=rows)
    assert_close(best.log_joint.item(), scores.max(), **EXACT)
    assert best.states.tolist() == paths[scores.argmax()].tolist()


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("each", [1, 7])
@pytest.mark.parametrize("forbidden", [False, True])
def test_compiled_chains_are_the_recursion(forbidden, each, stored, monkeypatch):
    """In blocks of 8 steps, whose inputs change at every step, or at any place."""
    monkeypatch.setattr(blocks, "STORED", 4e6 if stored else 0)
    model = driven_chains((3, 2, 4), (True, False, True), forbidden=forbidden)
    rows = inputs_of(60, each=each)
    x = model.sample(60, seed=0, inputs=rows).observations
    x[[5, 30]] = torch.nan

    def answers(engine):
        given = {"inputs": rows, "engine": engine}
        draws = model.sample_states(x, 5, seed=1, **given)
        found = model.filter(x, **given), model.smooth(x, **given)
        return model.log_likelihood(x, **given), model.viterbi(x, **given), found, draws

    found = answers(None)
    assert_close(found, answers(engines.recursion), **EXACT)
    p = model.potentials(x, inputs=rows)
    joint = inference.smooth_states(p)
    assert_close(found[0], joint.log_likelihood, **EXACT)
    assert_close(found[2][1].smoothed_probs[1], joint[1].sum((1, 3)), **EXACT)
    assert_close(found[1].log_joint, inference.viterbi(p).log_joint, **EXACT)


def test_one_driven_chain_is_an_hmm():
    model = driven_chains((3,), (True,))
    hmm = HMM(model.initial_probs[0], model.transition_matrices[0], model.emission)
    rows = inputs_of(40)
    x = hmm.sample(40, seed=0, inputs=rows).observations
    found = model.smooth(x, inputs=rows).smoothed_probs[0]
    assert_close(found, hmm.smooth(x, inputs=rows).smoothed_probs, **EXACT)


def test_inputs_that_are_always_1_are_a_matrix():
    driven = driven_chains((3, 2), (True, True), num_inputs=1)
    moves = [x.log_probs([[1.0]])[0].exp() for x in driven.transition_matrices]
    model = FactorialHMM(driven.initial_probs, moves, driven.emission)
    x = model.sample(50, seed=0).observations
    found = driven.smooth(x, inputs=torch.ones(50, 1))
    assert_close(found, model.smooth(x), **EXACT)


def test_sequences_of_a_batch_have_their_own_inputs():
    model = driven_chains((3, 2), (True, False))
    rows = torch.stack([inputs_of(20, seed=n) for n in range(2)])
    x = torch.stack(
        [model.sample(20, n, inputs=rows[n]).observations for n in range(2)]
    )
    found = model.smooth(x, lengths=[20, 12], inputs=rows)
    alone = model.smooth(x[1, :12], inputs=rows[1, :12])
    assert_close(found.log_likelihood[1], alone.log_likelihood, **EXACT)
    assert_close(found.smoothed_probs[0][1, :12], alone.smoothed_probs[0], **EXACT)


def test_a_belief_is_the_filter():
    model = driven_chains((3, 2), (False, True))
    rows = inputs_of(15)
    x = model.sample(15, seed=0, inputs=rows).observations
    expected = model.filter(x, inputs=rows)
    belief = model.belief(lag=3)
    for t in range(15):
        belief = belief.observe(x[t].item(), inputs=rows[t])
        assert_close(belief.probs.sum(1), expected.filtered_probs[0][t], **EXACT)
    assert_close(belief.log_likelihood, expected.log_likelihood, **EXACT)
    smoothed = model.smooth(x, inputs=rows).smoothed_probs[1][11]
    assert_close(belief.lagged_probs.sum(0), smoothed, **EXACT)


def test_weights_have_a_gradient():
    model = driven_chains((3, 2), (True, False))
    rows = inputs_of(12)
    x = model.sample(12, seed=0, inputs=rows).observations

    def score(weights):
        moves = SoftmaxTransitions(weights), model.transition_matrices[1]
        learner = FactorialHMM(model.initial_probs, moves, model.emission)
        return learner.log_likelihood(x, inputs=rows)

    weights = model.transition_matrices[0].weights.clone().requires_grad_()
    assert torch.autograd.gradcheck(score, weights)


def test_samples_follow_the_inputs():
    """The first chain is drawn to state 1 by input 0, and away from it by input 1."""
    weights = torch.zeros(2, 2, 2).double()
    weights[:, 1] = torch.tensor([9.0, -9.0])
    level = additive_gaussian([[0.0, 100.0], [0.0, 10.0]], 1.0)
    moves = SoftmaxTransitions(weights), [[0.5, 0.5]] * 2
    model = FactorialHMM(([0.5, 0.5], [0.5, 0.5]), moves, level)
    rows = torch.eye(2).double().repeat_interleave(50, 0)
    states = model.sample(100, seed=0, inputs=rows).states
    assert states[1:51, 0].double().mean() > 0.9
    assert states[51:, 0].double().mean() < 0.1


MODEL = driven_chains((3, 2), (True, False))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MODEL.smooth([1.0, 2.0]), "inputs: got none"),
        (lambda: MODEL.smooth([1.0, 2.0], inputs=[[1.0]] * 2), "inputs: got shape"),
        (lambda: MODEL.sample(3, seed=0), "inputs: got none"),
        (lambda: MODEL.flattened(), "inputs drive the moves"),
        (lambda: MODEL.stationary_probs(), "inputs drive the moves"),
        (lambda: driven_chains((2,), (False,)).smooth([1.0], inputs=[[1.0]]), "inputs"),
        (
            lambda: MODEL.potentials([[1.0, 2.0]] * 2, inputs=[[1.0, 2.0]] * 2),
            "a batch",
        ),
        (
            lambda: FactorialHMM(
                MODEL.initial_probs,
                [
                    MODEL.transition_matrices[0],
                    SoftmaxTransitions(torch.zeros(2, 2, 3)),
                ],
                MODEL.emission,
            ),
            "driven by .2, 3. inputs",
        ),
        (
            lambda: FactorialHMM(
                MODEL.initial_probs,
                [MODEL.transition_matrices[1], MODEL.transition_matrices[0]],
                MODEL.emission,
            ),
            "got shapes",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_driven_model_is_saved(tmp_path):
    MODEL.save(tmp_path / "model.json")
    loaded = FactorialHMM.load(tmp_path / "model.json")
    x, rows = torch.tensor([20.0, 90.0, 60.0]).double(), inputs_of(3)
    found, expected = (m.log_likelihood(x, inputs=rows) for m in (loaded, MODEL))
    assert_close(found, expected, rtol=0, atol=0)
