"""What else tells the states of one chain, against the paths listed one by one."""

import math

import pytest
import torch
from random_models import joint_paths, random_chains
from torch.nn.functional import log_softmax, one_hot
from torch.testing import assert_close

from hmmlib import HMM, engines
from hmmlib.enumeration import path_log_joints
from hmmlib.inference import log_likelihood

SIZES = (3, 2, 2)
EXACT = {"rtol": 0, "atol": 1e-9}


def problem(num_steps=4, batch=()):
    """A model, observations, and evidence of two chains of three, some of it -inf."""
    model = random_chains(SIZES, seed=3, scale=3.0)
    g = torch.Generator().manual_seed(1)
    x = model.sample(num_steps, seed=2, num_sequences=(batch or (None,))[0])
    shape = (*batch, num_steps)
    first, last = (
        2 * torch.randn(*shape, SIZES[m], generator=g).double() for m in (0, 2)
    )
    first[..., 1, 1], last[..., -1, 0] = -math.inf, -math.inf
    return model, x.observations, (first, None, last)


def listed(model, x, evidence):
    """All joint paths (P, T, M), and their log joints with the evidence added by hand."""
    potentials = model.potentials(x)
    paths = joint_paths(potentials)
    scores = path_log_joints(potentials, paths)
    for m, each in enumerate(evidence):
        if each is not None:
            scores = scores + each[torch.arange(len(x)), paths[..., m]].sum(-1)
    return paths, scores


@pytest.mark.parametrize("engine", [None, engines.recursion])
def test_answers_are_those_of_all_joint_paths(engine):
    model, x, evidence = problem()
    x[2] = math.nan
    paths, scores = listed(model, x, evidence)
    given = {"evidence": evidence, "engine": engine}
    assert_close(model.log_likelihood(x, **given), scores.logsumexp(0), **EXACT)
    best = model.viterbi(x, **given)
    assert_close(best.log_joint, scores.max(), **EXACT)
    assert torch.equal(best.states, paths[scores.argmax()])
    smoothed = model.smooth(x, **given)
    drawn = model.sample_states(x, 4000, seed=0, **given)
    for m, probs in enumerate(smoothed.smoothed_probs):
        states = one_hot(paths[..., m], SIZES[m]).double()
        exact = torch.einsum("p,ptk->tk", scores.softmax(0), states)
        assert_close(probs, exact, **EXACT)
        found = one_hot(drawn[..., m], SIZES[m]).double().mean(0)
        error = 5 * (exact * (1 - exact)).clamp(min=0).div(4000).sqrt() + 1e-9
        assert ((found - exact).abs() <= error).all()
    filtered = model.filter(x, **given)
    assert_close(filtered.log_likelihood, scores.logsumexp(0), **EXACT)
    for t in range(4):
        heard = [None if each is None else each[: t + 1] for each in evidence]
        paths, scores = listed(model, x[: t + 1], heard)
        for m, probs in enumerate(filtered.filtered_probs):
            last = one_hot(paths[:, -1, m], SIZES[m]).double()
            assert_close(probs[t], scores.softmax(0) @ last, **EXACT)


def test_a_constant_changes_the_likelihood_alone():
    model, x, evidence = problem(30)
    shift = torch.arange(30.0).double()
    raised = (evidence[0] + shift[:, None], None, evidence[2])
    before, after = (model.smooth(x, evidence=each) for each in (evidence, raised))
    assert_close(after.smoothed_probs, before.smoothed_probs, **EXACT)
    assert_close(after.log_likelihood, before.log_likelihood + shift.sum())


def test_labels_are_evidence_that_rules_the_other_states_out():
    model, x, evidence = problem(20)
    labels = torch.full((20, 3), -1)
    labels[3], labels[7, 1], labels[-1, 0] = torch.tensor([2, 0, 1]), 1, 2
    ruled = []
    for m, size in enumerate(SIZES):
        fits = (labels[:, m, None] < 0) | (labels[:, m, None] == torch.arange(size))
        ruled.append(torch.where(fits, 0.0, -math.inf))
    for ask in (model.smooth, model.viterbi, model.filter):
        assert_close(ask(x, evidence=ruled), ask(x, labels=labels), **EXACT)
    together = [ruled[0] + evidence[0], ruled[1], ruled[2] + evidence[2]]
    both = model.smooth(x, labels=labels, evidence=evidence)
    assert_close(model.smooth(x, evidence=together), both, **EXACT)


