"""Tables and parameters as the estimators need them, or an error in words."""

import numpy as np
from sklearn.utils.validation import check_array, validate_data
from torch import Tensor

from hmmlib.checks import told
from hmmlib.observations import with_nan

INTEGERS = [np.dtype(letter) for letter in np.typecodes["AllInteger"]]


def read_table(estimator, X, learning: bool, whole: bool = False) -> np.ndarray:
    """`X` as (n, D) numbers, NaN where missing: float64, or as they come if `whole`.

    Learning notes the number of columns and their names, which later tables need to have.
    Raises ValueError for what is no such table.
    """
    if not learning and _is_plain(estimator, X, whole):
        return X
    if isinstance(X, np.ma.MaskedArray):
        X = with_nan(X)
    elif isinstance(X, Tensor):
        X = X.numpy(force=True)
    options = {"ensure_all_finite": "allow-nan"}
    options["dtype"] = [np.float64, *INTEGERS] if whole else np.float64
    if learning or hasattr(estimator, "n_features_in_"):
        return validate_data(estimator, X, reset=learning, **options)
    return check_array(X, estimator=estimator, **options)


def _is_plain(estimator, X, whole: bool) -> bool:
    """Whether X is plainly what scikit-learn's checks, which take longer, would let pass."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0:
        return False
    if X.dtype != np.float64:
        fits = whole and X.dtype in INTEGERS
    else:
        fits = np.isfinite(X.min()) and np.isfinite(X.max())
    known = vars(estimator)
    same = known.get("n_features_in_", X.shape[1]) == X.shape[1]
    return fits and same and "feature_names_in_" not in known


def as_probabilities(name: str, values, shape: tuple[int, ...]) -> np.ndarray:
    """`values` as an array of that shape whose last axis sums to one. Raises ValueError."""
    probs = np.asarray(values)
    if probs.shape != shape:
        raise ValueError(f"{name}: got shape {probs.shape}, needs {shape}")
    probs = probs.astype(np.float64, copy=False)
    if not (probs >= 0).all():
        raise ValueError(f"{name}: got {told(values)}, needs probabilities, 0 to 1")
    sums = probs.sum(-1)
    if not (np.abs(sums - 1) <= 1e-5).all():  # as np.allclose, which takes longer
        found = told(np.atleast_1d(sums).round(6).tolist())
        raise ValueError(f"{name}: got sums {found}, needs 1")
    return probs


def as_choice(name: str, value, choices: tuple[str, ...]) -> str:
    """`value`, which is one of the choices. Raises ValueError."""
    if value not in choices:
        raise ValueError(f"{name}: got {told(value)}, needs one of {choices}")
    return value


def as_prior(name: str, value, shape: tuple[int, ...]) -> np.ndarray:
    """A prior as numbers of that shape; (K,) may stand for one number a state.

    Raises:
        ValueError: for other shapes.
    """
    prior = np.asarray(value, dtype=np.float64)
    try:
        return np.broadcast_to(prior, shape)
    except ValueError:
        if prior.shape == shape[:1]:
            prior = prior.reshape(-1, *[1] * (len(shape) - 1))
            return np.broadcast_to(prior, shape)
        raise ValueError(f"{name}: got shape {prior.shape}, needs {shape}") from None
