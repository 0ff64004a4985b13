"""The parameters that every hidden Markov model has: how they start, are checked, are learned.

Letters: n rows, D columns, K states (`n_components`).
"""

import logging
import string

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from hmmlib.checks import as_count, told
from hmmlib.estimators.checks import as_choice, as_prior, as_probabilities
from hmmlib.estimators.monitor import ConvergenceMonitor

log = logging.getLogger(__name__)
IMPLEMENTATIONS = "log", "scaling"


class Parameters(BaseEstimator):
    """Starts and moves, and what learning does with them: see `BaseHMM`."""

    _letters = {"s": "startprob_", "t": "transmat_"}  # noqa: RUF012

    def __init__(
        self, n_components=1, startprob_prior=1.0, transmat_prior=1.0, algorithm="viterbi",
        random_state=None, n_iter=10, tol=1e-2, verbose=False, params=string.ascii_letters,
        init_params=string.ascii_letters, implementation="log",
    ):  # fmt: skip
        self.n_components = n_components
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.algorithm = algorithm
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol
        self.verbose = verbose
        self.params = params
        self.init_params = init_params
        self.implementation = implementation

    @property
    def monitor_(self):
        """What `fit` reports to, a `ConvergenceMonitor`; another may be put in its place."""
        if "_monitor" not in vars(self):
            self._monitor = ConvergenceMonitor(self.tol, self.n_iter, self.verbose)
            self._has_own_monitor = True
        return self._monitor

    @monitor_.setter
    def monitor_(self, monitor):
        """Put another monitor in its place."""
        self._monitor, self._has_own_monitor = monitor, False

    def _begun_monitor(self):
        """The monitor without history; the estimator's own has its options as they are now."""
        monitor = self.monitor_
        if self._has_own_monitor:
            monitor.tol, monitor.n_iter = self.tol, self.n_iter
            monitor.verbose = self.verbose
        monitor._reset()
        return monitor

    def _init(self, X, lengths=None):
        """Start each parameter that `init_params` names, or that has not been set."""
        as_count("n_components", self.n_components)
        self._check_and_set_n_features(X)
        size, random = self.n_components, check_random_state(self.random_state)
        if self._needs_init("s"):
            self.startprob_ = random.dirichlet(np.full(size, 1 / size))
        if self._needs_init("t"):
            self.transmat_ = random.dirichlet(np.full(size, 1 / size), size=size)
        self._init_emission(X)
        num_free = self._num_free()
        num = sum(num_free[letter] for letter in self.params if letter in num_free)
        if X.size < num:
            log.warning(
                "%d numbers are learned from only %d data points: expect a degenerate solution",
                num,
                X.size,
            )

    def _init_emission(self, X):
        """Start the parameters of the emission."""

    def _needs_init(self, letter: str) -> bool:
        """Whether `fit` starts this parameter; says so if it has been set."""
        name = self._letters[letter]
        if letter not in self.init_params:
            return not hasattr(self, name)
        if hasattr(self, name):
            log.warning(
                "%s is set and will be overwritten, since init_params contains %r",
                name,
                letter,
            )
        return True

    def _check(self):
        """Raise ValueError for parameters that are no model."""
        size = as_count("n_components", self.n_components)
        as_choice("implementation", self.implementation, IMPLEMENTATIONS)
        probs = as_probabilities("startprob_", self.startprob_, (size,))
        moves = as_probabilities("transmat_", self.transmat_, (size, size))
        self.startprob_, self.transmat_ = probs, moves

    @property
    def n_features(self) -> int:
        """D, once it is known."""
        if "_num_features" not in vars(self):
            raise AttributeError("n_features: is not known before `fit`")
        return self._num_features

    @n_features.setter
    def n_features(self, n_features: int):
        """Say how many columns there are."""
        self._num_features = n_features

    def _check_and_set_n_features(self, X):
        """Note D. Raises ValueError where it was another one before."""
        if getattr(self, "n_features", X.shape[1]) != X.shape[1]:
            raise ValueError(
                f"X: got {X.shape[1]} columns, needs {self.n_features}, as before"
            )
        self.n_features = X.shape[1]

    def _begin(self):
        """Before learning: check `params`; V or D is open where all of the emission is."""
        unknown = set(self.params) - set(self._letters)
        if unknown and self.params != string.ascii_letters:
            letters = "".join(self._letters)
            raise ValueError(
                f"params: got {told(self.params)}, needs letters of {told(letters)}"
            )
        if set(self._letters) - {"s", "t"} <= set(self.init_params):
            vars(self).pop("_num_features", None)

    def _num_free(self) -> dict[str, int]:
        """The number of free parameters, by their letter in `params`."""
        size = self.n_components
        return {"s": size - 1, "t": size * (size - 1)}

    def _learn_moves(self, starts: np.ndarray, moves: np.ndarray):
        """The most probable starts and moves, given how often each is expected."""
        size = self.n_components
        if "s" in self.params:
            prior = as_prior("startprob_prior", self.startprob_prior, (size,))
            self.startprob_ = normalised(starts, prior, self.startprob_)
        if "t" in self.params:
            prior = as_prior("transmat_prior", self.transmat_prior, (size, size))
            self.transmat_ = normalised(moves, prior, self.transmat_)


def normalised(counts: np.ndarray, prior: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Rows of counts as probabilities, (..., V), with Dirichlet parameters `prior`.

    What is 0 in `old` stays 0, and a row without counts stays as it was. Where prior - 1
    takes away more than there is, the maximum is at 0.
    """
    counts = np.where(old == 0, 0.0, np.maximum(prior - 1 + counts, 0.0))
    sums = counts.sum(-1, keepdims=True)
    return np.where(sums > 0, counts / np.where(sums > 0, sums, 1.0), old)