@pytest.mark.parametrize("engine", [None, engines.recursion])
def test_a_ragged_batch(engine):
    model, x, evidence = problem(9, (3,))
    lengths = torch.tensor([9, 1, 5])
    for each in (evidence[0], evidence[2]):
        each[1, 1:], each[2, 5:] = math.nan, math.inf  # padding, which nothing reads
    given = {"lengths": lengths, "engine": engine}
    asks = (model.smooth, model.viterbi, model.filter)
    for n, end in enumerate(lengths.tolist()):
        alone = tuple(None if each is None else each[n, :end] for each in evidence)
        for ask in asks:
            found = ask(x, evidence=evidence, **given)
            expected = ask(x[n, :end], evidence=alone, engine=engine)
            assert_close(found[0][n], expected[0], **EXACT)
            pairs = [(found[1], expected[1])]
            if isinstance(found[1], tuple):
                pairs = zip(found[1], expected[1], strict=True)
            for ours, theirs in pairs:
                assert_close(ours[n, :end], theirs, **EXACT)
    rows = [x[n, :end] for n, end in enumerate(lengths.tolist())]
    heard = [
        None if each is None else [each[n, :end] for n, end in enumerate(lengths)]
        for each in evidence
    ]
    listed = model.log_likelihood(rows, evidence=heard, engine=engine)
    assert_close(listed, model.log_likelihood(x, evidence=evidence, **given), **EXACT)
    potentials = model.potentials(x, lengths, evidence=evidence)
    assert_close(log_likelihood(potentials), listed, **EXACT)


def test_evidence_has_a_gradient():
    """The derivative of the log-likelihood is the posterior of that chain's state."""
    model, x, evidence = problem(12)
    scores = evidence[2].clamp(min=-50).requires_grad_()
    given = {"evidence": (evidence[0], None, log_softmax(scores, -1))}
    (gradient,) = torch.autograd.grad(model.log_likelihood(x, **given), scores)
    with torch.no_grad():
        posterior = model.smooth(x, **given).smoothed_probs[2]
    assert_close(gradient, posterior - scores.softmax(-1))


def test_a_belief_takes_the_evidence_of_each_step():
    model, x, evidence = problem(9)
    filtered = model.filter(x, evidence=evidence)
    belief = model.belief(lag=3)
    for t in range(9):
        heard = [None if each is None else each[t] for each in evidence]
        belief = belief.observe(x[t].item(), evidence=heard)
        for m, probs in enumerate(filtered.filtered_probs):
            others = [k for k in range(3) if k != m]
            assert_close(belief.probs.sum(others), probs[t], **EXACT)
    assert_close(belief.log_likelihood, filtered.log_likelihood)
    smoothed = model.smooth(x, evidence=evidence).smoothed_probs
    assert_close(belief.lagged_probs.sum([1, 2]), smoothed[0][5], **EXACT)


def test_what_was_read_takes_no_more_evidence():
    model, x, evidence = problem(9)
    seen = model.read(x, evidence=evidence)
    assert_close(model.smooth(seen), model.smooth(x, evidence=evidence))
    with pytest.raises(ValueError, match="were read before"):
        model.smooth(seen, evidence=evidence)


def test_evidence_that_rules_everything_out_is_impossible_data():
    model, x, _ = problem(4)
    nothing = (None, torch.full((4, 2), -math.inf), None)
    assert model.log_likelihood(x, evidence=nothing) == -math.inf
    assert (model.viterbi(x, evidence=nothing).states == -1).all()
    with pytest.raises(ValueError, match="probability 0"):
        model.smooth(x, evidence=nothing)


ZERO = torch.zeros(4, 3)
REFUSED = [
    (3.0, r"evidence: got 3.0, needs 3 entries, one for each chain"),
    ([ZERO], "needs 3 entries"),
    ([None, ZERO, None], r"evidence\[1\]: got shape \(4, 3\), needs \(4, 2\)"),
    ([ZERO[:3], None, None], r"evidence\[0\]: got shape \(3, 3\), needs \(4, 3\)"),
    ([ZERO * math.nan, None, None], r"evidence\[0\]: nan at \[0, 0\], needs numbers"),
    ([ZERO + math.inf, None, None], r"evidence\[0\]: inf at \[0, 0\], needs numbers"),
    ([[["on"] * 3] * 4, None, None], r"evidence\[0\]: .* not text such as 'on'"),
]


@pytest.mark.parametrize(("evidence", "said"), REFUSED)
def test_evidence_that_does_not_fit_is_refused(evidence, said):
    model, x, _ = problem(4)
    with pytest.raises(ValueError, match=said):
        model.smooth(x, evidence=evidence)


def test_a_belief_refuses_evidence_that_does_not_fit():
    with pytest.raises(ValueError, match=r"evidence\[0\]: got shape"):
        problem()[0].belief().observe(0.0, evidence=(torch.zeros(2), None, None))
    hmm = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2)
    with pytest.raises(ValueError, match=r"evidence: got .* needs 1 entries"):
        hmm.belief().observe(0, evidence=(None, None))
