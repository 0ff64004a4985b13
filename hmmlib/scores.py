"""Log-likelihoods that are computed when they are first read.

A loop over steps with ten different symbols needs ten rows, not one for each of a million
steps; a loop over readings can compute their densities on the way, while they are in the
cache.
"""

import copy

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


class Scores(Tensor):
    """log p(x_t | z_t), (T, K) or (N, T, K): a tensor whose entries are computed when read.

    It holds a table, and what each step takes from it:

    gathered  `table` (R, K) scores, `rows` (T,) or (N, T) integers: table[rows]
    Gaussian  `table` (3, K), that is log density at the mean, mean, and 1 / scale; `values`
              (T,) or (N, T), NaN where a reading is missing: its scores are 0

    `rows` and `values` must not be changed later. The first operation that needs the whole
    tensor computes it, and it is cached. Once that tensor is changed in place, it is what
    counts, and the table no longer does.
    """

    @staticmethod
    def __new__(
        cls, table: Tensor, rows: Tensor | None = None, values: Tensor | None = None
    ):
        """A tensor of the right shape without storage, which torch's own code accepts."""
        steps = (values if rows is None else rows).shape
        self = Tensor._make_wrapper_subclass(
            cls, (*steps, table.shape[-1]), dtype=table.dtype, device=table.device
        )
        self.table, self.rows, self.values = table, rows, values
        self.steps, self._dense = tuple(steps), None
        return self

    @property
    def shape(self) -> torch.Size:
        """(T, K) or (N, T, K)."""
        return torch.Size((*self.steps, self.table.shape[-1]))

    @property
    def ndim(self) -> int:
        """2, or 3 for a batch."""
        return len(self.steps) + 1

    @property
    def dtype(self) -> torch.dtype:
        """That of the table."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """That of the table."""
        return self.table.device

    @property
    def requires_grad(self) -> bool:
        """Whether the table requires a gradient."""
        return self.table.requires_grad

    def is_lazy(self) -> bool:
        """Whether the table still holds; False once the computed tensor was changed in place."""
        dense = self._dense
        return dense is None or not (dense.is_inference() or dense._version)

    def dense(self) -> Tensor:
        """The whole tensor, computed once and cached."""
        if self._dense is None:
            if self.rows is not None:
                rows = self.table.index_select(0, self.rows.flatten())
                self._dense = rows.reshape(self.shape)
            else:
                density, mean, precision = self.table
                missing = self.values.isnan().unsqueeze(-1)
                apart = self.values.unsqueeze(-1).masked_fill(missing, 0.0) - mean
                scores = density - (apart * precision).square() / 2
                self._dense = scores.masked_fill(missing, 0.0).to(self.dtype)
        return self._dense

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        """Call any function of torch with the whole tensor in place of this one."""
        args, kwargs = tree_map_only(cls, cls.dense, (args, kwargs or {}))
        return function(*args, **kwargs)

    __torch_dispatch__ = __torch_function__  # called by torch's own code

    def __reduce_ex__(self, protocol):
        """A copy is made from the same parts, or is a plain tensor if this one was changed."""
        if self.is_lazy():
            return Scores, (self.table, self.rows, self.values)
        return self.dense().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        if self.is_lazy():
            return Scores(*copy.deepcopy((self.table, self.rows, self.values), memo))
        return copy.deepcopy(self.dense(), memo)

    def __len__(self) -> int:
        return self.steps[0]

    def __repr__(self) -> str:
        return repr(self.dense())
