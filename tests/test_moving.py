"""What moves in learning, entry by entry, and what is tied."""

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal, Poisson

from hmmlib import HMM
from hmmlib.durations import HSMM
from hmmlib.emissions import LinearEmission, Product, TiedNormal, parts
from hmmlib.learning import em_step, fit_em, fit_gradient
from hmmlib.learning.durations import fit_hsmm

FITS = [
    lambda hmm, x, **k: fit_em(hmm, x, num_iters=300, tolerance=1e-2, **k),
    lambda hmm, x, **k: fit_gradient(hmm, x, method="lbfgs", tolerance=1e-4, **k),
]
MOVES = torch.tensor(
    [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]], dtype=torch.float64
)
TRUTH = HMM(
    [0.5, 0.3, 0.2], MOVES, Normal(torch.tensor([-2.0, 0.0, 2.0]).double(), 0.7)
)
X = TRUTH.sample(150, seed=0).observations
START = HMM(
    [0.3, 0.3, 0.4],
    MOVES.flip(0).flip(1),
    Normal(torch.tensor([-1.0, 0.3, 1.0]).double(), 1.0),
)


@pytest.mark.parametrize("fit", FITS)
def test_entries_stay_where_the_mask_says(fit):
    mask = torch.tensor(
        [[True, True, False], [False, False, False], [True, True, True]]
    )
    learn = {
        "initial_probs": torch.tensor([False, True, True]),
        "transition_matrix": mask,
        "emission": torch.tensor([True, False, True]),
    }
    end = fit(START, X, learn=learn).model
    held = ~mask
    assert torch.equal(end.transition_matrix[held], START.transition_matrix[held])
    assert (end.transition_matrix[0, :2] != START.transition_matrix[0, :2]).all()
    torch.testing.assert_close(end.transition_matrix.sum(1), torch.ones(3).double())
    assert end.initial_probs[0] == START.initial_probs[0]
    assert end.emission.loc[1] == START.emission.loc[1]
    assert end.emission.scale[1] == START.emission.scale[1]
    assert (end.emission.loc[[0, 2]] != START.emission.loc[[0, 2]]).all()


def test_what_moves_shares_what_is_left_of_its_row():
    """The maximum under the constraint: in proportion to the expected counts."""
    hmm = HMM(TRUTH.initial_probs, MOVES, START.emission)
    held = {"transition_matrix": torch.tensor([[True, True, False]] * 3)}
    moved = em_step(hmm, X, learn=held)[0].transition_matrix
    counts = hmm.total_counts(X).transitions[:, :2]
    shares = counts / counts.sum(1, keepdim=True) * (1 - MOVES[:, 2:])
    torch.testing.assert_close(moved[:, :2], shares)
    rows = {"transition_matrix": torch.tensor([False, True, True])}
    moved = em_step(hmm, X, learn=rows)[0].transition_matrix
    whole = em_step(hmm, X)[0].transition_matrix
    assert torch.equal(moved[0], MOVES[0])
    torch.testing.assert_close(moved[1:], whole[1:])


@pytest.mark.parametrize("seed", range(200))
def test_learning_with_masks_never_lowers_the_likelihood(seed):
    generator = torch.Generator().manual_seed(seed)
    hmm, before = START, -torch.inf
    learn = {
        "transition_matrix": torch.rand(3, 3, generator=generator) < 0.6,
        "emission": torch.rand(3, generator=generator) < 0.6,
        "initial_probs": True,
    }
    x = TRUTH.sample(40, seed=seed).observations
    for _ in range(6):
        hmm, evidence = em_step(hmm, x, learn=learn, pseudo_count=0.0, min_scale=0.05)
        assert evidence > before - 1e-9 * abs(before)
        before = evidence


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    "emission",
    [
        Normal(torch.tensor([-1.0, 1.0, 1.0]).double(), 1.0),
        Categorical(torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.4, 0.6]]).double()),
        Poisson(torch.tensor([1.0, 4.0, 4.0]).double()),
    ],
)
def test_tied_states_emit_alike(emission, fit):
    matrix = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.3, 0.0, 0.7]]).double()
    hmm = HMM([0.4, 0.3, 0.3], matrix, emission)
    x = hmm.sample(100, seed=1).observations
    run = fit(hmm, x, tied=[0, 1, 1], learn=["emission"])
    for value in vars(run.model.emission).values():
        if isinstance(value, torch.Tensor) and value.shape[:1] == (3,):
            torch.testing.assert_close(value[1], value[2], rtol=1e-12, atol=0)
    assert run.log_likelihoods[-1] > run.log_likelihoods[0]


