"""Several hidden chains, one observation: exact inference, and two approximations.

Letters and axes as in `hmmlib.recursion`: a message has one axis for each chain, and a
step costs M · K^(M+1), not K^(2M). Long series are taken in blocks of about the square
root of T steps: messages are kept at the start of each block and computed again inside,
so that memory grows with sqrt(T) · prod(K). On the CPU, blocks go through the compiled
loops of `hmmlib.kernels`, unless gradients are wanted; sums also not where moves are
(nearly) forbidden. Messages of a short series are all stored.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal
from tqdm.auto import tqdm

import hmmlib.kernels as kernels
from hmmlib.checks import (
    WHOLE,
    as_count,
    as_kind,
    as_number,
    as_probs,
    as_seed,
    as_tensor,
    told,
)
from hmmlib.emissions import in_support, log_prob, parameters, rebuilt
from hmmlib.hmm import HMM, Sample
from hmmlib.inference import BestPath, Smoothed, smooth_states, viterbi
from hmmlib.logs import log, logsumexp
from hmmlib.observations import as_steps
from hmmlib.recursion import (
    Potentials,
    backward,
    forward,
    leading_to,
    move,
)

MOST_BYTES = 4e9  # of messages held at once
SMALLEST_MOVE = 1e-30  # compiled sums want all moves of a chain at least that probable
KEPT = 4e6  # messages of a short series that are kept and not computed again
WORKING_BLOCKS = 8  # as many as smoothing holds: starts, scores, alpha, beta, ...


def additive_gaussian(means, scale) -> Normal:
    """The sum of the levels of all chains, with Gaussian noise; batch_shape (K_1, ..., K_M).

    means  M tensors (K_m,): what chain m adds in each of its states
    scale  standard deviation: one for all, or one for each joint state (K_1, ..., K_M)

    The result is a `Normal` that remembers its parts, as `chain_means`. Raises ValueError
    for means that are no vectors, a scale that is not positive, and too many joint states.
    """
    means = tuple(as_tensor(f"means[{m}]", mean) for m, mean in _each("means", means))
    if not means or any(mean.ndim != 1 or not len(mean) for mean in means):
        found = [tuple(mean.shape) for mean in means]
        raise ValueError(f"means: got shapes {found}, needs M of (K_m,), at least one")
    for m, mean in enumerate(means):
        if not mean.isfinite().all():
            raise ValueError(
                f"means[{m}]: got {told(mean.tolist())}, needs finite numbers"
            )
    dtypes = [mean.dtype for mean in means if mean.is_floating_point()]
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
    means = tuple(mean.to(dtype if dtypes else torch.float64) for mean in means)
    scale = as_tensor("scale", scale).to(means[0].dtype)
    sizes = tuple(len(mean) for mean in means)
    fits = tuple(scale.shape) in ((), sizes)
    if not fits or not ((scale > 0) & scale.isfinite()).all():
        found = f"shape {tuple(scale.shape)}" if not fits else told(scale.tolist())
        raise ValueError(
            f"scale: got {found}, needs one positive number, or {sizes} of them"
        )
    if 8 * math.prod(sizes) > MOST_BYTES:
        raise ValueError(
            f"means: {math.prod(sizes):,} joint states, whose levels alone would take"
            f" {8e-9 * math.prod(sizes):,.0f} GB; use fewer states or chains"
        )
    total = torch.zeros((), dtype=means[0].dtype)
    for m, mean in enumerate(means):
        total = total + mean.reshape(-1, *[1] * (len(means) - 1 - m))
    normal = Normal(total, scale)
    normal.chain_means = means
    return normal


@dataclass(frozen=True, eq=False)
class FactorialHMM:
    """M independent hidden chains and one observation that depends on all of them.

    initial_probs        M of (K_m,)       how each chain starts; sums to one
    transition_matrices  M of (K_m, K_m)   row: the state left; rows sum to one
    emission             a `torch.distributions` object with batch_shape (K_1, ..., K_M)

    Given the observations the chains are *not* independent: what one explains the others
    need not. Raises ValueError, naming the argument. Ghahramani & Jordan 1997. Taught in
    chapter 7.
    """

    initial_probs: tuple[Tensor, ...]
    transition_matrices: tuple[Tensor, ...]
    emission: Distribution

    def __post_init__(self):
        initial_probs = tuple(
            as_probs(f"initial_probs[{m}]", probs, "(K,)")
            for m, probs in _each("initial_probs", self.initial_probs)
        )
        sizes = tuple(len(probs) for probs in initial_probs)
        matrices = tuple(
            as_probs(f"transition_matrices[{m}]", matrix, "(K, K)")
            for m, matrix in _each("transition_matrices", self.transition_matrices)
        )
        found = [tuple(matrix.shape) for matrix in matrices]
        if not sizes or found != [(size, size) for size in sizes]:
            raise ValueError(
                f"transition_matrices: got shapes {found}, needs (K_m, K_m) with"
                f" K = {sizes} to go with initial_probs"
            )
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

    def potentials(self, observations) -> Potentials:
        """Model and observations (T, *event) or (N, T, *event) as `Potentials`; NaN: missing.

        All (T, K_1, ..., K_M) log-likelihoods at once: for short series. Raises
        ValueError for a wrong shape, impossible values, and more memory than is sane.
        """
        observations = self._observations(observations)
        steps = observations.ndim - len(self.emission.event_shape)
        self._affordable(
            math.prod(observations.shape[:steps]),
            "all log-likelihoods",
            "the methods of FactorialHMM for long series",
        )
        values = observations.flatten(0, steps - 1)
        scores = self._log_likelihoods(values)
        shape = (*observations.shape[:steps], *self.sizes)
        return Potentials(*self._moves(), scores.reshape(shape))

    def sample(self, num_steps: int, seed: int | None = None) -> Sample:
        """States (T, M) and observations (T, *event), drawn step by step.

        The same seed gives the same sample. Raises ValueError for fewer than one step.
        """
        num_steps, seed = as_count("num_steps", num_steps), as_seed(seed)
        states, observations = [], []
        with torch.random.fork_rng(enabled=seed is not None), torch.no_grad():
            if seed is not None:
                torch.manual_seed(seed)
            rows = self.initial_probs
            for _ in range(num_steps):
                state = torch.stack([torch.multinomial(row, 1)[0] for row in rows])
                at = tuple(state)
                states.append(state)
                if isinstance(self.emission, Categorical):
                    observations.append(
                        torch.multinomial(self.emission.probs[at], 1)[0]
                    )
                else:
                    here = {k: v[at] for k, v in parameters(self.emission).items()}
                    observations.append(rebuilt(self.emission, here).sample())
                rows = [
                    a[z] for a, z in zip(self.transition_matrices, state, strict=True)
                ]
        return Sample(torch.stack(states), torch.stack(observations))

    def log_likelihood(self, observations, progress: bool = False) -> Tensor:
        """log p(x_{1:T}), shape (); -inf if impossible."""
        return self._starts(observations, logsumexp, progress)[1]

    def viterbi(self, observations, progress: bool = False) -> BestPath:
        """The most probable joint path: its log joint (), its states (T, M).

        States are -1 where no path is possible. Raises ValueError as `potentials` does.
        """
        kept = []
        starts, log_joint = self._starts(observations, torch.amax, progress, kept=kept)
        if self._loops is not None:
            paths = self._best_states(starts, observations, progress, kept)
        else:
            choices = torch.amax, torch.argmax
            paths = self._traced(starts, observations, *choices, progress)
        if log_joint.isneginf():
            paths = torch.full_like(paths, -1)
        return BestPath(log_joint, paths)

    def sample_states(
        self,
        observations,
        num_samples: int,
        seed: int | None = None,
        progress: bool = False,
    ) -> Tensor:
        """Joint paths from the posterior; (num_samples, T, M).

        Raises ValueError for impossible observations. Scott 2002.
        """
        num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
        self._affordable(num_samples, "the scores of all samples", "fewer samples")
        generator = None
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)

        def draw(scores: Tensor, dim: int) -> Tensor:
            """Where a uniform number falls in the cumulated probabilities."""
            heights = scores.softmax(dim).cumsum(dim)
            top = heights[..., -1:]
            at = torch.rand(top.shape, dtype=top.dtype, generator=generator) * top
            # at < top; and on the right, since a state of probability 0 has no width.
            return torch.searchsorted(heights, at, right=True)[..., 0]

        starts, evidence = self._starts(observations, logsumexp, progress)
        self._possible(evidence)
        return self._traced(
            starts, observations, logsumexp, draw, progress, num_samples
        )

    def smooth(self, observations, progress: bool = False) -> Smoothed:
        """log p(x) and, for each chain, p(z_t^m | x_{1:T}): M tensors (T, K_m).

        The joint posterior of all chains is `inference.smooth_states(self.potentials(x))`,
        where it fits. Raises ValueError for impossible observations.
        """
        kept = []
        starts, evidence = self._starts(observations, logsumexp, progress, kept=kept)
        self._possible(evidence)
        after = torch.zeros(self.sizes, dtype=evidence.dtype)
        blocks = self._blocks(self._observations(observations))
        end = sum(map(len, blocks))
        # Whole arrays, since many small ones would keep the heap from shrinking.
        marginals = [evidence.new_empty(end, size) for size in self.sizes]
        for start, block in self._backwards(starts, blocks, progress):
            scores = self._log_likelihoods(block)
            if kept:
                alpha = kept.pop()
            else:
                alpha, _ = self._forward(start, scores, logsumexp)
            # What is known from later blocks enters as one more likelihood of the last step.
            known = torch.cat([scores[:-1], scores[-1:] + after])
            beta, before = self._backward(known)
            beta[-1] = after
            joint = alpha + beta
            probs = joint.flatten(1).softmax(-1).reshape(joint.shape)
            for m, marginal in enumerate(marginals):
                marginal[end - len(block) : end] = self._marginal(probs, m)
            after, end = before, end - len(block)
        return Smoothed(evidence, tuple(marginals))

    def flattened(self) -> HMM:
        """The same model as one chain of prod(K) states: Kronecker products, for comparison.

        Raises ValueError when its transition matrix is beyond any sane memory.
        """
        num_states = math.prod(self.sizes)
        matrix = "the transition matrix of one flat chain"
        self._affordable(num_states, matrix, "FactorialHMM as it is")
        initial, moves = self.initial_probs[0], self.transition_matrices[0]
        for probs, matrix in zip(
            self.initial_probs[1:], self.transition_matrices[1:], strict=True
        ):
            initial, moves = torch.kron(initial, probs), torch.kron(moves, matrix)
        dims = len(self.sizes)
        emitted = parameters(self.emission).items()
        flat = {name: value.flatten(0, dims - 1) for name, value in emitted}
        return HMM(initial, moves, rebuilt(self.emission, flat))

    def _moves(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """log p(z_1), one axis a chain, and the log transitions."""
        log_initial = torch.zeros(())
        for probs in self.initial_probs:
            log_initial = log_initial[..., None] + log(probs)
        return log_initial, tuple(log(a) for a in self.transition_matrices)

    def _observations(self, observations) -> Tensor:
        return as_steps(observations, self.emission.event_shape).to(
            self.initial_probs[0].dtype
        )

    def _log_likelihoods(self, values: Tensor) -> Tensor:
        """log p(x_t | z_t) of (T, *event) values; (T, *S), 0 where NaN."""
        emission = self.emission
        if type(emission) is Normal and values.isfinite().all():
            apart = (values.reshape(-1, *[1] * len(self.sizes)) - emission.loc) / (
                emission.scale
            )
            normalised = emission.scale.log() + 0.5 * math.log(2 * math.pi)
            return apart.square().mul(-0.5) - normalised
        seen = ~values.isnan().reshape(len(values), -1).any(-1)
        scores = values.new_zeros(len(values), *self.sizes)
        if seen.any():
            there = values[seen]
            possible = there.isfinite().reshape(len(there), -1).all(-1)
            if not possible.all():
                raise ValueError(
                    f"observations: {there[~possible][0].tolist()}, needs finite values,"
                    " or NaN where one is missing"
                )
            shape = (len(there), *[1] * len(self.sizes), *there.shape[1:])
            inside = in_support(self.emission, there.reshape(shape))
            inside = inside.reshape(len(there), -1).any(-1)
            if not inside.all():
                raise ValueError(
                    f"observations: {there[~inside][0].tolist()}, needs values in"
                    f" {self.emission.support}"
                )
            scores[seen] = log_prob(self.emission, there.reshape(shape))
        return scores

    def _affordable(self, count: int, what: str, instead: str) -> None:
        """Raise ValueError if `count` times prod(K) numbers are too many."""
        num_states = math.prod(self.sizes)
        if 8 * count * num_states > MOST_BYTES:
            raise ValueError(
                f"initial_probs: {num_states:,} joint states; {what} would take"
                f" {8e-9 * count * num_states:,.1f} GB, more than {MOST_BYTES / 1e9:g} GB."
                f" Use fewer states or chains, or {instead}"
            )

    def _blocks(self, observations: Tensor) -> list[Tensor]:
        """Stretches of about sqrt(T) steps of one series."""
        if observations.ndim != 1 + len(self.emission.event_shape):
            raise ValueError("observations: got a batch, needs one series (T, ...)")
        size = math.isqrt(len(observations) - 1) + 1
        self._affordable(
            WORKING_BLOCKS * size,
            "the messages of a block",
            "a shorter series, mean_field or coordinate_ascent",
        )
        return list(observations.split(size))

    def _starts(self, observations, reduce: Callable, progress: bool, kept=None):
        """The message before each block, (*S), and the reduced last one, ().

        If all messages fit easily, they are put into the list `kept`, block by block.
        """
        self._forget_if_changed()
        message, blocks = (
            self._moves()[0],
            self._blocks(self._observations(observations)),
        )
        starts = []
        if self._loops is not None:
            # One array, since many small ones would keep the heap from shrinking.
            starts = torch.empty(len(blocks), *self.sizes, dtype=message.dtype)
        bar = tqdm(blocks, disable=not progress, desc="forwards")
        for n, block in enumerate(bar):
            if self._loops is None:
                starts.append(message)
            else:
                starts[n] = message
            alpha, message = self._forward(
                message, self._log_likelihoods(block), reduce
            )
            if kept is not None and len(observations) * message.numel() < KEPT:
                kept.append(alpha)
        return starts, reduce(alpha[-1].flatten(), -1)

    def _forward(self, start: Tensor, scores: Tensor, reduce: Callable):
        """Messages of a block, (B, *S), and the last one moved a step on, (*S)."""
        best, loops = reduce is torch.amax, self._loops
        if loops is None or not (best or loops.dense):
            _, matrices = self._moves()
            messages = forward(Potentials(start, matrices, scores), reduce)
            return messages, move(messages[-1], matrices, reduce)
        known = loops.flat(scores)
        messages, onward = np.empty_like(known), np.empty(known.shape[1])
        matrices = loops.log_moves if best else loops.moves
        kernels.joint_forward(
            loops.flat(start[None])[0],
            matrices,
            loops.sizes,
            known,
            best,
            messages,
            onward,
        )
        return loops.shaped(messages, scores), loops.shaped(onward, start)

    def _backward(self, known: Tensor):
        """Backward messages of a block, (B, *S), and the one of the step before it, (*S)."""
        loops = self._loops
        if loops is None or not loops.dense:
            _, matrices = self._moves()
            beta = backward(Potentials(known[0], matrices, known))
            turned = [matrix.mT for matrix in matrices]
            return beta, move(known[0] + beta[0], turned, logsumexp)
        scores = loops.flat(known)
        messages, onward = np.empty_like(scores), np.empty(scores.shape[1])
        turned = np.ascontiguousarray(loops.moves.transpose(0, 2, 1))
        kernels.joint_backward(turned, loops.sizes, scores, messages, onward)
        return loops.shaped(messages, known), loops.shaped(onward, known[0])

    def _forget_if_changed(self) -> None:
        """Drop what was made of tables that have been changed in place since."""
        tables = (*self.initial_probs, *self.transition_matrices)
        tables += tuple(parameters(self.emission).values())
        now = [
            (x.requires_grad, None if x.is_inference() else x._version) for x in tables
        ]
        if self.__dict__.get("_made_of", now) != now:
            self.__dict__.pop("_loops", None)
        self.__dict__["_made_of"] = now

    def __getstate__(self) -> dict:
        """The attributes without the cached loops, which a copy makes anew."""
        kept = ("_loops", "_made_of")
        return {name: x for name, x in self.__dict__.items() if name not in kept}

    @cached_property
    def _loops(self):
        """The moves as the compiled loops take them; None where these do not serve."""
        probs = self.transition_matrices
        emitted = parameters(self.emission).values()
        if any(x.requires_grad for x in (*self.initial_probs, *probs, *emitted)) or any(
            x.device.type != "cpu" for x in probs
        ):
            return None
        size = max(self.sizes)
        moves = np.zeros((len(probs), size, size))
        for m, matrix in enumerate(probs):
            moves[m, : len(matrix), : len(matrix)] = matrix.numpy()
        with np.errstate(divide="ignore"):
            log_moves = np.log(moves)
        smallest = min(matrix.min().item() for matrix in probs)
        return _Loops(np.array(self.sizes), moves, log_moves, smallest > SMALLEST_MOVE)

    def _backwards(self, starts: list, blocks: list, progress: bool):
        pairs = list(zip(starts, blocks, strict=True))[::-1]
        return tqdm(pairs, disable=not progress, desc="backwards")

    def _traced(
        self, starts, observations, reduce, choose, progress, num_samples=None
    ) -> Tensor:
        """A path, or several, chosen block by block from the end; ([num_samples,] T, M)."""
        _, matrices = self._moves()
        sizes = torch.tensor(self.sizes)
        later = [self.sizes[m + 1 :] for m in range(len(self.sizes))]
        strides = torch.tensor([math.prod(each) for each in later])
        blocks = self._blocks(self._observations(observations))
        path, following = [], None
        for start, block in self._backwards(starts, blocks, progress):
            messages, _ = self._forward(start, self._log_likelihoods(block), reduce)
            for message in reversed(messages):
                if following is not None:
                    message = message + leading_to(following, matrices)
                elif num_samples is not None:
                    message = message.expand(num_samples, *message.shape)
                chosen = choose(message.flatten(-len(sizes)), -1)
                following = chosen[..., None] // strides % sizes
                path.append(following)
        return torch.stack(path[::-1], dim=-2)

    def _best_states(self, starts, observations, progress, kept) -> Tensor:
        """The best joint path, compiled; (T, M)."""
        loops, blocks = self._loops, self._blocks(self._observations(observations))
        following, end = np.full(len(self.sizes), -1), sum(map(len, blocks))
        states = np.empty((end, len(self.sizes)), dtype=np.int64)
        for start, block in self._backwards(starts, blocks, progress):
            if kept:
                messages = kept.pop()
            else:
                scores = self._log_likelihoods(block)
                messages, _ = self._forward(start, scores, torch.amax)
            messages = loops.flat(messages)
            here = states[end - len(block) : end]
            kernels.joint_path(messages, loops.log_moves, loops.sizes, following, here)
            following, end = here[0], end - len(block)
        return torch.from_numpy(states)

    def _marginal(self, probs: Tensor, chain: int) -> Tensor:
        others = [1 + m for m in range(len(self.sizes)) if m != chain]
        return probs.sum(others) if others else probs

    def _possible(self, evidence: Tensor) -> None:
        if evidence.isneginf():
            raise ValueError(
                "observations: they have probability 0 under this model, no posterior exists"
            )


def _each(name: str, values) -> list[tuple[int, object]]:
    """Values that belong to the chains, numbered. Raises ValueError for what is no list."""
    try:
        return list(enumerate(values))
    except (TypeError, RuntimeError) as error:
        needs = "M tensors, one for each chain"
        raise ValueError(f"{name}: got {told(values)}, needs {needs}") from error


class _Loops(NamedTuple):
    """Moves of all chains in the form of `hmmlib.kernels`."""

    sizes: np.ndarray  # (M,)
    moves: np.ndarray  # (M, K, K), padded with 0
    log_moves: np.ndarray
    dense: bool  # are all moves possible, so that nothing is lost to underflow?

    @staticmethod
    def flat(values: Tensor) -> np.ndarray:
        """(B, *S) as (B, prod(S)) in float64."""
        array = values.detach().flatten(1).numpy()
        return np.ascontiguousarray(array, dtype=np.float64)

    @staticmethod
    def shaped(array: np.ndarray, like: Tensor) -> Tensor:
        return torch.from_numpy(array).to(like.dtype).reshape(like.shape)


def mean_field(
    model: FactorialHMM,
    observations,
    num_sweeps: int = 50,
    tolerance: float = 1e-6,
    start: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Structured mean field: p(z_t^m | x) as if chains were independent; M of (T, K_m).

    Each chain is smoothed in turn against what the others leave over on average, until no
    probability moves by more than `tolerance`. A sweep costs sum_m K_m^2 a step: linear in
    the number of chains, and an approximation that may end in a local optimum. `start` is
    (T, M) states to begin from, by default even odds. For `additive_gaussian` with one
    scale. Raises ValueError for another emission. Ghahramani & Jordan 1997, sec. 3.5.
    Taught in chapter 7.
    """
    x, means, scale, chains = _additive(model, observations)
    tolerance = as_number("tolerance", tolerance, "a number", lambda x: x == x)
    sizes = model.sizes
    if start is None:
        probs = [x.new_full((len(x), size), 1 / size) for size in sizes]
    else:
        columns = zip(_checked_path(model, x, start).T, sizes, strict=True)
        probs = [torch.nn.functional.one_hot(z, k).to(x.dtype) for z, k in columns]
    total = sum(p @ mu for p, mu in zip(probs, means, strict=True))
    for _ in range(as_count("num_sweeps", num_sweeps)):
        moved = 0.0
        for m, chain in enumerate(chains):
            others = total - probs[m] @ means[m]
            scores = _residual_scores(x - others, means[m], scale)
            new = smooth_states(chain._replace(log_likelihoods=scores)).smoothed_probs
            moved = max(moved, float((new - probs[m]).abs().max()))
            probs[m], total = new, others + new @ means[m]
        if moved < tolerance:
            break
    return tuple(probs)


