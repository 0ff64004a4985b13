"""What the three estimators share: starts and moves, the verbs, and learning.

Letters: n rows, D columns, K states (`n_components`).
"""

from bisect import bisect_right

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.checks import as_count
from hmmlib.emissions import Lookup
from hmmlib.engines import pick
from hmmlib.engines.answers import Totals
from hmmlib.engines.compact import Compact, in_full, without_rest
from hmmlib.estimators.checks import as_choice, read_table
from hmmlib.estimators.parameters import Parameters
from hmmlib.estimators.sequences import Batch, as_lengths, as_plain, batches
from hmmlib.hmm import HMM
from hmmlib.observations import Observed
from hmmlib.recursion import Potentials
from hmmlib.stationary import stationary_probs

ALGORITHMS = "viterbi", "map"


class BaseHMM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Parameters):
    """A hidden Markov model whose emission a subclass gives.

    Args:
        n_components: K, the number of states.
        startprob_prior: scalar or (K,), Dirichlet parameters of `startprob_`; 1 is flat.
        transmat_prior: scalar or (K, K), Dirichlet parameters of each row of `transmat_`.
        algorithm: "viterbi" for the most probable path, "map" for the most probable state of
            each step; what `decode` and `predict` use.
        random_state: int, RandomState or None, for the start of learning and for samples.
        n_iter: the most iterations of learning.
        tol: an iteration that gains less, in nats, is the last.
        verbose: whether each iteration is printed to `sys.stderr`.
        params: letters of the parameters that `fit` learns: "s" start, "t" moves, and those
            of the emission.
        init_params: letters of those that `fit` starts anew, even where they have been set.
        implementation: "log" or "scaling"; accepted, and without effect: the loops scale
            where that is exact, and take logarithms where it is not.

    Every verb takes `X`, (n, D), sequences one below the other, and `lengths`, N integers
    that add up to n; None: one sequence. NaN is a missing value. Raises ValueError for what
    cannot be read, and NotFittedError before there are parameters.

    A subclass with `_compute_log_likelihood(X)`, (n, K), is a family of its own, whose
    parameters `fit` leaves alone.
    """

    def fit(self, X, lengths=None, y=None):
        """Learn by Baum-Welch until an iteration gains less than `tol`, or `n_iter` of them.

        Returns the estimator; `y` is not read, here and in all that take it. Raises ValueError
        for what cannot be read, and for sequences that are impossible under the start.
        """
        X = self._table(X, learning=True)
        lengths = as_lengths(lengths, len(X))
        self._begin()
        self._init(X, lengths)
        self._check()
        found, monitor = batches(self._values(X), lengths), self._begun_monitor()
        for _ in range(as_count("n_iter", self.n_iter, least=0)):
            totals = [self._totals(batch) for batch in found]
            self._learn_moves(
                sum(each.initial.numpy() for each in totals),
                sum(each.transitions.numpy() for each in totals),
            )
            self._learn_emission(found, [each.uses.numpy() for each in totals])
            monitor.report(sum(each.log_likelihood.item() for each in totals))
            if monitor.converged:
                break
        return self

    def score(self, X, lengths=None, y=None) -> float:
        """log p(X), summed over sequences; -inf where one is impossible."""
        return self._score(self._read(X, lengths)[1])

    def score_samples(self, X, lengths=None) -> tuple[float, np.ndarray]:
        """log p(X), and p(z_t | X) of each row, (n, K)."""
        X, found = self._read(X, lengths)
        total, probs = 0.0, np.empty((len(X), self.n_components))
        for batch in found:
            short = self._compact(batch.seen)
            answer = pick(short).smooth_states(short)
            total += answer.log_likelihood.sum().item()
            batch.spread(answer.smoothed_probs, probs)
        return total, probs

    def decode(self, X, lengths=None, algorithm=None) -> tuple[float, np.ndarray]:
        """log p(X, z) of the path that `algorithm` finds, and the path, (n,) integers.

        `algorithm` is the estimator's unless given. A path that is impossible has -inf; where
        "viterbi" finds no possible one, its states are -1.
        """
        algorithm = as_choice("algorithm", algorithm or self.algorithm, ALGORITHMS)
        X, found = self._read(X, lengths)
        total, path = 0.0, np.empty(len(X), dtype=np.int64)
        for batch in found:
            short = self._compact(batch.seen)
            if algorithm == "viterbi":
                log_joint, states = pick(short).viterbi(short)
            else:
                states = pick(short).smooth_states(short).smoothed_probs.argmax(-1)
                log_joint = _log_joint(short, states)
            total += log_joint.sum().item()
            batch.spread(states, path)
        return total, path

    def predict(self, X, lengths=None) -> np.ndarray:
        """The states of `decode`, (n,) integers."""
        return self.decode(X, lengths)[1]

    def predict_proba(self, X, lengths=None) -> np.ndarray:
        """p(z_t | X) of each row, (n, K)."""
        return self.score_samples(X, lengths)[1]

    def transform(self, X, lengths=None):
        """p(z_t | X) of each row, (n, K); a DataFrame after `set_output(transform="pandas")`."""
        return self.predict_proba(X, lengths)

    def fit_transform(self, X, lengths=None, y=None):
        """`transform` of the same sequences, after `fit`."""
        return self.fit(X, lengths).transform(X, lengths)

    def sample(self, n_samples=1, random_state=None, currstate=None):
        """One sequence and its path: X (n_samples, D), and (n_samples,) integers.

        The same `random_state` gives the same sample as in hmmlearn; None is the estimator's.
        `currstate` is the first state, where it is not to be drawn.
        """
        check_is_fitted(self, list(self._letters.values()))
        self._check()
        n_samples = as_count("n_samples", n_samples)
        given = self.random_state if random_state is None else random_state
        random = check_random_state(given)
        moves, draw = [*map(cumulated, self.transmat_)], self._sampler(random)
        if currstate is None:
            currstate = bisect_right(cumulated(self.startprob_), random.rand())
        states, drawn = [currstate], [draw(currstate)]
        for _ in range(n_samples - 1):
            states.append(bisect_right(moves[states[-1]], random.rand()))
            drawn.append(draw(states[-1]))
        path = np.array(states, dtype=np.int64)
        return self._as_sampled(np.atleast_2d(drawn), path), path

    def get_stationary_distribution(self) -> np.ndarray:
        """pi = pi A, (K,). Raises ValueError where there is more than one."""
        check_is_fitted(self, "transmat_")
        return stationary_probs(as_plain(np.asarray(self.transmat_, float))).numpy()

    def aic(self, X, lengths=None) -> float:
        """2 p - 2 log p(X) with p free parameters: smaller is better. Akaike 1974."""
        num_free = sum(self._num_free().values())
        return 2 * num_free - 2 * self.score(X, lengths)

    def bic(self, X, lengths=None) -> float:
        """p log n - 2 log p(X), n rows that are not missing: smaller is better. Schwarz 1978."""
        X, found = self._read(X, lengths)
        num_rows = int((~np.isnan(X).all(1)).sum())
        return sum(self._num_free().values()) * np.log(num_rows) - 2 * self._score(
            found
        )

    @property
    def hmm_(self) -> HMM:
        """The same model as an `HMM`: to save it, to filter live, to draw paths."""
        check_is_fitted(self, list(self._letters.values()))
        self._check()
        parts = as_plain(self.startprob_.copy()), as_plain(self.transmat_.copy())
        return HMM.of_checked(*parts, self._emission())

    def _emission(self) -> Distribution:
        """The emission of `hmm_`. Raises ValueError where there is none."""
        raise ValueError(
            f"{type(self).__name__}: its emission is no distribution of torch"
        )

    def __sklearn_tags__(self):
        """NaN is allowed; probabilities are float64, whatever the observations are."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        """The number of columns of `transform`."""
        return self.n_components

    def _read(self, X, lengths) -> tuple[np.ndarray, list[Batch]]:
        """The table, (n, D), and its sequences, for a model that has its parameters."""
        check_is_fitted(self, list(self._letters.values()))
        self._check()
        X = self._table(X)
        return X, batches(self._values(X), as_lengths(lengths, len(X)))

    def _score(self, found: list[Batch]) -> float:
        total = 0.0
        for batch in found:
            short = self._compact(batch.seen)
            total += pick(short).log_likelihood(short).sum().item()
        return total

    def _totals(self, batch: Batch) -> Totals:
        """Expected starts, moves and uses: see `HMM.total_counts`."""
        short = self._compact(batch.seen)
        totals = pick(short).total_counts(short)
        by_table = isinstance(short, Compact) or totals.uses.ndim == 3
        return totals if by_table else totals._replace(uses=totals.uses[None])

    def _compact(self, seen: Observed) -> Compact | Potentials:
        """The model and its observations, ready for inference."""
        initial, moves = as_plain(self.startprob_), as_plain(self.transmat_)
        scores = self._scores(seen.values)
        if isinstance(scores, Lookup):
            return Compact(initial, moves, scores, seen.lengths)
        full = Potentials(initial.log(), (moves.log(),), scores, seen.lengths)
        return full if seen.lengths is None else without_rest(full)

    def _scores(self, values: Tensor) -> Lookup | Tensor:
        """log p(x_t | z_t) of all steps: a small table and its reading, or (..., K)."""
        flat = values.reshape(-1, values.shape[-1]).numpy()
        scores = np.asarray(self._compute_log_likelihood(flat))
        return as_plain(scores).reshape(*values.shape[:-1], -1)

    def _compute_log_likelihood(self, X) -> np.ndarray:
        """log p(x_t | z_t) of each row and state, (n, K); 0 where a row is missing."""
        scores = self._scores(as_plain(self._values(self._table(X))))
        return (scores.dense() if isinstance(scores, Lookup) else scores).numpy()

    def _learn_emission(self, found: list[Batch], uses: list[np.ndarray]):
        """The most probable parameters of the emission, given the uses of each batch.

        See `HMM.total_counts`; p(z_t | x) is (N, T, K) even for one sequence.
        """

    def _table(self, X, learning: bool = False) -> np.ndarray:
        """`X` as (n, D) numbers that the emission can emit, NaN where one is missing."""
        return read_table(self, X, learning)

    def _values(self, X: np.ndarray) -> np.ndarray:
        """The table as `_scores` takes it: (n, D), or (n,) for one column."""
        return X

    def _sampler(self, random):
        """A function that draws what a state emits."""
        return lambda state: ()

    def _as_sampled(self, drawn: np.ndarray, path: np.ndarray) -> np.ndarray:
        """Observations, (n, D), of what was drawn along the path."""
        return drawn


def _log_joint(short: Compact | Potentials, states: Tensor) -> Tensor:
    """log p(x, z) of a path through each sequence, () or (N,)."""
    initial, (moves,), scores, lengths = in_full(short)
    emitted = scores.gather(-1, states[..., None]).squeeze(-1)
    moved = moves[states[..., :-1], states[..., 1:]]
    if lengths is not None:
        steps = torch.arange(1, states.shape[-1])
        moved = moved.masked_fill(steps >= lengths[:, None], 0.0)
    return initial[states[..., 0]] + emitted.sum(-1) + moved.sum(-1)


def cumulated(probs: np.ndarray) -> list[float]:
    """The sums of probabilities from the first on; the last is 1."""
    sums = np.cumsum(probs)
    return (sums / sums[-1]).tolist()
