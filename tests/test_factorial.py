"""Several chains: equal to enumeration and to the flat chain, in bounded memory."""

import math
import resource

import pytest
import torch
from random_models import joint_paths, rows
from torch.distributions import Categorical, MultivariateNormal, Normal, Uniform
from torch.testing import assert_close

from hmmlib import factorial
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


def test_memory_does_not_grow_with_the_steps():
    """40,000 steps of 486 joint states: all messages would be 156 MB, all pairs of them more."""
    model = random_model((2, 3, 3, 3, 3, 3), scale=1.0)
    x = model.sample(1000, seed=0).observations.repeat(40)
    model.smooth(x[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    best = model.viterbi(x)
    model.smooth(x)
    paths = model.sample_states(x[:2000], 20, seed=0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    assert best.states.shape == (40_000, 6) and paths.shape == (20, 2000, 6)
    assert grown < 80  # MB; the answers themselves are 10


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
    (lambda: random_model((2, 2)).viterbi([]), "at least one step"),
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
    (
        lambda: mean_field(several_scales(), [1.0]),
        "got emission Normal, needs additive_gaussian with one scale",
    ),
    (
        lambda: mean_field(random_model((2, 2)), torch.zeros(2, 3)),
        r"observations: got shape \(2, 3\), needs finite values, \(T,\)",
    ),
    (
        lambda: mean_field(random_model((2, 2)), [math.inf, 1.0]),
        "observations: got an infinity",
    ),
    *[
        (
            lambda start=start: coordinate_ascent(
                random_model((2, 2)), [1.0], start=start
            ),
            "states: got .* needs integers",
        )
        for start in ([[2, 0]], [[0, 2]], [[0, -1]], [[0.0, 1.0]])
    ],
    *[
        (
            lambda shape=shape: random_model((2, 2)).potentials(torch.zeros(shape)),
            "observations: got shape",
        )
        for shape in ((), (2, 0), (2, 2, 2))
    ],
    (
        lambda: random_model((3,) * 10).potentials(torch.zeros(100_000)),
        "59,049 joint states; all log-likelihoods would take 47.2 GB",
    ),
    (
        lambda: random_model((2, 2)).sample_states([1.0, 2.0], 10**9),
        "4 joint states; the scores of all samples would take 32.0 GB.* or fewer samples",
    ),
]


def several_scales():
    scale = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    return random_model((2, 2), scale=scale)


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


def test_a_limit_of_memory_holds_to_the_byte(monkeypatch):
    """Where 12 numbers of 8 bytes are the most, 12 joint states fit, and 13 do not."""
    monkeypatch.setattr(factorial, "MOST_BYTES", 8 * 12)
    assert random_model((3, 4)).potentials([0.0]).log_likelihoods.numel() == 12
    with pytest.raises(ValueError, match="means: 13 joint states"):
        additive_gaussian([torch.zeros(13)], 1.0)
    with pytest.raises(ValueError, match="6 joint states; all log-likelihoods"):
        random_model((3, 2)).potentials([0.0] * 3)
    # 9 steps are blocks of 3, whose messages alone are 18 numbers.
    with pytest.raises(ValueError, match="6 joint states; the messages of a block"):
        random_model((3, 2)).viterbi([0.0] * 9)
    monkeypatch.setattr(factorial, "MOST_BYTES", 8 * 18 * 20)
    assert random_model((3, 2)).viterbi([0.0] * 9).states.shape == (9, 2)


@pytest.mark.parametrize("sizes", [(2,), (3, 2), (2, 2, 3)], ids=str)
def test_messages_computed_again_are_those_that_were_kept(sizes, monkeypatch):
    """A long series does not keep them."""
    model = random_model(sizes, seed=6)
    x = model.sample(50, seed=0).observations
    kept = model.viterbi(x), model.smooth(x)
    monkeypatch.setattr(factorial, "KEPT", 0)
    assert_close((model.viterbi(x), model.smooth(x)), kept, rtol=1e-9, atol=1e-9)


def test_levels_keep_their_precision():
    whole, single = torch.tensor([0, 60]), torch.tensor([0.0, 60.0])
    assert additive_gaussian([whole], 1.0).loc.dtype == torch.float64
    assert additive_gaussian([whole, single], 1.0).loc.dtype == torch.float32
    assert additive_gaussian([single.double(), single], 1.0).loc.dtype == torch.float64


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
    with pytest.raises(ValueError, match="needs values in"):
        model.log_likelihood([1.0, 7.0])


def test_one_infinity_in_a_vector_is_refused():
    emission = MultivariateNormal(torch.zeros(2, 2).double(), torch.eye(2).double())
    model = FactorialHMM(([0.5, 0.5],), ([[0.5, 0.5]] * 2,), emission)
    with pytest.raises(ValueError, match="needs finite values"):
        model.log_likelihood([[0.0, 1.0], [0.0, math.inf]])


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_is_lost_behind_a_forbidden_move(turned):
    """The state that is worse by 1,800 nats is the only one that says symbol 1."""
    said = torch.tensor([[1.0, 0.0], [1e-200, 1.0]], dtype=torch.float64)
    stay = torch.eye(2).double()
    model = FactorialHMM(
        ([0.5, 0.5], [1.0]), (stay, [[1.0]]), Categorical(said[:, None])
    )
    x = torch.tensor([0, 0, 0, 0, 1])
    x = x.flip(0) if turned else x
    expected = 4 * math.log(1e-200) + math.log(0.5)
    assert_close(model.log_likelihood(x).item(), expected)
    assert_close(model.viterbi(x).log_joint.item(), expected)
    assert (model.viterbi(x).states[:, 0] == 1).all()
    assert (model.smooth(x).smoothed_probs[0][:, 1] == 1).all()


def test_nothing_is_printed_unless_it_is_asked_for(capsys):
    model = random_model((2, 3))
    x = model.sample(9, seed=0).observations
    asks = (
        (model.log_likelihood, ["forwards"]),
        (model.viterbi, ["forwards", "backwards"]),
        (model.smooth, ["forwards", "backwards"]),
        (lambda x, **bar: model.sample_states(x, 1, **bar), ["forwards", "backwards"]),
    )
    for ask, said in asks:
        ask(x)
        assert not capsys.readouterr().err
        ask(x, progress=True)
        told = capsys.readouterr().err
        assert all(word in told for word in said)


def test_mean_field_stops_at_its_tolerance():
    """No probability can move by 1 from even odds, so that one sweep is all."""
    model = random_model((2, 3), seed=4, scale=1.0)
    x = model.sample(20, seed=0).observations
    one, more = mean_field(model, x, num_sweeps=1), mean_field(model, x)
    assert_close(mean_field(model, x, tolerance=1.0), one, rtol=0, atol=0)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(one, more, strict=True))
    fixed = mean_field(model, x, num_sweeps=300, tolerance=-1.0)
    assert_close(more, fixed, rtol=0, atol=1e-4)


def test_coordinate_ascent_begins_in_state_0_and_ends_where_no_chain_gains():
    model = random_model((2, 2, 3), seed=8, scale=3.0)
    x = model.sample(40, seed=0).observations
    nothing = torch.zeros(40, 3, dtype=torch.long)
    first = coordinate_ascent(model, x, num_sweeps=1)
    begun = coordinate_ascent(model, x, num_sweeps=1, start=nothing)
    assert (first.states == begun.states).all()
    end = coordinate_ascent(model, x).states
    assert (end == coordinate_ascent(model, x, num_sweeps=1, start=end).states).all()
    assert (end != first.states).any()


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
