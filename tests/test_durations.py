"""Explicit durations: against all paths listed, and against a plain HMM of more states."""

import warnings

import pytest
import torch
from random_models import rows
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

from hmmlib import HMM, engines
from hmmlib.durations import (
    HSMM,
    geometric_after,
)
from hmmlib.enumeration import all_paths
from hmmlib.learning import fit_hsmm, hsmm_em_step, log_prior
from hmmlib.learning.durations import PARTS_OF_HSMM

EXACT = {"rtol": 1e-9, "atol": 1e-12}
each_end = pytest.mark.parametrize("censored", [True, False])
each_engine = pytest.mark.parametrize("engine", [None, engines.recursion])


def with_zeros(g, *shape, share=0.3):
    """Random probabilities, some of them 0, but never a whole row."""
    table = rows(g, *shape)
    table = table * (torch.rand(*shape, generator=g) > share)
    table[..., 0] += (table.sum(-1) == 0).double()
    return table / table.sum(-1, keepdim=True)


def jumps(g, size, share=0.3):
    """Random moves to another state."""
    matrix = torch.zeros(size, size).double()
    for k in range(size if size > 1 else 0):
        others = [j for j in range(size) if j != k]
        matrix[k, others] = with_zeros(g, size - 1, share=share)
    return matrix


def random_hsmm(seed, share=0.3):
    """A model of symbols, and a sequence that it may find impossible."""
    g = torch.Generator().manual_seed(seed)
    size, longest, num_steps = (
        int(torch.randint(low, high, (), generator=g))
        for low, high in ((1, 4), (1, 5), (1, 7))
    )
    emission = Categorical(probs=with_zeros(g, size, 3, share=share / 2))
    initial, table = with_zeros(g, size), with_zeros(g, size, longest, share=share)
    model = HSMM(initial, jumps(g, size, share), emission, table)
    return model, torch.randint(3, (num_steps,), generator=g)


def listed(model, x, censored):
    """Every path, and its probability with x, one stay after the other; (P, T), (P,)."""
    emitted, table = model.emission.probs.tolist(), model.durations.tolist()
    paths, probs = all_paths(model.num_states, len(x)), []
    for path in paths.tolist():
        prob = model.initial_probs[path[0]].item()
        for t, k in enumerate(path):
            prob *= emitted[k][x[t]] if x[t] >= 0 else 1.0
        begin = 0
        for t in range(1, len(path) + 1):
            if t == len(path) or path[t] != path[begin]:
                row, lasted = table[path[begin]], t - begin
                if t == len(path) and censored:
                    prob *= sum(row[lasted - 1 :])
                else:
                    prob *= row[lasted - 1] if lasted <= len(row) else 0.0
                if t < len(path):
                    prob *= model.transition_matrix[path[begin], path[t]].item()
                begin = t
        probs.append(prob)
    return paths, torch.tensor(probs, dtype=torch.float64)


def occupied(paths, probs, size, t):
    """p(z_t) if paths have these weights; (K,)."""
    return torch.zeros(size).double().index_add(0, paths[:, t], probs) / probs.sum()


