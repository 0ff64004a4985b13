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
    log_initial, (matrix,), scores, lengths = potentials
    made_of = (scores, None, None) if isinstance(scores, Tensor) else scores
    return Evidence.apply(log_initial, matrix, *made_of, lengths)[0]


class Evidence(torch.autograd.Function):
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
        potentials = _potentials(log_initial, matrix, table, rows, values, lengths)
        if matrix.ndim == 2 and matrix.device.type == "cpu":
            from hmmlib.engines import compiled

            passes = compiled.totals(potentials)
            return passes.log_likelihood, passes.starts, passes.moves, passes.uses
        return recursion.log_likelihood(potentials), None, None, None

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Save what `backward` needs."""
        counts = [each for each in output[1:] if each is not None]
        ctx.mark_non_differentiable(*counts)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx, gradient, *_):
        """The counts times the incoming gradient: those that `forward` saved, or, where they
        must be differentiable themselves, those of the recursion.
        """
        *inputs, starts, moves, uses = ctx.saved_tensors
        _, matrix, table, rows, values, _ = inputs
        nothing = (None,) * 3
        if gradient is None:
            return nothing + nothing
        lookup = Lookup(table, rows, values)
        known = starts is not None and not torch.is_grad_enabled()
        if known and (gradient == gradient.flatten()[0]).all():
            found = starts, moves, _table_gradient(lookup, uses)
            return *(each * gradient.flatten()[0] for each in found), *nothing
        potentials = _potentials(*inputs)
        if known:
            from hmmlib.engines import compiled

            passes = compiled.each(potentials)
            weight = gradient[..., None, None]
            states, pairs = passes.probs * weight, passes.moves * weight
        else:
            states, pairs = _posteriors(in_full(potentials), gradient)
            if matrix.ndim == 2:
                pairs = pairs.sum(-3)
        starts = states.select(-2, 0)
        if states.ndim == 3:
            starts, pairs = starts.sum(0), pairs.sum(0)
        by_step = rows is None and values is None
        uses = states if by_step else lookup.statistics(states)
        return starts, pairs, _table_gradient(lookup, uses), *nothing

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


def _potentials(log_initial, matrix, table, rows, values, lengths):
    """`Potentials`, or `Compact` where the table is read by rows or values."""
    if rows is None and values is None:
        potentials = Potentials(log_initial, (matrix,), table, lengths)
        return potentials if lengths is None else without_rest(potentials)
    return Compact(log_initial, (matrix,), Lookup(table, rows, values), lengths)


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


def _table_gradient(scores: Lookup, uses: Tensor) -> Tensor:
    """d log p(x) / d table."""
    if scores.values is None:
        return uses
    mass, first, second = uses
    precision = 1 / scores.table[1]
    return torch.stack(
        [precision.square() * first, precision.pow(3) * second - precision * mass]
    )
