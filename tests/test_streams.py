"""EM over sequences that are never in memory together is EM of them all."""

import math
import pickle
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from problems import emissions, fortnights, problem
from random_models import rows
from torch.distributions import (
    Binomial,
    Categorical,
    Exponential,
    Gamma,
    Geometric,
    Independent,
    LogNormal,
    MixtureSameFamily,
    Multinomial,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    StudentT,
)
from torch.testing import assert_close

from hmmlib.emissions import (
    LinearEmission,
    Product,
    SphericalNormal,
    TiedNormal,
    condensed,
    fit,
    parameters,
)
from hmmlib.hmm import HMM
from hmmlib.inputs import lagged
from hmmlib.learning import (
    added,
    em_step,
    em_step_from,
    expected_sums,
    fit_em,
    fit_em_stepwise,
    fit_em_streamed,
)
from hmmlib.transitions import SoftmaxTransitions

G = torch.Generator().manual_seed(0)


def positive(*shape):
    return 0.3 + 3 * torch.rand(*shape, generator=G, dtype=torch.float64)


def normal(*shape):
    return 3 * torch.randn(*shape, generator=G, dtype=torch.float64)


MORE = [
    Exponential(positive(3)),
    Gamma(positive(3), positive(3)),
    LogNormal(normal(3), positive(3)),
    Geometric(positive(3) / 4),
    Binomial(5, positive(3) / 4),
    NegativeBinomial(positive(3), positive(3) / 4),
    Multinomial(4, rows(G, 3, 3)),
    OneHotCategorical(rows(G, 3, 4)),
    TiedNormal(normal(3, 2), torch.eye(2).double() + 0.5),
    SphericalNormal(normal(3, 2), positive(3)),
    Product([Gamma(positive(3), positive(3)), Categorical(rows(G, 3, 4))]),
    Independent(Normal(normal(3, 2, 2), positive(3, 2, 2)), 2),
    Independent(NegativeBinomial(positive(3, 2), positive(3, 2) / 4), 1),
]
FAMILIES = [*emissions(G, 3), *MORE]


def named(emission) -> str:
    return type(getattr(emission, "base_dist", emission)).__name__


def drawn(emission, seed=1, num=90):
    """Values that all states emit, and the weight of each in each state."""
    g = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        values = emission.sample((num,)).double()  # (n, K, ...)
    values = values[torch.arange(num), torch.randint(3, (num,), generator=g)]
    return values, rows(g, num, 3)


def alike(one, other, **close):
    for name, value in parameters(one).items():
        assert_close(
            parameters(other)[name], value, **{"rtol": 1e-7, "atol": 1e-9} | close
        )


@pytest.mark.parametrize("emission", FAMILIES, ids=named)
def test_a_few_values_are_fitted_as_all_are(emission):
    values, weights = drawn(emission)
    few, heavy = condensed(emission, values, weights)
    expected = fit(emission, values, weights)
    alike(expected, fit(emission, few, heavy))
    assert few.shape[1:] == values.shape[1:] and heavy.shape == (len(few), 3)
    part = [condensed(emission, values[k::4], weights[k::4]) for k in range(4)]
    together = condensed(emission, *map(torch.cat, zip(*part, strict=True)))
    alike(expected, fit(emission, *together))
    assert len(together[0]) <= max(len(few), 12) or "Negative" in named(emission)


@pytest.mark.parametrize("emission", [FAMILIES[2], FAMILIES[5], FAMILIES[6]], ids=named)
def test_components_that_are_missing_are_left_out(emission):
    values, weights = drawn(emission)
    g = torch.Generator().manual_seed(5)
    values[torch.rand(values.shape, generator=g) < 0.2] = torch.nan
    seen = ~values.isnan().all(-1)
    values, weights = values[seen], weights[seen]
    alike(
        fit(emission, values, weights),
        fit(emission, *condensed(emission, values, weights)),
    )


def test_a_regression_is_condensed_to_its_squares_and_products():
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(50, 2, generator=g, dtype=torch.float64)
    readings = inputs @ torch.tensor([1.0, -2.0]).double() + normal(50)
    values, weights = torch.cat([readings[:, None], inputs], 1), rows(g, 50, 2)
    emission = LinearEmission(normal(2, 2), positive(2))
    few, heavy = condensed(emission, values, weights)
    assert len(few) == 6
    alike(fit(emission, values, weights), fit(emission, few, heavy))


