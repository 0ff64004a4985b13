"""Potentials, or a model and its observations, as the compiled loops of one chain take them."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from hmmlib.engines.compact import Compact
from hmmlib.engines.numbers import logs_of
from hmmlib.recursion import Potentials

NO_ROWS, NO_VALUES = np.empty((0, 0), np.int64), np.empty((0, 0))


class Arrays(NamedTuple):
    """Potentials as the loops take them, in float64, in the order of their arguments."""

    initial: np.ndarray  # (K,)
    matrices: np.ndarray  # (1 or N, 1 or T-1, K, K)
    scores: np.ndarray  # (R, K), (2, K) or (N T, K); see `hmmlib.engines.chain`
    rows: np.ndarray  # (N, T), or (0, 0)
    values: np.ndarray  # (N, T), or (0, 0)
    lengths: np.ndarray  # (N,)


def arrays_of(potentials: Potentials | Compact) -> tuple[Arrays, tuple, bool]:
    """The arrays; N, T, K; and whether it is one sequence and no batch.

    Raises ValueError for tensors without numbers, as inside of `torch.func.vmap`.
    """
    initial, matrix, scores, lengths = potentials
    rows, values = NO_ROWS, NO_VALUES
    try:
        if isinstance(scores, Tensor):
            initial, matrix, table = _numbers(initial, *matrix, scores)
            steps, table = table.shape[:-1], table.reshape(-1, table.shape[-1])
        else:
            initial, matrix, *given = _numbers(initial, matrix, *scores.given)
            by_symbol = scores.symbols is not None
            emitted = given[0] if by_symbol else NO_VALUES
            initial, matrix, table = logs_of(initial, matrix, emitted)
            if by_symbol:
                rows = scores.symbols.numpy()
            elif scores.rows is not None:
                rows, (table,) = scores.rows.numpy(), given
            else:
                (values,), table = _numbers(scores.values), np.array(given)
            steps = (values if rows is NO_ROWS else rows).shape
    except RuntimeError as error:
        raise ValueError(
            "potentials: got tensors whose numbers cannot be read, as inside of"
            " torch.func.vmap and jvp; needs a batch of sequences (N, T), or reverse mode:"
            " torch.func.grad, torch.autograd.functional.hessian"
        ) from error
    single, size = len(steps) == 1, len(initial)
    num, num_steps = (1, *steps) if single else steps
    if matrix.ndim > 2 and num_steps == 1:  # time-varying, but there is no move
        matrix = np.zeros((size, size))
    matrix = matrix.reshape((1,) * (4 - matrix.ndim) + matrix.shape)
    if rows is not NO_ROWS:
        rows = np.ascontiguousarray(rows.reshape(num, num_steps))
    elif values is not NO_VALUES:
        values = values.reshape(num, num_steps)
    ends = np.array([num_steps] * num) if lengths is None else lengths.numpy()
    arrays = Arrays(initial, matrix, table, rows, values, ends)
    return arrays, (num, num_steps, size), single


def _numbers(*tensors: Tensor) -> list[np.ndarray]:
    """What they hold, in float64. Raises RuntimeError inside of `torch.func`."""
    arrays = []
    for x in tensors:
        x = x.detach() if x.requires_grad else x
        arrays.append(np.ascontiguousarray(x.numpy(), dtype=np.float64))
    return arrays
