"""The emission of chains whose levels add up, such as appliances behind one meter."""

import functools

import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_tensor, told
from hmmlib.factorial.checks import by_chain, check_memory


def additive_gaussian(means, scale) -> Normal:
    """Normal(sum of the levels of all chains, scale), with batch_shape (K_1, ..., K_M).

    The result carries `means` as its attribute `chain_means`. It is a `Normal` all the same:
    what torch or `hmmlib` derives from it (`expand`, the emission of the flat chain) is a
    plain `Normal`, without the attribute.

    Args:
        means: M tensors (K_m,), what chain m adds in each of its states.
        scale: standard deviation, one number or one for each joint state (K_1, ..., K_M).

    Raises:
        ValueError: for means that are not vectors of finite numbers, a scale that is not
            positive, and more joint states than memory can hold.

    Example:
        >>> lamps = additive_gaussian([[0.0, 60.0], [0.0, 40.0]], 5.0)
        >>> lamps.loc
        tensor([[  0.,  40.],
                [ 60., 100.]], dtype=torch.float64)
    """
    means = _as_levels(means)
    sizes = tuple(len(mean) for mean in means)
    scale = as_tensor("scale", scale).to(means[0].dtype)
    fits = tuple(scale.shape) in ((), sizes)
    if not fits or not ((scale > 0) & scale.isfinite()).all():
        found = told(scale.tolist()) if fits else f"shape {tuple(scale.shape)}"
        raise ValueError(
            f"scale: got {found}, needs one positive number, or {sizes} of them"
        )
    check_memory("means", sizes, 1, "the sums of their levels")
    normal = Normal(total(means), scale)
    normal.chain_means = means
    return normal


def total(means: tuple[Tensor, ...]) -> Tensor:
    """The sum of the levels in each joint state, (K_1, ..., K_M)."""
    levels = means[0].new_zeros(())
    for mean in means:
        levels = levels[..., None] + mean
    return levels


def _as_levels(means) -> tuple[Tensor, ...]:
    """`means` as M finite vectors of one floating-point dtype. Raises ValueError."""
    means = tuple(
        as_tensor(f"means[{m}]", mean) for m, mean in by_chain("means", means)
    )
    if not means or any(mean.ndim != 1 or not len(mean) for mean in means):
        found = [tuple(mean.shape) for mean in means]
        raise ValueError(f"means: got shapes {found}, needs M of (K_m,), at least one")
    for m, mean in enumerate(means):
        if not mean.isfinite().all():
            raise ValueError(
                f"means[{m}]: got {told(mean.tolist())}, needs finite numbers"
            )
    dtypes = [mean.dtype for mean in means if mean.is_floating_point()]
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
    return tuple(mean.to(dtype if dtypes else torch.float64) for mean in means)
