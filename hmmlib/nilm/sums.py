"""Sums along the hidden path, carried from step to step with the filter's message.

Each step adds to N sums what depends on its state. Given the joint state of now, the sums so
far have a mean and a variance, (N, S) each. A state that is entered from several others has
the mixture of theirs, weighted by the probabilities of where it came from: its variance is
the mean of the variances plus the variance of the means (law of total variance). So errors
of neighbouring steps, which are correlated, are counted together.

S = prod(K_m) joint states of M chains, the last chain fastest.
"""

import numpy as np

LOST = 1e-200  # a state with more than this of the probability has lost nothing that counts


def sums_moved(
    message: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    matrices: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the sums given the state entered, (N, S) each.

    Args:
        message: (S,), log p(z_t | x_{1:t}).
        means, variances: (N, S), of the sums of steps 1, ..., t given z_t.
        matrices: M of (K_m, K_m), transition probabilities.
    """
    probs = np.exp(message - message.max())
    center = (means @ probs / probs.sum())[:, None]  # so that squares stay small
    apart = means - center
    weighted = [probs[None], probs * apart, probs * (variances + apart**2)]
    total, first, second = np.split(
        moved(np.concatenate(weighted), matrices), [1, 1 + len(means)]
    )
    if total.min() < LOST:
        return moved_in_logs(message, means, variances, matrices)
    first, second = first / total, second / total
    return center + first, np.maximum(second - first**2, 0)


def moved(rows: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    """sum_i rows[n, i] A[i, j] of the joint states i and j, one chain at a time; (N, S)."""
    left = rows.T  # (K_1, ..., K_M, N)
    for matrix in matrices:  # what has moved goes to the end: (..., K_M, N, K_1)
        left = left.reshape(len(matrix), -1).T @ matrix
    return left.reshape(rows.shape)


def moved_in_logs(
    message: np.ndarray,
    means: np.ndarray,
    variances: np.ndarray,
    matrices: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """`sums_moved` where moves are forbidden and probabilities differ beyond all range.

    The sums of a state that cannot be entered are 0; nobody asks for them.
    """
    before, shape = 1, means.shape
    with np.errstate(divide="ignore"):
        logs = [np.log(matrix) for matrix in matrices]
    for log_matrix in logs:
        num = len(log_matrix)
        scores = message.reshape(before, num, 1, -1) + log_matrix[None, :, :, None]
        top = scores.max(1)  # (before, j, after)
        weights = np.exp(scores - np.where(top > -np.inf, top, 0)[:, None])
        total = weights.sum(1)
        with np.errstate(divide="ignore"):
            message = np.log(total) + top
        weights = weights / np.where(total > 0, total, 1)[:, None]
        left = means.reshape(-1, before, num, weights.shape[-1])
        means = np.einsum("bija,nbia->nbja", weights, left)
        apart = left[:, :, :, None] - means[:, :, None]  # (N, before, i, j, after)
        spread = variances.reshape(left.shape)[:, :, :, None] + apart**2
        variances = np.einsum("bija,nbija->nbja", weights, spread)
        before *= num
    return means.reshape(shape), variances.reshape(shape)


def overall(
    message: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the sums whatever the state, (N,) each."""
    probs = np.exp(message)
    mean = means @ probs
    return mean, (variances + (means - mean[:, None]) ** 2) @ probs
