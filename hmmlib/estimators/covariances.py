"""The four shapes of a covariance that scikit-learn and hmmlearn know.

spherical  (K,) one variance a state       diag  (K, D) one for each column
full       (K, D, D) one matrix a state    tied  (D, D) one for all states
"""

import numpy as np

from hmmlib.checks import told

TYPES = "spherical", "diag", "full", "tied"
SHAPES = {"spherical": "(K,)", "diag": "(K, D)", "full": "(K, D, D)", "tied": "(D, D)"}
JITTER = 1e-7  # added where rounding has left a matrix not positive definite, as hmmlearn does


def as_stored(covars, kind: str, num_states: int) -> np.ndarray:
    """`covars` in the shape of its kind, a copy; (K, D, D) of any kind is taken, too.

    Raises:
        ValueError: for another shape, variances that are not positive, and matrices that are
            not symmetric and positive definite.
    """
    given = np.array(covars, dtype=np.float64)
    found = _compact(given, kind, num_states)
    matrix = kind in ("full", "tied")
    if (
        found.ndim != {"spherical": 1, "diag": 2, "full": 3, "tied": 2}[kind]
        or found.size == 0
        or (kind != "tied" and len(found) != num_states)
        or (matrix and found.shape[-1] != found.shape[-2])
    ):
        raise ValueError(
            f"covars_: got shape {given.shape}, needs {SHAPES[kind]} for {kind!r}, K ="
            f" {num_states}, or matrices (K, D, D) that are {kind}"
        )
    if not np.isfinite(found).all() or not (matrix or (found > 0).all()):
        raise ValueError(f"covars_: got {told(covars)}, needs positive variances")
    if matrix and not np.allclose(found, found.mT):
        raise ValueError(f"covars_: got {told(covars)}, needs symmetric matrices")
    if matrix:
        cholesky(found)
    return found


def _compact(found: np.ndarray, kind: str, num_states: int) -> np.ndarray:
    """What is said more than once, said once; of another shape than (K, ...), as it is."""
    if kind == "full" or found.ndim == 0 or len(found) != num_states:
        return found
    square = found.ndim == 3 and found.shape[1] == found.shape[2]
    if kind == "tied":
        return found[0] if square and (found == found[0]).all() else found
    if square:
        variances = np.diagonal(found, axis1=1, axis2=2).copy()
        if (found != variances[:, None] * np.eye(found.shape[1])).any():
            return found
        found = variances
    if kind == "spherical":
        flat = found.reshape(num_states, -1)
        return flat[:, 0] if flat.size and (flat == flat[:, :1]).all() else found
    return found


def as_matrices(
    stored: np.ndarray, kind: str, num_states: int, dims: int
) -> np.ndarray:
    """The covariance matrix of each state, (K, D, D)."""
    if kind == "full":
        return stored
    if kind == "tied":
        return np.tile(stored, (num_states, 1, 1))
    variances = stored[:, None] if kind == "spherical" else stored
    return variances[..., None] * np.eye(dims)


def cholesky(matrices: np.ndarray) -> np.ndarray:
    """The lower triangles L with L L^T the matrices, (..., D, D).

    Raises:
        ValueError: for one that is not positive definite, not even with a little added.
    """
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        if matrices.ndim > 2:
            return np.stack([cholesky(each) for each in matrices])
    try:
        return np.linalg.cholesky(matrices + JITTER * np.eye(len(matrices)))
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(matrices).min()
        raise ValueError(
            f"covars_: got an eigenvalue of {lowest:g}, needs positive definite matrices; a"
            " larger covars_prior keeps them so"
        ) from None
