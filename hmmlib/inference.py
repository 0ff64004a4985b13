"""The questions one asks of a hidden Markov model, of one sequence or of a batch.

Letters and axes as in `hmmlib.recursion`. Shapes are given for one sequence; a batch
puts N in front. Where a ragged batch has run out, probabilities are 0 and states are
-1. Observations that the model holds impossible have log-likelihood -inf and no best
path; a posterior does not exist for them, and asking for one raises ValueError.

One chain on the CPU goes through the compiled loops of `hmmlib.kernels`, in float64. Several
chains, other devices, `pairwise_probs`, derivatives that the expected counts do not give, and
what scaling cannot represent go through `hmmlib.recursion`. The answers are the same, except
that in float32 the recursion loses digits of posteriors from ten thousand steps on.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import hmmlib.kernels as kernels
from hmmlib.checks import as_count, as_kind, as_lengths, as_seed, as_tensor
from hmmlib.logs import logsumexp
from hmmlib.recursion import Potentials, backward, by_step, forward, move, trace_back
from hmmlib.scores import Scores

PAIRS_AT_ONCE = (
    10_000_000  # entries of a (steps, K, K) array held in memory while counting moves
)


class Filtered(NamedTuple):
    """What is known of each state on its own day."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    filtered_probs: Tensor  #: (T, *S)  p(z_t | x_{1:t})
    predicted_probs: Tensor  #: (T, *S)  p(z_t | x_{1:t-1}); the first row is p(z_1)


class Smoothed(NamedTuple):
    """What is known of each state once everything is seen."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    smoothed_probs: Tensor  #: (T, *S)  p(z_t | x_{1:T})


class Counts(NamedTuple):
    """How often each start, move and state is used, on average over the posterior."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    initial: Tensor  #: (K,)  p(z_1 | x_{1:T})
    transitions: Tensor  #: (K, K)  expected number of moves from one state to another
    states: Tensor  #: (T, K)  p(z_t | x_{1:T})


class Totals(NamedTuple):
    """Expected counts of all sequences together, in the form that learning needs."""

    log_likelihood: Tensor  #: ()  log p(x), summed over sequences
    initial: Tensor  #: (K,)  expected starts
    transitions: Tensor  #: (K, K)  expected moves
    uses: (
        Tensor  #: (V, K) of each symbol, (3, K) moments, or (T, K): see `total_counts`
    )


class BestPath(NamedTuple):
    """The single most probable path."""

    log_joint: Tensor  #: ()  log p(x_{1:T}, z_{1:T}) of that path; -inf where no path is possible
    states: Tensor  #: (T,), or (T, M) for M chains; -1 where no path is possible


def log_likelihood(potentials: Potentials) -> Tensor:
    """log p(x_{1:T}) = logsumexp of alpha[T-1]; shape () or (N,). -inf if impossible.

    Differentiable in every potential: the gradients are the expected counts (Fisher's
    identity), and 0 where a potential is -inf. Higher derivatives exist too; they go through
    the recursion, which is slower, as all derivatives of several chains do. One chain has no
    forward-mode derivatives and no `torch.func.vmap`. Cost T · M · K^(M+1). Rabiner 1989,
    eq. 21. Taught in chapter 2.
    """
    if _is_chain_to_learn(potentials):  # checked there
        log_initial, (matrix,), scores, lengths = potentials
        made_of = (_table(scores), None, None)
        if type(scores) is Scores and scores.is_lazy():
            made_of = scores.table, scores.rows, scores.values
        return _Evidence.apply(log_initial, matrix, *made_of, lengths)[0]
    potentials = checked(potentials)
    if passes := _passes(potentials):
        return passes.log_likelihood
    return _evidence(potentials, _alpha(potentials))


