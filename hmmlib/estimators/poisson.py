"""Each state emits counts, each column at a rate of its own."""

import numpy as np
from scipy.special import gammaln
from sklearn.utils import check_random_state
from torch.distributions import Independent, Poisson

from hmmlib.checks import told
from hmmlib.emissions import Lookup
from hmmlib.estimators.base import BaseHMM
from hmmlib.estimators.checks import as_prior, read_table
from hmmlib.estimators.loops import score_counts, sum_columns
from hmmlib.estimators.sequences import Batch, as_plain

MOST = 1024  # counts of one column below it are read as symbols
MOST_AT_ONCE = 1e6  # factorials that are worth a table
NO_TABLE = np.empty(0)


class PoissonHMM(BaseHMM):
    """A hidden Markov model whose states emit counts; X is (n, D), integers from 0.

    Args:
        n_components: K, the number of states.
        params, init_params: "l" stands for `lambdas_`.
        lambdas_prior, lambdas_weight: scalar, (K,) or (K, D): events and steps that each
            state is taken to have seen before; a Gamma prior.

    All other arguments are those of `BaseHMM`.

    After `fit`: `startprob_` (K,), `transmat_` (K, K), `lambdas_` (K, D), `n_features` D,
    `monitor_`.

    A column may miss a count (NaN) while others have theirs.

    Example:
        >>> model = PoissonHMM(n_components=2, init_params="st", random_state=0)
        >>> model.lambdas_ = [[1.0], [8.0]]
        >>> model.fit([[0], [1], [0], [0], [9], [8], [11], [9]]).predict([[0], [10]])
        array([0, 1])
    """

    _letters = BaseHMM._letters | {"l": "lambdas_"}

    def __init__(
        self, n_components=1, startprob_prior=1.0, transmat_prior=1.0, lambdas_prior=0.0,
        lambdas_weight=0.0, algorithm="viterbi", random_state=None, n_iter=10, tol=1e-2,
        verbose=False, params="stl", init_params="stl", implementation="log",
    ):  # fmt: skip
        super().__init__(
            n_components, startprob_prior, transmat_prior, algorithm, random_state, n_iter,
            tol, verbose, params, init_params, implementation,
        )  # fmt: skip
        self.lambdas_prior = lambdas_prior
        self.lambdas_weight = lambdas_weight

    def _init_emission(self, X):
        if not self._needs_init("l"):
            return
        known = X[~np.isnan(X)]
        mean, variance = (known.mean(), known.var()) if len(known) else (1.0, 0.0)
        shape = self.n_components, self.n_features
        if variance > 0:
            random = check_random_state(self.random_state)
            given = mean**2 / variance, variance / mean
            self.lambdas_ = random.gamma(*given, size=shape)
        else:
            self.lambdas_ = np.full(shape, mean)

    def _check(self):
        super()._check()
        rates = np.atleast_2d(self.lambdas_).astype(np.float64, copy=False)
        needs = self.n_components, getattr(self, "n_features", rates.shape[1])
        if rates.shape != needs:
            raise ValueError(f"lambdas_: got shape {rates.shape}, needs {needs}")
        if not (np.isfinite(rates) & (rates >= 0)).all():
            raise ValueError(
                f"lambdas_: got {told(rates.tolist())}, needs rates from 0"
            )
        self.lambdas_, self.n_features = rates, rates.shape[1]

    def _table(self, X, learning=False):
        X = read_table(self, X, learning)
        if not learning:
            self._check_and_set_n_features(X)
        wrong = (X < 0) | (X % 1 > 0)
        if wrong.any():
            raise ValueError(f"X: got {X[wrong][0]:g}, needs integers from 0, or NaN")
        return X

    def _values(self, X):
        known = np.where(np.isnan(X), -1.0, X)
        if (
            X.shape[1] == 1 and known.max() < MOST
        ):  # row 0 of the table is for what is missing
            return known[:, 0].astype(np.int64) + 1
        return X

    def _scores(self, values):
        size, array = self.n_components, values.numpy()
        if array.dtype == np.int64:  # counts up to the largest, each once
            counts = np.arange(array.max(), dtype=np.float64)[:, None]
            table = np.zeros((len(counts) + 1, size))
            score_counts(counts, self.lambdas_, NO_TABLE, table[1:])
            return Lookup((as_plain(table),), rows=values)
        flat = array.reshape(-1, array.shape[-1])
        most = np.nanmax(flat, initial=0)
        table = gammaln(np.arange(most + 1) + 1) if most < MOST_AT_ONCE else NO_TABLE
        scores = np.empty((len(flat), size))
        score_counts(flat, self.lambdas_, table, scores)
        return as_plain(scores).reshape(*values.shape[:-1], size)

    def _emission(self):
        rates = as_plain(self.lambdas_.copy())
        return (
            Poisson(rates[:, 0])
            if rates.shape[1] == 1
            else Independent(Poisson(rates), 1)
        )

    def _learn_emission(self, found, uses):
        if "l" not in self.params:
            return
        sums = [_sums(*each) for each in zip(found, uses, strict=True)]
        events, steps = (sum(each) for each in zip(*sums, strict=True))
        shape = self.lambdas_.shape
        events = events + as_prior("lambdas_prior", self.lambdas_prior, shape)
        steps = steps + as_prior("lambdas_weight", self.lambdas_weight, shape)
        seen = steps > 0
        self.lambdas_ = np.where(
            seen, events / np.where(seen, steps, 1.0), self.lambdas_
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def _num_free(self):
        return super()._num_free() | {"l": self.n_components * self.n_features}

    def _sampler(self, random):
        return lambda state: random.poisson(self.lambdas_[state])


def _sums(batch: Batch, uses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many events each state is expected to have seen, and in how many steps; (K, D)."""
    if uses.ndim == 2:  # row 0 is of missing ones
        counts = np.arange(len(uses) - 1.0)
        return (uses[1:].T @ counts)[:, None], uses[1:].sum(0)[:, None]
    weights, values = uses.reshape(-1, uses.shape[-1]), batch.values.numpy()
    steps, events = np.empty((2, weights.shape[1], values.shape[1]))
    sum_columns(values, weights, steps, events)
    return events, steps
