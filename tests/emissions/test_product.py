"""Products: a number, a count and a word at once, of which any may be missing."""

import numpy as np
import pytest
import torch
from rules import MOVES, check_saved, drawn, f8, uneven_weights
from torch.distributions import Categorical, Gamma, Independent, Normal, Poisson
from torch.testing import assert_close

import hmmlib
from hmmlib import HMM
from hmmlib.emissions import Product, counted_probs, fit, log_prob, num_free
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.learning import em_step, fit_gradient, random_starts

NUMBER = Normal(f8([0.0, 3.0]), f8([1.0, 2.0]))
WORD = Categorical(f8([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]))
COUNT = Poisson(f8([1.0, 6.0]))
BOTH = Product([NUMBER, WORD])
ALL = Product([NUMBER, COUNT, WORD])
NAN = torch.nan


def test_one_missing_at_a_time_against_all_paths():
    hmm = HMM([0.6, 0.4], MOVES, BOTH)
    x = f8([[0.3, 0.0], [NAN, 1.0], [2.5, NAN], [NAN, NAN], [4.0, 2.0]])
    told = torch.zeros(5, 2).double()
    for t, (number, word) in enumerate(x):
        if not number.isnan():
            told[t] += NUMBER.log_prob(number)
        if not word.isnan():
            told[t] += WORD.probs[:, int(word)].log()
    p = hmm.potentials(x)
    assert_close(p.log_likelihoods, told)
    listed = path_log_joints(p._replace(log_likelihoods=told), all_paths(2, 5))
    assert_close(hmm.log_likelihood(x), listed.logsumexp(0))
    assert_close(hmm.viterbi(x).log_joint, listed.amax())


def test_a_value_that_no_state_emits_is_refused_beside_a_gap():
    hmm = HMM([0.6, 0.4], MOVES, BOTH)
    for wrong in ([NAN, 3.0], [NAN, 0.5], [torch.inf, NAN]):
        with pytest.raises(ValueError, match=r"observations: \[.*\] at step 0, needs"):
            hmm.log_likelihood([wrong])


def test_em_climbs_and_each_factor_has_its_own_fit():
    x = drawn(ALL, 90, 0)
    x[::4, 0] = x[1::5, 1] = x[2::6, 2] = NAN
    model, scores = HMM([0.6, 0.4], MOVES, ALL), []
    for _ in range(15):
        model, score = em_step(model, x)
        scores.append(score.item())
    assert np.diff(scores).min() > -1e-9
    weights = uneven_weights(90, 1)
    weights[x[:, 2] == 0] = f8([1.0, 0.0])
    fitted = fit(ALL, x, weights)
    for column, (factor, own) in enumerate(
        zip(ALL.factors, fitted.factors, strict=True)
    ):
        seen = ~x[:, column].isnan()
        alone = fit(factor, x[seen, column], weights[seen])
        values = x[seen, column][:, None]
        assert_close(log_prob(own, values), log_prob(alone, values))


def test_free_parameters_files_and_random_starts(tmp_path):
    assert num_free(ALL) == 4 + 2 + 4
    assert [table.shape for table in counted_probs(ALL)] == [(2, 3)]
    hmm = HMM([0.6, 0.4], MOVES, ALL)
    check_saved(hmm, tmp_path / "model.json")
    assert HMM.load(tmp_path / "model.json").emission.event_shape == (3,)
    for start in random_starts(hmm, 2, seed=0):
        assert isinstance(start.emission, Product)
        assert start.emission.factors[2].probs[1, 0] == 0.0
    drawn_path = hmm.sample(7, seed=0)
    assert drawn_path.observations.shape == (7, 3)


def test_a_product_is_learned_by_gradient_too():
    x = drawn(BOTH, 60, 2)
    hmm = HMM([0.6, 0.4], MOVES, BOTH)
    with pytest.warns(UserWarning, match="not converged"):
        found = fit_gradient(hmm, x, num_steps=20)
    assert found.log_likelihoods[-1] > found.log_likelihoods[0]
    assert isinstance(found.model.emission, Product)


def test_a_product_of_other_families_starts_from_an_emission():
    truth = HMM(
        [0.5, 0.5],
        [[0.95, 0.05], [0.1, 0.9]],
        Product([Gamma(f8([2.0, 9.0]), f8([2.0, 1.0])), WORD]),
    )
    x = truth.sample(400, seed=0).observations
    x[::7, 0] = x[3::7, 1] = NAN
    found = hmmlib.fit(truth.emission, 2, x, num_iters=300, tolerance=1e-3)
    assert found.log_likelihoods[-1] >= truth.log_likelihood(x) - 0.1


def test_a_batch_of_states_and_components_is_one_product():
    """Independent reads the same numbers as a Product of its columns."""
    loc = f8([[0.0, 5.0], [3.0, 1.0]])
    x = f8([[0.5, NAN], [NAN, 2.0], [1.0, 4.0]])
    one = Independent(Normal(loc, 1.0), 1)
    two = Product([Normal(column, torch.ones(2).double()) for column in loc.T])
    assert_close(log_prob(one, x[:, None]), log_prob(two, x[:, None]))
    weights = uneven_weights(3, 0)
    for_one, for_two = fit(one, x, weights), fit(two, x, weights)
    assert_close(for_one.mean, torch.stack([f.loc for f in for_two.factors], 1))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([], "needs distributions of single values"),
        ([Independent(NUMBER, 1)], "needs distributions of single values"),
        ([NUMBER, Normal(f8([0.0] * 3), 1.0)], "needs the same for all"),
    ],
)
def test_what_makes_no_product_is_refused(factors, message):
    with pytest.raises(ValueError, match=f"factors: .*{message}"):
        Product(factors)