def filter_states(potentials: Potentials) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1}) at every step: alpha, normalised; (T,
    *S).

    Raises ValueError for impossible observations. Rabiner 1989, eqs. 19-20, normalised.
    Taught in chapter 3.
    """
    potentials = checked(potentials)
    time = -1 - potentials.log_initial.ndim
    alpha, evidence = _log_filtered(potentials)
    _possible(evidence)
    _, log_transitions, _ = by_step(potentials)
    messages = alpha.unbind(time)
    predicted = [potentials.log_initial.expand_as(messages[0])]
    predicted += [
        move(a, matrices, logsumexp)
        for a, matrices in zip(messages, log_transitions, strict=False)
    ]
    return Filtered(
        evidence,
        _probs(potentials, alpha),
        _probs(potentials, torch.stack(predicted, time)),
    )


def smooth_states(potentials: Potentials) -> Smoothed:
    """p(z_t | x_{1:T}) at every step, (T, *S): exp(alpha[t] + beta[t]), normalised.

    Raises ValueError for impossible observations. Rabiner 1989, eq. 27. Taught in
    chapter 3.
    """
    potentials = checked(potentials)
    if passes := _passes(potentials, smoothed=True):
        return Smoothed(_possible(passes.log_likelihood), passes.smoothed_probs)
    alpha, beta = _alpha(potentials), _beta(potentials)
    return Smoothed(
        _possible(_evidence(potentials, alpha)), _probs(potentials, alpha + beta)
    )


def pairwise_probs(potentials: Potentials) -> Tensor:
    """p(z_t, z_{t+1} | x_{1:T}) for each move of one chain; shape (T-1, K, K).

    exp(alpha[t] + log_transitions + log_likelihoods[t+1] + beta[t+1]), normalised over
    both states. Raises ValueError for impossible observations, and for several chains.
    Rabiner 1989, eq. 37. Taught in chapter 3.
    """
    potentials = checked(potentials, num_chains=1)
    alpha, beta = _alpha(potentials), _beta(potentials)
    _possible(_evidence(potentials, alpha))
    return _pairs(potentials, alpha, beta, 0, alpha.shape[-2] - 1)


def expected_counts(potentials: Potentials) -> Counts:
    """Expected starts (K,), moves (K, K) and visits (T, K) of one chain.

    What Baum-Welch learns from. Raises ValueError for impossible observations, and for
    several chains. Rabiner 1989, eqs. 27, 37 and 40. Taught in chapter 3.
    """
    potentials = checked(potentials, num_chains=1)
    if passes := _passes(potentials, smoothed=True, counted="each"):
        evidence, states = _possible(passes.log_likelihood), passes.smoothed_probs
        return Counts(evidence, passes.starts, passes.moves, states)
    alpha, beta = _alpha(potentials), _beta(potentials)
    evidence = _possible(_evidence(potentials, alpha))
    states = _probs(potentials, alpha + beta)
    num_steps, num_states = alpha.shape[-2:]
    stride = max(1, PAIRS_AT_ONCE * num_steps // (alpha.numel() * num_states))
    transitions = alpha.new_zeros(*alpha.shape[:-2], num_states, num_states)
    for start in range(0, num_steps - 1, stride):
        transitions = transitions + _pairs(
            potentials, alpha, beta, start, min(start + stride, num_steps - 1)
        ).sum(-3)
    return Counts(evidence, states.select(-2, 0), transitions, states)


def total_counts(potentials: Potentials) -> Totals:
    """Expected counts of one chain, summed over sequences, without an array over steps.

    `uses` depends on what the scores are made of. For a table of symbols: how often each state
    emitted each of them, (V, K), with one more row for missing ones if there are any. For
    Gaussian readings: the sums over all steps of p(z_t | x) times 1, x_t - mean and
    (x_t - mean)^2, (3, K). For scores given in full: p(z_t | x) itself. Raises ValueError
    for impossible observations, and for several chains. Rabiner 1989, eq. 40.
    """
    potentials = checked(potentials, num_chains=1)
    if passes := _passes(potentials, counted="all"):
        evidence = _possible(passes.log_likelihood)
        if evidence.ndim:
            evidence = evidence.sum()
        return Totals(evidence, passes.starts, passes.moves, passes.uses)
    counts = expected_counts(potentials)
    starts, moves = counts.initial, counts.transitions
    if starts.ndim == 2:
        starts, moves = starts.sum(0), moves.sum(0)
    uses = _uses(potentials.log_likelihoods, counts.states)
    return Totals(counts.log_likelihood.sum(), starts, moves, uses)


def viterbi(potentials: Potentials) -> BestPath:
    """argmax of log p(x_{1:T}, z_{1:T}), and its value; states (T,), or (T, M).

    Of equally good paths, one. Where no path is possible the log joint is -inf and
    every state is -1. Cost T · M · K^(M+1). Viterbi 1967; Rabiner 1989, eqs. 32-35.
    Taught in chapter 4.
    """
    potentials = checked(potentials)
    if _compiles(potentials):
        return _best_path(potentials)
    delta = forward(potentials, torch.amax)
    log_joint = _last(potentials, delta).amax(-1)
    states = trace_back(potentials, delta, torch.argmax)
    dead = log_joint.isneginf().reshape(
        *log_joint.shape, *[1] * (states.ndim - log_joint.ndim)
    )
    return BestPath(log_joint, states.masked_fill(dead, -1))


@torch.no_grad()
def sample_states(
    potentials: Potentials, num_samples: int, seed: int | None = None
) -> Tensor:
    """Draws from p(z_{1:T} | x_{1:T}); (num_samples, T), or (num_samples, T, M).

    Forward filtering, backward sampling: the last state from alpha[T-1], each earlier one
    given its successor. A batch gives (num_samples, N, T). The same seed gives the same
    draws. Raises ValueError for impossible observations, and for fewer than one sample.
    Scott 2002, sec. 2.1.3. Taught in chapter 3.
    """
    potentials = checked(potentials)
    num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
    alpha, evidence = _log_filtered(potentials)
    _possible(evidence)
    generator = (
        None if seed is None else torch.Generator(alpha.device).manual_seed(seed)
    )

    def draw(scores: Tensor, dim: int) -> Tensor:
        """A state with probability exp(scores): the largest of scores plus Gumbel
        noise.
        """
        return (
            scores - torch.empty_like(scores).exponential_(generator=generator).log()
        ).argmax(dim)

    return trace_back(potentials, alpha.expand(num_samples, *alpha.shape), draw)


def checked(potentials: Potentials, num_chains: int | None = None) -> Potentials:
    """The potentials, with 0 behind the end of each sequence: nothing there is read.

    Raises ValueError, naming the field, what it holds and what it needs, unless they fit
    together: shapes, lengths, and no NaN and no infinity but log 0.
    """
    log_initial, log_transitions, log_likelihoods, lengths = as_kind(
        "potentials", potentials, Potentials
    )
    _as_logs("log_initial", log_initial)
    _as_logs("log_likelihoods", log_likelihoods)
    if type(log_likelihoods) is Scores and not log_likelihoods.is_lazy():
        log_likelihoods = log_likelihoods.dense()
        potentials = potentials._replace(log_likelihoods=log_likelihoods)
    sizes = tuple(log_initial.shape)
    if not sizes or 0 in sizes:
        raise ValueError(
            f"log_initial: got shape {sizes}, needs (K,) or (K_1, ..., K_M), each at least 1"
        )
    if num_chains is not None and len(sizes) != num_chains:
        raise ValueError(
            f"log_initial: got {len(sizes)} chains, shape {sizes}; needs {num_chains}"
        )
    shape = tuple(log_likelihoods.shape)
    if shape[-len(sizes) :] != sizes or len(shape) - len(sizes) not in (1, 2):
        raise ValueError(
            f"log_likelihoods: got shape {shape}, needs (T, *{sizes}) or (N, T, *{sizes})"
        )
    if 0 in shape:
        raise ValueError(
            f"log_likelihoods: got shape {shape}, needs at least one step of at least one sequence"
        )
    num_steps = shape[-1 - len(sizes)]
    if not isinstance(log_transitions, tuple) or len(log_transitions) != len(sizes):
        raise ValueError(
            f"log_transitions: needs a tuple of {len(sizes)} tensor(s), one for each chain"
        )
    for m, (matrix, size) in enumerate(zip(log_transitions, sizes, strict=True)):
        _as_logs(f"log_transitions[{m}]", matrix)
        if tuple(matrix.shape) not in ((size, size), (num_steps - 1, size, size)):
            needs = f"({size}, {size}) or ({num_steps - 1}, {size}, {size})"
            raise ValueError(
                f"log_transitions[{m}]: got shape {tuple(matrix.shape)}, needs {needs}"
            )
    if lengths is not None:
        steps = shape[: len(shape) - len(sizes)]  # (N, T); (T,) has no lengths
        lengths = as_lengths(lengths, steps).to(log_likelihoods.device)
        potentials = potentials._replace(lengths=lengths)
        if (
            type(log_likelihoods) is not Scores
            and lengths.amin() < log_likelihoods.shape[1]
        ):
            log_likelihoods = log_likelihoods.masked_fill(~_running(potentials), 0.0)
            potentials = potentials._replace(log_likelihoods=log_likelihoods)
    if not _compiles(potentials):  # where they do, `_as_arrays` looks
        _check_values(potentials)
    return potentials


def _as_logs(name: str, values) -> None:
    """Raise ValueError for what is no tensor of floats."""
    if type(values) is Scores:
        return
    if not isinstance(values, Tensor):
        raise ValueError(f"{name}: got {type(values).__name__}, needs a tensor")
    if as_tensor(name, values).dtype not in (torch.float64, torch.float32):
        raise ValueError(f"{name}: got {values.dtype}, needs float64 or float32")


def _check_values(potentials: Potentials) -> None:
    """Raise ValueError for a NaN or an infinity that is not log 0."""
    log_initial, log_transitions, log_likelihoods, _ = potentials
    named = [(f"log_transitions[{m}]", a) for m, a in enumerate(log_transitions)]
    named += [
        ("log_initial", log_initial),
        ("log_likelihoods", _table(log_likelihoods)),
    ]
    for name, values in named:
        if values.numel() and not values.amax() < torch.inf:  # NaN is not below either
            wrong = values.isnan() | values.isposinf()
            where = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"{name}: {values[tuple(where)]} at {where}, needs numbers below infinity"
            )


class _Evidence(torch.autograd.Function):
    """log p(x) of one chain, whose gradient is the expected counts (Fisher's identity).

    It has derivatives with respect to the two tables of the chain, and to the table that
    the scores are made of. `forward` computes the counts along with log p(x), for the first
    derivative; higher derivatives are those of the recursion.
    """

    @staticmethod
    def forward(log_initial, log_transition, table, rows, values, lengths):
        """log p(x), and the expected counts where the compiled loops give them, else None."""
        tables = (x.detach() for x in (log_initial, log_transition, table))
        log_initial, matrix, table = tables
        scores = _scores(table, rows, values)
        potentials = checked(Potentials(log_initial, (matrix,), scores, lengths))
        passes = None
        if matrix.ndim == 2:
            passes = _passes(potentials, counted="all")
        if passes:
            return passes.log_likelihood, passes.starts, passes.moves, passes.uses
        return _evidence(potentials, forward(potentials)), None, None, None

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what `backward` needs."""
        counts = [each for each in output[1:] if each is not None]
        ctx.mark_non_differentiable(*counts)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx, gradient, *_):
        """The counts times the incoming gradient: those that `forward` saved, or, where they
        must be differentiable themselves, those of the recursion.
        """
        *tables, rows, values, lengths, starts, moves, uses = ctx.saved_tensors
        nothing = (None,) * 3
        if gradient is None:
            return nothing + nothing
        scores = _scores(tables[2], rows, values)
        known = starts is not None and not torch.is_grad_enabled()
        if known and (gradient == gradient.flatten()[0]).all():
            found = starts, moves, _table_gradient(scores, uses)
            return *(each * gradient.flatten()[0] for each in found), *nothing
        potentials = Potentials(tables[0], (tables[1],), scores, lengths)
        weight = gradient[..., None, None]
        passes = None
        if known:
            passes = _passes(checked(potentials), smoothed=True, counted="each")
        if passes:
            states, pairs = passes.smoothed_probs * weight, passes.moves * weight
        else:
            states, pairs = _posteriors(potentials, gradient)
            if tables[1].ndim == 2:
                pairs = pairs.sum(-3)
        starts = states.select(-2, 0)
        if states.ndim == 3:
            starts, pairs = starts.sum(0), pairs.sum(0)
        return starts, pairs, _table_gradient(scores, _uses(scores, states)), *nothing

    @staticmethod
    def jvp(ctx, *_):
        """Raises: there is no forward-mode derivative."""
        raise NotImplementedError(
            "log_likelihood: has no forward-mode derivative, needs reverse mode, such as"
            " torch.func.grad or torch.autograd.functional.hessian, in place of jvp, jacfwd"
            " and torch.func.hessian"
        )

    @staticmethod
    def vmap(info, in_dims, *inputs):
        """Raises: `torch.func.vmap` is not supported."""
        raise NotImplementedError(
            "log_likelihood: does not go through torch.func.vmap, needs a batch of sequences"
            " (N, T), or a loop over models"
        )