def test_tying_is_learning_from_the_sum():
    """Two tied states that are never told apart learn what one of them would."""
    two = HMM(
        [0.5, 0.5],
        [[0.8, 0.2], [0.2, 0.8]],
        Normal(torch.tensor([0.0, 2.0]).double(), 1.0),
    )
    split = [[0.8, 0.1, 0.1], [0.2, 0.4, 0.4], [0.2, 0.4, 0.4]]
    three = HMM(
        [0.5, 0.25, 0.25], split, Normal(torch.tensor([0.0, 2.0, 2.0]).double(), 1.0)
    )
    x = two.sample(80, seed=2).observations
    for _ in range(4):
        (two, evidence), (three, same) = (
            em_step(two, x),
            em_step(three, x, tied=[5, 7, 7]),
        )
        torch.testing.assert_close(same, evidence)
    torch.testing.assert_close(three.emission.loc[:2], two.emission.loc)


def test_the_gradient_moves_single_parameters():
    learn = {"emission": {"loc": True, "scale": torch.tensor([True, False, False])}}
    end = fit_gradient(START, X, method="lbfgs", learn=learn).model
    assert torch.equal(end.emission.scale[1:], START.emission.scale[1:])
    assert (end.emission.loc != START.emission.loc).all()
    assert torch.equal(end.transition_matrix, START.transition_matrix)
    with pytest.raises(ValueError, match="needs booleans \\(K,\\), or fit_gradient"):
        em_step(START, X, learn=learn)


def test_durations_stay_where_the_mask_says():
    table = torch.tensor([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]]).double()
    hsmm = HSMM(
        [0.5, 0.5],
        [[0, 1.0], [1.0, 0]],
        Normal(torch.tensor([0.0, 2]).double(), 1.0),
        table,
    )
    learn = {"durations": torch.tensor([False, True])}
    end = fit_hsmm(
        hsmm, hsmm.sample(60, seed=0).observations, tolerance=1e-3, learn=learn
    ).model
    assert (
        torch.equal(end.durations[0], table[0]) and (end.durations[1] != table[1]).all()
    )


REFUSED = [
    (
        {"learn": {"emission": torch.ones(2, dtype=torch.bool)}},
        "needs booleans of shape",
    ),
    ({"learn": {"transition_matrix": [[1, 0, 0]] * 3}}, "needs booleans of shape"),
    ({"learn": {"emission": False}}, "nothing moves"),
    ({"learn": {"emission": {"mean": True}}}, "needs some of"),
    ({"learn": {"moves": True}}, "needs some of"),
    ({"tied": [0, 0, 1]}, "emit differently at the start"),
    ({"tied": [0, 0]}, "needs 3 integers"),
]


@pytest.mark.parametrize("given, said", REFUSED)
def test_what_makes_no_sense_is_refused(given, said):
    for fit in (em_step, fit_em, fit_gradient):
        with pytest.raises(ValueError, match=said):
            fit(START, X, **given)


def test_a_common_covariance_moves_as_a_whole():
    emission = TiedNormal(torch.randn(3, 2).double(), torch.eye(2).double())
    hmm = HMM(TRUTH.initial_probs, MOVES, emission)
    x = hmm.sample(30, seed=0).observations
    with pytest.raises(ValueError, match="needs all of the emission to move"):
        em_step(hmm, x, learn={"emission": torch.tensor([True, False, True])})


def test_weights_of_inputs_stay_where_the_mask_says():
    hmm = HMM(
        [0.5, 0.5],
        [[0.9, 0.1], [0.1, 0.9]],
        LinearEmission([[0.0, 1.0], [2.0, 1.0]], 1.0),
    )
    inputs = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).double()
    x = hmm.sample(60, seed=0, inputs=inputs).observations
    mask = {"weights": torch.tensor([[True, False], [True, False]])}
    end = fit_gradient(
        hmm, x, inputs=inputs, method="lbfgs", learn={"emission": mask}
    ).model
    assert torch.equal(end.emission.weights[:, 1], hmm.emission.weights[:, 1])
    assert (end.emission.weights[:, 0] != hmm.emission.weights[:, 0]).all()


@pytest.mark.parametrize(
    "emission",
    [
        Bernoulli(logits=torch.tensor([-1.0, 0.5]).double()),
        Categorical(logits=torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()),
        Product([Categorical(logits=torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double())]),
    ],
)
def test_a_state_that_was_given_as_logits_stays(emission):
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], emission)
    x = hmm.sample(50, seed=0).observations
    end = em_step(hmm, x, learn={"emission": torch.tensor([True, False])})[0]
    part, was = next(iter(parts(end.emission))), next(iter(parts(emission)))
    before = getattr(was.owner, part.attribute)
    torch.testing.assert_close(part.value[1], before[1])
    assert (part.value[0] != before[0]).all()
