"""scikit-learn's own checks of an estimator."""

import logging

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from hmmlib.estimators import CategoricalHMM, GaussianHMM, PoissonHMM
from hmmlib.estimators.checks import read_table

# What no model of sequences with hmmlearn's methods can meet
ANY = {
    "check_fit_score_takes_y": "the second argument of fit is lengths, as in hmmlearn",
    "check_methods_subset_invariance": "a row is read with those before and after it",
    "check_methods_sample_order_invariance": "the order of rows is what it learns from",
}
ROUNDED = ANY | {
    "check_positive_only_tag_during_fit": "it is rounded here, and so is its sign",
    "check_fit_non_negative": "it is rounded here, and so is its sign",
}


class RoundedPoissonHMM(PoissonHMM):
    """Reads the fractions that scikit-learn passes as counts."""

    def _table(self, X, learning=False):
        X = np.rint(abs(read_table(self, X, learning)))
        if not learning:
            self._check_and_set_n_features(X)
        return X


class RoundedCategoricalHMM(CategoricalHMM):
    """Reads the first column of fractions as ten symbols."""

    def __init__(self, n_components=1, n_features=10, random_state=None):
        super().__init__(n_components, n_features=n_features, random_state=random_state)

    def _table(self, X, learning=False):
        X = np.rint(abs(read_table(self, X, learning)))[:, :1].clip(max=9)
        return X if np.isnan(X).any() else X.astype(int)


def expected(estimator) -> dict[str, str]:
    return ANY if isinstance(estimator, GaussianHMM) else ROUNDED


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


@pytest.mark.filterwarnings("ignore:lengths. got an entry for each row")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [GaussianHMM(), RoundedPoissonHMM(), RoundedCategoricalHMM()],
    expected_failed_checks=expected,
)
def test_scikit_learn_is_content(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [PoissonHMM(), CategoricalHMM()], ids=str)
def test_fractions_are_all_that_keeps_the_others_from_it(estimator):
    """Without rounding, each failure says that X holds no counts, or no symbols."""
    failed = 0
    for each, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        if name in ROUNDED or name.startswith("check_fit2d_1"):
            continue
        try:
            check(each)
        except ValueError as error:
            assert str(error).startswith(("X: got", "Negative values")), name
            failed += 1
        except pytest.skip.Exception:
            pass
    assert failed > 10
