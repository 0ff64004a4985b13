"""Sequences one below the other in a table, as scikit-learn and hmmlearn pass them.

Letters: n rows of the table, N sequences in a batch of T steps.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import told, warn
from hmmlib.observations import Observed


class Batch(NamedTuple):
    """Sequences of similar lengths, each padded with its last row."""

    seen: Observed  #: values (T, ...) of one sequence, (N, T, ...) of several
    values: Tensor  #: (N T, ...)  the same, one below the other
    rows: np.ndarray | None = None
    """(N, T) which row of the table each step is; None: all of them, in their order"""

    def spread(self, answers: Tensor, out: np.ndarray) -> None:
        """Put the answer for each step, (T, ...) or (N, T, ...), into its row of `out`."""
        found = answers.numpy()
        if self.rows is None:
            out[:] = found.reshape(out.shape)
            return
        inside = np.arange(self.rows.shape[1]) < self.seen.lengths.numpy()[:, None]
        out[self.rows[inside]] = found[inside]


def batches(values: np.ndarray, lengths: np.ndarray) -> list[Batch]:
    """The sequences of `values`, (n, ...), as few batches with little padding.

    Sequences share a batch if none is twice as long as another.
    """
    if len(lengths) == 1:
        tensor = as_plain(values)
        return [Batch(Observed(tensor, checked=True), tensor)]
    if (lengths == lengths[0]).all():
        tensor = as_plain(values)
        steps = tensor.reshape(len(lengths), -1, *tensor.shape[1:])
        return [Batch(Observed(steps, checked=True), tensor)]
    order = np.argsort(lengths, kind="stable")
    doublings = np.log2(lengths[order] / lengths[order[0]]).astype(int)
    groups = np.split(order, np.flatnonzero(np.diff(doublings)) + 1)
    firsts = np.cumsum(lengths) - lengths
    return [_padded(values, firsts[group], lengths[group]) for group in groups]


def _padded(values: np.ndarray, firsts: np.ndarray, lengths: np.ndarray) -> Batch:
    """The batch of the sequences that begin in rows `firsts`."""
    steps = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    rows = firsts[:, None] + steps
    tensor = as_plain(values[rows])
    seen = Observed(tensor, torch.from_numpy(lengths), checked=True)
    return Batch(seen, tensor.flatten(0, 1), rows)


def as_plain(array: np.ndarray) -> Tensor:
    """The array as a tensor; a copy only of one that torch cannot share."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def as_lengths(lengths, num_rows: int) -> np.ndarray:
    """`lengths` as N positive integers that add up to `num_rows`; None: one sequence.

    scikit-learn passes a target `y` in its place, one entry for each row: that is not read,
    and a warning says so.

    Raises:
        ValueError: for anything else.
    """
    if lengths is None:
        return np.array([num_rows])
    needs = f"integers of at least 1 that add up to {num_rows}, the rows of X"
    try:
        array = np.asarray(lengths)
        numbers = np.atleast_1d(array)
        whole = numbers.dtype.kind in "iu"
        if whole and numbers.ndim == 1 and len(numbers) and numbers.min() >= 1:
            numbers = numbers.astype(np.int64)
            if numbers.sum() == num_rows:
                return numbers
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim and len(array) == num_rows:
        warn(
            "lengths: got an entry for each row, taken as a target y, which is not read;"
            f" needs {needs}"
        )
        return np.array([num_rows])
    total = f", {numbers.sum()} in all" if array.dtype.kind in "iuf" else ""
    raise ValueError(f"lengths: got {told(lengths)}{total}, needs {needs}")
