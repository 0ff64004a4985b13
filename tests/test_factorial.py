"""Several chains: equal to enumeration and to the flat chain."""

import math

import pytest
import torch
from random_models import joint_paths, random_chains, rows
from torch.distributions import Categorical, MultivariateNormal, Normal, Uniform
from torch.testing import assert_close

from hmmlib.enumeration import path_log_joints
from hmmlib.factorial import FactorialHMM, additive_gaussian, path_log_joint
from hmmlib.hmm import Sample
from hmmlib.inference import (
    filter_states,
    log_likelihood,
    pairwise_probs,
    smooth_states,
    viterbi,
)


def marginal(probs, chain):
    axes = [axis for axis in range(1, probs.ndim) if axis != 1 + chain]
    return probs.sum(axes) if axes else probs


SHAPES = [(2,), (3, 2), (2, 2, 3), (1, 2), (3, 1, 2)]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equal_to_listing_all_joint_paths(sizes):
    model = random_chains(sizes)
    x = model.sample(4, seed=1).observations
    x[2] = math.nan
    potentials = model.potentials(x)
    listed = joint_paths(potentials)  # (P, T, M)
    scores = path_log_joints(potentials, listed if len(sizes) > 1 else listed[..., 0])
    weights = scores.softmax(0)
    assert_close(model.log_likelihood(x), scores.logsumexp(0), rtol=0, atol=1e-9)
    best = model.viterbi(x)
    assert_close(best.log_joint, scores.max(), rtol=0, atol=1e-9)
    assert (best.states == listed[scores.argmax()]).all()
    for m, probs in enumerate(model.smooth(x).smoothed_probs):
        one_hot = torch.nn.functional.one_hot(listed[..., m], sizes[m]).double()
        assert_close(probs, torch.einsum("p,ptk->tk", weights, one_hot))