def _scores(table: Tensor, rows: Tensor | None, values: Tensor | None):
    """`Scores` of a table with `rows` or `values`; without these, the table is the scores."""
    return table if rows is None and values is None else Scores(table, rows, values)


def _posteriors(potentials: Potentials, weight: Tensor) -> tuple[Tensor, Tensor]:
    """p(z_t | x) and p(z_t, z_{t+1} | x) times `weight`, (), or (N,) for a batch.

    Computed by the recursion, so that they can be differentiated; 0 for impossible
    observations.
    """
    scores = potentials.log_likelihoods
    scores = scores.dense() if type(scores) is Scores else scores
    if potentials.lengths is not None:
        scores = scores.masked_fill(~_running(potentials), 0.0)
    potentials = potentials._replace(log_likelihoods=scores)
    alpha, beta = forward(potentials, logsumexp), backward(potentials, logsumexp)
    impossible = _evidence(potentials, alpha).isneginf()[..., None, None]
    alpha, weight = alpha.masked_fill(impossible, 0.0), weight[..., None, None]
    weight = weight.masked_fill(impossible, 0.0)
    beta = beta.masked_fill(impossible, 0.0)
    potentials = potentials._replace(
        log_likelihoods=scores.masked_fill(impossible, 0.0)
    )
    states = _probs(potentials, alpha + beta) * weight
    pairs = _pairs(potentials, alpha, beta, 0, alpha.shape[-2] - 1)
    pairs = pairs * weight[..., None]  # of a matrix that forbids everything: NaN
    return states, pairs.nan_to_num(0.0)


