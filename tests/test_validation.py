"""Held-out steps by listing paths, cross-validation by hand, and the choice of K."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from random_models import rows
from torch.distributions import Categorical, MultivariateNormal, Normal, Poisson
from torch.testing import assert_close

from hmmlib import HMM, fit
from hmmlib.emissions import LinearEmission
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.learning import (
    aic,
    bic,
    choose_num_states,
    cross_validate,
    held_out_log_likelihood,
    selection,
)

MOVES = [[0.8, 0.2], [0.3, 0.7]]


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def test_held_out_steps_by_listing_all_paths():
    """sum over paths of p(path | rest) p(held out | path)."""
    hmm = HMM([0.4, 0.6], MOVES, rows(torch.Generator().manual_seed(0), 2, 3))
    x, out = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([0, 1, 1, 0, 0]).bool()
    paths = all_paths(2, 5)
    probs = path_log_joints(hmm.potentials(x, observed=~out), paths).softmax(0)
    seen = hmm.emission.probs[paths[:, out], x[out]].prod(1)
    expected = (probs * seen).sum().log()
    assert_close(held_out_log_likelihood(hmm, x, out), expected)
    both = held_out_log_likelihood(hmm, x.expand(2, 5), torch.stack([out, ~out]))
    assert_close(both[0], expected)
    all_out = held_out_log_likelihood(hmm, x, torch.ones(5).bool())
    assert_close(all_out, hmm.log_likelihood(x))
    for wrong in (out[:3], out.long()):
        with pytest.raises(ValueError, match="held_out: got torch"):
            held_out_log_likelihood(hmm, x, wrong)


def poisson(rate, x):
    return sum(k * math.log(rate) - rate - math.lgamma(k + 1) for k in x)


def test_folds_of_one_state_by_hand():
    x = [3, 1, 4, 1, 5, 9, 2, 6]
    found = cross_validate(Poisson, 1, x, num_folds=4)
    scores = []
    for fold in range(4):
        out = x[2 * fold : 2 * fold + 2]
        rest = x[: 2 * fold] + x[2 * fold + 2 :]
        scores.append(poisson(np.mean(rest), out))
    assert_close(found.folds["log_likelihood"].tolist(), scores)
    assert_close(found.per_step, sum(scores) / 8)
    assert_close(found.standard_error, np.std(np.array(scores) / 2, ddof=1) / 2)
    dealt = cross_validate(Poisson, 1, x, num_folds=2, block=1)
    expected = [poisson(np.mean(x[1 - k :: 2]), x[k::2]) for k in (0, 1)]
    assert_close(dealt.folds["log_likelihood"].tolist(), expected)


def test_sequences_are_held_out_as_a_whole():
    x = [[3.0, 1.0], [4.0], [1.0, math.nan, 9.0]]
    found = cross_validate(Poisson, 1, x, num_folds=3)
    rest = [np.mean([4, 1, 9]), np.mean([3, 1, 1, 9]), np.mean([3, 1, 4])]
    out = [3, 1], [4], [1, 9]
    expected = [poisson(rate, each) for rate, each in zip(rest, out, strict=True)]
    assert_close(found.folds["log_likelihood"].tolist(), expected)
    assert found.folds["num_steps"].tolist() == [2, 1, 2]


def series(num_steps=240):
    hmm = HMM([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], Poisson(f8([1.0, 7.0])))
    return hmm.sample(num_steps, seed=0).observations


def test_forms_of_data():
    """A Series, its words, an array beside inputs, and vectors."""
    x = series(80)
    plain = cross_validate(Poisson, 2, x, num_starts=1, num_folds=2, num_iters=999)
    named = pd.Series(x.numpy(), index=[f"day {n}" for n in range(80)])
    assert (
        cross_validate(Poisson, 2, named, num_starts=1, num_folds=2, num_iters=999)[0]
        == plain[0]
    )
    words = np.where(x > 3, "wet", "dry").tolist()
    coded = [int(word == "wet") for word in words]
    options = {"num_starts": 1, "num_folds": 2, "num_iters": 3000}
    one = cross_validate(Categorical, 2, words, **options)
    two = cross_validate(Categorical, 2, coded, **options)
    assert_close(one.per_step, two.per_step)
    inputs = torch.stack([torch.ones(80), torch.arange(80.0)], 1)
    found = cross_validate(LinearEmission, 1, x.double(), num_folds=2, inputs=inputs)
    assert math.isfinite(found.per_step)
    plane = Normal(0.0, 1.0).sample((60, 2)).double()
    assert math.isfinite(cross_validate(MultivariateNormal, 1, plane).per_step)


def test_the_choice_shows_what_each_criterion_prefers():
    x = series()
    options = {"num_starts": 2, "num_folds": 3, "num_iters": 5000}
    choice = choose_num_states(Poisson, [1, 2, 3], x, **options)
    table, model = choice.table, fit(Poisson, 2, x, num_starts=2, num_iters=5000).model
    assert_close(table.loc[2, "aic"], aic(model, x))
    assert_close(table.loc[2, "bic"], bic(model, x))
    assert_close(
        table.loc[2, "cross_validated"],
        cross_validate(Poisson, 2, x, **options).per_step,
    )
    assert table["parameters"].tolist() == [1, 2 + 1 + 2, 6 + 2 + 3]
    assert choice.preferred["BIC"] == 2 == table["bic"].idxmin()
    assert choice.preferred["cross-validation"] == table["cross_validated"].idxmax()
    assert choice.fits[2].converged and table["converged"].all()
    text = str(choice)
    assert "2 by BIC" in text and ("disagree" in text) == (
        len(set(choice.preferred.values())) > 1
    )
    assert "<table" in choice._repr_html_()
    short = choose_num_states(Poisson, [2], x, num_folds=None, num_starts=1)
    assert "cross_validated" not in short.table and set(short.preferred) == {
        "AIC",
        "BIC",
    }


def test_disagreement_is_said():
    choice = choose_num_states(Poisson, [1], series(20), num_folds=None)
    assert str(choice).endswith("1 by AIC, 1 by BIC. They agree.")
    other = choice._replace(preferred={"AIC": 3, "BIC": 2})
    assert str(other).endswith("Preferred K: 3 by AIC, 2 by BIC. They disagree.")


def test_what_cannot_be_divided_is_refused():
    for x, options in (
        ([1, 2, 3], {"num_folds": 4}),
        ([1, 2, 3], {"num_folds": 1}),
        ([[1, 2], [3]], {"num_folds": 3}),
        ([[1, 2], [3]], {"num_folds": 2, "block": 1}),
    ):
        with pytest.raises(ValueError, match="num_folds: got"):
            cross_validate(Poisson, 1, x, **options)
    for candidates in ([], [2, 2], [0]):
        with pytest.raises(ValueError, match="candidates: got"):
            choose_num_states(Poisson, candidates, [1, 2, 3])


def test_folds_that_do_not_fit_are_refused_before_anything_is_learned(monkeypatch):
    monkeypatch.setattr(selection, "fit", None)
    with pytest.raises(
        ValueError, match="num_folds: got 5 for 3 sequences, needs at most 3"
    ):
        selection.choose_num_states(Poisson, [1], [[1, 0], [0, 2], [1, 1]])
