"""Loops over tables and observations, compiled: the M-steps of tables, and quick looks.

Letters as in `hmmlib.emissions.protocol`. In an M-step, counts become probabilities, or
moments Gaussians; the new table may be the old one, in place.
"""

import numpy as np

from hmmlib.emissions.protocol import SMALLEST_SCALE
from hmmlib.jit import compiled


@compiled
def normalise(counts, old, pseudo_count, new):
    """new[k] = counts[k], divided by its sum; what is 0 in `old` stays 0; all are (K, V).

    `pseudo_count` is added to what is not 0. A row without any count stays as it was.
    """
    for k in range(len(old)):
        total = 0.0
        for v in range(old.shape[1]):
            total += counts[k, v] + (pseudo_count if old[k, v] > 0.0 else 0.0)
        for v in range(old.shape[1]):
            added = counts[k, v] + (pseudo_count if old[k, v] > 0.0 else 0.0)
            new[k, v] = added / total if total > 0.0 else old[k, v]


@compiled
def fit_gaussians(moments, old, min_scale, new):
    """Mean and scale of each state, (2, K), from the moments about the old means, (3, K).

    False, and nothing done, where the statistics do not suffice: where the variance may
    have lost its digits to cancellation, or a scale is so small, beside that of all
    observations, that these have to be looked at.
    """
    size = old.shape[1]
    means, variances = np.empty(size), np.empty(size)
    total, middle = 0.0, 0.0
    for k in range(size):
        mass = moments[0, k] if moments[0, k] > 0.0 else 1.0
        shift = moments[1, k] / mass
        means[k] = old[0, k] + shift
        variances[k] = moments[2, k] / mass - shift * shift
        total += moments[0, k]
        middle += moments[0, k] * means[k]
    total = total if total > 0.0 else 1.0  # every reading is missing
    middle, overall = middle / total, 0.0
    for k in range(size):
        overall += moments[0, k] * (variances[k] + (means[k] - middle) ** 2) / total
    for k in range(size):
        mass = moments[0, k]
        wide = max(variances[k], min_scale * min_scale)
        lost = wide <= 1e-6 * (moments[2, k] / mass)
        narrow = wide <= (2 * SMALLEST_SCALE) ** 2 * overall
        if mass > 0.0 and (lost or narrow):
            return False
    for k in range(size):
        if moments[0, k] > 0.0:
            new[0, k] = means[k]
            new[1, k] = np.sqrt(max(variances[k], min_scale * min_scale))
        else:
            new[0, k], new[1, k] = old[0, k], old[1, k]
    return True


@compiled
def within(values, num_symbols):
    """Whether all of (n,) are whole numbers from 0 to below `num_symbols`."""
    fine = True
    for x in values:
        fine &= 0 <= x < num_symbols and x == np.floor(x)
    return fine


@compiled
def finite(values):
    """Whether all of (n,) are finite."""
    fine = True
    for x in values:
        fine &= abs(x) < np.inf
    return fine