def _table(scores: Tensor | Scores) -> Tensor:
    """What the scores are made of; of a plain tensor, itself."""
    if type(scores) is not Scores:
        return scores
    return scores.table if scores.is_lazy() else scores.dense()


def _uses(scores: Tensor | Scores, states: Tensor) -> Tensor:
    """How often each row of the table is used, or its moments: states is (..., T, K)."""
    if type(scores) is not Scores:
        return states
    flat = states.reshape(-1, states.shape[-1])
    if scores.rows is not None:
        return torch.zeros_like(scores.table).index_add(0, scores.rows.flatten(), flat)
    values = scores.values.reshape(-1, 1).to(flat.dtype)
    flat = flat.masked_fill(values.isnan(), 0.0)
    apart = values.nan_to_num(0.0) - scores.table[1]
    return torch.stack([(flat * apart**power).sum(0) for power in (0, 1, 2)])


def _table_gradient(scores: Tensor | Scores, uses: Tensor) -> Tensor:
    """d log p(x) / d table."""
    if type(scores) is Scores and scores.values is not None:
        precision = scores.table[2]
        return torch.stack(
            [uses[0], precision.square() * uses[1], -precision * uses[2]]
        )
    return uses


class _Passes(NamedTuple):
    """What the compiled loops found; shapes as in the answers."""

    log_likelihood: Tensor
    filtered_probs: Tensor | None
    smoothed_probs: Tensor | None
    starts: Tensor | None  # (K,), or (N, K) for "each" of a batch
    moves: Tensor | None  # (K, K), or (N, K, K)
    uses: Tensor | None  # as the table that the scores are made of; only for "all"


