"""The model of several hidden chains and one observation: its parameters and its verbs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.belief import Belief, belief_of
from hmmlib.checks import as_count, as_kind, as_probs, as_seed
from hmmlib.engines.answers import BestPath, Filtered, Smoothed
from hmmlib.factorial import blocks
from hmmlib.factorial.additive import additive_gaussian
from hmmlib.factorial.checks import as_matrices, by_chain, check_memory
from hmmlib.factorial.counts import JointCounts, expected_counts
from hmmlib.factorial.driven import chains_for, log_moves, num_inputs, refuse_driven
from hmmlib.factorial.messages import log_starts
from hmmlib.factorial.series import Series, evidence_of, series_of, stacked, steps_of
from hmmlib.factorial.simulation import simulated
from hmmlib.hmm import HMM
from hmmlib.inputs import as_evidence, as_inputs, as_labels, beside
from hmmlib.observations import Observed, read, refuse_more
from hmmlib.recursion import Potentials
from hmmlib.sampling import Sample
from hmmlib.stationary import stationary_probs
from hmmlib.storage import load, save
from hmmlib.transitions import SoftmaxTransitions, at_rest, restored, stored


@dataclass(frozen=True, eq=False)
class FactorialHMM:
    """M independent hidden chains and one observation that depends on all of them.

    Given the observations the chains are *not* independent: what one explains the others
    need not. A step costs M · K^(M+1); memory grows with sqrt(T). Ghahramani & Jordan 1997.
    Taught in chapter 7.

    The verbs are those of `HMM`, and read observations as they do. Answers have an axis for
    the chains where those of `HMM` have none. A batch puts N in front of T; behind the end
    of a shorter sequence probabilities are 0 and states -1. `progress=True` shows a bar;
    `engine=engines.recursion` leaves the compiled loops out.

    `labels` are known states, (T, M), -1 where unknown. `evidence` is what else tells the
    states of a chain, such as its own noisy meter or a network: M entries, each None or
    (T, K_m) log-likelihoods, up to a constant for each step, which are added to
    log p(x_t | z_t); -inf rules a state out.

    Args:
        initial_probs: M of (K_m,), how each chain starts; each sums to one.
        transition_matrices: M of (K_m, K_m); row: the state left; rows sum to one. Or
            `SoftmaxTransitions`, whose moves inputs drive: the verbs then need `inputs`,
            (T, P), the same for all these chains.
        emission: a `torch.distributions` object with batch_shape (K_1, ..., K_M).

    Raises:
        ValueError: naming the argument, what was found and what is needed. So do the
            verbs: for observations that cannot be read, and for more joint states than
            memory can hold.

    Example:
        >>> even, stay = [0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]]
        >>> from hmmlib.factorial import additive_gaussian
        >>> lamps = additive_gaussian([[0.0, 60.0], [0.0, 40.0]], 5.0)
        >>> house = FactorialHMM((even, even), (stay, stay), lamps)
        >>> house.viterbi([1.0, 58.0, 97.0]).states
        tensor([[0, 0],
                [1, 0],
                [1, 1]])
    """

    initial_probs: tuple[Tensor, ...]
    transition_matrices: tuple[Tensor | SoftmaxTransitions, ...]
    emission: Distribution

    def __post_init__(self):
        initial_probs = tuple(
            as_probs(f"initial_probs[{m}]", probs, "(K,)")
            for m, probs in by_chain("initial_probs", self.initial_probs)
        )
        sizes = tuple(len(probs) for probs in initial_probs)
        matrices = as_matrices(self.transition_matrices, sizes)
        as_kind("emission", self.emission, Distribution)
        if tuple(self.emission.batch_shape) != sizes:
            found = tuple(self.emission.batch_shape)
            raise ValueError(f"emission: got batch_shape {found}, needs {sizes}")
        object.__setattr__(self, "initial_probs", initial_probs)
        object.__setattr__(self, "transition_matrices", matrices)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(K_1, ..., K_M)."""
        return tuple(len(probs) for probs in self.initial_probs)

    def potentials(
        self, observations, lengths=None, observed=None, labels=None, evidence=None,
        inputs=None,
    ) -> Potentials:  # fmt: skip
        """Model and observations as `Potentials`, ready for `hmmlib.inference`.

        All log-likelihoods are stored, (T, *S) or (N, T, *S): for short series.
        """
        seen = self.read(observations, lengths, observed, labels, evidence, inputs)
        steps = steps_of(seen.values, self.emission)
        check_memory(
            "initial_probs",
            self.sizes,
            steps.numel(),
            "all log-likelihoods",
            "the methods of FactorialHMM for long series",
        )
        initial = log_starts(self.initial_probs)
        moves = log_moves(self.transition_matrices, seen.inputs)
        scores = emissions.log_likelihoods(self.emission, seen.values, initial.dtype)
        scores = beside(scores, evidence_of(seen, self.sizes))
        return Potentials(initial, moves, scores, seen.lengths)

    def log_likelihood(
        self, observations, lengths=None, observed=None, engine=None, *, progress=False,
        labels=None, evidence=None, inputs=None,
    ) -> Tensor:  # fmt: skip
        """log p(x_{1:T}), shape () or (N,); -inf if impossible.

        Differentiable, twice too, in the parameters and the observations.
        """
        given = observations, lengths, observed, labels, evidence, inputs
        return self._answers(blocks.log_likelihood, given, engine, progress)[0]

    def filter(
        self, observations, lengths=None, observed=None, engine=None, *, progress=False,
        labels=None, evidence=None, inputs=None,
    ) -> Filtered:  # fmt: skip
        """p(z_t^m | x_{1:t}) and p(z_t^m | x_{1:t-1}) of each chain: M of (T, K_m).

        `filtered_probs` and `predicted_probs` are tuples, an entry for each chain.

        Raises:
            ValueError: for impossible observations, since no posterior exists.
        """
        given = observations, lengths, observed, labels, evidence, inputs
        total, *probs = self._answers(blocks.filtered, given, engine, progress)
        num_chains = len(self.sizes)
        return Filtered(total, tuple(probs[:num_chains]), tuple(probs[num_chains:]))

    def smooth(
        self, observations, lengths=None, observed=None, engine=None, *, progress=False,
        labels=None, evidence=None, inputs=None,
    ) -> Smoothed:  # fmt: skip
        """log p(x) and, for each chain, p(z_t^m | x_{1:T}): M of (T, K_m).

        The joint posterior of all chains is `inference.smooth_states(self.potentials(x))`,
        where that fits into memory.

        Raises:
            ValueError: for impossible observations, since no posterior exists.
        """
        given = observations, lengths, observed, labels, evidence, inputs
        total, *probs = self._answers(blocks.smoothed, given, engine, progress)
        return Smoothed(total, tuple(probs))

    @torch.no_grad()
    def expected_counts(
        self, observations, lengths=None, observed=None, engine=None, *, labels=None,
        evidence=None,
    ) -> JointCounts:  # fmt: skip
        """How often each start, move and joint state is expected: what learning needs.

        Summed over all steps and sequences; without a gradient. Raises ValueError for
        impossible observations, and where inputs drive the moves. Ghahramani & Jordan 1997,
        app. B.
        """
        refuse_driven(self.transition_matrices)
        given = observations, lengths, observed, labels, evidence, None
        return expected_counts(self._series(given, engine)[0])

    def viterbi(
        self, observations, lengths=None, observed=None, engine=None, *, progress=False,
        labels=None, evidence=None, inputs=None,
    ) -> BestPath:  # fmt: skip
        """The most probable joint path: its log joint (), its states (T, M).

        States are -1 where no path is possible.
        """
        given = observations, lengths, observed, labels, evidence, inputs
        return BestPath(*self._answers(blocks.best_path, given, engine, progress))

    def sample_states(
        self,
        observations,
        num_samples: int,
        seed: int | None = None,
        lengths=None,
        observed=None,
        engine=None,
        *,
        progress: bool = False,
        labels=None,
        evidence=None,
        inputs=None,
    ) -> Tensor:
        """Joint paths from the posterior; (num_samples, T, M) or (num_samples, N, T, M).

        The same seed gives the same paths. Scott 2002.

        Raises:
            ValueError: for impossible observations, since no posterior exists.
        """
        num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
        check_memory(
            "initial_probs",
            self.sizes,
            num_samples,
            "the scores of all samples",
            "fewer samples",
        )
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        given = observations, lengths, observed, labels, evidence, inputs
        draw = partial(
            blocks.sampled_paths, num_samples=num_samples, generator=generator
        )
        return self._answers(draw, given, engine, progress)[0]

    def sample(
        self,
        num_steps: int,
        seed: int | None = None,
        num_sequences: int | None = None,
        inputs=None,
    ) -> Sample:
        """States (T, M) and observations (T, *event_shape), drawn step by step.

        With `num_sequences`, N independent sequences: (N, T, M) and (N, T, *event_shape).
        The same seed gives the same sample, and leaves torch's own random stream
        untouched.
        """
        num_steps, seed = as_count("num_steps", num_steps), as_seed(seed)
        num_copies = 1
        if num_sequences is not None:
            num_copies = as_count("num_sequences", num_sequences)
        chains = self.initial_probs, self.transition_matrices
        inputs = as_inputs(inputs, (num_steps,), None, num_inputs(chains[1]))
        drawn = simulated(*chains, self.emission, num_steps, num_copies, seed, inputs)
        return drawn if num_sequences is not None else Sample(*(x[0] for x in drawn))

    def belief(self, lag: int = 0) -> Belief:
        """What is known before the first observation: see `HMM.belief`."""
        parts = self.initial_probs, self.transition_matrices, self.emission
        return belief_of(*parts, lag=lag)

    def stationary_probs(self) -> tuple[Tensor, ...]:
        """The stationary distribution of each chain, M of (K_m,).

        Raises:
            ValueError: for a chain with more than one stationary distribution.
        """
        probs = []
        for m, matrix in enumerate(self.transition_matrices):
            try:
                probs.append(stationary_probs(at_rest(matrix)))
            except ValueError as error:
                found = str(error).removeprefix("transition_matrix: ")
                raise ValueError(f"transition_matrices[{m}]: {found}") from error
        return tuple(probs)

    def flattened(self) -> HMM:
        """The same model as one chain of prod(K) states: Kronecker products, for comparison.

        The states are the joint states in the order of `torch.unravel_index`, the last
        chain fastest. Raises ValueError if its transition matrix is beyond memory.
        """
        num_states = self.emission.batch_shape.numel()
        what, cure = "the transition matrix of one flat chain", "FactorialHMM as it is"
        check_memory("initial_probs", self.sizes, num_states, what, cure)
        matrices = [at_rest(matrix) for matrix in self.transition_matrices]
        initial, moves = self.initial_probs[0], matrices[0]
        for probs, matrix in zip(self.initial_probs[1:], matrices[1:], strict=True):
            initial, moves = torch.kron(initial, probs), torch.kron(moves, matrix)
        joint = torch.unravel_index(torch.arange(num_states), self.sizes)
        return HMM(initial, moves, emissions.at(self.emission, joint))

    def save(self, path: str | Path) -> None:
        """Write the model to a JSON file: see `hmmlib.storage`."""
        means = getattr(self.emission, "chain_means", None)
        content = {
            "initial_probs": self.initial_probs,
            "transition_matrices": list(map(stored, self.transition_matrices)),
            "emission": self.emission if means is None else self.emission.scale,
            "chain_means": means,
        }
        save(path, "FactorialHMM", content)

    @classmethod
    def load(cls, path: str | Path) -> "FactorialHMM":
        """The model that `save` wrote, to the last bit.

        Raises:
            ValueError: for a file that is damaged, of another kind, or from a later format.
        """
        return load(path, "FactorialHMM", cls._of_content)

    @classmethod
    def _of_content(cls, content: dict) -> "FactorialHMM":
        """The model of what `save` wrote."""
        emission, means = content["emission"], content["chain_means"]
        if means is not None:
            emission = additive_gaussian(means, emission)
        matrices = list(map(restored, content["transition_matrices"]))
        return cls(content["initial_probs"], matrices, emission)

    def read(
        self, observations, lengths=None, observed=None, labels=None, evidence=None,
        inputs=None,
    ) -> Observed:  # fmt: skip
        """The observations, read and checked once; every verb takes them as they are then."""
        if isinstance(observations, Observed) and observations.checked:
            given = lengths, observed, labels, evidence, inputs
            return refuse_more(observations, *given)
        shape, like = self.emission.event_shape, self.initial_probs[0]
        found = read(observations, shape, lengths, observed)
        values = found.values.to(like.device, like.dtype)
        emissions.check_support(self.emission, values, found.lengths)
        given = tuple(steps_of(values, self.emission)), found.lengths, self.sizes
        if labels is not None:
            labels = as_labels(labels, *given)
        if evidence is not None:
            evidence = as_evidence(evidence, *given)
        inputs = as_inputs(inputs, *given[:2], num_inputs(self.transition_matrices))
        more = {"labels": labels, "evidence": evidence, "inputs": inputs}
        return found._replace(values=values, checked=True, **more)

    def _answers(self, ask: Callable, given, engine, progress: bool) -> list[Tensor]:
        """What `ask` finds of each sequence on its own, put together as a batch."""
        series, steps = self._series(given, engine)
        answers = [ask(each, progress=progress) for each in series]
        return [stacked(each, steps) for each in zip(*answers, strict=True)]

    def _series(self, given, engine) -> tuple[list[Series], tuple]:
        """Each sequence on its own, and the shape of the steps, (T,) or (N, T).

        `given` is what `read` takes.
        """
        seen = self.read(*given)
        parts = self.initial_probs, self.transition_matrices
        chains, driven = chains_for(*parts, seen.inputs, engine)
        series = series_of(seen, chains, self.emission, driven)
        return series, steps_of(seen.values, self.emission)
