"""Scores and sums over tables of several columns, compiled, in float64.

Letters: values (n, D), NaN where missing; weights (n, K). A block of rows is turned first, so
that what is done for each row is done for several at once.
"""

import math

import numpy as np

from hmmlib.jit import compiled

BLOCK = 128


@compiled
def turned(values, first, block):
    """Rows from `first` as columns of `block`, (D, BLOCK); how many there are."""
    num = min(BLOCK, len(values) - first)
    for d in range(values.shape[1]):
        for t in range(num):
            block[d, t] = values[first + t, d]
    return num


@compiled
def score_columns(values, means, scales, scores):
    """scores (n, K), out: log densities of Gaussians with independent columns, (K, D)."""
    size, dims = means.shape
    block, total = np.empty((dims, BLOCK)), np.empty(BLOCK)
    constants = -np.log(scales) - 0.5 * np.log(2 * np.pi)
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        for k in range(size):
            total[:] = 0.0
            for d in range(dims):
                mean, per_scale, constant = (
                    means[k, d],
                    1 / scales[k, d],
                    constants[k, d],
                )
                for t in range(num):
                    apart = (block[d, t] - mean) * per_scale
                    score = constant - 0.5 * apart * apart
                    total[t] += score if score == score else 0.0
            for t in range(num):
                scores[first + t, k] = total[t]


@compiled
def score_pairs(values, means, inverses, constants, scores):
    """scores (n, K), out: log densities of Gaussians; `inverses` (K, D, D) of lower triangles.

    Every value is there. `constants`, (K,), are the densities at the means.
    """
    size, dims = means.shape
    block, total = np.empty((dims, BLOCK)), np.empty(BLOCK)
    apart, row = np.empty((dims, BLOCK)), np.empty(BLOCK)
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        for k in range(size):
            total[:] = 0.0
            for i in range(dims):
                row[:] = 0.0
                for t in range(num):
                    apart[i, t] = block[i, t] - means[k, i]
                for j in range(i + 1):
                    weight = inverses[k, i, j]
                    for t in range(num):
                        row[t] += weight * apart[j, t]
                for t in range(num):
                    total[t] += row[t] * row[t]
            for t in range(num):
                scores[first + t, k] = constants[k] - 0.5 * total[t]


@compiled
def score_counts(values, rates, log_factorials, scores):
    """scores (n, K), out: log probabilities of counts at rates (K, D); 0 log 0 is 0.

    `log_factorials` of all counts up to the largest, or empty.
    """
    size, dims = rates.shape
    block, total, known = np.empty((dims, BLOCK)), np.empty(BLOCK), np.empty(BLOCK)
    log_rates = np.log(rates)
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        known[:] = 0.0
        for d in range(dims):
            for t in range(num):
                count = block[d, t]
                if count == count and len(log_factorials):
                    known[t] -= log_factorials[int(count)]
                elif count == count:
                    known[t] -= math.lgamma(count + 1.0)
        for k in range(size):
            total[:] = known
            for d in range(dims):
                rate, log_rate = rates[k, d], log_rates[k, d]
                for t in range(num):
                    count = block[d, t]
                    score = (count * log_rate if count != 0.0 else 0.0) - rate
                    total[t] += score if count == count else 0.0
            for t in range(num):
                scores[first + t, k] = total[t]


@compiled
def sum_columns(values, weights, mass, sums):
    """mass and sums (K, D), out: weights of values that are there, and of these times them."""
    size, dims = mass.shape
    mass[:], sums[:] = 0.0, 0.0
    block, weight = np.empty((dims, BLOCK)), np.empty((size, BLOCK))
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        turned(weights, first, weight)
        for k in range(size):
            for d in range(dims):
                heavy, total = 0.0, 0.0
                for t in range(num):
                    seen = block[d, t] == block[d, t]
                    heavy += weight[k, t] if seen else 0.0
                    total += weight[k, t] * block[d, t] if seen else 0.0
                mass[k, d] += heavy
                sums[k, d] += total


@compiled
def square_columns(values, weights, means, squares):
    """squares (K, D), out: weighted sums of squared distances from means (K, D)."""
    size, dims = means.shape
    squares[:] = 0.0
    block, weight = np.empty((dims, BLOCK)), np.empty((size, BLOCK))
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        turned(weights, first, weight)
        for k in range(size):
            for d in range(dims):
                mean, total = means[k, d], 0.0
                for t in range(num):
                    apart = block[d, t] - mean
                    apart = apart if apart == apart else 0.0
                    total += weight[k, t] * apart * apart
                squares[k, d] += total


@compiled
def square_pairs(values, weights, means, squares):
    """squares (K, D, D), out: as `square_columns`, of products; every value is there."""
    size, dims = means.shape
    squares[:] = 0.0
    block, weight = np.empty((dims, BLOCK)), np.empty((size, BLOCK))
    apart, heavy = np.empty((dims, BLOCK)), np.empty(BLOCK)
    for first in range(0, len(values), BLOCK):
        num = turned(values, first, block)
        turned(weights, first, weight)
        for k in range(size):
            for i in range(dims):
                for t in range(num):
                    apart[i, t] = block[i, t] - means[k, i]
                    heavy[t] = weight[k, t] * apart[i, t]
                for j in range(i + 1):
                    total = 0.0
                    for t in range(num):
                        total += heavy[t] * apart[j, t]
                    squares[k, i, j] += total
    for k in range(size):
        for i in range(dims):
            for j in range(i):
                squares[k, j, i] = squares[k, i, j]
