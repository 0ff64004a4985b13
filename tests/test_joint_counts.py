"""Expected counts of several chains: enumeration, the flat chain, and the gradient of log p."""

import math

import pytest
import torch
from random_models import joint_paths, random_chains, rows
from torch.distributions import Categorical
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.enumeration import path_log_joints
from hmmlib.factorial import FactorialHMM, additive_gaussian, counts

SHAPES = [(2,), (3, 2), (2, 2, 3), (1, 2), (3, 1, 2)]
ENGINES = [None, engines.recursion]


def every_move(model):
    """The same model without forbidden moves."""
    moves = tuple(0.9 * a + 0.1 / len(a) for a in model.transition_matrices)
    return FactorialHMM(model.initial_probs, moves, model.emission)


def of_the_flat_chain(model, x, **given):
    """The counts of prod(K) states, added up over the states of other chains."""
    flat, sizes = model.flattened(), model.sizes
    given = {"engine": engines.recursion, **given}
    total, chains = flat.total_counts(x, **given), range(len(sizes))
    letters, ends = "abcdef"[: len(sizes)], "uvwxyz"[: len(sizes)]
    starts = total.initial.reshape(sizes)
    moves = total.transitions.reshape(sizes + sizes)
    probs = flat.smooth(x, **given).smoothed_probs[~x.isnan()]
    apart = x[~x.isnan(), None] - flat.emission.loc
    return counts.JointCounts(
        total.log_likelihood,
        tuple(torch.einsum(f"{letters}->{letters[m]}", starts) for m in chains),
        tuple(
            torch.einsum(f"{letters}{ends}->{letters[m]}{ends[m]}", moves)
            for m in chains
        ),
        torch.stack([(probs * apart**power).sum(0) for power in range(3)]).reshape(
            3, *sizes
        ),
    )


def close(found, expected):
    assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES, ids=["compiled", "recursion"])
@pytest.mark.parametrize("forbidden", [False, True])
@pytest.mark.parametrize("num_steps", [1, 2, 9, 50])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equal_to_the_flat_chain(sizes, num_steps, forbidden, engine):
    model = random_chains(sizes, seed=3)
    model = model if forbidden else every_move(model)
    x = model.sample(num_steps, seed=2).observations
    x[3:5] = math.nan
    close(model.expected_counts(x, engine=engine), of_the_flat_chain(model, x))