def coordinate_ascent(
    model: FactorialHMM, observations, num_sweeps: int = 50, start: Tensor | None = None
) -> BestPath:
    """Iterated conditional modes, a chain at a time: a local optimum of the joint path.

    Each chain takes its own best path given those of the others, until none changes; the
    log joint never falls. `start` is (T, M) states, by default state 0 throughout. For
    `additive_gaussian` with one scale. Raises ValueError for another emission. Besag 1986. Taught
    in chapter 7.
    """
    x, means, scale, chains = _additive(model, observations)
    states = torch.zeros(len(x), len(means), dtype=torch.long)
    if start is not None:
        states = _checked_path(model, x, start).clone()
    total = sum(mu[z] for mu, z in zip(means, states.T, strict=True))
    for _ in range(as_count("num_sweeps", num_sweeps)):
        before = states.clone()
        for m, chain in enumerate(chains):
            others = total - means[m][states[:, m]]
            scores = _residual_scores(x - others, means[m], scale)
            states[:, m] = viterbi(chain._replace(log_likelihoods=scores)).states
            total = others + means[m][states[:, m]]
        if (states == before).all():
            break
    return BestPath(path_log_joint(model, observations, states), states)


def path_log_joint(model: FactorialHMM, observations, states: Tensor) -> Tensor:
    """log p(x_{1:T}, z_{1:T}) of one joint path (T, M); shape ().

    Raises ValueError for states that the chains do not have.
    """
    as_kind("model", model, FactorialHMM)
    x = model._observations(observations)
    states = _checked_path(model, x, states)
    total = x.new_zeros(())
    for m, chain in enumerate(states.T):
        total = total + log(model.initial_probs[m])[chain[0]]
        total = total + log(model.transition_matrices[m])[chain[:-1], chain[1:]].sum()
    seen = ~x.isnan().reshape(len(x), -1).any(-1)
    if seen.any():
        at = tuple(states[seen].T)
        here = {name: value[at] for name, value in parameters(model.emission).items()}
        total = total + log_prob(rebuilt(model.emission, here), x[seen]).sum()
    return total


