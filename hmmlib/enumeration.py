"""The same answers by listing every path: the oracle of the tests."""

import torch
from torch import Tensor

from hmmlib.checks import as_count, as_kind, as_tensor
from hmmlib.recursion import Potentials

MOST_PATHS = 10_000_000


def all_paths(num_states: int, num_steps: int) -> Tensor:
    """Every path of T steps through K states, in counting order; (K^T, T), integers.

    >>> all_paths(2, 2).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]

    Raises ValueError for fewer than one state or step, and for more than ten million
    paths. Taught in chapter 2.
    """
    num_states = as_count("num_states", num_states)
    num_steps = as_count("num_steps", num_steps)
    if num_states > 1 and (num_steps > 64 or num_states**num_steps > MOST_PATHS):
        raise ValueError(
            f"num_steps: {num_states}^{num_steps} paths, needs {MOST_PATHS:,} at most; "
            "hmmlib.inference.log_likelihood adds them up without listing them"
        )
    path = torch.arange(num_states**num_steps)
    place_values = num_states ** torch.arange(num_steps - 1, -1, -1)  # (T,)
    return path[:, None] // place_values % num_states


def path_log_joints(potentials: Potentials, paths: Tensor) -> Tensor:
    """log p(x_{1:T}, z_{1:T}) of each path, the sum of its log-potentials; shape (P,).

    `paths` is (P, T) for one chain, (P, T, M) for M chains; one sequence, not a batch.
    Their `logsumexp` is the log-likelihood, their maximum the score of the Viterbi
    path. Raises ValueError for a batch or for paths that do not fit. Cost P · T. Taught
    in chapter 2.
    """
    log_initial, log_transitions, log_likelihoods, _ = as_kind(
        "potentials", potentials, Potentials
    )
    paths, num_chains = as_tensor("paths", paths), log_initial.ndim
    if log_likelihoods.ndim != num_chains + 1:
        raise ValueError(
            f"log_likelihoods: got shape {tuple(log_likelihoods.shape)}, needs (T, *S), no batch"
        )
    if num_chains == 1 and paths.ndim == 2:
        paths = paths[..., None]
    num_steps = len(log_likelihoods)
    if paths.ndim != 3 or paths.shape[1:] != (num_steps, num_chains):
        raise ValueError(
            f"paths: got shape {tuple(paths.shape)}, needs (P, {num_steps}, {num_chains})"
        )
    if paths.is_floating_point() or paths.is_complex() or paths.dtype == torch.bool:
        raise ValueError(f"paths: got {paths.dtype}, needs integers")
    for m, (size, matrix) in enumerate(
        zip(log_initial.shape, log_transitions, strict=True)
    ):
        z = paths[..., m]
        if len(paths) and (z.min() < 0 or z.max() >= size):
            raise ValueError(
                f"paths: states {z.min()} to {z.max()} of chain {m}, needs 0 to {size - 1}"
            )
        if tuple(matrix.shape) not in ((size, size), (num_steps - 1, size, size)):
            raise ValueError(
                f"log_transitions[{m}]: got shape {tuple(matrix.shape)}, needs"
                f" ({size}, {size}) or ({num_steps - 1}, {size}, {size})"
            )
    states = paths.long().unbind(-1)  # M of (P, T)
    log_joints = log_initial[tuple(z[:, 0] for z in states)]
    log_joints = log_joints + log_likelihoods[(torch.arange(num_steps), *states)].sum(
        -1
    )
    for matrix, z in zip(log_transitions, states, strict=True):
        moves = (torch.arange(num_steps - 1),) if matrix.ndim == 3 else ()
        log_joints = log_joints + matrix[(*moves, z[:, :-1], z[:, 1:])].sum(-1)
    return log_joints
