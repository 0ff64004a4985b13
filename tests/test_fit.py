"""A model from data alone: `fit(Normal, 3, series)`."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)
from torch.testing import assert_close

import hmmlib
from hmmlib.emissions import SphericalNormal, TiedNormal
from hmmlib.hmm import HMM
from hmmlib.learning import Fit, align_states, fit, fit_em, fit_gradient

PI, MOVES = [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]]
NAN = float("nan")


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


LEVELS = HMM(PI, MOVES, Normal(f8([0.0, 9.0]), f8([1.0, 2.0])))
SERIES = LEVELS.sample(300, seed=0).observations
MANY = LEVELS.sample(60, seed=1, num_sequences=8).observations
TWICE = {"num_starts": 2}  # k-means, and one at random: enough for levels far apart


def ordered(found: Fit, truth: HMM) -> tuple[HMM, torch.Tensor]:
    """The fitted model, and the states of it that play the parts of the true ones."""
    return found.model, align_states(truth, found.model)


def test_levels_are_found():
    found = fit(Normal, 2, SERIES, **TWICE)
    assert isinstance(found, Fit) and found.converged and hmmlib.fit is fit
    model, order = ordered(found, LEVELS)
    assert type(model.emission) is Normal and model.emission.loc.dtype == torch.float64
    assert_close(model.emission.loc[order], f8([0.0, 9.0]), rtol=0, atol=0.5)
    assert_close(model.emission.scale[order], f8([1.0, 2.0]), rtol=0, atol=0.4)
    moves = model.transition_matrix[order][:, order]
    assert_close(moves, f8(MOVES), rtol=0, atol=0.1)
    own = model.log_likelihood(SERIES)
    assert_close(found.log_likelihoods[-1], own, rtol=1e-10, atol=0)
    assert own >= LEVELS.log_likelihood(SERIES)


def test_all_runs_are_kept_best_first():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five steps are few
        found = fit(Normal, 3, SERIES, num_starts=4, num_iters=5)
    scores = [run.log_likelihoods[-1].item() for run in found.runs]
    assert len(found.runs) == 4 and scores == sorted(scores, reverse=True)
    assert found.log_likelihoods[-1] == scores[0] and found.model is found.runs[0].model
    assert len(set(scores)) == 4 and not any(run.runs for run in found.runs)


def test_a_seed_gives_the_same_runs_and_another_seed_others():
    def scores(**options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runs = fit(Normal, 3, SERIES, num_starts=3, num_iters=2, **options).runs
        return torch.stack([run.log_likelihoods[0] for run in runs])

    assert torch.equal(scores(), scores(seed=0))
    assert torch.equal(scores(seed=3), scores(seed=3))
    assert (scores(seed=3) != scores(seed=4)).any()


def test_words_are_symbols_by_name():
    """In the order of the alphabet, unless they are given."""
    truth = HMM(PI, MOVES, [[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]])
    states, x = truth.sample(400, seed=0)
    slow = {"num_starts": 2, "num_iters": 1000, "tolerance": 1e-4}
    words = [("clean", "shop", "walk")[i] for i in x]
    found = fit(Categorical, 2, words, **slow)
    assert found.model.symbols == ("clean", "shop", "walk")
    model, order = ordered(found, truth)
    assert_close(model.emission.probs[order], truth.emission.probs, rtol=0, atol=0.1)
    path = order.argsort()[model.viterbi(words).states]
    assert (path == states).double().mean() > 0.75
    forms = [np.array(words), pd.Series(words), pd.Series(words, dtype="category"),
             pd.DataFrame({"said": words}), x]  # fmt: skip
    for form in forms:
        same = fit(Categorical, 2, form, **slow)
        assert_close(same.log_likelihoods, found.log_likelihoods)
        assert same.model.symbols == (None if form is x else found.model.symbols)
    given = ("walk", "swim", "shop", "clean")
    named = fit(Categorical, 2, words, symbols=given, **slow).model
    assert named.symbols == given
    assert_close(named.emission.probs[:, 1], torch.zeros(2).double(), rtol=0, atol=1e-6)
    ragged = [words[:100], words[100:110], words[110:]]
    assert fit(Categorical, 2, ragged, **slow).model.symbols == found.model.symbols


def test_counts_are_found():
    truth = HMM(PI, MOVES, Poisson(f8([2.0, 20.0])))
    x = truth.sample(200, seed=0).observations
    for form in (x, x.long(), x.int().tolist(), pd.Series(x.numpy(), dtype="Int64")):
        model, order = ordered(fit(Poisson, 2, form, **TWICE), truth)
        assert_close(model.emission.rate[order], f8([2.0, 20.0]), rtol=0.2, atol=0)


@pytest.mark.parametrize("family", [MultivariateNormal, TiedNormal, SphericalNormal])
def test_vectors_are_found(family):
    truth = HMM(
        PI, MOVES, MultivariateNormal(f8([[0, 0], [9, 5]]), torch.eye(2).double())
    )
    x = truth.sample(200, seed=0).observations
    for form in (x, x.tolist(), pd.DataFrame(x.numpy(), columns=["x", "y"])):
        model, order = ordered(fit(family, 2, form, **TWICE), HMM(*truth_of(family)))
        assert type(model.emission) is family
        assert_close(model.emission.loc[order], truth.emission.loc, rtol=0, atol=0.4)


def truth_of(family):
    loc, eye = f8([[0.0, 0], [9, 5]]), torch.eye(2).double()
    spread = f8([1.0, 1.0]) if family is SphericalNormal else eye
    return PI, MOVES, family(loc, spread)


def test_several_columns_of_single_values_are_components():
    """A table of a family of single values: independent given the state."""
    y = SERIES + 100
    table = pd.DataFrame({"x": SERIES.numpy(), "y": y.numpy()})
    found = fit(Normal, 2, table, **TWICE).model
    assert isinstance(found.emission, Independent) and found.emission.event_shape == (
        2,
    )
    low, high = found.emission.mean.sort(0).values
    assert_close(low, f8([0.0, 100.0]), rtol=0, atol=0.6)
    assert_close(high, f8([9.0, 109.0]), rtol=0, atol=0.6)
    single = fit(Normal, 2, table[["x"]], **TWICE)
    assert type(single.model.emission) is Normal
    assert_close(
        single.log_likelihoods, fit(Normal, 2, SERIES, **TWICE).log_likelihoods
    )
    tables = [table[:100], table[100:180], table[180:]]
    several = fit(Normal, 2, tables, **TWICE).model
    assert_close(several.emission.mean.sort(0).values[0], low, rtol=0, atol=0.1)


def test_ragged_lists_padded_batches_and_gaps_are_one_fit():
    """Also of whole numbers, whose padding cannot say that it is none."""
    ends = [60, 20, 7, 33, 60, 60, 5, 41]
    for family, many in ((Normal, MANY), (Poisson, MANY.abs().round().long())):
        ragged = [row[:end] for row, end in zip(many, ends, strict=True)]
        expected = fit(family, 2, ragged, **TWICE)
        found = fit(family, 2, many, ends, **TWICE)
        assert_close(found.log_likelihoods, expected.log_likelihoods)
        seen = torch.arange(60) < torch.tensor(ends)[:, None]
        masked = fit(family, 2, many, observed=seen, **TWICE)
        at_end = masked.log_likelihoods[-1]
        assert_close(at_end, expected.log_likelihoods[-1], rtol=1e-6, atol=0)
    arrays = [row.numpy() for row in ragged]
    assert_close(fit(Poisson, 2, arrays, **TWICE).log_likelihoods,
                 expected.log_likelihoods)  # fmt: skip


def test_missing_readings_and_components_are_left_out():
    x = SERIES.clone()
    x[::7] = NAN
    model, order = ordered(fit(Normal, 2, x, **TWICE), LEVELS)
    assert_close(model.emission.loc[order], f8([0.0, 9.0]), rtol=0, atol=0.5)
    noise = torch.randn(300, generator=torch.Generator().manual_seed(0)).double()
    pairs = torch.stack([SERIES, SERIES + 3 + noise], 1)
    pairs[::5, 0], pairs[1::7, 1], pairs[::11] = NAN, NAN, NAN
    for family in (Normal, MultivariateNormal):
        table = pd.DataFrame(pairs.numpy(), columns=["x", "y"])
        means = fit(family, 2, table, **TWICE).model.emission.mean.sort(0).values
        assert_close(means, f8([[0.0, 3.0], [9.0, 12.0]]), rtol=0, atol=0.6)


def test_one_state_is_the_fit_of_the_family():
    found = fit(Normal, 1, SERIES)
    assert found.model.initial_probs.tolist() == [1.0] and len(found.runs) == 1
    assert found.model.transition_matrix.tolist() == [[1.0]]
    assert_close(found.model.emission.loc[0], SERIES.mean())
    assert_close(found.model.emission.scale[0], SERIES.std(correction=0))
    words = fit(Categorical, 1, ["b", "a", "b", "b"]).model
    assert words.symbols == ("a", "b")
    assert_close(words.emission.probs, f8([[0.25, 0.75]]))


def test_options_go_to_the_method():
    with pytest.warns(UserWarning, match="shrank onto a value"):  # of the clusters
        narrow = fit(Normal, 2, [1.0, 1, 1, 5, 5, 5] * 5, min_scale=0.5, **TWICE).model
    assert_close(narrow.emission.scale, f8([0.5, 0.5]))
    with pytest.warns(UserWarning, match="fit_gradient: not converged"):
        options = {"num_starts": 1, "num_steps": 3, "method": fit_gradient}
        climbed = fit(Normal, 2, SERIES, **options)
    assert climbed.num_iters <= 3
    even = fit(Categorical, 2, [0, 1, 1, 0], pseudo_count=1e6, **TWICE).model
    assert_close(
        even.emission.probs, torch.full((2, 2), 0.5).double(), rtol=0, atol=1e-3
    )
    only = fit(Normal, 2, SERIES, learn=["emission"], num_starts=1).model
    assert_close(only.initial_probs, f8(PI))
    with pytest.raises(TypeError):
        fit(Normal, 2, SERIES, no_such_option=1)
    assert fit(Normal, 2, SERIES, method=fit_em, **TWICE).converged


def test_an_emission_says_its_family():
    like = Independent(Bernoulli(torch.full((2, 3), 0.5).double()), 1)
    told = Independent(Bernoulli(f8([[0.9, 0.9, 0.1], [0.1, 0.2, 0.9]])), 1)
    truth = HMM(PI, MOVES, told)
    x = truth.sample(300, seed=0).observations
    model, order = ordered(fit(like, 2, x, **TWICE), truth)
    assert_close(model.emission.mean[order], told.mean, rtol=0, atol=0.12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Normal", 2, [0.0, 1.0]), "family: got 'Normal', needs a class of torch"),
        ((dict, 2, [0.0, 1.0]), "family: got <class 'dict'>, needs a class of torch"),
        ((Uniform, 2, [0.0, 1.0]), "family: Uniform has no start from data alone"),
        (
            (Normal(torch.zeros(3), 1.0), 2, [0.0, 1.0]),
            r"family: got .*\(3,\), needs \(2",
        ),
        ((Normal, 0, [0.0, 1.0]), "num_states: got 0"),
        ((Normal, 2.5, [0.0, 1.0]), "num_states: got 2.5"),
        ((Normal, 3, [0.0, 1.0, 1.0]), "got too few different ones, needs 3"),
        ((Normal, 2, [NAN, NAN]), "observations: all are missing"),
        ((Normal, 2, ["12.5", "3.1"]), "text such as '12.5', needs numbers for Normal"),
        ((Normal, 2, []), r"observations: got shape \(0,\), needs at least one step"),
        ((MultivariateNormal, 2, [0.0, 1.0]), r"observations: got shape \(2,\), needs"),
        ((Categorical, 2, [0, -1]), "observations: -1 at step 1"),
        ((Poisson, 2, [1.0, 2.5, 3.0]), "observations: 2.5 at step 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(*arguments)


def test_seeds_and_starts_that_are_none_are_refused():
    with pytest.raises(ValueError, match="num_starts: got 0"):
        fit(Normal, 2, SERIES, num_starts=0)
    with pytest.raises(ValueError, match="seed: got -1"):
        fit(Normal, 2, SERIES, seed=-1)


def test_a_table_given_as_an_array_is_pointed_out():
    """3,000 rows of two columns are read as 3,000 sequences, which nobody may have meant."""
    array = np.random.default_rng(0).normal(size=(3000, 2))
    with pytest.warns(UserWarning, match=r"3000 sequences of 2 steps; .*DataFrame"):
        fit(Normal, 1, array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Normal, 1, array, lengths=[2] * 3000)
        fit(Normal, 1, pd.DataFrame(array))
        fit(Normal, 1, array[:90])


def test_a_fit_is_printed_in_short():
    found = fit(Normal, 2, [0.0, 0.1, 5.0, 5.1, 0.2, 5.2], num_starts=3)
    lines = repr(found).split("\n")
    assert lines[0].startswith("Fit: log p(x) ") and ", converged, steps: " in lines[0]
    assert lines[1].startswith("3 starts: ")
    assert "\n".join(lines[2:]) == repr(found.model)
