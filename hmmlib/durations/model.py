"""The model of stays: how the state starts, how long it lasts, moves and what it emits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.utils.rnn import pad_sequence

from hmmlib import emissions, engines
from hmmlib.belief import Belief, as_array, first_belief
from hmmlib.checks import as_count, as_probs, as_seed, as_tensor
from hmmlib.durations import recursion
from hmmlib.durations.recursion import Stays
from hmmlib.emissions import draw, log_likelihoods
from hmmlib.engines.answers import BestPath, Filtered, Smoothed, StayCounts
from hmmlib.hmm import HMM
from hmmlib.inputs import as_inputs, knowing
from hmmlib.logs import logs
from hmmlib.sampling import Sample
from hmmlib.seeds import seeded
from hmmlib.stationary import stationary_probs
from hmmlib.storage import load, save
from hmmlib.summary import as_text


@dataclass(frozen=True, eq=False, repr=False)
class HSMM:
    """A hidden semi-Markov model: each stay in a state lasts for a duration drawn from a table.

    Letters: K states, D the longest stay, in steps. The first stay starts at step 1.

    Args:
        initial_probs: (K,), p(z_1); sums to one.
        transition_matrix: (K, K), p(state entered | state left); rows sum to one, and the
            diagonal is 0, since how long a stay lasts is said by `durations`. With K = 1 it
            is [[0]], and a sequence is one stay.
        emission: a `torch.distributions` object with batch_shape (K,), or a (K, V) matrix.
        durations: (K, D), p(a stay in k lasts d steps) in column d - 1; rows sum to one.
            See `poisson_durations`, `negative_binomial_durations` and `geometric_after`.
        symbols: V names, if observations are given by name.

    The verbs are those of `HMM`, and read observations, labels and the inputs of a
    `LinearEmission` as they do. With `censored=True` the last stay may go on beyond the end:
    a sequence that was cut off. With `censored=False` it ends there. Exact; T steps cost
    T · K (K + D). Ferguson 1980; Rabiner 1989, section IV.D; Guédon 2003; Yu 2010.
    `engine=engines.recursion` answers by the recursion in PyTorch, as do all verbs where a
    gradient is wanted.

    Raises:
        ValueError: naming the argument, what was found and what is needed; and, by the verbs
            that ask for a posterior, for impossible observations.

    Example:
        >>> table = [[0.1, 0.9], [0.6, 0.4]]
        >>> lamp = HSMM([1.0, 0.0], [[0, 1], [1, 0]], table, [[0, 0, 1.0], [0.5, 0.5, 0]])
        >>> lamp.viterbi([1, 1, 1, 0, 0, 1, 1]).states
        tensor([0, 0, 0, 1, 1, 0, 0])
    """

    initial_probs: Tensor
    transition_matrix: Tensor
    emission: Distribution
    durations: Tensor
    symbols: Sequence[str] | None = None

    read, num_inputs = HMM.read, HMM.num_inputs

    def __post_init__(self):
        durations = as_probs("durations", self.durations, "(K, D)")
        matrix = as_tensor("transition_matrix", self.transition_matrix)
        one = tuple(matrix.shape) == (1, 1) and not matrix.any()
        moves = [[1.0]] if one else matrix
        checked = HMM(self.initial_probs, moves, self.emission, self.symbols)
        initial_probs, size = checked.initial_probs, checked.num_states
        if one:
            matrix = torch.zeros_like(initial_probs)[:, None]
        elif checked.transition_matrix.diagonal().any():
            found = [round(x, 6) for x in checked.transition_matrix.diagonal().tolist()]
            raise ValueError(
                f"transition_matrix: got a diagonal of {found}, needs 0: a move leads to"
                " another state, and `durations` says how long a stay lasts"
                + ("; of one state, [[0]]" if size == 1 else "")
            )
        else:
            matrix = checked.transition_matrix
        if len(durations) != size:
            raise ValueError(
                f"durations: got shape {tuple(durations.shape)}, needs ({size}, D), one row"
                " a state"
            )
        self.__dict__.update(
            initial_probs=initial_probs,
            transition_matrix=matrix,
            emission=checked.emission,
            durations=durations,
            symbols=checked.symbols,
        )

    @property
    def num_states(self) -> int:
        """K."""
        return len(self.initial_probs)

    def potentials(self, *_, **__):
        """Refused: an HSMM is no chain of `Potentials`, whose next state knows only the last.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "potentials: an HSMM has none, since a move depends on how long the stay has"
            " lasted; needs its own verbs, such as hsmm.smooth(observations), or"
            " hsmm.stays(observations) for hmmlib.durations.forward"
        )

    def stays(
        self, observations, lengths=None, observed=None, *, censored=True, inputs=None,
        labels=None,
    ) -> list[Stays]:  # fmt: skip
        """The model and each of its sequences as `Stays`, ready for `hmmlib.durations`."""
        seen = self.read(observations, lengths, observed, inputs, labels)
        lengths = seen.lengths
        survivor = self.durations.flip(1).cumsum(1).flip(1)
        given = self.initial_probs, self.transition_matrix, self.durations, survivor
        tables = logs(*given)
        scores = log_likelihoods(self.emission, seen.values, self.initial_probs.dtype)
        if seen.labels is not None:
            scores = knowing(scores, seen.labels[..., None])
        rows = [scores] if scores.ndim == 2 else list(scores)
        if lengths is not None:
            rows = [row[:end] for row, end in zip(rows, lengths.tolist(), strict=True)]
        return [Stays(*tables, row, bool(censored)) for row in rows]

    def log_likelihood(
        self, observations, lengths=None, observed=None, engine=None, *, censored=True,
        inputs=None, labels=None,
    ) -> Tensor:  # fmt: skip
        """log p(x_{1:T}), shape () or (N,); -inf if impossible."""
        given = observations, lengths, observed, engine, censored, inputs, labels
        return self._answer(lambda by, stays: (by.log_likelihood(stays),), *given)[0]

    def filter(
        self, observations, lengths=None, observed=None, engine=None, *, censored=True,
        inputs=None, labels=None,
    ) -> Filtered:  # fmt: skip
        """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1}), (T, K), where the stay at t may go on."""
        given = observations, lengths, observed, engine, censored, inputs, labels
        return Filtered(
            *self._answer(lambda by, stays: by.filter_states(stays), *given)
        )

    def smooth(
        self, observations, lengths=None, observed=None, engine=None, *, censored=True,
        inputs=None, labels=None,
    ) -> Smoothed:  # fmt: skip
        """p(z_t | x_{1:T}), (T, K)."""
        given = observations, lengths, observed, engine, censored, inputs, labels
        counts = self._answer(lambda by, stays: by.expected_counts(stays)[:2], *given)
        return Smoothed(*counts)

    def expected_counts(
        self, observations, lengths=None, observed=None, engine=None, *, censored=True,
        inputs=None, labels=None,
    ) -> StayCounts:  # fmt: skip
        """p(z_t | x_{1:T}), and the expected moves (K, K) and stays by duration (K, D).

        A censored stay counts as the durations that it may have, from the least on.
        """
        given = observations, lengths, observed, engine, censored, inputs, labels
        return StayCounts(*self._answer(lambda by, x: by.expected_counts(x), *given))

    def viterbi(
        self, observations, lengths=None, observed=None, engine=None, *, censored=True,
        inputs=None, labels=None,
    ) -> BestPath:  # fmt: skip
        """The most probable path of states and its log joint; -1 where none is possible."""
        given = observations, lengths, observed, engine, censored, inputs, labels
        return BestPath(*self._answer(lambda by, stays: by.viterbi(stays), *given))

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
        censored=True,
        inputs=None,
        labels=None,
    ) -> Tensor:
        """Paths drawn from the posterior, (num_samples, T) or (num_samples, N, T)."""
        num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
        generator = None if seed is None else torch.Generator().manual_seed(seed)

        def paths(by, stays: Stays) -> tuple[Tensor]:
            shape = num_samples, 2 * len(stays.log_likelihoods)
            uniforms = torch.rand(shape, dtype=torch.float64, generator=generator)
            return (by.sample_states(stays, uniforms).mT,)  # time before samples

        given = observations, lengths, observed, engine, censored, inputs, labels
        return self._answer(paths, *given)[0].movedim(-1, 0)

    def belief(self, lag: int = 0) -> Belief:
        """What is known before the first observation: see `HMM.belief`.

        The stay at each step may go on, as in `filter` with `censored=True`.
        """
        from hmmlib.engines.live_stays import chain_of  # numba takes a while to load

        tables = self.initial_probs, self.transition_matrix, self.durations
        chain, dtype = chain_of(*map(as_array, tables)), self.initial_probs.dtype
        return first_belief(*chain, self.emission, self.symbols, lag, dtype)

    def stationary_probs(self) -> Tensor:
        """How often the chain is in each state, in the long run, (K,).

        The share of the stays that are in it, times their mean duration, normalised.

        Raises:
            ValueError: as `HMM.stationary_probs` does.
        """
        share = stationary_probs(self.transition_matrix) * self._mean_durations()
        return share / share.sum()

    def sample(
        self,
        num_steps: int,
        seed: int | None = None,
        num_sequences: int | None = None,
        inputs=None,
    ) -> Sample:
        """A hidden path, its last stay cut off at the end, and what it emits.

        Shapes, seeds and inputs as in `HMM.sample`. Raises ValueError for fewer than one step
        or sequence, and for a single state that cannot last so long.
        """
        num_steps, seed = as_count("num_steps", num_steps), as_seed(seed)
        count = 1 if num_sequences is None else as_count("num_sequences", num_sequences)
        longest = self.durations.shape[1]
        if self.num_states == 1 and not self.durations[0, num_steps - 1 :].any():
            raise ValueError(
                f"num_steps: got {num_steps}, needs at most {longest}: the only state is"
                " never left, and no stay lasts longer"
            )
        inputs = as_inputs(inputs, (count, num_steps), None, self.num_inputs)
        with seeded(seed), torch.no_grad():
            states = self._drawn(num_steps, count)
            if inputs is None:
                emitted = draw(self.emission, states.flatten())
            else:
                each = emissions.given(self.emission, inputs).sample()
                emitted = each.take_along_dim(states[..., None], -1).flatten()
        sample = Sample(states, emitted.reshape(*states.shape, *emitted.shape[1:]))
        return Sample(*(x[0] for x in sample)) if num_sequences is None else sample

    def save(self, path: str | Path) -> None:
        """Write the model to a JSON file: see `hmmlib.storage`."""
        save(path, "HSMM", vars(self))

    @classmethod
    def load(cls, path: str | Path) -> "HSMM":
        """The model that `save` wrote, to the last bit.

        Raises:
            ValueError: for a file that is damaged, of another kind, or from a later format.
        """
        return load(path, "HSMM", lambda content: cls(**content))

    def __repr__(self) -> str:
        """The tables, four digits of each number; of durations, the mean."""
        longest = self.durations.shape[1]
        tables = [
            ("initial_probs", self.initial_probs),
            ("transition_matrix", self.transition_matrix),
            (f"mean durations, of 1 to {longest}", self._mean_durations()),
        ]
        return as_text(self, tables)

    def _mean_durations(self) -> Tensor:
        """How many steps a stay lasts on average, (K,)."""
        steps = torch.arange(1, self.durations.shape[1] + 1).to(self.durations)
        return self.durations @ steps

    def _answer(
        self, ask: Callable, observations, lengths, observed, engine, censored, inputs, labels
    ) -> list[Tensor]:  # fmt: skip
        """What an engine says of each sequence, in the precision of the model; stacked.

        Behind the end of a shorter sequence probabilities are 0 and states -1.
        """
        seen = self.read(observations, lengths, observed, inputs, labels)
        rows, answers = self.stays(seen, censored=censored), []
        single = seen.values.ndim == 1 + len(self.emission.event_shape)
        by, lengths = _who_answers(engine, rows[0]), [len(row[4]) for row in rows]
        for n, row in enumerate(rows):
            try:
                answers.append(ask(by, row))
            except ValueError as error:  # impossible, and of a batch: which one?
                which = "sequence" if single else f"sequence [{n}]"
                raise ValueError(str(error).replace("sequence", which)) from error
        stacked = []
        for each in zip(*answers, strict=True):
            if each[0].is_floating_point():
                each = [x.to(self.initial_probs.dtype) for x in each]
            if [len(x) if x.ndim else 0 for x in each] == lengths:  # an axis of time
                blank = 0.0 if each[0].is_floating_point() else -1
                joined = pad_sequence(each, batch_first=True, padding_value=blank)
            else:
                joined = torch.stack(list(each))
            stacked.append(joined[0] if single else joined)
        return stacked

    def _drawn(self, num_steps: int, num_sequences: int) -> Tensor:
        """Paths (N, T), drawn stay by stay."""
        state = torch.multinomial(self.initial_probs.expand(num_sequences, -1), 1)
        if self.num_states == 1:  # one stay, which lasts to the end
            return state.expand(-1, num_steps)
        states, lasted, drawn = [], [], torch.zeros_like(state)
        while drawn.min() < num_steps:
            states.append(state)
            lasted.append(torch.multinomial(self.durations[state[:, 0]], 1) + 1)
            drawn = drawn + lasted[-1]
            state = torch.multinomial(self.transition_matrix[state[:, 0]], 1)
        pairs = zip(torch.cat(states, 1), torch.cat(lasted, 1), strict=True)
        return torch.stack([z.repeat_interleave(d)[:num_steps] for z, d in pairs])


def _who_answers(engine, stays: Stays):
    """The loops on the CPU where no gradient is wanted, or else the recursion in PyTorch."""
    wanted = torch.is_grad_enabled() and any(x.requires_grad for x in stays[:5])
    by_loops = stays.log_initial.device.type == "cpu" and not wanted
    if engine in (engines.recursion, engines.gradient) or not (engine or by_loops):
        return recursion
    return engines.stays