def test_gaussians_far_from_zero_keep_their_digits():
    values = 1e9 + torch.tensor([0.0, 1.0, 3.0, 4.0]).double()
    few, heavy = condensed(
        Normal(torch.zeros(1).double(), 1.0), values, torch.ones(4, 1).double()
    )
    found = fit(Normal(torch.zeros(1).double(), torch.ones(1).double()), few, heavy)
    assert_close(found.loc.item(), 1e9 + 2, rtol=1e-15, atol=0)
    assert_close(found.scale.item(), math.sqrt(2.5), rtol=1e-6, atol=0)


def parts_of(start, x, lengths, observed):
    """The sequences of a batch, one by one, as they are read."""
    ends = [x.shape[1]] * len(x) if lengths is None else lengths.tolist()
    masks = [None] * len(x) if observed is None else observed
    return [
        start.read(row[:end], observed=None if mask is None else mask[:end])
        for row, end, mask in zip(x, ends, masks, strict=True)
    ]


@pytest.mark.parametrize("seed", range(64))
def test_a_step_from_sums_is_the_step_of_the_batch(seed):
    start, x, lengths, observed = problem(seed)
    options = {"pseudo_count": 0.7 * (seed % 2), "min_scale": 0.3}
    expected, score = em_step(start, x, lengths, observed, **options)
    parts = parts_of(start, x, lengths, observed)
    sums = added(start, [expected_sums(start, each) for each in parts])
    found = em_step_from(start, sums, **options)
    assert_close(sums.log_likelihood, score, rtol=1e-12, atol=1e-12)
    assert sums.num_sequences == len(x)
    for name in ("initial_probs", "transition_matrix"):
        assert_close(
            getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12
        )
    alike(expected.emission, found.emission)


def series(hmm, num=12, steps=60):
    return [hmm.sample(steps + 5 * n, seed=n).observations for n in range(num)]


MOVES = [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]
LEVELS = HMM([1 / 3] * 3, MOVES, Normal(torch.tensor([0.0, 4.0, 9.0]).double(), 1.0))
START = HMM([1 / 3] * 3, MOVES, Normal(torch.tensor([1.0, 3.0, 6.0]).double(), 2.0))


@pytest.mark.parametrize("num_at_once", [1, 5, 32])
def test_a_fit_takes_the_steps_that_the_batch_takes(num_at_once):
    x = series(LEVELS)
    expected = fit_em(START, x, num_iters=40, tolerance=1e-3)
    found = fit_em_streamed(START, x, 40, 1e-3, num_at_once=num_at_once)
    assert found.num_iters == expected.num_iters and found.converged
    assert_close(found.log_likelihoods, expected.log_likelihoods, rtol=1e-11, atol=0)
    alike(expected.model.emission, found.model.emission)
    assert_close(
        found.model.transition_matrix,
        expected.model.transition_matrix,
        rtol=1e-7,
        atol=0,
    )


def test_options_are_those_of_fit_em():
    x = series(LEVELS)
    mask = torch.tensor(MOVES) > 0.08
    near = HMM([1 / 3] * 3, MOVES, Normal(torch.tensor([1.0, 1.0, 6.0]).double(), 2.0))
    given = [
        (START, {"learn": ("emission",), "min_scale": 1.2}),
        (START, {"learn": {"transition_matrix": mask}, "pseudo_count": 2.0}),
        (near, {"tied": [0, 0, 1], "num_iters": 5}),
        (START, {"num_iters": 0}),
    ]
    for start, options in given:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"num_iters": 8, "tolerance": -1} | options
            expected = fit_em(start, x, **options)
            found = fit_em_streamed(start, x, **options)
        assert_close(
            found.log_likelihoods, expected.log_likelihoods, rtol=1e-11, atol=0
        )
        alike(expected.model.emission, found.model.emission)


def test_single_precision_comes_back_as_it_came():
    start = HMM(*(x.float() for x in (START.initial_probs, START.transition_matrix)),
                Normal(START.emission.loc.float(), START.emission.scale.float()))  # fmt: skip
    found = fit_em_streamed(start, [x.float() for x in series(LEVELS)], 40, 1e-2).model
    assert found.initial_probs.dtype == found.emission.loc.dtype == torch.float32