def _compiles(potentials: Potentials) -> bool:
    """Is it one chain, on the CPU, in float64 or float32, with no gradient wanted?"""
    log_transitions, log_likelihoods = potentials[1:3]
    return (
        len(log_transitions) == 1
        and log_likelihoods.device.type == "cpu"
        and log_likelihoods.dtype in (torch.float64, torch.float32)
        and not (torch.is_grad_enabled() and _needs_gradient(potentials))
    )


NO_ROWS, NO_VALUES = np.empty((0, 0), np.int64), np.empty((0, 0))
NO_PROBS = np.empty((0, 0, 0))


class _Arrays(NamedTuple):
    """Potentials as the kernels take them, in float64, in the order of their arguments."""

    initial: np.ndarray  # (K,)
    matrices: np.ndarray  # (1 or T-1, K, K)
    scores: np.ndarray  # (R, K), (3, K) or (N T, K); see `hmmlib.kernels`
    rows: np.ndarray  # (N, T), or (0, 0)
    values: np.ndarray  # (N, T), or (0, 0)
    lengths: np.ndarray  # (N,)


def _as_array(x: Tensor) -> np.ndarray:
    try:
        array = x.detach().numpy() if x.requires_grad else x.numpy()
    except RuntimeError as error:
        raise ValueError(
            "potentials: got tensors whose numbers cannot be looked at, as inside of"
            " torch.func.vmap and jvp; needs a batch of sequences (N, T), or reverse mode:"
            " torch.func.grad, torch.autograd.functional.hessian"
        ) from error
    return np.ascontiguousarray(array, dtype=np.float64)