@pytest.mark.parametrize("num_steps", [1, 2, 9, 50])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equal_to_the_flat_chain(sizes, num_steps):
    """Kronecker products; and the score of the path is the score that is claimed."""
    model = random_chains(sizes, seed=3)
    x = model.sample(num_steps, seed=2).observations
    flat = model.flattened().potentials(x)
    evidence = log_likelihood(flat)
    assert_close(model.log_likelihood(x), evidence, rtol=0, atol=1e-9)
    best = model.viterbi(x)
    assert_close(best.log_joint, viterbi(flat).log_joint, rtol=0, atol=1e-9)
    assert_close(path_log_joint(model, x, best.states), best.log_joint)
    joint = smooth_states(flat).smoothed_probs.reshape(num_steps, *sizes)
    smoothed = model.smooth(x)
    assert_close(smoothed.log_likelihood, evidence, rtol=0, atol=1e-9)
    for m, probs in enumerate(smoothed.smoothed_probs):
        assert_close(probs, marginal(joint, m), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_filtering_is_equal_to_listing_the_paths_of_each_prefix(sizes):
    """p(z_t | x_{1:t}), and p(z_t | x_{1:t-1}): the same with the last step missing."""
    model = random_chains(sizes)
    x = model.sample(4, seed=1).observations
    x[1] = math.nan
    found = model.filter(x)
    assert_close(found.log_likelihood, model.log_likelihood(x))
    for t in range(4):
        prefix = x[: t + 1].clone()
        for probs in (found.filtered_probs, found.predicted_probs):
            potentials = model.potentials(prefix)
            listed = joint_paths(potentials)  # (P, t + 1, M)
            paths = listed if len(sizes) > 1 else listed[..., 0]
            weights = path_log_joints(potentials, paths).softmax(0)
            for m, size in enumerate(sizes):
                last = torch.nn.functional.one_hot(listed[:, -1, m], size).double()
                assert_close(probs[m][t], weights @ last, rtol=0, atol=1e-9)
            prefix[-1] = math.nan


def ragged(sizes):
    """A model and a batch with missing steps, and nonsense behind the ends."""
    model = random_chains(sizes, seed=3)
    x = model.sample(9, seed=2, num_sequences=4).observations
    lengths, observed = torch.tensor([9, 1, 5, 8]), torch.ones(4, 9).bool()
    x[0, 4], x[1, 1:], x[2, 5:] = math.nan, 1e9, math.inf
    x[3, 1], observed[3, :2], observed[0, 8] = math.inf, False, False
    return model, (x, lengths, observed)


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_a_ragged_batch_is_equal_to_the_flat_chain(sizes):
    model, given = ragged(sizes)
    flat = model.flattened().potentials(*given)
    exact = {"rtol": 0, "atol": 1e-9}
    evidence = log_likelihood(flat)
    assert_close(model.log_likelihood(*given), evidence, **exact)
    assert_close(log_likelihood(model.potentials(*given)), evidence, **exact)
    best, expected = model.viterbi(*given), viterbi(flat)
    assert_close(best.log_joint, expected.log_joint, **exact)
    joint = torch.stack(torch.unravel_index(expected.states.clamp(min=0), sizes), -1)
    behind = torch.arange(9) >= given[1][:, None]
    assert (best.states == joint.where(~behind[..., None], -1)).all()
    smoothed, filtered = model.smooth(*given), model.filter(*given)
    assert_close(smoothed.log_likelihood, evidence, **exact)
    assert_close(filtered.log_likelihood, evidence, **exact)
    for found, flat_probs in (
        (smoothed.smoothed_probs, smooth_states(flat).smoothed_probs),
        (filtered.filtered_probs, filter_states(flat).filtered_probs),
        (filtered.predicted_probs, filter_states(flat).predicted_probs),
    ):
        joint = flat_probs.reshape(36, *sizes)
        for m, probs in enumerate(found):
            expected = marginal(joint, m).reshape(4, 9, sizes[m])
            assert_close(probs, expected, **exact)
            assert (probs[behind] == 0).all()


def test_posterior_samples_of_a_ragged_batch():
    model, given = ragged((2, 3))
    x, lengths, observed = given
    paths = model.sample_states(x, 4000, 0, lengths, observed)
    assert paths.shape == (4000, 4, 9, 2)
    behind = torch.arange(9) >= lengths[:, None]
    assert (paths[:, behind] == -1).all()
    for m, exact in enumerate(model.smooth(*given).smoothed_probs):
        one_hot = torch.nn.functional.one_hot(
            paths[..., m].clamp(min=0), len(exact[0, 0])
        )
        error = 5 * (exact * (1 - exact) / 4000).sqrt() + 1e-9
        found = one_hot.double().mean(0)
        assert ((found - exact).abs() <= error)[~behind].all()


def test_a_batch_is_learned_from_as_its_sequences():
    """Gradients are those of the sum, for the parameters and for the observations."""
    model, (x, lengths, observed) = ragged((3, 2))
    means = [mean.clone().requires_grad_() for mean in model.emission.chain_means]
    x = x.clone().requires_grad_()
    chains = model.initial_probs, model.transition_matrices
    learner = FactorialHMM(*chains, additive_gaussian(means, 0.5))
    whole = learner.log_likelihood(x, lengths, observed).sum()
    flat = log_likelihood(learner.flattened().potentials(x, lengths, observed)).sum()
    leaves = [*means, x]
    expected = torch.autograd.grad(flat, leaves)
    assert_close(torch.autograd.grad(whole, leaves), expected)
    assert (expected[-1][0, :4] != 0).all()


def test_several_sequences_are_drawn_at_once():
    model = random_chains((2, 3), seed=1, scale=0.01)
    states, x = model.sample(6, seed=0, num_sequences=5000)
    assert states.shape == (5000, 6, 2) and x.shape == (5000, 6)
    assert ((x - model.emission.loc[tuple(states.unbind(-1))]).abs() < 0.06).all()
    for m, (probs, matrix) in enumerate(
        zip(model.initial_probs, model.transition_matrices, strict=True)
    ):
        for t in range(6):
            found = torch.bincount(states[:, t, m], minlength=len(probs)) / 5000
            assert ((found - probs).abs() < 5 * (0.25 / 5000) ** 0.5).all()
            probs = probs @ matrix
    alone, one = model.sample(6, seed=4), model.sample(6, seed=4, num_sequences=1)
    assert_close(Sample(*(each[0] for each in one)), alone, rtol=0, atol=0)


def test_the_stationary_distribution_of_each_chain():
    pytest.importorskip("hmmlib.stationary")
    model = random_chains((2, 1, 3), seed=2)
    matrices = [torch.full((k, k), 0.1 / k).double() for k in model.sizes]
    pairs = zip(matrices, model.transition_matrices, strict=True)
    matrices = [even + 0.9 * matrix for even, matrix in pairs]
    model = FactorialHMM(model.initial_probs, matrices, model.emission)
    for probs, matrix in zip(model.stationary_probs(), matrices, strict=True):
        assert_close(probs @ matrix, probs)
        assert_close(probs.sum().item(), 1.0)
    matrices[2] = torch.eye(3).double()
    model = FactorialHMM(model.initial_probs, matrices, model.emission)
    with pytest.raises(ValueError, match=r"^transition_matrices\[2\]: never leaves"):
        model.stationary_probs()


def test_posterior_samples_have_the_exact_marginals():
    model = random_chains((2, 3), seed=5, scale=2.0)
    x = model.sample(30, seed=2).observations
    num_samples = 4000
    paths = model.sample_states(x, num_samples, seed=0)
    assert paths.shape == (num_samples, 30, 2)
    assert (paths == model.sample_states(x, num_samples, seed=0)).all()
    for m, exact in enumerate(model.smooth(x).smoothed_probs):
        found = torch.nn.functional.one_hot(paths[..., m], exact.shape[1]).double()
        error = 5 * (exact * (1 - exact) / num_samples).sqrt() + 1e-9
        assert ((found.mean(0) - exact).abs() <= error).all()
    # Across the border of two blocks, too: 30 steps are blocks of 6.
    flat = model.flattened()
    flat_paths = paths[..., 0] * 3 + paths[..., 1]
    moves = torch.zeros(6, 6).double()
    moves.index_put_(
        (flat_paths[:, 5], flat_paths[:, 6]),
        torch.ones(num_samples).double(),
        accumulate=True,
    )
    exact = pairwise_probs(flat.potentials(x))[5]
    error = 5 * (exact * (1 - exact) / num_samples).sqrt() + 2e-3
    assert ((moves / num_samples - exact).abs() <= error).all()


def test_a_sample_has_the_right_moves_and_levels():
    model = random_chains((2, 3), seed=1, scale=0.01)
    states, x = model.sample(200, seed=0, num_sequences=100)
    assert states.shape == (100, 200, 2) and x.shape == (100, 200)
    assert ((x - model.emission.loc[tuple(states.unbind(-1))]).abs() < 0.06).all()
    for m, matrix in enumerate(model.transition_matrices):
        counts = torch.zeros_like(matrix)
        pair = (states[:, :-1, m], states[:, 1:, m])
        counts.index_put_(pair, torch.ones(100, 199).double(), accumulate=True)
        found = counts / counts.sum(1, keepdim=True).clamp(min=1)
        seen = counts.sum(1) > 500
        assert ((found - matrix).abs()[seen] < 0.08).all()
    assert (states == model.sample(200, seed=0, num_sequences=100).states).all()
    states, x = model.sample(200, seed=0)
    assert states.shape == (200, 2) and x.shape == (200,)
    assert ((x - model.emission.loc[tuple(states.T)]).abs() < 0.06).all()
    assert (states == model.sample(200, seed=0).states).all()


def test_other_emissions():
    """A table of symbols, and vectors, for each joint state."""
    g = torch.Generator().manual_seed(0)
    chains = tuple(rows(g, 2) for _ in range(2)), tuple(rows(g, 2, 2) for _ in range(2))
    vectors = MultivariateNormal(
        torch.randn(2, 2, 3, generator=g, dtype=torch.float64), torch.eye(3).double()
    )
    for emission in (Categorical(rows(g, 2, 2, 4)), vectors):
        model = FactorialHMM(*chains, emission)
        x = model.sample(12, seed=0).observations
        flat = model.flattened()
        assert_close(model.log_likelihood(x), log_likelihood(flat.potentials(x)))
        batch = model.potentials(torch.stack([x, x.flip(0)]))
        assert_close(log_likelihood(batch)[0], model.log_likelihood(x))


def test_explaining_away():
    """Two lamps, one meter: either may be on, hardly both; apart they are independent."""
    even = torch.tensor([0.5, 0.5]).double()
    stay = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).double()
    lamps = additive_gaussian([torch.tensor([0.0, 60.0]).double()] * 2, 5.0)
    model = FactorialHMM((even, even), (stay, stay), lamps)
    joint = smooth_states(model.potentials([60.0])).smoothed_probs[0]
    assert_close(joint[0, 1], torch.tensor(0.5).double())
    product = joint.sum(1)[:, None] * joint.sum(0)
    assert (joint - product).abs().max() > 0.2


