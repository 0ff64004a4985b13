"""The answers of `hmmlib.inference` by listing every path: the oracle of the tests."""

import torch
from torch import Tensor

from hmmlib.checks import as_count, as_kind, as_tensor
from hmmlib.recursion import Potentials

MOST_PATHS = 10_000_000


def all_paths(num_states: int, num_steps: int) -> Tensor:
    """Every path of T steps through K states, in counting order; (K^T, T) integers.

    Taught in chapter 2.

    Raises:
        ValueError: for less than one state or step, and for more than ten million paths.

    Example:
        >>> all_paths(num_states=2, num_steps=2).tolist()
        [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    num_states = as_count("num_states", num_states)
    num_steps = as_count("num_steps", num_steps)
    if num_states > 1 and (num_steps > 64 or num_states**num_steps > MOST_PATHS):
        raise ValueError(
            f"num_steps: {num_states}^{num_steps} paths, needs {MOST_PATHS:,} at most; "
            "hmmlib.inference.log_likelihood sums over all paths without listing them"
        )
    path = torch.arange(num_states**num_steps)
    place_values = num_states ** torch.arange(num_steps - 1, -1, -1)  # (T,)
    return path[:, None] // place_values % num_states


def path_log_joints(potentials: Potentials, paths: Tensor) -> Tensor:
    """log p(x_{1:T}, z_{1:T}) of each path, the sum of its log-potentials; shape (P,).

    The `logsumexp` over all paths is the log-likelihood, the maximum is the score of the
    Viterbi path. Cost P · T. Taught in chapter 2.

    Args:
        potentials: of one sequence, not of a batch.
        paths: (P, T) states of one chain, or (P, T, M) of M chains.

    Raises:
        ValueError: for a batch, and for paths that do not fit the potentials.

    Example:
        >>> half = torch.tensor([0.5, 0.5]).log()
        >>> p = Potentials(half, (half.expand(2, 2),), torch.zeros(3, 2))
        >>> path_log_joints(p, all_paths(2, 3)).exp()
        tensor([0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250, 0.1250])
    """
    potentials = as_kind("potentials", potentials, Potentials)
    states = _as_states(potentials, as_tensor("paths", paths))  # M of (P, T)
    log_initial, log_transitions, log_likelihoods, _ = potentials
    steps = torch.arange(len(log_likelihoods))
    log_joints = log_initial[tuple(z[:, 0] for z in states)]
    log_joints = log_joints + log_likelihoods[(steps, *states)].sum(-1)
    for matrix, z in zip(log_transitions, states, strict=True):
        moves = (steps[:-1],) if matrix.ndim == 3 else ()
        log_joints = log_joints + matrix[(*moves, z[:, :-1], z[:, 1:])].sum(-1)
    return log_joints


def _as_states(potentials: Potentials, paths: Tensor) -> tuple[Tensor, ...]:
    """The paths as M tensors (P, T) of states that exist. Raises ValueError."""
    log_initial, log_transitions, log_likelihoods, _ = potentials
    num_chains = log_initial.ndim
    if log_likelihoods.ndim != num_chains + 1:
        raise ValueError(
            f"log_likelihoods: got shape {tuple(log_likelihoods.shape)}, needs (T, *S):"
            " one sequence, not a batch"
        )
    num_steps = len(log_likelihoods)
    if num_chains == 1 and paths.ndim == 2:
        paths = paths[..., None]
    if paths.ndim != 3 or paths.shape[1:] != (num_steps, num_chains):
        raise ValueError(
            f"paths: got shape {tuple(paths.shape)}, needs (P, {num_steps}, {num_chains})"
        )
    if paths.is_floating_point() or paths.is_complex() or paths.dtype == torch.bool:
        raise ValueError(f"paths: got {paths.dtype}, needs integers")
    states = paths.long().unbind(-1)
    chains = zip(states, log_initial.shape, log_transitions, strict=True)
    for m, (z, size, matrix) in enumerate(chains):
        if len(z) and (z.min() < 0 or z.max() >= size):
            raise ValueError(
                f"paths: states {z.min()} to {z.max()} of chain {m}, needs 0 to {size - 1}"
            )
        _check_shape(m, matrix, num_steps, size)
    return states


def _check_shape(m: int, matrix: Tensor, num_steps: int, size: int) -> None:
    """Raises ValueError unless the transitions of chain m are K_m x K_m, for each move."""
    if tuple(matrix.shape) not in ((size, size), (num_steps - 1, size, size)):
        raise ValueError(
            f"log_transitions[{m}]: got shape {tuple(matrix.shape)}, needs"
            f" ({size}, {size}) or ({num_steps - 1}, {size}, {size})"
        )