def _as_arrays(potentials: Potentials) -> tuple[_Arrays, tuple[int, int, int]]:
    """The arrays, and N, T, K. Raises ValueError for a NaN or infinity."""
    log_initial, (matrix,), scores, lengths = potentials
    *batch, num_steps, size = scores.shape
    num = batch[0] if batch else 1
    table, rows, values = _as_array(_table(scores)), NO_ROWS, NO_VALUES
    if type(scores) is not Scores:
        table = table.reshape(-1, size)
    elif scores.rows is not None:
        rows = scores.rows.numpy().reshape(num, num_steps)
    else:
        values = _as_array(scores.values).reshape(num, num_steps)
    initial, matrices = _as_array(log_initial), _as_array(matrix)
    if matrices.ndim == 2:
        matrices = matrices[None]
    elif num_steps == 1:  # time-varying, but there is no move
        matrices = np.zeros((1, size, size))
    if not kernels.below_infinity(initial, matrices, table):
        _check_values(potentials)
    ends = np.full(num, num_steps) if lengths is None else lengths.numpy()
    arrays = _Arrays(initial, matrices, table, rows, values, ends)
    return arrays, (num, num_steps, size)


def _passes(
    potentials: Potentials,
    filtered: bool = False,
    smoothed: bool = False,
    counted: str | None = None,
) -> _Passes | None:
    """Forwards, and backwards if asked, compiled; None where that does not serve.

    `counted` says whether to count starts and moves for "each" sequence, or with the uses
    of the table, for "all" together.
    """
    if not _compiles(potentials):
        return None
    arrays, (num, steps, size) = _as_arrays(potentials)
    scores = potentials.log_likelihoods
    shares = _shares(num, steps, size)
    in_full = counted == "all" and type(scores) is not Scores
    wanted, starts, moves, uses = NO_PROBS, NO_VALUES, NO_PROBS, NO_PROBS
    if filtered or smoothed or in_full:
        make = np.empty if potentials.lengths is None else np.zeros
        wanted = make((num, steps, size))
    if counted:
        slots = num if counted == "each" else shares
        starts, moves = np.zeros((slots, size)), np.zeros((slots, size, size))
    if counted == "all" and not in_full:
        uses = np.zeros((slots, *arrays.scores.shape))
    evidence, exact = np.empty(num), np.empty(num, dtype=np.bool_)
    outputs = (NO_PROBS, wanted) if smoothed or in_full else (wanted, NO_PROBS)

    def work(first, last, share):
        slot = share if counted == "all" else -1
        kernels.passes(
            *arrays, first, last, slot, evidence, exact, *outputs, starts, moves, uses
        )

    kernels.in_parallel(work, num, shares)
    if not exact.all():
        return None
    dtype, single = scores.dtype, scores.ndim == 2

    def tensor(array):
        array = torch.from_numpy(array)
        return array if dtype is torch.float64 else array.to(dtype)

    if counted == "all":
        starts, moves, uses = (x.sum(0) for x in (starts, moves, uses))
    elif counted and single:
        starts, moves = starts[0], moves[0]
    if single:
        evidence = evidence.reshape(())
        wanted = wanted.reshape(wanted.shape[1:])
    return _Passes(
        tensor(evidence),
        tensor(wanted) if filtered else None,
        tensor(wanted) if smoothed else None,
        tensor(starts) if counted else None,
        tensor(moves) if counted else None,
        tensor(wanted if in_full else uses) if counted == "all" else None,
    )


def _shares(num: int, steps: int, size: int) -> int:
    """How many threads are worth it."""
    cost = float(num) * steps * (size * size + 10)
    return kernels.num_shares(num, cost, torch.get_num_threads())


def _best_path(potentials: Potentials) -> BestPath:
    arrays, (num, steps, size) = _as_arrays(potentials)
    log_joint, states = np.empty(num), np.empty((num, steps), dtype=np.int64)

    def work(first, last, share):
        kernels.best_path(*arrays, first, last, log_joint, states)

    kernels.in_parallel(work, num, _shares(num, steps, size))
    if potentials.log_likelihoods.ndim == 2:
        log_joint, states = log_joint.reshape(()), states[0]
    log_joint = torch.from_numpy(log_joint).to(potentials.log_likelihoods.dtype)
    return BestPath(log_joint, torch.from_numpy(states))