def _additive(model: FactorialHMM, observations):
    """The series, levels and noise of an additive Gaussian, and its chains one by one."""
    emission = as_kind("model", model, FactorialHMM).emission
    means = getattr(emission, "chain_means", None)
    if means is None or len(emission.scale.unique()) > 1:
        raise ValueError(
            f"model: got emission {type(emission).__name__}, needs additive_gaussian with"
            " one scale"
        )
    x = model._observations(observations)
    if x.ndim != 1 or x.isinf().any():
        found = "an infinity" if x.ndim == 1 else f"shape {tuple(x.shape)}"
        raise ValueError(f"observations: got {found}, needs finite values, (T,)")
    chains = [
        Potentials(log(initial), (log(moves),), x.new_zeros(len(x), len(initial)))
        for initial, moves in zip(
            model.initial_probs, model.transition_matrices, strict=True
        )
    ]
    return x, means, emission.scale.flatten()[0], chains


def _checked_path(model: FactorialHMM, x: Tensor, states) -> Tensor:
    """`states` as (T, M) integers that the chains have. Raises ValueError."""
    states, needs = as_tensor("states", states), (len(x), len(model.sizes))
    sizes = torch.tensor(model.sizes)
    if (
        states.dtype not in WHOLE
        or tuple(states.shape) != needs
        or not ((states >= 0) & (states < sizes)).all()
    ):
        found = f"{states.dtype} of shape {tuple(states.shape)}"
        raise ValueError(
            f"states: got {found}, needs integers {needs}, from 0 up to below {model.sizes}"
        )
    return states.long()


def _residual_scores(rest: Tensor, means: Tensor, scale: Tensor) -> Tensor:
    """log p of what is left over, for each state of one chain; (T, K), 0 where missing."""
    scores = Normal(means, scale, validate_args=False).log_prob(rest[:, None])
    return torch.where(rest.isnan()[:, None], 0.0, scores)