@pytest.mark.parametrize("engine", ENGINES, ids=["compiled", "recursion"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equal_to_listing_all_joint_paths(sizes, engine):
    model = every_move(random_chains(sizes))
    x = model.sample(4, seed=1).observations
    potentials = model.potentials(x)
    listed = joint_paths(potentials)  # (P, T, M)
    scores = path_log_joints(potentials, listed if len(sizes) > 1 else listed[..., 0])
    weights, found = scores.softmax(0), model.expected_counts(x, engine=engine)
    close(found.log_likelihood, scores.logsumexp(0))
    for m, size in enumerate(sizes):
        path = torch.nn.functional.one_hot(listed[..., m], size).double()
        close(found.starts[m], weights @ path[:, 0])
        moved = torch.einsum("p,pti,ptj->ij", weights, path[:, :-1], path[:, 1:])
        close(found.moves[m], moved)
    apart = x - model.emission.loc[tuple(listed.movedim(-1, 0))]  # (P, T)
    for power, uses in enumerate(found.uses):
        close(uses.sum(), (weights[:, None] * apart**power).sum())


def test_of_several_sequences_of_different_lengths():
    model = every_move(random_chains((2, 3)))
    x = model.sample(30, seed=1, num_sequences=3).observations
    together = model.expected_counts(x, lengths=[30, 1, 12])
    alone = [model.expected_counts(row) for row in (x[0], x[1, :1], x[2, :12])]
    for name in ("log_likelihood", "uses"):
        close(getattr(together, name), sum(getattr(each, name) for each in alone))
    for name in ("starts", "moves"):
        columns = zip(*(getattr(each, name) for each in alone), strict=True)
        close(getattr(together, name), tuple(sum(column) for column in columns))


def test_of_known_states():
    """Where all are known, moves are counted; where some are, the flat chain agrees."""
    model = every_move(random_chains((2, 3)))
    states, x = model.sample(40, seed=1)
    found = model.expected_counts(x, labels=states)
    for m, size in enumerate(model.sizes):
        counted = torch.zeros(size, size).double()
        for i, j in zip(states[:-1, m], states[1:, m], strict=True):
            counted[i, j] += 1
        close(found.moves[m], counted)
    states[5:35] = -1
    joint = states[:, 0] * 3 + states[:, 1]
    joint[5:35] = -1
    some = of_the_flat_chain(model, x, labels=joint)
    close(model.expected_counts(x, labels=states), some)


@pytest.mark.parametrize("engine", ENGINES, ids=["compiled", "recursion"])
def test_evidence_of_a_chain_is_added_to_the_likelihood(engine):
    """Against known states, which are evidence of 0 and -inf; and a weight against all paths."""
    model = every_move(random_chains((2, 3)))
    states, x = model.sample(4, seed=1)
    sure = torch.where(torch.arange(3) == states[:, 1:], 0.0, -torch.inf)
    labels = torch.stack([torch.full((4,), -1), states[:, 1]], -1)
    close(
        model.expected_counts(x, evidence=(None, sure), engine=engine),
        model.expected_counts(x, labels=labels),
    )
    said = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()
    potentials = model.potentials(x)
    paths = joint_paths(potentials)
    scores = path_log_joints(potentials, paths) + said[range(4), paths[..., 0]].sum(-1)
    found = model.expected_counts(x, evidence=(said, None), engine=engine)
    close(found.log_likelihood, scores.logsumexp(0))
    first = torch.nn.functional.one_hot(paths[:, 0, 1], 3).double()
    close(found.starts[1], scores.softmax(0) @ first)


@pytest.mark.parametrize("smallest", [1e-30, 1e-60, 0.0])
def test_nothing_is_lost_behind_an_improbable_move(smallest):
    """A reading that only the state behind the move explains; scaled sums would lose it."""
    stay = torch.tensor([[1 - smallest, smallest], [smallest, 1 - smallest]]).double()
    start = torch.tensor([1e-250, 1.0], dtype=torch.float64)
    emission = additive_gaussian([[0.0, 100.0], [0.0, 1.0]], 1.0)
    even = torch.tensor([[0.9, 0.1], [0.5, 0.5]]).double()
    model = FactorialHMM((start, start), (stay, even), emission)
    x = torch.tensor([100.0, 0.0, 0.0, 100.0, 2.0]).double()
    close(model.expected_counts(x), of_the_flat_chain(model, x))


def test_a_start_that_is_certain_but_unlikely():
    """The reading is 900 nats better in a state in which no sequence starts."""
    model = every_move(random_chains((2, 2)))
    start = torch.tensor([1.0, 0.0]).double()
    emission = additive_gaussian([[0.0, 45.0], [0.0, 1.0]], 1.0)
    model = FactorialHMM((start, start), model.transition_matrices, emission)
    x = torch.tensor([45.0, 45.0, 0.0]).double()
    close(model.expected_counts(x), of_the_flat_chain(model, x))


def test_moves_are_the_gradient_of_the_log_likelihood():
    model = every_move(random_chains((3, 2), seed=5))
    x = model.sample(60, seed=0).observations
    free = [a.log().requires_grad_() for a in model.transition_matrices]
    p = model.potentials(x)._replace(log_transitions=tuple(free))
    total = engines.recursion.log_likelihood(p)
    close(model.expected_counts(x).moves, torch.autograd.grad(total, free))


def test_other_families_have_no_moments():
    said = Categorical(rows(torch.Generator().manual_seed(0), 2, 3, 4))
    like = every_move(random_chains((2, 3)))
    model = FactorialHMM(like.initial_probs, like.transition_matrices, said)
    x = model.sample(20, seed=0).observations
    found, flat = model.expected_counts(x), model.flattened().total_counts(x)
    assert found.uses is None
    close(found.log_likelihood, flat.log_likelihood)
    assert_close(found.moves[0].sum(), torch.tensor(19.0).double())


def test_single_precision_and_parameters_with_a_gradient():
    model = every_move(random_chains((2, 3)))
    x = model.sample(20, seed=0).observations
    given = model.initial_probs, model.transition_matrices
    half = [tuple(each.float() for each in part) for part in given]
    means = [mean.float().requires_grad_() for mean in model.emission.chain_means]
    short = FactorialHMM(*half, additive_gaussian(means, 0.5))
    found, expected = short.expected_counts(x), model.expected_counts(x)
    assert found.uses.dtype == torch.float32 and not found.uses.requires_grad
    assert_close(found.uses.double(), expected.uses, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES, ids=["compiled", "recursion"])
def test_impossible_observations_are_refused(engine):
    said = Categorical(torch.tensor([1.0, 0.0]).double().expand(2, 2, 2))
    like = every_move(random_chains((2, 2)))
    model = FactorialHMM(like.initial_probs, like.transition_matrices, said)
    with pytest.raises(ValueError, match="probability 0"):
        model.expected_counts([0, 1, 0], engine=engine)


def test_memory_does_not_grow_with_the_steps():
    """40,000 steps of 486 joint states; all messages of one kind would be 156 MB."""
    import resource

    model = every_move(random_chains((2, 3, 3, 3, 3, 3), scale=1.0))
    x = model.sample(1000, seed=0).observations.repeat(40)
    model.expected_counts(x[:100])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.expected_counts(x)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3 < 60
