"""Log-likelihoods that are worked out when somebody reads them, and not before.

A loop over ten symbols needs ten rows, not one for each of a million steps; a loop over
readings can work out their densities on the way, while they are in the cache.
"""

import copy

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only


class Scores(Tensor):
    """log p(x_t | z_t), (T, K) or (N, T, K): a tensor without numbers, until they are read.

    Made of a table and what the steps take from it:

    gathered  `table` (R, K) scores, `rows` (T,) or (N, T) integers: table[rows]
    Gaussian  `table` (3, K), that is log density at the mean, mean, and 1 / scale; `values`
              (T,) or (N, T), NaN where a reading is missing, which says nothing

    `rows` and `values` must not be changed later. The first operation that needs the whole
    tensor makes it, and it is kept; whoever changes it in place has a plain tensor.
    """

    @staticmethod
    def __new__(
        cls, table: Tensor, rows: Tensor | None = None, values: Tensor | None = None
    ):
        """A shell of the right shape, which torch's own code can hold."""
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
        """Does the table?"""
        return self.table.requires_grad

    def is_lazy(self) -> bool:
        """False once somebody has changed the tensor, which then counts, not the table."""
        dense = self._dense
        return dense is None or not (dense.is_inference() or dense._version)

    def dense(self) -> Tensor:
        """The tensor itself."""
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
        """Any function of torch gets the tensor."""
        args, kwargs = tree_map_only(cls, cls.dense, (args, kwargs or {}))
        return function(*args, **kwargs)

    __torch_dispatch__ = __torch_function__  # called by torch's own code

    def __reduce_ex__(self, protocol):
        """Copies are made of the same parts; of what was changed, plain tensors."""
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