def _log_filtered(potentials: Potentials) -> tuple[Tensor, Tensor]:
    """Forward messages, each but for a constant of its step, and the evidence."""
    if passes := _passes(potentials, filtered=True):
        return passes.filtered_probs.log(), passes.log_likelihood
    alpha = _alpha(potentials)
    return alpha, _evidence(potentials, alpha)


def _needs_gradient(potentials: Potentials) -> bool:
    return (
        potentials.log_initial.requires_grad
        or potentials.log_likelihoods.requires_grad
        or any(each.requires_grad for each in potentials.log_transitions)
    )


def _is_chain_to_learn(potentials: Potentials) -> bool:
    """Is it one chain, with gradients wanted?"""
    return (
        torch.is_grad_enabled()
        and isinstance(potentials, Potentials)
        and isinstance(potentials.log_transitions, tuple)
        and len(potentials.log_transitions) == 1
        and all(
            isinstance(each, Tensor)
            for each in (*potentials.log_transitions, potentials[0], potentials[2])
        )
        and potentials.log_initial.ndim == 1
        and _needs_gradient(potentials)
    )


def _alpha(potentials: Potentials) -> Tensor:
    return forward(potentials, logsumexp)


def _beta(potentials: Potentials) -> Tensor:
    return backward(potentials, logsumexp)


def _last(potentials: Potentials, messages: Tensor) -> Tensor:
    """The last message, its states in one axis; (prod(S),) or (N, prod(S))."""
    num_chains = potentials.log_initial.ndim
    return messages.select(-1 - num_chains, -1).flatten(-num_chains)


def _evidence(potentials: Potentials, alpha: Tensor) -> Tensor:
    return logsumexp(_last(potentials, alpha), -1)


def _possible(evidence: Tensor) -> Tensor:
    """Raise ValueError where the log-likelihood is -inf: no posterior exists."""
    impossible = evidence.isneginf().any() if evidence.ndim else evidence == -torch.inf
    if impossible:
        which = (
            f" {evidence.isneginf().nonzero().flatten().tolist()}"
            if evidence.ndim
            else ""
        )
        raise ValueError(
            f"observations: sequence{which} has probability 0 under this model, no posterior exists"
        )
    return evidence


def _probs(potentials: Potentials, scores: Tensor) -> Tensor:
    """Normalise over the states, and blank what lies behind the end of a sequence."""
    num_chains = potentials.log_initial.ndim
    if potentials.lengths is None:
        return scores.flatten(-num_chains).softmax(-1).reshape(scores.shape)
    running = _running(potentials)
    scores = scores.masked_fill(
        ~running, 0.0
    )  # softmax of nothing but -inf would be NaN
    return scores.flatten(-num_chains).softmax(-1).reshape(scores.shape) * running


def _running(potentials: Potentials) -> Tensor:
    """Which steps of a ragged batch come before the end of their sequence; (N, T, 1...)."""
    num_chains = potentials.log_initial.ndim
    num_steps = potentials.log_likelihoods.shape[1]
    steps = torch.arange(num_steps, device=potentials.lengths.device)
    running = steps < potentials.lengths[:, None]
    return running.reshape(*running.shape, *[1] * num_chains)


def _pairs(
    potentials: Potentials, alpha: Tensor, beta: Tensor, start: int, stop: int
) -> Tensor:
    """p(z_t, z_{t+1} | x) for the moves `start` to `stop`; (stop - start, K, K)."""
    (matrix,) = potentials.log_transitions
    left = alpha[..., start:stop, :, None]
    entered = (potentials.log_likelihoods + beta)[..., start + 1 : stop + 1, None, :]
    scores = left + (matrix[start:stop] if matrix.ndim == 3 else matrix) + entered
    if potentials.lengths is None:
        return scores.flatten(-2).softmax(-1).reshape(scores.shape)
    running = _running(potentials)[:, start + 1 : stop + 1, :, None]
    scores = scores.masked_fill(~running, 0.0)
    return scores.flatten(-2).softmax(-1).reshape(scores.shape) * running
