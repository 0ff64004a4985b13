"""The model: how the hidden state starts, how it moves, and what it emits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.belief import Belief, belief_of
from hmmlib.checks import as_count, as_probs, as_seed, told
from hmmlib.emissions import (
    as_emission,
    check_support,
    counted_probs,
    draw,
    log_likelihoods,
    lookup,
    parameters,
    surely_in_support,
)
from hmmlib.engines import pick
from hmmlib.engines.answers import BestPath, Filtered, Smoothed, Totals
from hmmlib.engines.compact import Compact, in_full
from hmmlib.logs import logs
from hmmlib.observations import Observed, read
from hmmlib.recursion import Potentials
from hmmlib.stationary import stationary_probs
from hmmlib.storage import load, save


class Sample(NamedTuple):
    """A hidden path and what it emitted."""

    states: Tensor  #: (T,) or (N, T)  integers 0 ... K-1
    observations: Tensor  #: the same, and then *event_shape


@dataclass(frozen=True, eq=False, repr=False)
class HMM:
    """A hidden Markov model: p(z_1) p(x_1 | z_1) p(z_2 | z_1) p(x_2 | z_2) ...

    Args:
        initial_probs: (K,), p(z_1); sums to one.
        transition_matrix: (K, K), row: the state left, column: the state entered; rows sum
            to one.
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
    transition_matrix: Tensor
    emission: Distribution
    symbols: Sequence[str] | None = None

    def __post_init__(self):
        initial_probs = as_probs("initial_probs", self.initial_probs, "(K,)")
        size = len(initial_probs)
        matrix = as_probs("transition_matrix", self.transition_matrix, "(K, K)")
        if tuple(matrix.shape) != (size, size):
            raise ValueError(
                f"transition_matrix: got shape {tuple(matrix.shape)}, needs {(size, size)}"
                " to go with initial_probs"
            )
        emission = as_emission(self.emission, size)
        symbols = _as_symbols(self.symbols, emission)
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

    def read(self, observations, lengths=None, observed=None) -> Observed:
        """The observations, read and checked once; every verb takes them as they are then."""
        if isinstance(observations, Observed) and observations.checked:
            return observations
        shape, like = self.emission.event_shape, self.initial_probs
        if (
            lengths is observed is None
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
            values = found.values.to(like.device)
            if values.is_floating_point():
                values = values.to(like.dtype)
        if found.lengths is not None or not surely_in_support(self.emission, values):
            check_support(self.emission, values, found.lengths)
        return Observed(values, found.lengths, found.index, checked=True)

    def potentials(self, observations, lengths=None, observed=None) -> Potentials:
        """The model and its observations as `Potentials`, ready for inference."""
        return in_full(self.compact(observations, lengths, observed))

    def compact(
        self, observations, lengths=None, observed=None
    ) -> Compact | Potentials:
        """As `potentials`, but log-likelihoods stay a small table where the family has one."""
        values, lengths, *_ = self.read(observations, lengths, observed)
        scores = lookup(self.emission, values)
        if scores is not None:
            return Compact(self.initial_probs, self.transition_matrix, scores, lengths)
        initial, moves = logs(self.initial_probs, self.transition_matrix)
        scores = log_likelihoods(self.emission, values, initial.dtype)
        return Potentials(initial, (moves,), scores, lengths)

    def log_likelihood(
        self, observations, lengths=None, observed=None, engine=None
    ) -> Tensor:
        """log p(x_{1:T}), shape () or (N,): see `inference.log_likelihood`."""
        short = self.compact(observations, lengths, observed)
        return (engine or pick(short)).log_likelihood(short)

    def filter(
        self, observations, lengths=None, observed=None, engine=None
    ) -> Filtered:
        """p(z_t | x_{1:t}), (T, K): see `inference.filter_states`."""
        short = self.compact(observations, lengths, observed)
        return (engine or pick(short)).filter_states(short)

    def smooth(
        self, observations, lengths=None, observed=None, engine=None
    ) -> Smoothed:
        """p(z_t | x_{1:T}), (T, K): see `inference.smooth_states`."""
        short = self.compact(observations, lengths, observed)
        return (engine or pick(short)).smooth_states(short)

    def viterbi(
        self, observations, lengths=None, observed=None, engine=None
    ) -> BestPath:
        """The most probable path and its log joint: see `inference.viterbi`."""
        short = self.compact(observations, lengths, observed)
        return (engine or pick(short)).viterbi(short)

    def total_counts(
        self, observations, lengths=None, observed=None, engine=None
    ) -> Totals:
        """Expected starts, moves and uses, over all sequences: what Baum-Welch learns from.

        `uses` is how often each state emitted each symbol, (V, K), with one more row for
        missing ones if there are any; of a Gaussian, the sums of p(z_t | x) times 1,
        x_t - mean and (x_t - mean)^2, (3, K); of other families p(z_t | x), (T, K).
        """
        short = self.compact(observations, lengths, observed)
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
    ) -> Tensor:
        """Paths drawn from the posterior, (num_samples, T): see `inference.sample_states`."""
        num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
        short = self.compact(observations, lengths, observed)
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
            ValueError: where the start decides for ever, so that there is more than one.
        """
        return stationary_probs(self.transition_matrix)

    def sample(
        self,
        num_steps: int,
        seed: int | None = None,
        num_sequences: int | None = None,
    ) -> Sample:
        """A hidden path and what it emits, drawn in the order z_1, x_1, z_2, x_2, ...

        With `num_sequences`, N independent ones at once: states (N, T), observations
        (N, T, *event_shape). The same seed gives the same sample, and leaves torch's own
        random stream untouched. Raises ValueError for fewer than one step or sequence.
        Taught in chapter 1.
        """
        num_steps, seed = as_count("num_steps", num_steps), as_seed(seed)
        single = num_sequences is None
        num_copies = 1 if single else as_count("num_sequences", num_sequences)
        states, observations = [], []
        with torch.random.fork_rng(enabled=seed is not None), torch.no_grad():
            if seed is not None:
                torch.manual_seed(seed)
            probs = self.initial_probs.expand(num_copies, -1)
            for _ in range(num_steps):
                state = torch.multinomial(probs, 1).squeeze(1)  # (N,)
                states.append(state)
                observations.append(draw(self.emission, state))
                probs = self.transition_matrix[state]
        sample = Sample(torch.stack(states, 1), torch.stack(observations, 1))
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
        return cls.of_content(load(path, "HMM"))

    def content(self) -> dict:
        """What `save` writes, by name."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def of_content(cls, content: dict) -> "HMM":
        """The model of what `content` returned."""
        symbols = content["symbols"]
        names = None if symbols is None else tuple(symbols)
        return cls.of_checked(**{**content, "symbols": names})

    def __repr__(self) -> str:
        """The tables, four digits of each number."""
        emitted = parameters(self.emission).items()
        tables = [
            ("initial_probs", self.initial_probs),
            ("transition_matrix", self.transition_matrix),
            *((f"{type(self.emission).__name__} {name}", x) for name, x in emitted),
        ]
        lines = [f"HMM of {self.num_states} states"]
        lines += [f"{name}\n{as_table(values)}" for name, values in tables]
        if self.symbols is not None:
            lines.append(f"symbols  {', '.join(self.symbols)}")
        return "\n".join(lines)


FIELDS = ("initial_probs", "transition_matrix", "emission", "symbols")


def as_table(values: Tensor) -> str:
    """Numbers in rows and columns, four digits of each; a vector in one row."""
    values = values.detach()
    rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    cells = [[f"{x:.4g}" for x in row] for row in rows.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join("  " + "  ".join(c.rjust(width) for c in row) for row in cells)


def _as_symbols(symbols, emission: Distribution) -> tuple[str, ...] | None:
    """`symbols` as V different names. Raises ValueError."""
    if symbols is None:
        return None
    try:
        names = tuple(symbols)
        right = all(isinstance(x, str) for x in names) and len(set(names)) == len(names)
    except TypeError:
        names, right = (), False
    if not right or isinstance(symbols, str):
        raise ValueError(f"symbols: got {told(symbols)}, needs V different names")
    sizes = {probs.shape[-1] for probs in counted_probs(emission)}
    if len(names) not in sizes:
        needs = (
            f"{max(sizes)}, one a symbol" if sizes else "none: its emission has none"
        )
        raise ValueError(f"symbols: got {len(names)} names, needs {needs}")
    return names