def test_regressions_and_labels_come_with_what_is_read():
    hmm = HMM(
        [0.5, 0.5],
        [[0.9, 0.1], [0.2, 0.8]],
        LinearEmission([[0.0, 0.9], [2.0, -0.5]], 1.0),
    )
    readings, inputs = zip(*(lagged(x) for x in series(LEVELS, 4)), strict=True)
    parts = [hmm.read(x, inputs=u) for x, u in zip(readings, inputs, strict=True)]
    expected = hmm
    for _ in range(3):
        expected, _ = em_step(expected, list(readings), inputs=list(inputs))
    with pytest.warns(UserWarning, match="fit_em_streamed: not converged"):
        found = fit_em_streamed(hmm, parts, 3).model
    alike(expected.emission, found.emission)
    x, known = LEVELS.sample(80, seed=3).observations, torch.full((80,), -1)
    known[::7] = 1
    expected, _ = em_step(START, x, labels=known)
    sums = expected_sums(START, START.read(x, labels=known))
    alike(expected.emission, em_step_from(START, sums).emission)


def files(folder):
    """Sequences as files, .npy and .csv, and a function that reads either."""
    paths = []
    for n, x in enumerate(series(LEVELS)):
        path = folder / f"{n}.{'csv' if n % 2 else 'npy'}"
        np.save(path, x.numpy()) if path.suffix == ".npy" else pd.Series(x).to_csv(path)
        paths.append(path)
    return paths


def read(path):
    return np.load(path) if path.suffix == ".npy" else pd.read_csv(path)["0"]


def with_dask(function, items):
    bag = pytest.importorskip("dask.bag").from_sequence(items, npartitions=2)
    return bag.map(function).compute(scheduler="threads")


def test_files_are_read_where_they_are_counted(tmp_path):
    paths, expected = files(tmp_path), fit_em_streamed(START, series(LEVELS), 30, 1e-2)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1) as processes:
        for by in (map, threads.map, with_dask, processes.map):
            found = fit_em_streamed(START, paths, 30, 1e-2, read=read, map=by)
            assert_close(
                found.log_likelihoods, expected.log_likelihoods, rtol=1e-12, atol=0
            )


def test_the_number_of_workers_changes_no_bit():
    x = series(LEVELS)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(4) as four:
        runs = [fit_em_streamed(START, x, 30, 1e-2, map=by.map) for by in (one, four)]
    assert torch.equal(runs[0].log_likelihoods, runs[1].log_likelihoods)
    assert torch.equal(runs[0].model.emission.loc, runs[1].model.emission.loc)


def test_sums_travel_between_processes():
    sums = expected_sums(START, series(LEVELS, 1)[0])
    twin = pickle.loads(pickle.dumps(sums))
    assert all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for a, b in zip(sums, twin, strict=True)
    )


def test_what_is_used_up_is_refused_with_the_cure():
    x = series(LEVELS, 3)
    message = (
        r"sequences: got a generator, which is used up .* needs a list, or a function"
    )
    with pytest.raises(ValueError, match=message):
        fit_em_streamed(START, (each for each in x))
    once = iter(x)
    with pytest.raises(
        ValueError, match="sequences: 3 in the first pass, and 0 in the next"
    ):
        fit_em_streamed(START, lambda: once)
    expected = fit_em_streamed(START, x, 60, 1e-2)
    found = fit_em_streamed(START, lambda: (each for each in x), 60, 1e-2)
    assert torch.equal(found.log_likelihoods, expected.log_likelihoods)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((3,), "sequences: got 3, needs a list"),
        (([],), "sequences: got none, needs at least one"),
        (([[0.1, 0.2], "abc"],), "sequences: number 1: observations: got str"),
        (([[0.1], [math.inf]],), "sequences: number 1: observations: inf"),
    ],
)
def test_what_is_no_sequence_is_named(given, message):
    for learn in (fit_em_streamed, fit_em_stepwise):
        with pytest.raises(ValueError, match=message):
            learn(START, *given)


