"""The model: how the hidden state starts, how it moves, and what it emits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.belief import Belief, belief_of
from hmmlib.checks import as_count, as_probs, as_seed
from hmmlib.emissions import (
    as_emission,
    as_symbols,
    check_support,
    log_likelihoods,
    lookup,
    surely_in_support,
)
from hmmlib.engines import pick
from hmmlib.engines.answers import BestPath, Filtered, Smoothed, Totals
from hmmlib.engines.compact import Compact, in_full, without_rest
from hmmlib.inputs import accompanied, as_inputs, beside_inputs, knowing
from hmmlib.logs import logs
from hmmlib.observations import Observed, read, refuse_more
from hmmlib.recursion import Potentials
from hmmlib.sampling import Sample, ancestral
from hmmlib.seeds import seeded
from hmmlib.stationary import stationary_probs
from hmmlib.storage import load, save
from hmmlib.summary import as_text
from hmmlib.transitions import (
    SoftmaxTransitions,
    as_transitions,
    at_rest,
    check_inputs,
    restored,
    stored,
)


@dataclass(frozen=True, eq=False, repr=False)
class HMM:
    """A hidden Markov model: p(z_1) p(x_1 | z_1) p(z_2 | z_1) p(x_2 | z_2) ...

    Args:
        initial_probs: (K,), p(z_1); sums to one.
        transition_matrix: (K, K), row: the state left, column: the state entered; rows sum
            to one. Or `SoftmaxTransitions`, whose moves inputs drive.
        emission: a `torch.distributions` object with batch_shape (K,), one entry a state;
            a (K, V) matrix, rows summing to one, stands for `Categorical(matrix)`.
        symbols: V names, if observations are given by name.

    Lists become float64 tensors, half precision float32; the dtype of other arrays and
    tensors is kept, and what is given is copied. Taught in chapter 1.

    The verbs take observations in any form that `hmmlib.observations.read` knows:

        observations  (T, *event_shape), or (N, T, *event_shape) for a batch: a tensor, an
                      array, a list, a Series, a DataFrame (one sequence, a row each step),
                      or a list of sequences of different lengths; NaN, None, NA or a mask
                      where an observation is missing
        lengths       (N,) integers, for a padded batch; the rest is not read
        observed      (T,) or (N, T) booleans, False where an observation is missing
        inputs        (T, P) or (N, T, P) numbers, where they drive the moves or the readings
        labels        (T,) or (N, T) states, -1 where unknown; every answer is given them, and
                      the log-likelihood is log p(x, known z)

    A missing observation says nothing of the state: its log-likelihood is 0 in every state.
    A NaN in one component of a vector is that component missing, where the family is a
    product or a Gaussian, and else the whole step.

    Raises:
        ValueError: naming the argument, what was found and what is needed: parameters that
            do not fit together; empty sequences, shapes that disagree, values that no state
            can emit, such as a symbol out of range, and posteriors of impossible data.

    Example:
        >>> weather = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        >>> weather.viterbi([1, 1, 0, 0]).states
        tensor([0, 0, 1, 1])
    """

    initial_probs: Tensor
    transition_matrix: Tensor | SoftmaxTransitions
    emission: Distribution
    symbols: Sequence[str] | None = None

    def __post_init__(self):
        initial_probs = as_probs("initial_probs", self.initial_probs, "(K,)")
        size = len(initial_probs)
        matrix = as_transitions(self.transition_matrix, size)
        emission = as_emission(self.emission, size)
        check_inputs(matrix, emission)
        symbols = as_symbols(self.symbols, emission)
        self.__dict__.update(
            initial_probs=initial_probs,
            transition_matrix=matrix,
            emission=emission,
            symbols=symbols,
        )

    @classmethod
    def of_checked(
        cls, initial_probs, transition_matrix, emission, symbols=None
    ) -> "HMM":
        """The model of tensors that are known to be right: neither looked at nor copied."""
        model = object.__new__(cls)
        model.__dict__.update(
            initial_probs=initial_probs,
            transition_matrix=transition_matrix,
            emission=emission,
            symbols=symbols,
        )
        return model

    @property
    def num_states(self) -> int:
        """K."""
        return len(self.initial_probs)

    @property
    def num_inputs(self) -> int:
        """P, where inputs drive the moves or the readings; else 0."""
        driven = self.transition_matrix, self.emission
        return max(getattr(each, "num_inputs", 0) for each in driven)

    def read(
        self, observations, lengths=None, observed=None, inputs=None, labels=None
    ) -> Observed:
        """The observations, read and checked once; every verb takes them as they are then."""
        if isinstance(observations, Observed) and observations.checked:
            return refuse_more(observations, lengths, observed, inputs, labels)
        driven, like = hasattr(self.emission, "num_inputs"), self.initial_probs
        shape = () if driven else self.emission.event_shape
        if (
            lengths is observed is inputs is labels is None
            and not driven
            and type(self.transition_matrix) is Tensor
            and type(observations) is Tensor
            and not observations.is_nested
            and observations.layout is torch.strided
            and observations.shape[1:] == shape
            and observations.dtype in (torch.int64, like.dtype)
            and observations.device == like.device
            and observations.ndim > 0
            and len(observations) > 0
        ):  # one sequence, in need of nothing
            found, values = Observed(observations), observations
        else:
            found = read(observations, shape, lengths, observed, self.symbols)
            given = inputs, self.num_inputs, labels, self.num_states
            found = accompanied(found, shape, *given)
            found = beside_inputs(found) if driven else found
            values = found.values.to(like.device)
            if values.is_floating_point():
                values = values.to(like.dtype)
        if found.lengths is not None or not surely_in_support(self.emission, values):
            check_support(self.emission, values, found.lengths)
        return found._replace(values=values, checked=True)

    def potentials(
        self, observations, lengths=None, observed=None, inputs=None, labels=None
    ) -> Potentials:
        """The model and its observations as `Potentials`, ready for inference."""
        return in_full(self.compact(observations, lengths, observed, inputs, labels))

    def compact(
        self, observations, lengths=None, observed=None, inputs=None, labels=None
    ) -> Compact | Potentials:
        """As `potentials`, but log-likelihoods stay a small table where the family has one."""
        seen = self.read(observations, lengths, observed, inputs, labels)
        values, lengths, *_, inputs, labels, _ = seen
        matrix = self.transition_matrix
        driven = type(matrix) is not Tensor
        scores = None if driven or labels is not None else lookup(self.emission, values)
        if scores is not None:
            return Compact(self.initial_probs, matrix, scores, lengths)
        (initial,) = logs(self.initial_probs)
        moves = matrix.log_probs(inputs[..., :-1, :]) if driven else logs(matrix)[0]
        scores = log_likelihoods(self.emission, values, initial.dtype)
        if labels is not None:
            scores = knowing(scores, labels[..., None])
        full = Potentials(initial, (moves,), scores, lengths)
        return full if lengths is None else without_rest(full)

    def log_likelihood(
        self, observations, lengths=None, observed=None, engine=None, *, inputs=None, labels=None
    ) -> Tensor:  # fmt: skip
        """log p(x_{1:T}), shape () or (N,): see `inference.log_likelihood`."""
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).log_likelihood(short)

    def filter(
        self, observations, lengths=None, observed=None, engine=None, *, inputs=None, labels=None
    ) -> Filtered:  # fmt: skip
        """p(z_t | x_{1:t}), (T, K): see `inference.filter_states`."""
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).filter_states(short)

    def smooth(
        self, observations, lengths=None, observed=None, engine=None, *, inputs=None, labels=None
    ) -> Smoothed:  # fmt: skip
        """p(z_t | x_{1:T}), (T, K): see `inference.smooth_states`."""
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).smooth_states(short)

    def viterbi(
        self, observations, lengths=None, observed=None, engine=None, *, inputs=None, labels=None
    ) -> BestPath:  # fmt: skip
        """The most probable path and its log joint: see `inference.viterbi`."""
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).viterbi(short)

    def total_counts(
        self, observations, lengths=None, observed=None, engine=None, *, inputs=None, labels=None
    ) -> Totals:  # fmt: skip
        """Expected starts, moves and uses, over all sequences: what Baum-Welch learns from.

        `uses` is how often each state emitted each symbol, (V, K), with one more row for
        missing ones if there are any; of a Gaussian, the sums of p(z_t | x) times 1,
        x_t - mean and (x_t - mean)^2, (3, K); of other families p(z_t | x), (T, K).
        """
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).total_counts(short)

    @torch.no_grad()
    def sample_states(
        self,
        observations,
        num_samples: int,
        seed: int | None = None,
        lengths=None,
        observed=None,
        engine=None,
        *,
        inputs=None,
        labels=None,
    ) -> Tensor:
        """Paths drawn from the posterior, (num_samples, T): see `inference.sample_states`."""
        num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
        short = self.compact(observations, lengths, observed, inputs, labels)
        return (engine or pick(short)).sample_states(short, num_samples, seed)

    def belief(self, lag: int = 0) -> Belief:
        """What is known before the first observation; its `observe` takes one at a time.

        With a `lag`, `Belief.lagged_probs` tells of the state that many steps ago.
        """
        parts = (self.initial_probs,), (self.transition_matrix,), self.emission
        return belief_of(*parts, self.symbols, lag)

    def stationary_probs(self) -> Tensor:
        """pi = pi A, (K,): how often the chain is in each state, in the long run.

        Raises:
            ValueError: where the start decides for ever, so that there is more than one, and
                where inputs drive the moves.
        """
        return stationary_probs(at_rest(self.transition_matrix))

    def sample(
        self,
        num_steps: int,
        seed: int | None = None,
        num_sequences: int | None = None,
        inputs=None,
    ) -> Sample:
        """A hidden path and what it emits, drawn in the order z_1, x_1, z_2, x_2, ...

        With `num_sequences`, N independent ones at once: states (N, T), observations
        (N, T, *event_shape). The same seed gives the same sample, and leaves torch's own
        random stream untouched. Several sequences may share their inputs, (num_steps, P).
        Raises ValueError for fewer than one step or sequence. Taught in chapter 1.
        """
        num_steps, seed = as_count("num_steps", num_steps), as_seed(seed)
        single = num_sequences is None
        num_copies = 1 if single else as_count("num_sequences", num_sequences)
        steps = num_copies, num_steps
        inputs = as_inputs(inputs, steps, None, self.num_inputs)
        with seeded(seed):
            parts = self.initial_probs, self.transition_matrix, self.emission
            sample = ancestral(*parts, steps, inputs)
        return Sample(*(x[0] for x in sample)) if single else sample

    def save(self, path: str | Path) -> None:
        """Write the model to a JSON file: see `hmmlib.storage`."""
        save(path, "HMM", self.content())

    @classmethod
    def load(cls, path: str | Path) -> "HMM":
        """The model that `save` wrote, to the last bit.

        Raises:
            ValueError: for a file that is damaged, of another kind, or from a later format.
        """
        return load(path, "HMM", cls.of_content)

    def content(self) -> dict:
        """What `save` writes, by name."""
        return vars(self) | {"transition_matrix": stored(self.transition_matrix)}

    @classmethod
    def of_content(cls, content: dict) -> "HMM":
        """The model of what `content` returned."""
        matrix = restored(content["transition_matrix"])
        return cls(**content | {"transition_matrix": matrix})

    def __repr__(self) -> str:
        """The tables, four digits of each number."""
        matrix = self.transition_matrix
        moves = getattr(matrix, "weights", matrix)
        tables = [("initial_probs", self.initial_probs), ("transition_matrix", moves)]
        return as_text(self, tables)
