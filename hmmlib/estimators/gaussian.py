"""Each state emits vectors with Gaussian noise, whose covariance has one of four shapes."""

import numpy as np
from torch.distributions import Independent, MultivariateNormal, Normal

from hmmlib.checks import told
from hmmlib.emissions import Lookup, log_likelihoods
from hmmlib.engines import pick
from hmmlib.estimators import covariances, moments
from hmmlib.estimators.base import BaseHMM
from hmmlib.estimators.checks import as_choice, as_prior, read_table
from hmmlib.estimators.loops import score_columns, score_pairs
from hmmlib.estimators.sequences import as_plain


class GaussianHMM(BaseHMM):
    """A hidden Markov model whose states emit Gaussian vectors; X is (n, D).

    Args:
        n_components: K, the number of states.
        params, init_params: "m" and "c" stand for `means_` and `covars_`.
        covariance_type: "spherical", "diag", "full" or "tied".
        min_covar: added to the variances that learning starts from.
        means_prior, means_weight: scalar, (K,) or (K, D): a mean, and how many steps it
            counts as; a Normal prior.
        covars_prior, covars_weight: added to the sum of squares, and to the steps that it is
            divided by, less 1 (less D of matrices): an inverse Gamma or Wishart prior.

    All other arguments are those of `BaseHMM`.

    After `fit`: `startprob_` (K,), `transmat_` (K, K), `means_` (K, D), `covars_`,
    `n_features` D, `monitor_`. `covars_` is set in the shape of its type, (K,), (K, D),
    (K, D, D) or (D, D), and is read as (K, D, D).

    A column may miss a value (NaN) while others have theirs.

    Example:
        >>> model = GaussianHMM(n_components=2, random_state=0)
        >>> X = [[1.1], [1.0], [0.9], [1.0], [5.0], [5.2], [4.8]]
        >>> sorted(model.fit(X).means_.ravel().round(1).tolist())
        [1.0, 5.0]
    """

    _letters = BaseHMM._letters | {"m": "means_", "c": "covars_"}

    def __init__(
        self, n_components=1, covariance_type="diag", min_covar=1e-3, startprob_prior=1.0,
        transmat_prior=1.0, means_prior=0, means_weight=0, covars_prior=1e-2,
        covars_weight=1, algorithm="viterbi", random_state=None, n_iter=10, tol=1e-2,
        verbose=False, params="stmc", init_params="stmc", implementation="log",
    ):  # fmt: skip
        super().__init__(
            n_components, startprob_prior, transmat_prior, algorithm, random_state, n_iter,
            tol, verbose, params, init_params, implementation,
        )  # fmt: skip
        self.covariance_type = covariance_type
        self.min_covar = min_covar
        self.means_prior = means_prior
        self.means_weight = means_weight
        self.covars_prior = covars_prior
        self.covars_weight = covars_weight

    @property
    def covars_(self) -> np.ndarray:
        """The covariance matrix of each state, (K, D, D)."""
        if "_covars_" not in vars(self):
            raise AttributeError("covars_: there are none before `fit`")
        size, dims = self.n_components, np.shape(self.means_)[1]
        kind = self.covariance_type
        return covariances.as_matrices(self._covars_, kind, size, dims)

    @covars_.setter
    def covars_(self, covars):
        """Take covariances in the shape of the type, or as matrices."""
        kind = as_choice("covariance_type", self.covariance_type, covariances.TYPES)
        self._covars_ = covariances.as_stored(covars, kind, self.n_components)

    def _init_emission(self, X):
        full = X[~np.isnan(X).any(1)]
        if self._needs_init("m"):
            self.means_ = self._centres(X, full)
        if self._needs_init("c"):
            dims = X.shape[1]
            wide = np.zeros((dims, dims))
            if len(full) == len(X) > 1:
                wide = np.atleast_2d(np.cov(X.T))
            elif len(X) > 1:
                seen = np.maximum((~np.isnan(X)).sum(0), 1)
                middle = np.nansum(X, 0) / seen
                wide = np.diag(np.nansum((X - middle) ** 2, 0) / seen)
            wide = wide + self.min_covar * np.eye(dims)
            size = self.n_components
            self.covars_ = {
                "spherical": lambda: np.full(size, wide.mean()),
                "diag": lambda: np.tile(np.diag(wide), (size, 1)),
                "full": lambda: np.tile(wide, (size, 1, 1)),
                "tied": lambda: wide,
            }[as_choice("covariance_type", self.covariance_type, covariances.TYPES)]()

    def _centres(self, X, full):
        """K centres of the rows that miss nothing, or of all, filled with column means."""
        from sklearn.cluster import KMeans  # takes a while to load
        from threadpoolctl import threadpool_limits

        if len(full) < self.n_components:
            seen = ~np.isnan(X)
            middle = np.nansum(X, 0) / np.maximum(seen.sum(0), 1)
            full = np.where(seen, X, middle)
        means = KMeans(self.n_components, n_init=10, random_state=self.random_state)
        with threadpool_limits(1):  # sums of several threads depend on their number
            return means.fit(full).cluster_centers_

    def _check(self):
        super()._check()
        as_choice("covariance_type", self.covariance_type, covariances.TYPES)
        means = np.asarray(self.means_, dtype=np.float64)
        size = self.n_components
        if means.ndim != 2 or len(means) != size or not np.isfinite(means).all():
            raise ValueError(
                f"means_: got {told(self.means_)}, needs finite numbers, shape ({size}, D)"
            )
        dims = means.shape[1]
        self.means_, self.n_features = means, dims
        needs = {
            "spherical": (size,), "diag": (size, dims), "full": (size, dims, dims),
            "tied": (dims, dims),
        }[self.covariance_type]  # fmt: skip
        if self._covars_.shape != needs:
            raise ValueError(f"covars_: got shape {self._covars_.shape}, needs {needs}")

    def _table(self, X, learning=False):
        X = read_table(self, X, learning)
        if not learning:
            self._check_and_set_n_features(X)
        return X

    def _values(self, X):
        return X[:, 0] if X.shape[1] == 1 else X

    def _scales(self):
        """Standard deviations of columns that are independent, (K, D)."""
        stored, shape = self._covars_, self.means_.shape
        single = self.covariance_type == "spherical" or shape[1] == 1
        variances = stored.reshape(-1, 1) if single else stored
        scales = np.sqrt(np.maximum(variances, np.finfo(float).tiny))
        return np.ascontiguousarray(np.broadcast_to(scales, shape))

    def _has_pairs(self):
        return self.covariance_type in ("full", "tied") and self.means_.shape[1] > 1

    def _scores(self, values):
        means = self.means_
        if means.shape[1] == 1:
            given = means[:, 0], self._scales()[:, 0]
            return Lookup(tuple(map(as_plain, given)), values=values)
        flat = values.reshape(-1, values.shape[-1])
        scores = np.empty((len(flat), len(means)))
        if not self._has_pairs():
            score_columns(flat.numpy(), means, self._scales(), scores)
        elif np.isnan(flat.numpy().min()):
            return log_likelihoods(self._emission(), values, values.dtype)
        else:
            lower = covariances.cholesky(self._covars_)
            inverses = np.linalg.inv(lower)
            constants = np.log(np.diagonal(inverses, axis1=-2, axis2=-1)).sum(-1)
            constants = constants - 0.5 * means.shape[1] * np.log(2 * np.pi)
            constants = np.broadcast_to(constants, len(means))
            inverses = np.broadcast_to(inverses, (len(means), *lower.shape[-2:]))
            score_pairs(flat.numpy(), means, inverses, constants, scores)
        return as_plain(scores).reshape(*values.shape[:-1], len(means))

    def _emission(self):
        means = as_plain(self.means_.copy())
        if self._has_pairs():
            tril = as_plain(covariances.cholesky(self._covars_))
            tril = tril.expand(len(means), *tril.shape[-2:])
            return MultivariateNormal(means, scale_tril=tril, validate_args=False)
        scales = as_plain(self._scales())
        if means.shape[1] == 1:
            return Normal(means[:, 0], scales[:, 0])
        return Independent(Normal(means, scales), 1)

    def _learn_emission(self, found, uses):
        if not {"m", "c"} & set(self.params):
            return
        seen_by = self._moments(found, uses)
        mass, shape = seen_by.mass, self.means_.shape
        weight = as_prior("means_weight", self.means_weight, shape)
        prior = as_prior("means_prior", self.means_prior, shape)
        seen = mass > 0
        old = self.means_
        if "m" in self.params:
            heavy = weight + mass
            means = weight * prior + mass * seen_by.mean
            self.means_ = np.where(seen, means / np.where(heavy > 0, heavy, 1.0), old)
        if "c" in self.params:
            squares = seen_by.about(self.means_, weight, self.means_ - prior)
            self._covars_ = self._covariances(squares, mass, seen)

    def _covariances(self, squares, mass, seen):
        """What sums of squares, of columns or of pairs of them, make of the covariances."""
        kind, prior, weight = (
            self.covariance_type,
            self.covars_prior,
            self.covars_weight,
        )
        if kind in ("spherical", "diag"):
            steps = max(weight - 1, 0) + mass
            sums = as_prior("covars_prior", prior, squares.shape) + squares
            steps = np.broadcast_to(np.maximum(steps, 1e-5), sums.shape)
            if kind == "diag":
                return np.where(seen, sums / steps, self._covars_)
            return np.where(seen.any(1), sums.sum(1) / steps.sum(1), self._covars_)
        mass, free = mass[:, :, None], max(weight - squares.shape[-1], 0)
        if kind == "tied":
            sums = as_prior("covars_prior", prior, squares.shape[1:]) + squares.sum(0)
            return sums / (free + mass.sum())
        sums = as_prior("covars_prior", prior, squares.shape) + squares
        steps = np.where(seen[:, :, None], free + mass, 1.0)
        return np.where(seen[:, :, None], sums / steps, self._covars_)

    def _moments(self, found, uses) -> moments.Moments:
        """Of all sequences together, from the uses of their batches."""
        paired = self.covariance_type in ("full", "tied")
        if uses[0].ndim == 2:  # sums about the means there were
            quick = moments.of_sums(sum(uses), self.means_)
            if quick is not None:
                squares = quick.squares[:, :, None] if paired else quick.squares
                return quick._replace(squares=squares)
            uses = [self._probs(batch) for batch in found]
        weights = np.concatenate([each.reshape(-1, self.n_components) for each in uses])
        values = np.concatenate([batch.values.numpy() for batch in found])
        values = values.reshape(len(weights), -1)
        if paired:
            return moments.with_pairs(values, weights, self._emission())
        return moments.by_column(values, weights, self.means_)

    def _probs(self, batch):
        """p(z_t | x) of all steps."""
        short = self._compact(batch.seen)
        return pick(short).smooth_states(short).smoothed_probs.numpy()

    def _num_free(self):
        size, dims = self.n_components, self.n_features
        shared = dims * (dims + 1) // 2
        kinds = {
            "spherical": size, "diag": size * dims, "full": size * shared, "tied": shared,
        }  # fmt: skip
        return super()._num_free() | {
            "m": size * dims,
            "c": kinds[self.covariance_type],
        }

    def _sampler(self, random):
        return lambda state: random.standard_normal(self.n_features)

    def _as_sampled(self, drawn, path):
        # as numpy's multivariate_normal does it, one state at a time
        out = np.empty_like(drawn)
        for state in np.unique(path):
            _, scales, axes = np.linalg.svd(self.covars_[state])
            here = path == state
            turned = np.sqrt(scales)[:, None] * axes
            out[here] = drawn[here] @ turned + self.means_[state]
        return out
