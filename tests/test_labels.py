"""Known states, against the paths that agree with them, listed one by one."""

import itertools

import pytest
import torch
from torch.distributions import Normal

from hmmlib import HMM, FactorialHMM, engines
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial import additive_gaussian
from hmmlib.learning import em_step, fit_em, fit_gradient

T, K = 6, 3
SEEN = torch.tensor([-1, 2, -1, -1, 0, -1])


def problem(seed: int) -> tuple[HMM, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tables = [
        torch.rand(*s, generator=generator).double() for s in ((K,), (K, K), (K, 4))
    ]
    hmm = HMM(*(x / x.sum(-1, keepdim=True) for x in tables))
    return hmm, hmm.sample(T, seed=seed).observations


def agreeing(hmm, x, labels) -> tuple[torch.Tensor, torch.Tensor]:
    """The paths that pass through the known states, and their log joints."""
    paths = all_paths(hmm.num_states, len(x))
    fits = ((paths == labels) | (labels < 0)).all(1)
    return paths[fits], path_log_joints(hmm.potentials(x), paths[fits])


@pytest.mark.parametrize("engine", [None, engines.recursion])
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_given_the_labels(seed, engine):
    hmm, x = problem(seed)
    paths, scores = agreeing(hmm, x, SEEN)
    given = {"labels": SEEN, "engine": engine}
    torch.testing.assert_close(hmm.log_likelihood(x, **given), scores.logsumexp(0))
    states = torch.nn.functional.one_hot(paths, K).double()
    smoothed = torch.einsum("n,ntk->tk", scores.softmax(0), states)
    torch.testing.assert_close(hmm.smooth(x, **given).smoothed_probs, smoothed)
    assert (hmm.viterbi(x, **given).states == paths[scores.argmax()]).all()
    drawn = hmm.sample_states(x, 50, seed=0, **given)
    assert (drawn[:, SEEN >= 0] == SEEN[SEEN >= 0]).all()
    filtered = hmm.filter(x, **given).filtered_probs
    early = agreeing(hmm, x[:3], SEEN[:3])
    last = torch.nn.functional.one_hot(early[0][:, -1], K).double()
    torch.testing.assert_close(filtered[2], early[1].softmax(0) @ last)


def test_nothing_known_changes_nothing():
    hmm, x = problem(3)
    torch.testing.assert_close(
        hmm.smooth(x, labels=torch.full((T,), -1)), hmm.smooth(x)
    )


def test_all_known_is_the_joint_and_learning_is_counting():
    hmm, x = problem(4)
    states = hmm.sample(T, seed=4).states
    joint = path_log_joints(hmm.potentials(x), states[None])[0]
    torch.testing.assert_close(hmm.log_likelihood(x, labels=states), joint)
    learned, evidence = em_step(hmm, x, labels=states)
    torch.testing.assert_close(evidence, joint)
    moves = torch.zeros(K, K, dtype=torch.float64)
    for left, entered in itertools.pairwise(states.tolist()):
        moves[left, entered] += 1
    visited = moves.sum(1) > 0
    counted = moves[visited] / moves[visited].sum(1, keepdim=True)
    torch.testing.assert_close(learned.transition_matrix[visited], counted)


def test_ragged_labels():
    hmm, x = problem(5)
    labels = [SEEN, SEEN[:2], SEEN[1:5]]
    sequences = [x, x[:2], x[1:5]]
    together = hmm.smooth(sequences, labels=labels)
    for n, (each, seen) in enumerate(zip(sequences, labels, strict=True)):
        alone = hmm.smooth(each, labels=seen)
        torch.testing.assert_close(together.log_likelihood[n], alone.log_likelihood)
        found = together.smoothed_probs[n, : len(each)]
        torch.testing.assert_close(found, alone.smoothed_probs)
        assert (together.smoothed_probs[n, len(each) :] == 0).all()


@pytest.mark.parametrize("seed", range(200))
def test_learning_never_lowers_the_likelihood(seed):
    hmm, _ = problem(seed)
    states, x = problem(seed + 1000)[0].sample(20, seed=seed)
    known = torch.rand(20, generator=torch.Generator().manual_seed(seed)) < 0.3
    labels, before = states.where(known, -1), -torch.inf
    for _ in range(8):
        hmm, evidence = em_step(hmm, x, labels=labels)
        assert evidence > before - 1e-9 * abs(before)
        before = evidence


def test_labels_say_which_state_is_which():
    """A start the wrong way round is turned by a few known days."""
    states, x = weather.hmm.sample(400, seed=0)
    turned = HMM([0.5, 0.5], [[0.6, 0.4]] * 2, weather.hmm.emission.probs.flip(0))
    labels = states.where(torch.arange(400) % 5 == 0, -1)
    for fit in (fit_em, fit_gradient):
        learned = fit(turned, x, labels=labels, tolerance=0.01).model
        assert (learned.emission.probs[:, 0].argsort() == torch.tensor([0, 1])).all()


def test_any_family_takes_labels():
    hmm = HMM(
        [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], Normal(torch.tensor([0.0, 1.0]), 1.0)
    )
    x = torch.tensor([[0.5, 0.5, torch.nan], [0.0, 1.0, 1.0]])
    probs = hmm.smooth(x, labels=[[-1, 1, -1], [0, -1, -1]]).smoothed_probs
    assert probs[0, 1, 1] == 1 and probs[1, 0, 0] == 1 and 0 < probs[0, 2, 1] < 1


REFUSED = [
    ([0, 1], r"labels: got shape \(2,\), needs \(6,\)"),
    ([0, 1, 2, 3, 0, 0], "needs states, 0 to 2, and -1"),
    ([0, -2, 0, 0, 0, 0], "needs states, 0 to 2, and -1"),
    ([0.5] * 6, "needs states, 0 to 2, and -1"),
    (["sun"] * 6, "not text such as 'sun'"),
]


@pytest.mark.parametrize("labels, said", REFUSED)
def test_labels_that_do_not_fit_are_refused(labels, said):
    hmm, x = problem(6)
    with pytest.raises(ValueError, match=said):
        hmm.smooth(x, labels=labels)


def test_impossible_labels_are_impossible_data():
    hmm = HMM([1.0, 0.0], [[0.5, 0.5]] * 2, [[0.5, 0.5]] * 2)
    assert hmm.log_likelihood([0, 1], labels=[1, -1]) == -torch.inf
    assert hmm.viterbi([0, 1], labels=[1, -1]).states.tolist() == [-1, -1]
    with pytest.raises(ValueError, match="probability 0"):
        hmm.smooth([0, 1], labels=[1, -1])


@pytest.mark.parametrize("engine", [None, engines.recursion])
def test_a_factorial_model_takes_labels_of_each_chain(engine):
    moves = (
        [[0.8, 0.2], [0.3, 0.7]],
        [[0.6, 0.2, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]],
    )
    starts = [[0.4, 0.6], [0.2, 0.3, 0.5]]
    means = [torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0, 3.0])]
    model = FactorialHMM(starts, moves, additive_gaussian(means, 1.0))
    x = model.sample(4, seed=0).observations
    labels = torch.tensor([[-1, 2], [-1, -1], [1, -1], [0, 1]])
    flat = model.flattened()
    paths = all_paths(6, 4)
    by_chain = torch.stack([paths // 3, paths % 3], -1)
    fits = ((by_chain == labels) | (labels < 0)).flatten(1).all(1)
    scores = path_log_joints(flat.potentials(x), paths[fits])
    given = {"labels": labels, "engine": engine}
    torch.testing.assert_close(model.log_likelihood(x, **given), scores.logsumexp(0))
    best = by_chain[fits][scores.argmax()]
    assert torch.equal(model.viterbi(x, **given).states, best)
    for m, found in enumerate(model.smooth(x, **given).smoothed_probs):
        states = torch.nn.functional.one_hot(by_chain[fits][..., m], len(starts[m]))
        smoothed = torch.einsum("n,ntk->tk", scores.softmax(0), states.to(scores))
        torch.testing.assert_close(found, smoothed)
    drawn = model.sample_states(x, 20, seed=0, **given)
    assert (drawn[:, labels >= 0] == labels[labels >= 0]).all()
    ragged = model.log_likelihood(
        [x, x[:2]], labels=[labels, labels[:2]], engine=engine
    )
    torch.testing.assert_close(ragged[0], scores.logsumexp(0))
    with pytest.raises(
        ValueError, match=r"needs \(4, 2\), one for each step and chain"
    ):
        model.smooth(x, labels=labels[:, 0])
    with pytest.raises(ValueError, match=r"needs states, 0 to \[1, 2\]"):
        model.smooth(x, labels=labels + 1)


def test_what_was_read_takes_nothing_more():
    hmm, x = problem(7)
    seen = hmm.read(x, labels=SEEN)
    torch.testing.assert_close(hmm.smooth(seen), hmm.smooth(x, labels=SEEN))
    with pytest.raises(ValueError, match="were read before"):
        hmm.smooth(hmm.read(x), labels=SEEN)
