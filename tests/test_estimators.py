"""hmmlib's estimators: hmmlearn's numbers where both have them, and what hmmlearn has not."""

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hmmlib.estimators import BaseHMM, CategoricalHMM, GaussianHMM, PoissonHMM

FAMILIES = {
    **{kind: ("GaussianHMM", {"covariance_type": kind})
       for kind in ("spherical", "diag", "full", "tied")},
    "categorical": ("CategoricalHMM", {}),
    "Poisson": ("PoissonHMM", {}),
}  # fmt: skip
OURS = {each.__name__: each for each in (GaussianHMM, CategoricalHMM, PoissonHMM)}
LENGTHS = {"one": None, "equal": [40] * 6, "ragged": [1, 1, 40, 60, 138]}
PRIORS = {"startprob_prior": 1.5, "transmat_prior": 2.0}
OF_GAUSSIAN = {"means_prior": 0.5, "means_weight": 2.0, "covars_weight": 6.0}


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def table(name: str, columns: int, seed: int = 0) -> np.ndarray:
    """240 rows from three states that last ten steps each."""
    random = np.random.default_rng(seed)
    states = random.integers(3, size=24).repeat(10)
    if name == "CategoricalHMM":
        return (states[:, None] + random.integers(3, size=(240, 1))) % 5
    if name == "PoissonHMM":
        return random.poisson(
            np.array([1.0, 6.0, 20.0])[states, None] + np.zeros(columns)
        )
    return 3.0 * states[:, None] + random.standard_normal((240, columns))


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_numbers_are_those_of_hmmlearn(family, lengths, columns):
    hmm = pytest.importorskip("hmmlearn.hmm")
    (name, options), X = FAMILIES[family], table(FAMILIES[family][0], columns)
    options = {"n_iter": 7, "tol": -np.inf, "random_state": 3, **options, **PRIORS}
    if name == "GaussianHMM":
        options |= OF_GAUSSIAN
    theirs = getattr(hmm, name)(3, **options).fit(X, lengths)
    ours = OURS[name](3, **options).fit(X, lengths)
    for each in ("startprob_", "transmat_", "means_", "emissionprob_", "lambdas_"):
        if hasattr(theirs, each):
            np.testing.assert_allclose(
                getattr(ours, each), getattr(theirs, each), rtol=1e-9, atol=1e-12
            )
    if hasattr(theirs, "covars_") and (family != "spherical" or columns == 1):
        np.testing.assert_allclose(ours.covars_, theirs.covars_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ours.monitor_.history, theirs.monitor_.history, rtol=1e-10
    )
    for verb in ("score", "aic", "bic"):
        scores = (getattr(each, verb)(X, lengths) for each in (ours, theirs))
        np.testing.assert_allclose(*scores, rtol=1e-10)
    probs = (each.predict_proba(X, lengths) for each in (ours, theirs))
    np.testing.assert_allclose(*probs, rtol=0, atol=1e-8)
    (joint, path), (their_joint, their_path) = (
        each.decode(X, lengths) for each in (ours, theirs)
    )
    np.testing.assert_allclose(joint, their_joint, rtol=1e-10)
    assert (path != their_path).mean() < 0.02  # a tie may go either way
    if family != "spherical" or columns == 1:
        drawn = (each.sample(50, random_state=1) for each in (ours, theirs))
        for one, other in zip(*drawn, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_is_an_hmm(family, columns):
    """With gaps, too: `hmm_` has another way to score a table."""
    (name, options), X = (
        FAMILIES[family],
        table(FAMILIES[family][0], columns).astype(float),
    )
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    model = OURS[name](3, n_iter=3, random_state=3, **options).fit(X, LENGTHS["ragged"])
    values = torch.from_numpy(X if X.shape[1] > 1 else X[:, 0])
    parts = values.split(LENGTHS["ragged"])
    found = sum(model.hmm_.log_likelihood(each).item() for each in parts)
    np.testing.assert_allclose(model.score(X, LENGTHS["ragged"]), found, rtol=1e-10)
    _, path = model.decode(X, LENGTHS["ragged"], "map")
    probs = torch.cat(
        [model.hmm_.smooth(each).smoothed_probs for each in parts]
    ).numpy()
    np.testing.assert_allclose(model.transform(X, LENGTHS["ragged"]), probs, atol=1e-9)
    assert (path == probs.argmax(1)).all()


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_learning_with_gaps_never_lowers_the_likelihood(family, columns):
    (name, options), X = (
        FAMILIES[family],
        table(FAMILIES[family][0], columns).astype(float),
    )
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    if name == "GaussianHMM":
        options = {**options, "covars_prior": 0.0}
    model = OURS[name](3, n_iter=15, tol=-np.inf, random_state=3, **options).fit(X)
    assert np.diff(model.monitor_.history).min() > -1e-8


def test_a_map_path_has_its_log_joint():
    """log p(x, z), by its definition."""
    X, lengths = table("CategoricalHMM", 1), [100, 120, 20]
    model = CategoricalHMM(3, random_state=0).fit(X, lengths)
    found, path = model.decode(X, lengths, algorithm="map")
    total, start = 0.0, 0
    for length in lengths:
        z, x = path[start : start + length], X[start : start + length, 0]
        total += (
            np.log(model.startprob_[z[0]]) + np.log(model.emissionprob_[z, x]).sum()
        )
        total += np.log(model.transmat_[z[:-1], z[1:]]).sum()
        start += length
    np.testing.assert_allclose(found, total, rtol=1e-12)


def test_readings_far_from_zero_keep_their_digits():
    X = table("GaussianHMM", 2)
    near = GaussianHMM(3, random_state=0, n_iter=5, tol=-np.inf).fit(X)
    far = GaussianHMM(3, random_state=0, n_iter=5, tol=-np.inf).fit(X + 1e9)
    np.testing.assert_allclose(far.covars_, near.covars_, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", ["spherical", "diag", "full", "tied"])
def test_a_state_that_is_never_visited_keeps_its_parameters(kind, columns):
    X = np.random.default_rng(0).standard_normal((50, columns))
    model = GaussianHMM(2, kind, init_params="")
    model.startprob_, model.transmat_ = [1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]]
    model.means_ = np.array([[0.0], [7.0]]) + np.zeros(columns)
    eye = np.eye(columns)
    model.covars_ = {
        "spherical": [1.0, 2.0], "diag": np.array([[1.0], [2.0]]) + np.zeros(columns),
        "full": np.stack([eye, 2 * eye]), "tied": eye,
    }[kind]  # fmt: skip
    model.fit(X)
    assert (model.means_[1] == 7).all() and (model.transmat_[1] == 0.5).all()
    if kind != "tied":
        assert (model.covars_[1] == 2 * eye).all()
    assert model.startprob_.tolist() == [1.0, 0.0] and np.isfinite(model.score(X))


def test_learning_the_covariances_alone_takes_them_about_the_means():
    X = np.random.default_rng(0).normal(3.0, 2.0, (5000, 1))
    model = GaussianHMM(1, params="c", init_params="stc")
    model.means_ = [[3.0]]
    np.testing.assert_allclose(model.fit(X).covars_, np.mean((X - 3) ** 2), rtol=1e-4)


def test_a_prior_of_counts_weighs_what_it_says():
    """Of each state: (events + prior) / (steps + weight)."""
    X = np.repeat([[0], [50]], [30, 10], axis=0)
    model = PoissonHMM(
        2, lambdas_prior=5.0, lambdas_weight=10.0, init_params="", n_iter=1
    )
    model.startprob_, model.transmat_ = [1, 0], [[0.9, 0.1], [0.0, 1.0]]
    model.lambdas_ = [[0.01], [50.0]]
    np.testing.assert_allclose(model.fit(X).lambdas_, [[5 / 40], [505 / 20]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["spherical", "diag", "full", "tied"])
def test_covariances_are_taken_as_they_are_read(kind):
    X = table("GaussianHMM", 3)
    model = GaussianHMM(3, kind, random_state=0).fit(X)
    other = GaussianHMM(3, kind)
    other.startprob_, other.transmat_ = model.startprob_, model.transmat_
    other.means_, other.covars_ = model.means_, model.covars_
    assert model.covars_.shape == (3, 3, 3) and other.score(X) == model.score(X)


def test_the_same_seed_learns_the_same_twice():
    X = table("PoissonHMM", 1)
    model = PoissonHMM(3, random_state=0)
    first = model.fit(X).lambdas_.copy()
    assert (model.fit(X).lambdas_ == first).all() and model.random_state == 0


def test_options_that_are_set_later_count():
    X = table("GaussianHMM", 1)
    model = GaussianHMM(3, random_state=0).set_params(n_iter=3, tol=-np.inf).fit(X)
    assert len(model.monitor_.history) == 3 == model.monitor_.n_iter


def test_another_table_may_have_another_width():
    model = GaussianHMM(2, random_state=0).fit(table("GaussianHMM", 3))
    assert model.fit(table("GaussianHMM", 1)).means_.shape == (2, 1)
    symbols = CategoricalHMM(2, random_state=0).fit([[0], [1], [1]])
    assert symbols.fit([[0], [4], [1]]).n_features == 5
    assert symbols.get_params()["n_features"] is None


def test_frames_grids_pipelines_and_output():
    frame = pd.DataFrame(table("GaussianHMM", 2), columns=["a", "b"])
    frame.index = pd.date_range("2024", periods=len(frame), freq="h")
    model = GaussianHMM(2, random_state=0).set_output(transform="pandas").fit(frame)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    probs = model.transform(frame)
    assert probs.columns.tolist() == ["gaussianhmm0", "gaussianhmm1"]
    assert probs.index.equals(frame.index)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a"]])
    grid = GridSearchCV(GaussianHMM(random_state=0), {"n_components": [1, 3]}, cv=3)
    assert grid.fit(frame).best_params_ == {"n_components": 3}
    pipe = make_pipeline(StandardScaler(), clone(model)).fit(frame)
    assert pipe.predict(frame).shape == (len(frame),)


def test_masked_arrays_and_none_are_missing():
    X = np.ma.masked_greater(table("GaussianHMM", 1), 8.0)
    model = GaussianHMM(2, random_state=0).fit(X)
    as_nan = GaussianHMM(2, random_state=0).fit(X.filled(np.nan))
    assert (model.means_ == as_nan.means_).all() and model.means_.max() < 8
    assert CategoricalHMM(2, random_state=0).fit([[0], [None], [1]]).n_features == 2


def test_what_scikit_learn_passes_as_a_target_is_not_read():
    X = table("GaussianHMM", 1)
    with pytest.warns(UserWarning, match="taken as a target y"):
        model = GaussianHMM(2, random_state=0).fit(X, np.arange(len(X)))
    assert (model.means_ == GaussianHMM(2, random_state=0).fit(X).means_).all()


WRONG = {
    "lengths that do not add up": (lambda m, X: m.fit(X, [100, 100]), "lengths: .* 200 in all"),
    "an empty sequence": (lambda m, X: m.fit(X, [0, 240]), "lengths: .* at least 1"),
    "fractions": (lambda m, X: m.fit(X, [120.5, 119.5]), "lengths: "),
    "infinity": (lambda m, X: m.fit(np.append(X, [[0, np.inf]], 0)), "infinity"),
    "a vector": (lambda m, X: m.fit(X[:, 0]), "Expected 2D array"),
    "other columns": (lambda m, X: m.fit(X).score(X[:, :1]), "features"),
    "letters": (lambda m, X: m.set_params(params="stx").fit(X), "params: .*letters"),
    "an algorithm": (lambda m, X: m.fit(X).decode(X, algorithm="a"), "algorithm: .*viterbi"),
    "no states": (lambda m, X: m.set_params(n_components=0).fit(X), "n_components: "),
    "a covariance": (lambda m, X: m.set_params(covariance_type="a").fit(X), "covariance_type"),
    "an implementation": (lambda m, X: m.set_params(implementation="a").fit(X), "implement"),
    "no parameters": (lambda m, X: m.predict(X), "not fitted"),
    "a prior": (lambda m, X: m.set_params(transmat_prior=[1, 2]).fit(X), "transmat_prior"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_name_the_argument(wrong):
    call, says = WRONG[wrong]
    with pytest.raises(ValueError, match=says):
        call(GaussianHMM(3, random_state=0), table("GaussianHMM", 2))


@pytest.mark.parametrize(
    ("model", "X"),
    [
        (CategoricalHMM(2, random_state=0), [[7]]),
        (CategoricalHMM(2, random_state=0), [[-1]]),
        (CategoricalHMM(2, random_state=0), [[0.5]]),
        (CategoricalHMM(2, random_state=0), [[0, 1]]),
        (PoissonHMM(2, random_state=0), [[0.5]]),
        (PoissonHMM(2, random_state=0), [[-1]]),
    ],
)
def test_what_a_state_cannot_emit_is_refused(model, X):
    model.fit([[0], [2], [1], [0]])
    for verb in ("score", "predict", "predict_proba"):
        with pytest.raises(ValueError, match=r"^X"):
            getattr(model, verb)(X)


def test_parameters_that_are_no_model_are_refused():
    model = GaussianHMM(2)
    model.startprob_, model.transmat_ = [1.5, -0.5], [[1.0, 0.0], [0.0, 1.0]]
    model.means_, model.covars_ = [[0.0], [1.0]], [[1.0], [1.0]]
    with pytest.raises(ValueError, match=r"startprob_: .*0 to 1"):
        model.score([[0.0]])
    model.startprob_ = [0.5, 0.5]
    with pytest.raises(ValueError, match="never leaves"):
        model.get_stationary_distribution()
    with pytest.raises(ValueError, match="covars_: "):
        model.covars_ = [[1.0], [-1.0]]


def test_an_emission_of_your_own():
    """Two states, one of which never emits more than 1."""

    class Bounded(BaseHMM):
        def _compute_log_likelihood(self, X):
            return np.where(X > 1, [[-np.inf, 0.0]], [[0.0, -1.0]])

    model = Bounded(2)
    model.startprob_, model.transmat_ = np.array([0.5, 0.5]), np.full((2, 2), 0.5)
    X = np.array([[0.0], [3.0], [0.5], [2.0]])
    assert model.predict(X, [2, 2]).tolist() == [0, 1, 0, 1]
