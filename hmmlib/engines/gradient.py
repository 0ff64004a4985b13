"""The gradient of one chain: log p(x), whose derivatives are the expected counts.

Fisher's identity: d log p(x) / d log A[i, j] is the expected number of moves from i to j,
and so on for every potential. The other functions are those of `hmmlib.engines.recursion`,
through which their derivatives go, and all derivatives after the first.
"""

import torch
from torch import Tensor

from hmmlib.emissions.protocol import Lookup
from hmmlib.engines import recursion
from hmmlib.engines.compact import Compact, in_full, without_rest
from hmmlib.engines.recursion import (  # noqa: F401
    expected_counts,
    filter_states,
    pairwise_probs,
    sample_states,
    smooth_states,
    total_counts,
    viterbi,
)
from hmmlib.logs import logsumexp
from hmmlib.recursion import Potentials, backward, forward


def log_likelihood(potentials: Potentials | Compact) -> Tensor:
    """log p(x), shape () or (N,), of potentials that have been checked."""
    if isinstance(potentials, Compact):
        initial, matrix, (given, *looked_up), lengths = potentials
        return Evidence.apply(lengths, looked_up, initial, matrix, *given)[0]
    log_initial, (matrix,), scores, lengths = potentials
    return Evidence.apply(lengths, None, log_initial, matrix, scores)[0]


class Evidence(torch.autograd.Function):
    """log p(x) of one chain, whose gradient is the expected counts (Fisher's identity).

    It has derivatives with respect to its `tables`: those of `Potentials`, or, if symbols,
    rows or values are `looked_up`, those of `Compact`, which are no logarithms. `forward`
    computes the counts along with log p(x), for the first derivative; higher derivatives
    are those of the recursion.
    """

    @staticmethod
    def forward(lengths, looked_up, *tables):
        """log p(x), and the expected counts where the compiled loops give them, else None."""
        potentials = _potentials(lengths, looked_up, [x.detach() for x in tables])
        if tables[1].device.type == "cpu":
            return _known(potentials, tables[1].ndim)
        return recursion.log_likelihood(potentials), None, None, None

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save what `backward` needs."""
        counts = [each for each in output[1:] if each is not None]
        ctx.mark_non_differentiable(*counts)
        ctx.set_materialize_grads(False)
        ctx.lengths, ctx.looked_up, *tables = inputs
        ctx.save_for_backward(*output[1:], *tables)

    @staticmethod
    def backward(ctx, gradient, *_):
        """The counts times the incoming gradient: those that `forward` saved, or, where they
        must be differentiable themselves, those of the recursion.
        """
        starts, moves, uses, *tables = ctx.saved_tensors
        if gradient is None:
            return (None,) * (2 + len(tables))
        known = starts is not None and not torch.is_grad_enabled()
        if known and (gradient.ndim == 0 or (gradient == gradient[0]).all()):
            weight = gradient if gradient.ndim == 0 else gradient[0]
            counts = starts * weight, moves * weight, uses * weight
        else:
            potentials = _potentials(ctx.lengths, ctx.looked_up, tables)
            counts = _weighted_counts(potentials, gradient, known)
        if ctx.looked_up is None:
            return None, None, *counts
        starts, moves, uses = counts
        initial, matrix, *given = tables
        found = _per(starts, initial), _per(moves, matrix)
        return None, None, *found, *_given_gradients(given, ctx.looked_up, uses)

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


def _potentials(lengths, looked_up, tables) -> Potentials | Compact:
    """What the tables belong to."""
    initial, matrix, *given = tables
    if looked_up is not None:
        return Compact(initial, matrix, Lookup(tuple(given), *looked_up), lengths)
    potentials = Potentials(initial, (matrix,), *given, lengths)
    return potentials if lengths is None else without_rest(potentials)


def _known(potentials: Potentials | Compact, moves_ndim: int) -> tuple[Tensor, ...]:
    """log p(x), and its derivatives, from the compiled loops."""
    from hmmlib.engines import compiled

    if moves_ndim == 2:
        passes = compiled.totals(potentials)
        return passes.log_likelihood, passes.starts, passes.moves, passes.uses
    evidence, states, starts, moves, _ = compiled.pairs(potentials)
    if (
        evidence.ndim
    ):  # of a batch, whose sequences share the start, and maybe the moves
        starts, moves = starts.sum(0), moves if moves_ndim == 4 else moves.sum(0)
    return evidence, starts, moves, states


def _weighted_counts(
    potentials: Potentials | Compact, weight: Tensor, known: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Expected starts, moves and uses, each sequence times its `weight`.

    From the compiled loops if `known`, else differentiable.
    """
    full = potentials if known else in_full(potentials)
    moves_ndim = full[1][0].ndim if isinstance(full, Potentials) else 2
    if known:
        from hmmlib.engines import compiled

        passes = (compiled.each if moves_ndim == 2 else compiled.pairs)(potentials)
        states = passes.probs * weight[..., None, None]
        moving = passes.moves.ndim - weight.ndim
        pairs = passes.moves * weight.reshape(*weight.shape, *[1] * moving)
    else:
        states, pairs = _posteriors(full, weight)
        if moves_ndim == 2:
            pairs = pairs.sum(-3)
    starts = states.select(-2, 0)
    if states.ndim == 3:
        starts = starts.sum(0)
        pairs = pairs if moves_ndim == 4 else pairs.sum(0)
    by_table = isinstance(potentials, Compact)
    return starts, pairs, potentials.scores.statistics(states) if by_table else states


def _posteriors(potentials: Potentials, weight: Tensor) -> tuple[Tensor, Tensor]:
    """p(z_t | x) and p(z_t, z_{t+1} | x) times `weight`, (), or (N,) for a batch.

    Computed by the recursion, so that they can be differentiated; 0 for impossible
    observations.
    """
    alpha, beta = forward(potentials, logsumexp), backward(potentials, logsumexp)
    impossible = recursion.evidence(potentials, alpha).isneginf()[..., None, None]
    alpha, weight = alpha.masked_fill(impossible, 0.0), weight[..., None, None]
    weight = weight.masked_fill(impossible, 0.0)
    beta = beta.masked_fill(impossible, 0.0)
    scores = potentials.log_likelihoods.masked_fill(impossible, 0.0)
    potentials = potentials._replace(log_likelihoods=scores)
    states = recursion.probs(potentials, alpha + beta) * weight
    pairs = recursion.pairs(potentials, alpha, beta, 0, alpha.shape[-2] - 1)
    pairs = pairs * weight[..., None]  # of a matrix that forbids everything: NaN
    return states, pairs.nan_to_num(0.0)


def _per(counts: Tensor, probs: Tensor) -> Tensor:
    """counts / probs, what d log p(x) / d probs is; 0 where the probability is 0."""
    return counts / probs.masked_fill(probs == 0, 1.0)


def _given_gradients(given, looked_up, uses: Tensor) -> tuple[Tensor, ...]:
    """d log p(x) / d each table of a `Lookup`."""
    symbols, rows, _ = looked_up
    if symbols is not None:
        return (_per(uses.mT, given[0]),)
    if rows is not None:
        return (uses,)
    mass, first, second = uses
    precision = 1 / given[1]
    return (
        precision.square() * first,
        precision.pow(3) * second - precision * mass,
    )
