"""Weighted moments of observations: what the M-step of a Gaussian needs.

Letters: n observations, D columns, K states.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.distributions import MultivariateNormal, Normal

from hmmlib.emissions.multivariate_normal import weighted_moments
from hmmlib.estimators.loops import square_columns, square_pairs, sum_columns


class Moments(NamedTuple):
    """What each state has seen, on average over the posterior."""

    mass: np.ndarray  #: (K, 1) steps, or (K, D) of each column
    mean: np.ndarray  #: (K, D)
    squares: np.ndarray
    """(K, D) sums of squared distances from the mean, or (K, D, D) of products of two."""

    def about(self, means, weight, apart) -> np.ndarray:
        """`squares` from other means (K, D), with `weight` steps that lie `apart` added.

        Raises ValueError where a full or tied covariance has a weight for each column.
        """
        shift = self.mean - means
        if self.squares.ndim == 2:
            return self.squares + self.mass * shift**2 + weight * apart**2
        if (weight != weight[:, :1]).any():
            raise ValueError(
                "means_weight: differs by column, needs one number a state"
            )
        pairs = self.mass[:, :, None] * _outer(shift) + weight[:, :, None] * _outer(
            apart
        )
        return self.squares + pairs


def of_sums(sums: np.ndarray, means: np.ndarray) -> Moments | None:
    """Of one column, from sums of p(z_t | x) times 1, x - mean and (x - mean)^2, (3, K).

    None where the squares have lost digits to cancellation: the means are far off.
    """
    mass, first, second = sums[:, :, None]
    shift = first / np.where(mass > 0, mass, 1.0)
    squares = second - first * shift
    if (squares < 1e-6 * second).any():
        return None
    return Moments(mass, means + shift, squares)


def by_column(values: np.ndarray, weights: np.ndarray, old: np.ndarray) -> Moments:
    """Each column by itself, from values (n, D), NaN left out, and weights (n, K)."""
    shape = weights.shape[1], values.shape[1]
    mass, sums, squares = np.empty((3, *shape))
    sum_columns(values, weights, mass, sums)
    mean = np.where(mass > 0, sums / np.where(mass > 0, mass, 1.0), old)
    square_columns(values, weights, mean, squares)
    return Moments(mass, mean, squares)


def with_pairs(
    values: np.ndarray, weights: np.ndarray, emission: MultivariateNormal | Normal
) -> Moments:
    """Pairs of columns, too; a missing value is expected, given the others in its row."""
    missing = np.isnan(values)
    seen = ~missing.all(1)
    if not seen.all():
        values, weights, missing = values[seen], weights[seen], missing[seen]
    mass = weights.sum(0)[:, None]
    if missing.any():
        tensors = torch.from_numpy(values), torch.from_numpy(weights)
        mean, covariance = (x.numpy() for x in weighted_moments(emission, *tensors))
        return Moments(mass, mean, covariance * mass[:, :, None])
    mean = weights.T @ values / np.where(mass > 0, mass, 1.0)
    squares = np.empty((*mean.shape, mean.shape[1]))
    square_pairs(values, weights, mean, squares)
    return Moments(mass, mean, squares)


def _outer(rows: np.ndarray) -> np.ndarray:
    """The products of all two of a row, (K, D, D)."""
    return rows[:, :, None] * rows[:, None, :]