@each_engine
@each_end
@pytest.mark.parametrize("seed", range(100))
def test_all_paths_listed_give_the_same_answers(seed, censored, engine):
    model, x = random_hsmm(seed)
    paths, probs = listed(model, x.tolist(), censored)
    found = model.log_likelihood(x, engine=engine, censored=censored)
    assert_close(found, probs.sum().log(), **EXACT)
    best = model.viterbi(x, engine=engine, censored=censored)
    assert_close(best.log_joint, probs.max().log(), **EXACT)
    if probs.sum() == 0:
        assert (best.states == -1).all()
        for verb in (model.filter, model.smooth):
            with pytest.raises(ValueError, match="no posterior exists"):
                verb(x, engine=engine, censored=censored)
        return
    which = (paths == best.states).all(-1).nonzero().item()
    assert_close(probs[which], probs.max(), **EXACT)
    smoothed = model.smooth(x, engine=engine, censored=censored).smoothed_probs
    filtered = model.filter(x, engine=engine, censored=censored)
    for t in range(len(x)):
        expected = occupied(paths, probs, model.num_states, t)
        assert_close(smoothed[t], expected, **EXACT)
        expected = occupied(
            *listed(model, x[: t + 1].tolist(), True), *smoothed.shape[1:], t
        )
        assert_close(filtered.filtered_probs[t], expected, **EXACT)
        ahead = [*x[:t].tolist(), -1]  # x_t is not yet known
        expected = occupied(*listed(model, ahead, True), *smoothed.shape[1:], t)
        assert_close(filtered.predicted_probs[t], expected, **EXACT)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_known_live_is_what_all_paths_say(seed):
    model, x = random_hsmm(seed)
    belief, seen = model.belief(lag=2), x.tolist()
    for t in range(len(seen)):
        paths, probs = listed(model, seen[: t + 1], True)
        before, belief = belief, belief.observe(seen[t])
        assert_close(belief.log_likelihood, probs.sum().log(), **EXACT)
        if probs.sum() == 0:
            with pytest.raises(ValueError, match="probability 0 under this model"):
                belief.observe(0).forecast(1)
            return
        for step, found in ((t, belief.probs), (max(0, t - 2), belief.lagged_probs)):
            expected = occupied(paths, probs, model.num_states, step)
            assert_close(found, expected, **EXACT)
        again = before.observe(seen[t])  # which has not changed meanwhile
        assert again.num_steps == t + 1 and (again.message == belief.message).all()
    further = 1 if model.num_states == 3 else 2
    paths, probs = listed(model, [*seen, *[-1] * further], True)
    if probs.sum() == 0:
        with pytest.raises(ValueError, match="the only state is never left"):
            belief.forecast(further)
        return
    for h, found in enumerate(belief.forecast(further)):
        paths, probs = listed(model, [*seen, *[-1] * (h + 1)], True)
        expected = occupied(paths, probs, model.num_states, len(seen) + h)
        assert_close(found, expected, **EXACT)


def test_a_long_run_is_filtered_live():
    """A state fixed for 400 steps, 900 nats behind at every one, and then a jump."""
    emission = Normal(torch.tensor([0.0, 42.5]).double(), torch.ones(2).double())
    table = torch.zeros(2, 400).double()
    table[0, :3] = 1 / 3
    table[1, -1] = 1.0
    model = HSMM([0.5, 0.5], [[0, 1], [1, 0]], emission, table)
    x = torch.cat([torch.zeros(500), torch.full((50,), 42.5)]).double()
    filtered, belief = model.filter(x), model.belief()
    for t, value in enumerate(x.tolist()):
        belief = belief.observe(value)
        assert_close(belief.probs, filtered.filtered_probs[t], rtol=0, atol=1e-10)
    assert_close(belief.log_likelihood, filtered.log_likelihood, rtol=1e-12, atol=0)


@each_end
@pytest.mark.parametrize("seed", range(12))
def test_paths_are_drawn_as_often_as_they_are_probable(seed, censored):
    model, x = random_hsmm(seed)
    paths, probs = listed(model, x.tolist(), censored)
    if probs.sum() == 0:
        with pytest.raises(ValueError, match="no posterior exists"):
            model.sample_states(x, 1, censored=censored)
        return
    drawn = model.sample_states(x, 20_000, seed=1, censored=censored)
    places = model.num_states ** torch.arange(len(x) - 1, -1, -1)
    counts = (drawn * places).sum(-1).bincount(minlength=len(paths)).double()
    expected = probs / probs.sum()
    assert (counts[expected == 0] == 0).all()
    spread = (expected * (1 - expected) / 20_000).sqrt()
    assert ((counts / 20_000 - expected).abs() <= 5 * spread + 1e-9).all()
    few = model.sample_states(x, 30, seed=2, censored=censored)
    plain = model.sample_states(
        x, 30, seed=2, engine=engines.recursion, censored=censored
    )
    assert (few == plain).all()