def test_impossible_observations():
    emission = Categorical(
        torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [1, 0]]]).double()
    )
    even, stay = torch.tensor([0.5, 0.5]).double(), torch.eye(2).double()
    model = FactorialHMM((even, even), (stay, stay), emission)
    assert model.log_likelihood([0, 1]) == -math.inf
    assert (model.viterbi([0, 1]).states == -1).all()
    asks = (model.smooth, model.filter, lambda x: model.sample_states(x, 1))
    for ask in asks:
        with pytest.raises(ValueError, match="the sequence has probability 0"):
            ask([0, 1])
        with pytest.raises(ValueError, match="sequence 1 has probability 0"):
            ask([[0, 0], [0, 1]])
    batch = [[0, 0], [0, 1]]
    assert model.log_likelihood(batch).tolist() == [0.0, -math.inf]
    best = model.viterbi(batch)
    assert best.log_joint[1] == -math.inf and (best.states[1] == -1).all()
    assert (best.states[0] >= 0).all()


ONE = ([0.5, 0.5],), ([[0.5, 0.5]] * 2,)
EVEN = Normal(torch.zeros(2), 1.0)
REFUSED = [
    (
        lambda: FactorialHMM(ONE[0], ([[1.0]],), EVEN),
        "transition_matrices: got shapes",
    ),
    (
        lambda: FactorialHMM(([0.5, 0.6],), ([[1.0]],), EVEN),
        r"initial_probs\[0\]: sums to 1.1",
    ),
    (
        lambda: FactorialHMM(*ONE, Normal(torch.zeros(3), 1.0)),
        r"emission: got batch_shape \(3,\), needs \(2,\)",
    ),
    (
        lambda: random_chains((2, 2)).viterbi([1.0, math.inf]),
        "observations: inf at step 1, needs a finite value",
    ),
    (lambda: random_chains((2, 2)).viterbi([]), "at least one step"),
    (
        lambda: random_chains((2, 2)).smooth([1.0, 2.0], [2]),
        "lengths: given for observations of one sequence",
    ),
    (
        lambda: random_chains((2, 2)).filter(torch.zeros(2, 3), [2, 4]),
        "lengths: got .2, 4., needs integers from 1 to 3",
    ),
    (
        lambda: random_chains((2, 2)).log_likelihood([1.0, 2.0], None, [True]),
        "observed: got torch.bool of shape",
    ),
    (
        lambda: random_chains((2, 2)).viterbi(torch.zeros(3, 1)),
        r"observations: got shape \(3, 1\); .* pass lengths=\[1\] \* 3",
    ),
    (lambda: random_chains((2, 2)).sample(2, 0, 0), "num_sequences: got 0"),
    (
        lambda: random_chains((3,) * 10).flattened(),
        "59,049 joint states; the transition",
    ),
    (
        lambda: random_chains((3,) * 14).viterbi(torch.zeros(1440)),
        "4,782,969 joint states; .* mean_field or coordinate_ascent",
    ),
    *[
        (
            lambda shape=shape: random_chains((2, 2)).potentials(torch.zeros(shape)),
            "observations: got shape",
        )
        for shape in ((), (2, 0), (2, 2, 2))
    ],
    (
        lambda: random_chains((3,) * 10).potentials(torch.zeros(100_000)),
        "59,049 joint states; all log-likelihoods would take 47.2 GB",
    ),
    (
        lambda: random_chains((2, 2)).sample_states([1.0, 2.0], 10**9),
        "4 joint states; the scores of all samples would take 32.0 GB.* or fewer samples",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_impossible_symbol_among_others_is_refused():
    g = torch.Generator().manual_seed(0)
    emission = Categorical(rows(g, 2, 3, 4))
    model = FactorialHMM(
        (rows(g, 2), rows(g, 3)), (rows(g, 2, 2), rows(g, 3, 3)), emission
    )
    with pytest.raises(
        ValueError, match="observations: 7 at step 2, needs an integer from 0 to 3"
    ):
        model.viterbi([0, 1, 7, 2])


def test_a_seed_leaves_other_draws_alone_and_none_goes_on():
    g = torch.Generator().manual_seed(0)
    certain = Categorical(torch.eye(4).double().reshape(2, 2, 4))
    chains = tuple(rows(g, 2) for _ in range(2)), tuple(rows(g, 2, 2) for _ in range(2))
    model = FactorialHMM(*chains, certain)
    before = torch.get_rng_state()
    states, x = model.sample(30, seed=3)
    model.sample_states(x, 2, seed=3)
    assert (torch.get_rng_state() == before).all()
    assert (x == 2 * states[:, 0] + states[:, 1]).all()
    first, second = model.sample(30), model.sample(30)
    assert (first.states != second.states).any()


def test_a_value_that_only_some_states_can_emit():
    """The ends of a uniform emission depend on the joint state."""
    g = torch.Generator().manual_seed(0)
    low = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).double()
    chains = tuple(rows(g, 2) for _ in range(2)), tuple(rows(g, 2, 2) for _ in range(2))
    model = FactorialHMM(*chains, Uniform(low, low + 2.0))
    x = model.sample(20, seed=0).observations
    flat = model.flattened().potentials(x)
    assert_close(model.log_likelihood(x), log_likelihood(flat))
    assert_close(model.viterbi(x).log_joint, viterbi(flat).log_joint)
    with pytest.raises(ValueError, match="observations: 7 at step 1, needs a finite"):
        model.log_likelihood([1.0, 7.0])


def test_one_infinity_in_a_vector_is_refused():
    emission = MultivariateNormal(torch.zeros(2, 2).double(), torch.eye(2).double())
    model = FactorialHMM(([0.5, 0.5],), ([[0.5, 0.5]] * 2,), emission)
    with pytest.raises(ValueError, match=r"observations: .0.0, inf. at step 1, needs"):
        model.log_likelihood([[0.0, 1.0], [0.0, math.inf]])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_uniform_number_draws_what_is_impossible(dtype, monkeypatch):
    """The least one is 0, the largest 1 - eps / 2; the first and last state never occur."""
    g = torch.Generator().manual_seed(0)
    probs = torch.cat([torch.zeros(7, 1), rows(g, 7, 5), torch.zeros(7, 1)], 1).to(
        dtype
    )
    model = FactorialHMM(
        (probs[0],), (probs,), additive_gaussian([torch.zeros(7)], 1.0)
    )
    for number in (0.0, 1 - torch.finfo(dtype).eps / 2):
        monkeypatch.setattr(
            torch,
            "rand",
            lambda *shape, number=number, **_: torch.full(*shape, number, dtype=dtype),
        )
        paths = model.sample_states(torch.zeros(30), 1)
        assert paths.min() >= 1 and paths.max() <= 5
