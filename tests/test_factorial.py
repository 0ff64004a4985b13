"""Several chains: equal to enumeration and to the flat chain, in bounded memory."""

import math
import resource

import pytest
import torch
from random_models import joint_paths, rows
from torch.distributions import Categorical, MultivariateNormal, Normal
from torch.testing import assert_close

from hmmlib.enumeration import path_log_joints
from hmmlib.factorial import (
    FactorialHMM,
    additive_gaussian,
    coordinate_ascent,
    mean_field,
    path_log_joint,
)
from hmmlib.hmm import HMM
from hmmlib.inference import (
    log_likelihood,
    pairwise_probs,
    smooth_states,
    viterbi,
)


def random_model(sizes, seed=0, scale=0.5):
    """Random chains whose levels add up; a third of the moves of the first one forbidden."""
    g = torch.Generator().manual_seed(seed)
    matrices = [rows(g, k, k) for k in sizes]
    if sizes[0] > 2:
        matrices[0] = matrices[0].triu() + torch.eye(sizes[0]).double()
        matrices[0] = matrices[0] / matrices[0].sum(-1, keepdim=True)
    means = [3 * torch.randn(k, generator=g, dtype=torch.float64) for k in sizes]
    return FactorialHMM(
        tuple(rows(g, k) for k in sizes),
        tuple(matrices),
        additive_gaussian(means, scale),
    )


def marginal(probs, chain):
    axes = [axis for axis in range(1, probs.ndim) if axis != 1 + chain]
    return probs.sum(axes) if axes else probs


SHAPES = [(2,), (3, 2), (2, 2, 3), (1, 2), (3, 1, 2)]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equal_to_listing_all_joint_paths(sizes):
    model = random_model(sizes)
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
    model = random_model(sizes, seed=3)
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


def test_posterior_samples_have_the_exact_marginals():
    model = random_model((2, 3), seed=5, scale=2.0)
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
    model = random_model((2, 3), seed=1, scale=0.01)
    states, x = model.sample(20_000, seed=0)
    assert states.shape == (20_000, 2) and x.shape == (20_000,)
    assert ((x - model.emission.loc[tuple(states.T)]).abs() < 0.06).all()
    for m, matrix in enumerate(model.transition_matrices):
        counts = torch.zeros_like(matrix)
        pair = (states[:-1, m], states[1:, m])
        counts.index_put_(pair, torch.ones(19_999).double(), accumulate=True)
        found = counts / counts.sum(1, keepdim=True).clamp(min=1)
        seen = counts.sum(1) > 500
        assert ((found - matrix).abs()[seen] < 0.08).all()
    assert (states == model.sample(20_000, seed=0).states).all()


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


@pytest.mark.parametrize("seed", range(6))
def test_approximations_against_the_exact_answer(seed):
    model = random_model((2, 2, 3), seed=seed, scale=1.0)
    x = model.sample(40, seed=seed).observations
    x[3] = math.nan
    best = model.viterbi(x)
    found = coordinate_ascent(model, x)
    assert found.log_joint <= best.log_joint + 1e-9
    assert_close(path_log_joint(model, x, found.states), found.log_joint)
    again = coordinate_ascent(model, x, start=best.states)
    assert (again.states == best.states).all()  # the optimum is a fixed point
    one_sweep = coordinate_ascent(model, x, num_sweeps=1)
    assert found.log_joint >= one_sweep.log_joint - 1e-9
    for probs in mean_field(model, x):
        assert_close(probs.sum(1), torch.ones(40).double())


def test_mean_field_is_exact_for_one_chain():
    model = random_model((3,), seed=2)
    x = model.sample(25, seed=0).observations
    assert_close(mean_field(model, x)[0], model.smooth(x).smoothed_probs[0])


def test_a_long_series_takes_little_memory():
    """10,000 steps of 243 joint states: all messages would be 19 MB, all pairs of them more."""
    model = random_model((3,) * 5, scale=1.0)
    x = model.sample(10_000, seed=0).observations
    model.viterbi(x[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = model.viterbi(x)
    model.smooth(x)
    paths = model.sample_states(x, 20, seed=0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    assert best.states.shape == (10_000, 5) and paths.shape == (20, 10_000, 5)
    assert grown < 40  # MB; the paths themselves are 8


def test_impossible_observations():
    emission = Categorical(
        torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [1, 0]]]).double()
    )
    even, stay = torch.tensor([0.5, 0.5]).double(), torch.eye(2).double()
    model = FactorialHMM((even, even), (stay, stay), emission)
    assert model.log_likelihood([0, 1]) == -math.inf
    assert (model.viterbi([0, 1]).states == -1).all()
    for ask in (model.smooth, lambda x: model.sample_states(x, 1)):
        with pytest.raises(ValueError, match="probability 0"):
            ask([0, 1])


