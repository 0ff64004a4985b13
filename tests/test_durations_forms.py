"""Explicit durations at the edges: batches, what is missing, extremes, files, and refusals."""

import math
from dataclasses import replace

import pytest
import torch
from test_durations import EXACT, each_end, expanded, middle, of_hsmm, random_hsmm
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import engines, storage
from hmmlib.durations import (
    HSMM,
    backward,
    forward,
    geometric_after,
    negative_binomial_durations,
    poisson_durations,
)
from hmmlib.learning import fit_hsmm, hsmm_em_step
from hmmlib.logs import logsumexp

TABLE = [[0.1, 0.9], [0.6, 0.4]]
SWAP = [[0.0, 1.0], [1.0, 0.0]]


@each_end
def test_a_ragged_batch_is_each_sequence_on_its_own(censored):
    model, *_ = middle(3)
    rows = [model.sample(n, seed=n).observations for n in (30, 1, 12)]
    rows = [x for x in rows if model.log_likelihood(x, censored=censored) > -torch.inf]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=9.0)
    lengths = [len(x) for x in rows]
    for given in ((rows,), (padded, lengths)):
        smoothed = model.smooth(*given, censored=censored)
        best = model.viterbi(*given, censored=censored)
        counts = model.expected_counts(*given, censored=censored)
        paths = model.sample_states(rows, 4, seed=0, censored=censored)
        assert paths.shape == (4, len(rows), max(lengths))
        for n, x in enumerate(rows):
            one = model.smooth(x, censored=censored)
            assert_close(smoothed.log_likelihood[n], one.log_likelihood)
            assert_close(smoothed.smoothed_probs[n, : len(x)], one.smoothed_probs)
            assert (smoothed.smoothed_probs[n, len(x) :] == 0).all()
            alone = model.expected_counts(x, censored=censored)
            assert_close(counts.durations[n], alone.durations)
            assert (
                best.states[n, : len(x)] == model.viterbi(x, censored=censored).states
            ).all()
            assert (best.states[n, len(x) :] == -1).all()
            assert (paths[:, n, : len(x)] >= 0).all() and (
                paths[:, n, len(x) :] == -1
            ).all()
    total = hsmm_em_step(model, rows, censored=censored)[1]
    assert_close(total, smoothed.log_likelihood.sum())


def test_which_sequence_of_a_batch_is_impossible_is_said():
    model = HSMM([1.0, 0.0], SWAP, [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]])
    assert model.log_likelihood([[0, 1], [0, 0]]).tolist() == [0.0, -math.inf]
    with pytest.raises(ValueError, match=r"sequence \[1\] has probability 0"):
        model.smooth([[0, 1], [0, 0]])
    best = model.viterbi([[0, 1], [0, 0]])
    assert best.states.tolist() == [[0, 1], [-1, -1]]


def test_a_missing_observation_says_nothing():
    model, *_ = middle(1)
    x = model.sample(40, seed=2).observations
    gone = torch.arange(40) % 7 == 3
    scores = model.stays(x)[0].log_likelihoods.masked_fill(gone[:, None], 0.0)
    stays = model.stays(x)[0]._replace(log_likelihoods=scores)
    last = forward(stays).predicted[-1] + scores[-1]
    found = model.log_likelihood(x, observed=~gone)
    assert_close(found, last.logsumexp(0), **EXACT)
    assert_close(model.log_likelihood(x.masked_fill(gone, math.nan)), found)
    nothing = torch.full((9,), math.nan)
    assert_close(model.log_likelihood(nothing).item(), 0.0, rtol=0, atol=1e-12)


@each_end
def test_one_state_is_one_stay(censored):
    model = HSMM([1.0], [[0.0]], [[0.2, 0.8]], [[0.1, 0.2, 0.7]])
    emitted = 2 * math.log(0.8)
    expected = emitted + math.log(0.9 if censored else 0.2)
    assert_close(model.log_likelihood([1, 1], censored=censored).item(), expected)
    assert (
        model.smooth([1, 1], censored=censored).smoothed_probs.tolist() == [[1.0]] * 2
    )
    assert model.viterbi([1, 1], censored=censored).states.tolist() == [0, 0]
    assert model.log_likelihood([1] * 4, censored=censored) == -math.inf
    step, _ = hsmm_em_step(model, [1, 1], censored=censored)
    first = [0.0, 2 / 9, 7 / 9] if censored else [0.0, 1.0, 0.0]
    assert_close(step.durations[0].tolist(), first)
    assert model.sample(3, seed=0).states.tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="num_steps: got 4, needs at most 3"):
        model.sample(4)