def test_other_arguments_are_looked_at():
    x = series(LEVELS, 2)
    for options, message in (
        ({"map": lambda f, xs: [1, 2]}, r"map: got \[1, 2\] for 2 sequences"),
        ({"map": lambda f, xs: []}, "map: got"),
        ({"num_at_once": 0}, "num_at_once: got 0"),
        ({"num_iters": -1}, "num_iters: got -1"),
        ({"tolerance": math.nan}, "tolerance: got nan"),
        ({"min_scale": -1}, "min_scale: got -1"),
        ({"learn": ["nothing"]}, "learn: got"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_em_streamed(START, x, **options)
    for options, message in (
        ({"power": 0.5}, "power: got 0.5"),
        ({"batch_size": 0}, "batch_size"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_em_stepwise(START, x, **options)
    with pytest.raises(TypeError, match="hmm: got int"):
        fit_em_streamed(3, x)
    with pytest.raises(ValueError, match="parts: got none"):
        added(START, [])


def test_families_and_moves_that_need_every_step_are_refused():
    tails = StudentT(torch.ones(2), torch.tensor([0.0, 1.0]), torch.ones(2))
    pair = MixtureSameFamily(Categorical(torch.ones(2, 2)), Normal(normal(2, 2), 1.0))
    for emission in (tails, pair, Independent(StudentT(torch.ones(2, 1)), 1)):
        hmm = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, emission)
        x = torch.ones(4, *emission.event_shape)
        name = type(emission).__name__
        message = f"a fit of {name} has to see all observations at once, needs fit_em, or.*Normal"
        with pytest.raises(ValueError, match=message):
            fit_em_streamed(hmm, [x, x])
    driven = HMM([0.5, 0.5], SoftmaxTransitions(torch.zeros(2, 2, 1)), tails)
    with pytest.raises(ValueError, match="hmm: inputs drive its moves"):
        fit_em_streamed(driven, [driven.read([0.1, 0.2], inputs=[1, 2])])


def test_memory_does_not_grow_with_the_number_of_sequences():
    """Sixty of 80 kB each, of which two are held at once: never a third of them all."""

    def many():
        g = np.random.default_rng(0)
        return (g.normal(size=10_000) for _ in range(60))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_em_streamed(LEVELS, [np.zeros(5)], 1)  # loads what it needs
        tracemalloc.start()
        fit_em_streamed(LEVELS, many, num_iters=1, num_at_once=2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 60 * 80_000 / 3


def test_the_sums_of_a_sequence_hold_none_of_its_memory():
    """No view of it, which would keep it."""
    x = LEVELS.sample(50, num_sequences=400, seed=0).observations.flatten()
    sums = expected_sums(LEVELS, x)
    kept = [each for each in sums if isinstance(each, torch.Tensor)]
    assert len(kept) >= 4
    for each in kept:
        assert each.untyped_storage().nbytes() == each.nbytes


def test_one_pass_of_stepwise_em_comes_near_the_maximum():
    """Of what a batch fit gains in log p(x), it misses less than a hundredth."""
    x = list(LEVELS.sample(50, seed=0, num_sequences=600).observations)
    best = fit_em(START, torch.stack(x), tolerance=1e-3).log_likelihoods
    found = fit_em_stepwise(START, (each for each in x), batch_size=20)
    reached = LEVELS.log_likelihood(torch.stack(x)).sum()
    score = found.model.log_likelihood(torch.stack(x)).sum()
    assert (best[-1] - score) / (best[-1] - best[0]) < 0.01 and best[-1] > reached
    assert found.num_sequences == 600 and len(found.log_likelihoods) == 30
    assert found.log_likelihoods[-5:].mean() > found.log_likelihoods[0]
    more = fit_em_stepwise(START, x, num_passes=4, batch_size=20).model
    assert more.log_likelihood(torch.stack(x)).sum() > score


def test_stepwise_em_of_symbols_with_a_prior_on_two_threads():
    x = fortnights(200, 30)
    said = [[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]
    start = HMM([0.5, 0.5], [[0.6, 0.4], [0.3, 0.7]], said)
    with ThreadPoolExecutor(2) as pool:
        found = fit_em_stepwise(start, x, 3, 10, map=pool.map, pseudo_count=1.0)
    again = fit_em_stepwise(start, x, 3, 10, pseudo_count=1.0)
    assert torch.equal(found.model.emission.probs, again.model.emission.probs)
    best = fit_em(start, x, None, 3000, 1e-4, pseudo_count=1.0)
    score = found.model.log_likelihood(x).sum()
    assert best.log_likelihoods[-1] - score < 0.1 * (
        best.log_likelihoods[-1] - best.log_likelihoods[0]
    )


def test_the_first_step_of_stepwise_em_is_em_of_the_first_batch():
    x = series(LEVELS, 8)
    expected, _ = em_step(START, x)
    found = fit_em_stepwise(START, x, batch_size=8).model
    alike(expected.emission, found.emission)
    assert_close(found.transition_matrix, expected.transition_matrix, rtol=1e-9, atol=0)


def test_the_share_of_a_batch_is_a_power_of_its_number():
    """Two batches of three symbols, in a model of one state: counts 2, 1 and then 0, 3."""
    one = HMM([1.0], [[1.0]], [[0.5, 0.5]])
    found = fit_em_stepwise(one, [[0, 0, 1], [1, 1, 1]], batch_size=1, power=0.7).model
    share = 2**-0.7
    expected = torch.tensor([2 - 2 * share, 1 + 2 * share]).double() / 3
    assert_close(found.emission.probs[0], expected)
