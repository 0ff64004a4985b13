"""Chains whose moves inputs drive: the moves of one block of steps.

Only the moves of a block are stored at a time, and only one set of matrices for steps in a row
with the same inputs: the hours of a day, not its minutes.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hmmlib import engines
from hmmlib.factorial.messages import Chains, arrays_of, chains_of, log_starts
from hmmlib.logs import logs
from hmmlib.transitions import SoftmaxTransitions


def num_inputs(matrices: tuple[Tensor | SoftmaxTransitions, ...]) -> int:
    """P; 0 if no chain is driven."""
    driven = [x for x in matrices if isinstance(x, SoftmaxTransitions)]
    return driven[0].num_inputs if driven else 0


def refuse_driven(matrices: tuple[Tensor | SoftmaxTransitions, ...]) -> None:
    """Raises ValueError where inputs drive the moves, and so no counts of them add up."""
    if num_inputs(matrices):
        raise ValueError(
            "transition_matrices: got SoftmaxTransitions, needs (K, K) matrices, since the"
            " moves of all steps are added up"
        )


def log_moves(
    matrices: tuple[Tensor | SoftmaxTransitions, ...], inputs: Tensor | None
) -> tuple[Tensor, ...]:
    """Log-transitions of one sequence, M of (K_m, K_m), or of (T-1, K_m, K_m) where driven.

    Raises ValueError for inputs of a batch.
    """
    if inputs is None:
        return logs(*matrices)
    if inputs.ndim > 2:
        raise ValueError(
            "observations: got a batch, needs one sequence, since inputs drive the moves of"
            " several chains"
        )
    return tuple(
        x.log_probs(inputs[:-1]) if isinstance(x, SoftmaxTransitions) else logs(x)[0]
        for x in matrices
    )


def matrices_at(
    matrices: tuple[Tensor | SoftmaxTransitions, ...], inputs: Tensor
) -> tuple[Tensor, ...]:
    """M of (K_m, K_m), or (H, K_m, K_m) for chains that the inputs (H, P) drive."""
    return tuple(
        x.log_probs(inputs).exp() if isinstance(x, SoftmaxTransitions) else x
        for x in matrices
    )


def chains_for(
    initial_probs: tuple[Tensor, ...],
    matrices: tuple[Tensor | SoftmaxTransitions, ...],
    inputs: Tensor | None,
    engine=None,
) -> tuple[Chains, Callable[[Tensor], Chains] | None]:
    """The chains, and what finds those of a block, if inputs (..., T, P) drive the moves.

    The chains are then those of one block, the first.
    """
    if inputs is None:
        return chains_of(initial_probs, matrices, engine), None
    driven = partial(chains_driven, initial_probs, matrices, engine=engine)
    return driven(inputs.flatten(0, -2)[:2]), driven


def chains_driven(
    initial_probs: tuple[Tensor, ...],
    matrices: tuple[Tensor | SoftmaxTransitions, ...],
    inputs: Tensor,
    engine=None,
) -> Chains:
    """The chains in a block of B steps, from the inputs (B + 1, P) of the step before it on.

    With `engine=engines.recursion` the compiled loops are left out.
    """
    rows, kinds = torch.unique_consecutive(inputs, return_inverse=True, dim=0)
    probs = matrices_at(matrices, rows)
    arrays = None if engine is engines.recursion else arrays_of(probs)
    each = [x if x.ndim == 2 else x[kinds] for x in logs(*probs)]
    return Chains(
        log_starts(initial_probs),
        tuple(x if x.ndim == 2 else x[1:] for x in each),
        arrays,
        tuple(x if x.ndim == 2 else x[0] for x in each),
        kinds.numpy().astype(np.int64),
    )