def test_single_precision_is_kept_and_accurate():
    model, means, scale = middle(2)
    emission = Normal(means.float(), scale.float())
    single = HSMM(
        model.initial_probs.float(),
        model.transition_matrix.float(),
        emission,
        model.durations.float(),
    )
    x = model.sample(500, seed=0).observations
    for verb in ("log_likelihood", "smooth", "filter", "viterbi"):
        found, expected = getattr(single, verb)(x.float()), getattr(model, verb)(x)
        pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else ()
        for a, b in pairs or ((found, expected),):
            assert a.dtype == (torch.float32 if a.is_floating_point() else torch.int64)
            assert_close(a.double(), b.double(), rtol=1e-4, atol=1e-3)
    assert (
        fit_hsmm(single, x, num_iters=2, tolerance=1e9).model.durations.dtype
        == torch.float32
    )


def test_a_state_that_is_pinned_outlasts_one_that_is_far_better():
    """The only way through is 900 nats a step below another state, which no move enters."""
    means = torch.tensor([0.0, 42.5, 0.0]).double()
    matrix = [[0, 0.5, 0.5], [0, 0, 1], [0, 1, 0]]
    emission, table = Normal(means, 1.0), geometric_after([3] * 3, [0.9] * 3, 60)
    model = HSMM([0.0, 0.5, 0.5], matrix, emission, table)
    x = torch.zeros(200).double()
    for censored in (True, False):
        smoothed = model.smooth(x, censored=censored)
        plain = model.smooth(x, engine=engines.recursion, censored=censored)
        assert_close(smoothed, plain, rtol=1e-9, atol=1e-9)
    stuck = HSMM([0.0, 1.0], SWAP, Normal(means[:2], torch.ones(2).double()),
                 [[1.0] + [0.0] * 99, [0.0] * 99 + [1.0]])  # fmt: skip
    found = stuck.smooth(x[:100])
    assert_close(found.log_likelihood.item(), Normal(42.5, 1.0).log_prob(x[:1]).item() * 100,
                 rtol=1e-6, atol=0)  # fmt: skip
    assert (found.smoothed_probs[:, 1] == 1).all()


def test_an_outlier_does_not_spoil_what_follows():
    model, *_ = middle(5)
    x = model.sample(300, seed=1).observations
    x[100] = 65_535.0
    hidden = x.clone()
    hidden[100] = math.nan
    far = model.smooth(x).smoothed_probs
    assert far.isfinite().all()
    assert_close(far, model.smooth(x, engine=engines.recursion).smoothed_probs,
                 rtol=1e-5, atol=1e-7)  # fmt: skip
    assert_close(
        far[200:], model.smooth(hidden).smoothed_probs[200:], rtol=1e-6, atol=1e-6
    )
    assert model.log_likelihood(1e9 + x).isfinite()


def test_a_million_steps():
    model, means, scale = of_hsmm()
    x = model.sample(1000, seed=0).observations.repeat(1000)
    found = model.log_likelihood(x)
    blocks = Normal(means, scale).log_prob(x[:, None])
    assert found < blocks.amax(1).sum() and found > blocks.amin(1).sum()
    twice = model.smooth(x)
    assert_close(twice.log_likelihood, found, rtol=1e-12, atol=0)
    sums = twice.smoothed_probs.sum(-1)
    assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)
    counts = model.expected_counts(x)
    moved = counts.transitions.sum() + 1  # each stay but the first is entered by a move
    assert_close(counts.durations.sum(), moved, rtol=1e-9, atol=0)
    steps = (counts.durations @ torch.arange(1.0, 4.0).double()).sum()
    assert 0 <= steps - len(x) < 3


