"""Each state emits one of V symbols, 0 to V - 1."""

from bisect import bisect_right

import numpy as np
from sklearn.utils import check_random_state
from torch.distributions import Categorical

from hmmlib.checks import as_count, told
from hmmlib.emissions import Lookup
from hmmlib.estimators.base import BaseHMM, cumulated
from hmmlib.estimators.checks import as_prior, as_probabilities, read_table
from hmmlib.estimators.parameters import normalised
from hmmlib.estimators.sequences import as_plain


class CategoricalHMM(BaseHMM):
    """A hidden Markov model whose states emit symbols; X is (n, 1), integers from 0.

    Args:
        n_components: K, the number of states.
        params, init_params: "e" stands for `emissionprob_`.
        emissionprob_prior: scalar or (K, V), Dirichlet parameters of `emissionprob_`; 1 is
            flat.
        n_features: V, the number of symbols; None: one more than the largest in `fit`.

    All other arguments are those of `BaseHMM`.

    After `fit`: `startprob_` (K,), `transmat_` (K, K), `emissionprob_` (K, V), `n_features`,
    `monitor_`.

    Whole numbers may be floats, so that NaN can stand for a missing symbol.

    Example:
        >>> model = CategoricalHMM(n_components=2, init_params="")
        >>> model.startprob_, model.transmat_ = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]
        >>> model.emissionprob_ = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]
        >>> model.predict([[0], [1], [2]])
        array([1, 0, 0])
    """

    _letters = BaseHMM._letters | {"e": "emissionprob_"}

    def __init__(
        self, n_components=1, startprob_prior=1.0, transmat_prior=1.0, *,
        emissionprob_prior=1.0, n_features=None, algorithm="viterbi", random_state=None,
        n_iter=10, tol=1e-2, verbose=False, params="ste", init_params="ste",
        implementation="log",
    ):  # fmt: skip
        super().__init__(
            n_components, startprob_prior, transmat_prior, algorithm, random_state, n_iter,
            tol, verbose, params, init_params, implementation,
        )  # fmt: skip
        self.emissionprob_prior = emissionprob_prior
        self.n_features = n_features

    @property
    def n_features(self):
        """V, as it was given or else as it was found."""
        given = vars(self).get("n_features")
        return vars(self).get("_num_features") if given is None else given

    @n_features.setter
    def n_features(self, n_features):
        """Say how many symbols there are."""
        vars(self)["n_features"] = (
            n_features  # under its own name, as scikit-learn asks
        )

    def get_params(self, deep=True) -> dict:
        """The parameters as they were given: `n_features` is None where it was found."""
        return super().get_params(deep) | {"n_features": vars(self).get("n_features")}

    def _init_emission(self, X):
        if self._needs_init("e"):
            random = check_random_state(self.random_state)
            probs = random.rand(self.n_components, self.n_features)
            self.emissionprob_ = probs / probs.sum(1, keepdims=True)

    def _check(self):
        super()._check()
        found = np.atleast_2d(self.emissionprob_).shape[1]
        num = found if self.n_features is None else self.n_features
        shape = self.n_components, as_count("n_features", num)
        self.emissionprob_ = as_probabilities(
            "emissionprob_", self.emissionprob_, shape
        )
        self._num_features = num

    def _check_and_set_n_features(self, X):
        """Note V. Raises ValueError for what is no symbol."""
        whole = X.dtype.kind in "iub"
        known = X if whole else X[~np.isnan(X)]
        if not whole and len(known) == X.size:
            raise ValueError(f"X: got {X.dtype}, needs integers")
        if not len(known):
            raise ValueError("X: got missing values alone, needs symbols")
        if known.min() < 0 or not (whole or (known % 1 == 0).all()):
            raise ValueError(
                f"X: got {told(known.ravel().tolist())}, needs integers from 0"
            )
        most = int(known.max())
        if self.n_features is None:
            self._num_features = most + 1
        elif most >= self.n_features:
            raise ValueError(
                f"X: got {most}, needs symbols up to {self.n_features - 1}"
            )

    def _table(self, X, learning=False):
        X = read_table(self, X, learning, whole=True)
        if X.shape[1] != 1:
            raise ValueError(f"X: got {X.shape[1]} columns, needs one, of symbols")
        if X.dtype.kind == "f" and not (X % 1).any():  # neither a fraction nor NaN
            X = X.astype(np.int64)
        if not learning:
            self._check_and_set_n_features(X)
        return X

    def _values(self, X):
        if X.dtype.kind == "f":  # row 0 of the table is for what is missing
            return np.where(np.isnan(X[:, 0]), 0, X[:, 0] + 1).astype(np.int64)
        return X[:, 0].astype(np.int64) + 1

    def _scores(self, values):
        with np.errstate(divide="ignore"):
            table = np.log(self.emissionprob_.T)
        table = np.concatenate([np.zeros((1, self.n_components)), table])
        return Lookup((as_plain(table),), rows=values)

    def _emission(self):
        return Categorical(probs=as_plain(self.emissionprob_.copy()))

    def _learn_emission(self, found, uses):
        if "e" not in self.params:
            return
        prior = self.emissionprob_prior
        prior = as_prior("emissionprob_prior", prior, self.emissionprob_.shape)
        counts = sum(uses)[1:].T
        self.emissionprob_ = normalised(counts, prior, self.emissionprob_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = tags.input_tags.positive_only = True
        return tags

    def _num_free(self):
        size, num = self.n_components, self.n_features
        return super()._num_free() | {"e": size * (num - 1)}

    def _sampler(self, random):
        sums = [*map(cumulated, self.emissionprob_)]
        return lambda state: [bisect_right(sums[state], random.rand())]