@each_end
@pytest.mark.parametrize("seed", range(40))
def test_expected_stays_and_moves_are_those_of_all_paths(seed, censored):
    model, x = random_hsmm(seed)
    paths, probs = listed(model, x.tolist(), censored)
    if probs.sum() == 0:
        return
    stays, moves = (
        torch.zeros_like(model.durations),
        torch.zeros_like(model.transition_matrix),
    )
    for path, prob in zip(paths.tolist(), probs / probs.sum(), strict=True):
        begin = 0
        for t in range(1, len(path) + 1):
            if prob > 0 and (t == len(path) or path[t] != path[begin]):
                k, lasted = path[begin], t - begin
                if t < len(path):
                    moves[k, path[t]] += prob
                if t == len(path) and censored:
                    still = model.durations[k].clone()
                    still[: lasted - 1] = 0
                    stays[k] += prob * still / still.sum()
                else:
                    stays[k, lasted - 1] += prob
                begin = t
    for engine in (None, engines.recursion):
        counts = model.expected_counts(x, engine=engine, censored=censored)
        assert_close(counts.durations, stays, rtol=1e-9, atol=1e-11)
        assert_close(counts.transitions, moves, rtol=1e-9, atol=1e-11)


def expanded(model, means, scale):
    """A plain HMM whose states are (k, steps of the stay that are left), k the slower one."""
    size, longest = model.durations.shape
    initial = (model.initial_probs[:, None] * model.durations).flatten()
    moves = torch.zeros(size, longest, size, longest).double()
    for k in range(size):
        for left in range(1, longest):
            moves[k, left, k, left - 1] = 1.0
        moves[k, 0] = model.transition_matrix[k][:, None] * model.durations
    moves = moves.reshape(size * longest, -1)
    emission = Normal(
        means.repeat_interleave(longest), scale.repeat_interleave(longest)
    )
    return HMM(initial, moves, emission)


def of_hsmm():
    """The parameters of the tests of hsmmlearn 0.1, which are those of R's hsmm."""
    means = torch.tensor([-1.5, 0.0, 1.5]).double()
    scale = torch.tensor([0.5, 0.6, 0.8]).double().sqrt()
    table = [[0.1, 0.7, 0.2], [0.2, 0.6, 0.2], [0.3, 0.5, 0.2]]
    matrix = [[0.0, 0.5, 0.5], [0.7, 0.0, 0.3], [0.8, 0.2, 0.0]]
    return HSMM([1 / 3] * 3, matrix, Normal(means, scale), table), means, scale


def middle(seed):
    g = torch.Generator().manual_seed(seed)
    means = torch.tensor([-1.0, 0.0, 1.0]).double()
    scale = torch.tensor([0.5, 0.6, 0.8]).double()
    table = with_zeros(g, 3, 6)
    return HSMM(rows(g, 3), jumps(g, 3), Normal(means, scale), table), means, scale