def test_gradients_are_those_of_finite_differences():
    model, x = random_hsmm(4, share=0.0)
    assert min(model.durations.shape) > 1
    tables = [model.initial_probs, model.transition_matrix, model.durations]
    tables = [table.clone().requires_grad_() for table in tables]

    def score(initial, matrix, durations):
        return HSMM(initial, matrix, model.emission, durations).log_likelihood(x)

    slopes = torch.autograd.grad(score(*tables), tables)
    for m in (0, 2):
        ahead, behind = ([t.detach().clone() for t in tables] for _ in range(2))
        for each, step in ((ahead[m], 1e-6), (behind[m], -1e-6)):
            each[..., 0] += step
            each[..., 1] -= step
        expected = (score(*ahead) - score(*behind)) / 2e-6
        found = (slopes[m][..., 0] - slopes[m][..., 1]).sum()
        assert_close(found, expected, rtol=1e-5, atol=1e-7)
    zero = [
        torch.tensor(t).double().requires_grad_()
        for t in ([1.0, 0.0], SWAP, [[0, 1.0]] * 2)
    ]
    stays = HSMM(zero[0], zero[1], TABLE, zero[2])
    for slope in torch.autograd.grad(stays.log_likelihood([0, 1, 1, 0, 1]), zero):
        assert slope.isfinite().all()


def test_the_messages_of_the_page_meet():
    """entering + what lies ahead is log p(x, a stay begins at t), forwards and backwards."""
    model, *_ = middle(0)
    (stays,) = model.stays(model.sample(20, seed=0).observations)
    begin = logsumexp(backward(stays) + stays.log_durations, -1)
    evidence = logsumexp(begin[0] + stays.log_initial, 0)
    assert_close(
        evidence, logsumexp((forward(stays).predicted + stays.log_likelihoods)[-1], 0)
    )


def test_a_sample_has_the_durations_and_moves_of_the_model():
    model, *_ = of_hsmm()
    sample = model.sample(500, seed=3, num_sequences=40)
    assert sample.states.shape == sample.observations.shape == (40, 500)
    stays, moves = torch.zeros(3, 3), torch.zeros(3, 3)
    for row in sample.states:
        ends = torch.cat([(row.diff() != 0).nonzero()[:, 0], torch.tensor([499])])
        lasted = torch.cat([ends[:1] + 1, ends.diff()])[:-1]  # the last one is cut off
        stays.index_put_((row[ends[:-1]], lasted - 1), torch.ones(len(lasted)), True)
        moves.index_put_(
            (row[ends[:-1]], row[ends[:-1] + 1]), torch.ones(len(lasted)), True
        )
    assert_close(stays / stays.sum(1, True), model.durations.float(), rtol=0, atol=0.03)
    assert_close(
        moves / moves.sum(1, True), model.transition_matrix.float(), rtol=0, atol=0.03
    )
    again = model.sample(500, seed=3, num_sequences=40)
    assert (again.observations == sample.observations).all()


def test_a_model_comes_back_from_its_file_to_the_last_bit(tmp_path):
    for model in (of_hsmm()[0], HSMM([1.0], [[0.0]], [[0.2, 0.8]], [[1 / 3, 2 / 3]])):
        model.save(tmp_path / "model.json")
        found = HSMM.load(tmp_path / "model.json")
        for name in ("initial_probs", "transition_matrix", "durations"):
            assert (getattr(found, name) == getattr(model, name)).all()
    with pytest.raises(ValueError, match="holds a HSMM, needs a HMM"):
        storage.load(tmp_path / "model.json", "HMM")
    assert "mean durations, of 1 to 2" in repr(found)


def test_observations_are_given_by_name(tmp_path):
    plain = HSMM([0.5, 0.5], SWAP, TABLE, TABLE)
    model = HSMM([0.5, 0.5], SWAP, TABLE, TABLE, ["dry", "wet"])
    words, x = ["wet", "dry", None, "wet"], [1, 0, None, 1]
    assert_close(model.smooth(words), plain.smooth(x))
    assert_close(model.log_likelihood(x), plain.log_likelihood(x))
    belief = model.belief().observe("wet").observe("dry")
    assert_close(belief.log_likelihood, plain.log_likelihood([1, 0]))
    assert_close(hsmm_em_step(model, words)[1], plain.log_likelihood(x))
    assert hsmm_em_step(model, words)[0].symbols == ("dry", "wet")
    model.save(tmp_path / "model.json")
    found = HSMM.load(tmp_path / "model.json")
    assert found.symbols == ("dry", "wet") and "symbols  dry, wet" in repr(found)
    with pytest.raises(ValueError, match="got 'fog', needs one of the symbols"):
        model.viterbi(["fog"])