REFUSED = [
    (lambda: additive_gaussian([[0.0, 1.0], []], 1.0), "means: got shapes"),
    (lambda: additive_gaussian([torch.zeros(2)], -1.0), "scale: got"),
    (
        lambda: additive_gaussian([torch.zeros(2)] * 33, 1.0),
        "8,589,934,592 joint states",
    ),
    (
        lambda: FactorialHMM(([0.5, 0.5],), ([[1.0]],), Normal(torch.zeros(2), 1.0)),
        "transition_matrices: got shapes",
    ),
    (
        lambda: FactorialHMM(([0.5, 0.6],), ([[1.0]],), Normal(torch.zeros(2), 1.0)),
        r"initial_probs\[0\]: sums to 1.1",
    ),
    (
        lambda: FactorialHMM(
            ([0.5, 0.5],), ([[0.5, 0.5]] * 2,), Normal(torch.zeros(3), 1.0)
        ),
        r"emission: got batch_shape \(3,\), needs \(2,\)",
    ),
    (lambda: random_model((2, 2)).smooth(torch.zeros(2, 3)), "got a batch, needs one"),
    (lambda: random_model((2, 2)).viterbi([1.0, math.inf]), "needs finite values"),
    (lambda: random_model((2, 2)).viterbi([]), "T >= 1"),
    (lambda: mean_field(random_model((2, 2)), [1.0, math.inf]), "needs finite values"),
    (
        lambda: coordinate_ascent(random_model((2, 2)), [1.0], start=[[-1, -1]]),
        r"states: got torch.int64 of shape \(1, 2\), needs integers \(1, 2\), from 0",
    ),
    (lambda: path_log_joint(random_model((2, 2)), [1.0, 2.0], [[0, 0]]), "states: got"),
    (
        lambda: random_model((3,) * 10).flattened(),
        "59,049 joint states; the transition",
    ),
    (
        lambda: random_model((3,) * 14).viterbi(torch.zeros(1440)),
        "4,782,969 joint states; .* mean_field or coordinate_ascent",
    ),
    (
        lambda: mean_field(
            FactorialHMM(
                ([0.5, 0.5],), ([[0.5, 0.5]] * 2,), Normal(torch.zeros(2), 1.0)
            ),
            [1.0],
        ),
        "needs additive_gaussian",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mean_field_stops_when_no_probability_moves_any_more():
    model = random_model((2, 2, 3), seed=1, scale=1.0)
    x = model.sample(40, seed=1).observations
    endless = mean_field(model, x, num_sweeps=300, tolerance=-1.0)
    for found, fixed in zip(mean_field(model, x, 300, 1e-9), endless, strict=True):
        assert_close(found, fixed, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("means", "scale", "message"),
    [
        (
            [[0.0, math.nan], [1.0]],
            1.0,
            r"means\[0\]: got .*nan.*, needs finite numbers",
        ),
        ([[0.0, 1.0], [math.inf]], 1.0, r"means\[1\]: got .inf., needs finite"),
        ([[0.0, 1.0]], [1.0, math.nan], r"scale: got .1.0, nan., needs one positive"),
        ([[0.0, 1.0]], math.inf, "scale: got inf"),
        ([[0.0, 1.0]], [1.0, 1.0, 1.0], r"scale: got shape \(3,\), needs one positive"),
        (3, 1.0, "means: got 3, needs M tensors"),
    ],
)
def test_levels_and_noise_are_looked_at(means, scale, message):
    with pytest.raises(ValueError, match=message):
        additive_gaussian(means, scale)


def test_a_path_through_readings_that_are_vectors():
    g = torch.Generator().manual_seed(0)
    means = torch.randn(2, 3, 2, generator=g, dtype=torch.float64)
    emission = MultivariateNormal(means, torch.eye(2).double())
    model = FactorialHMM(
        (rows(g, 2), rows(g, 3)), (rows(g, 2, 2), rows(g, 3, 3)), emission
    )
    x = torch.randn(4, 2, generator=g, dtype=torch.float64)
    x[1, 0] = math.nan
    states = torch.tensor([[0, 2], [1, 0], [1, 1], [0, 1]])
    listed = path_log_joints(model.potentials(x), states[None])[0]
    assert_close(path_log_joint(model, x, states), listed)


def test_mean_field_begins_with_even_odds():
    """The first chain is smoothed against the mean of the levels of the other one."""
    model = random_model((2, 3), seed=4, scale=1.0)
    x = model.sample(10, seed=0).observations
    first, other = model.emission.chain_means
    alone = HMM(
        model.initial_probs[0],
        model.transition_matrices[0],
        Normal(first + other.mean(), 1.0),
    )
    expected = smooth_states(alone.potentials(x)).smoothed_probs
    assert_close(mean_field(model, x, num_sweeps=1)[0], expected)


def test_one_impossible_symbol_among_others_is_refused():
    g = torch.Generator().manual_seed(0)
    emission = Categorical(rows(g, 2, 3, 4))
    model = FactorialHMM(
        (rows(g, 2), rows(g, 3)), (rows(g, 2, 2), rows(g, 3, 3)), emission
    )
    with pytest.raises(ValueError, match=r"observations: 7.0, needs values in"):
        model.viterbi([0, 1, 7, 2])