@pytest.mark.parametrize("seed", [*range(10), None])
def test_a_plain_hmm_of_states_and_steps_left_gives_the_same_answers(seed):
    model, means, scale = of_hsmm() if seed is None else middle(seed)
    states, x = model.sample(2001 if seed is None else 200, seed=5)
    plain = expanded(model, means, scale)
    shape = len(x), *model.durations.shape
    smoothed = plain.smooth(x)
    assert_close(model.log_likelihood(x), smoothed.log_likelihood, **EXACT)
    joint = smoothed.smoothed_probs.reshape(shape)
    assert_close(model.smooth(x).smoothed_probs, joint.sum(-1), rtol=1e-9, atol=1e-11)
    at_its_last = joint[-1, :, 0].sum()  # p(the last stay ends at T | x)
    exact = model.log_likelihood(x, censored=False)
    assert_close(exact, smoothed.log_likelihood + at_its_last.log(), **EXACT)
    for each in ("filtered_probs", "predicted_probs"):
        expected = getattr(plain.filter(x), each).reshape(shape).sum(-1)
        assert_close(getattr(model.filter(x), each), expected, rtol=1e-9, atol=1e-11)
    # Only with a known end has each path of states one path of steps left.
    ended = plain.potentials(x)
    last = ended.log_likelihoods.clone()
    last[-1].view(shape[1:])[:, 1:] = -torch.inf
    from hmmlib.inference import viterbi

    best = viterbi(ended._replace(log_likelihoods=last))
    found = model.viterbi(x, censored=False)
    assert_close(found.log_joint, best.log_joint, **EXACT)
    assert (found.states == best.states // shape[2]).all()
    if seed is None:
        right = (model.viterbi(x).states == states).double().mean()
        by_marginals = (joint.sum(-1).argmax(-1) == states).double().mean()
        assert right > 0.85 and abs(right - by_marginals) < 0.03


@each_end
@pytest.mark.parametrize("seed", range(10))
def test_the_loops_give_the_answers_of_the_recursion(seed, censored):
    model, *_ = middle(seed)
    x = model.sample(300, seed=seed).observations
    x[torch.rand(300, generator=torch.Generator().manual_seed(seed)) < 0.1] = torch.nan
    for verb in (
        model.log_likelihood,
        model.filter,
        model.expected_counts,
        model.viterbi,
    ):
        fast = verb(x, censored=censored)
        assert_close(
            fast, verb(x, engine=engines.recursion, censored=censored), **EXACT
        )


def test_geometric_durations_are_those_of_a_plain_hmm():
    stay = torch.tensor([0.7, 0.8, 0.5]).double()
    moves = jumps(torch.Generator().manual_seed(0), 3, share=0.0)
    emission = Normal(torch.tensor([0.0, 1.0, 3.0]).double(), torch.ones(3).double())
    plain = HMM([0.2, 0.3, 0.5], stay.diag() + (1 - stay)[:, None] * moves, emission)
    model = HSMM([0.2, 0.3, 0.5], moves, emission, geometric_after([1] * 3, stay, 150))
    x = plain.sample(400, seed=0).observations
    close = {"rtol": 1e-9, "atol": 1e-9}
    assert_close(model.log_likelihood(x), plain.log_likelihood(x), **close)
    assert_close(model.smooth(x), plain.smooth(x), **close)
    assert_close(model.filter(x), plain.filter(x), **close)
    assert_close(model.viterbi(x), plain.viterbi(x), **close)


@pytest.mark.parametrize("seed", range(200))
def test_em_never_lowers_the_likelihood(seed):
    g = torch.Generator().manual_seed(seed)
    size, longest = 1 + seed % 4, 2 + seed % 5
    symbols = seed % 2
    emission = Normal(
        torch.randn(size, generator=g).double(), torch.ones(size).double()
    )
    if symbols:
        emission = Categorical(probs=with_zeros(g, size, 3, share=0.1))
    table = with_zeros(g, size, longest if size > 1 else 12, share=0.2)
    model = HSMM(rows(g, size), jumps(g, size, 0.2), emission, table)
    lengths = [9, 1, 6]
    if size == 1:
        lengths = [1 + int(table[0].nonzero().max().clamp(max=7))] * 2 + [1]
    truth = [model.sample(n, seed=seed + n).observations for n in lengths]
    if not symbols:
        truth = [x + 0.3 * torch.randn(len(x), generator=g).double() for x in truth]
    censored, pseudo_count = seed % 3 > 0 or size == 1, 0.5 if seed % 7 == 0 else 0.0
    if not censored:  # some sequences may have no end there
        truth = [
            x for x in truth if model.log_likelihood(x, censored=False) > -torch.inf
        ]
        truth = truth or [model.sample(1, seed=0).observations]
        if model.log_likelihood(truth[0], censored=False) == -torch.inf:
            censored = True
    objective = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a scale that is held open
        for _ in range(10):
            step, score = hsmm_em_step(
                model, truth, pseudo_count=pseudo_count, censored=censored
            )
            objective.append(score + log_prior(model, PARTS_OF_HSMM, pseudo_count))
            assert (step.durations[model.durations == 0] == 0).all()
            model = step
    objective = torch.stack(objective)
    assert objective.isfinite().all() and objective.diff().min() >= -1e-8


def test_the_durations_of_a_long_sequence_are_learned():
    truth, *_ = of_hsmm()
    x = truth.sample(20_000, seed=0).observations
    even = HSMM(
        truth.initial_probs, truth.transition_matrix, truth.emission, [[1 / 3] * 3] * 3
    )
    fit = fit_hsmm(even, x, learn=["durations"], num_iters=300, tolerance=1e-4)
    assert fit.converged and fit.log_likelihoods.diff().min() > 0
    assert (fit.model.durations - truth.durations).abs().max() < 0.03
    assert fit.log_likelihoods[-1] > truth.log_likelihood(x)
    same = fit.model.log_likelihood(x).double()
    assert_close(fit.log_likelihoods[-1], same, **EXACT)