@pytest.mark.parametrize("seed", range(3))
def test_the_long_run_is_that_of_a_plain_hmm_of_more_states(seed):
    model, *emission = of_hsmm()
    durations = torch.rand(3, 6, generator=torch.Generator().manual_seed(seed)).double()
    model = replace(model, durations=durations / durations.sum(1, keepdim=True))
    plain = expanded(model, *emission).stationary_probs().reshape(3, 6).sum(1)
    assert_close(model.stationary_probs(), plain, **EXACT)
    assert HSMM([1.0], [[0.0]], [[1.0]], [[0.5, 0.5]]).stationary_probs() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [[0.1, 0.9], [1, 0]], TABLE, TABLE), "transition_matrix: got a diagonal"),
        (([1.0], [[1.0]], [[1.0]], [[1.0]]), r"of one state, \[\[0\]\]"),
        (([0.5, 0.5], SWAP, TABLE, [[1.0]]), r"durations: got shape \(1, 1\), needs \(2, D\)"),
        (([0.5, 0.5], SWAP, TABLE, [0.5, 0.5]), r"durations: got shape \(2,\), needs \(K, D\)"),
        (([0.5, 0.5], SWAP, TABLE, [[0.5, 0.6], [1, 0]]), "durations: row 0 sums to 1.1"),
        (([0.5, 0.5], [[0, 0], [1, 0]], TABLE, TABLE), "transition_matrix: row 0 sums to 0"),
        (([1.0], [[0.0]], TABLE, TABLE), "emission: got batch_shape"),
        (([0.5, 0.5], [[0.0]], TABLE, TABLE), "transition_matrix: got shape"),
        (([0.5, 0.5], SWAP, TABLE, TABLE, ["a"]), "symbols: got 1 names, needs 2"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        HSMM(*arguments)


def test_what_an_hsmm_has_not_is_said():
    model = HSMM([0.5, 0.5], SWAP, TABLE, TABLE)
    with pytest.raises(TypeError, match="needs its own verbs"):
        model.potentials([0, 1])
    with pytest.raises(TypeError, match="hsmm: got str, needs an HSMM"):
        hsmm_em_step("abc", [0, 1])
    with pytest.raises(ValueError, match="learn: got"):
        fit_hsmm(model, [0, 1], learn=["duration"])
    with pytest.raises(ValueError, match="observations: 2 at step 1"):
        model.smooth([0, 2])


def test_tables_have_the_means_that_are_asked_for():
    steps = torch.arange(1, 201).double()
    poisson = poisson_durations([0.0, 3.0, 20.0], 200)
    assert_close(poisson @ steps, torch.tensor([1.0, 4.0, 21.0]).double())
    binomial = negative_binomial_durations([4.0, 10.0], [0.5, 1.0], 200)
    assert_close(
        binomial @ steps, torch.tensor([4.0, 10.0]).double(), rtol=1e-5, atol=1e-5
    )
    spread = binomial @ steps.square() - (binomial @ steps).square()
    assert_close(
        spread, torch.tensor([3 + 0.5 * 9, 9 + 81]).double(), rtol=1e-3, atol=0
    )
    assert_close(binomial[1:], geometric_after([1], [0.9], 200))
    late = geometric_after([5, 1], [0.5, 0.0], 200)
    assert_close(late @ steps, torch.tensor([6.0, 1.0]).double())
    assert (late[0, :4] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: poisson_durations([9.0], 10),
            "max_duration: got 10, beyond which are",
        ),
        (lambda: poisson_durations([-1.0], 10), "rate: got"),
        (lambda: poisson_durations(3.0, 10), r"rate: got shape \(\), needs \(K,\)"),
        (lambda: negative_binomial_durations([1.0], [1.0], 10), "mean: got"),
        (lambda: negative_binomial_durations([2.0], [0.0], 10), "dispersion: got"),
        (
            lambda: negative_binomial_durations([2.0, 2.0], [1.0], 99),
            "dispersion: got shape",
        ),
        (lambda: geometric_after([0], [0.5], 99), "least: got"),
        (lambda: geometric_after([1], [1.0], 99), "stay: got"),
        (lambda: geometric_after([12], [0.5], 9), "max_duration: got 9"),
        (lambda: geometric_after([1], [0.5], 0), "max_duration: got 0"),
    ],
)
def test_tables_that_cannot_be_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
