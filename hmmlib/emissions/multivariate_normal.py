"""MultivariateNormal: vectors with Gaussian noise, and three ways to share the covariance.

full       `MultivariateNormal`: each state its own covariance
tied       `TiedNormal`: one covariance for all states
spherical  `SphericalNormal`: each state one variance for all dimensions
diagonal   `Independent(Normal(loc, scale), 1)`: see `independent.py`

A component that is NaN is missing: the others are scored by their marginal distribution.
In the M-step its mean and covariance given the others stand in for it (Dempster, Laird &
Rubin 1977, sec. 4.1), each computed with the emission before the step.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, constraints

from hmmlib.emissions.condensed import condensed
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    in_support,
    log_prob,
    misses_parts,
    num_free,
    widened,
)
from hmmlib.emissions.weights import held_open, spread, total, visited, weighted_mean


class TiedNormal(MultivariateNormal):
    """Vectors around the mean of their state, with one covariance (D, D) for all states."""

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
    }

    def __init__(self, loc, covariance_matrix, validate_args=None):
        shared = torch.as_tensor(covariance_matrix)
        shared = shared if shared.ndim == 2 else shared[0]
        full = shared.expand(*loc.shape[:-1], *shared.shape)
        super().__init__(loc, full, validate_args=validate_args)


class SphericalNormal(MultivariateNormal):
    """Vectors around the mean of their state, with one scale (K,) for all dimensions."""

    arg_constraints: ClassVar = {
        "loc": constraints.real_vector,
        "scale": constraints.positive,
    }

    def __init__(self, loc, scale, validate_args=None):
        self.scale = torch.as_tensor(scale, dtype=loc.dtype).expand(loc.shape[:-1])
        eye = torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
        tril = self.scale[..., None, None] * eye
        super().__init__(loc, scale_tril=tril, validate_args=validate_args)


@misses_parts.register
def _(emission: MultivariateNormal):
    return True


@in_support.register
def _(emission: MultivariateNormal, values):
    within = ~values.isnan().all(-1)
    return within.expand(torch.broadcast_shapes(within.shape, emission.batch_shape))


@log_prob.register
def _(emission: MultivariateNormal, values):
    missing = values.isnan()
    if not missing.any():
        return emission.log_prob(values)
    scores = values.new_zeros(())
    for hidden in missing.reshape(-1, missing.shape[-1]).unique(dim=0):
        here, seen = (missing == hidden).all(-1), ~hidden
        if not seen.any():
            continue
        covariance = emission.covariance_matrix[..., seen, :][..., seen]
        marginal = MultivariateNormal(
            emission.loc[..., seen], covariance, validate_args=False
        )
        known = marginal.log_prob(values[..., seen].nan_to_num(0.0))
        scores = torch.where(here, known, scores)
    return scores.expand(
        torch.broadcast_shapes(values.shape[:-1], emission.batch_shape)
    )


@fit.register
def _(emission: MultivariateNormal, values, weights, limits=NO_LIMITS):
    mean, covariance = weighted_moments(emission, values, weights)
    covariance = _wide(covariance, limits.min_scale)
    covariance = _held_covariance(emission, covariance, spread(values))
    return MultivariateNormal(mean, covariance)


@fit.register
def _(emission: TiedNormal, values, weights, limits=NO_LIMITS):
    mean, covariance = weighted_moments(emission, values, weights)
    share = (weights.sum(0) / weights.sum())[:, None, None]
    shared = _wide((share * covariance).sum(0, keepdim=True), limits.min_scale)
    shared = shared.expand_as(covariance)
    return TiedNormal(mean, _held_covariance(emission, shared, spread(values))[0])


@fit.register
def _(emission: SphericalNormal, values, weights, limits=NO_LIMITS):
    mean, covariance = weighted_moments(emission, values, weights)
    scale = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt()
    scale = scale.clamp(min=limits.min_scale)
    return SphericalNormal(
        mean, held_open(scale, spread(values).amax(), emission.scale)
    )


@condensed.register
def _(emission: MultivariateNormal, values, weights):
    # For each axis of the covariance of a state, two values as far from the mean as it is long.
    mean, covariance = weighted_moments(emission, values, weights)
    dims = mean.shape[1]
    variances, axes = torch.linalg.eigh(covariance)
    apart = axes * (dims * variances.clamp(min=0)).sqrt().unsqueeze(1)
    apart = torch.cat([apart, -apart], 2).mT  # (K, 2 D, D)
    shares = (weights.sum(0).diag() / (2 * dims)).repeat_interleave(2 * dims, 0)
    return (mean.unsqueeze(1) + apart).reshape(-1, dims), shares


@blank.register
def _(emission: MultivariateNormal, num_states, values):
    loc, wide = _middle(num_states, values)
    return MultivariateNormal(loc, torch.diag_embed(wide.square()))


@blank.register
def _(emission: TiedNormal, num_states, values):
    loc, wide = _middle(num_states, values)
    return TiedNormal(loc, torch.diag(wide[0].square()))


@blank.register
def _(emission: SphericalNormal, num_states, values):
    loc, wide = _middle(num_states, values)
    return SphericalNormal(loc, wide.mean(-1))


@num_free.register
def _(emission: MultivariateNormal):
    return emission.loc.numel() + emission.loc[..., 0].numel() * _num_tril(emission)


@num_free.register
def _(emission: TiedNormal):
    return emission.loc.numel() + _num_tril(emission)


@num_free.register
def _(emission: SphericalNormal):
    return emission.loc.numel() + emission.scale.numel()


@widened.register
def _(emission: MultivariateNormal, min_scale):
    covariance = _wide(emission.covariance_matrix, min_scale)
    return MultivariateNormal(emission.loc, covariance)


@widened.register
def _(emission: TiedNormal, min_scale):
    return TiedNormal(emission.loc, _wide(emission.covariance_matrix, min_scale)[0])


@widened.register
def _(emission: SphericalNormal, min_scale):
    return SphericalNormal(emission.loc, emission.scale.clamp(min=min_scale))


def _num_tril(emission: MultivariateNormal) -> int:
    """The number of free entries of a covariance matrix."""
    dims = emission.loc.shape[-1]
    return dims * (dims + 1) // 2


def _middle(num_states: int, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of all values, for each state; (K, D) both."""
    loc, wide = values.nanmean(0), spread(values)
    return loc.expand(num_states, -1), wide.expand(num_states, -1)


def _patterns(values: Tensor):
    """Each set of components that are seen together, (D,) booleans, and its steps."""
    patterns, groups = (~values.isnan()).unique(dim=0, return_inverse=True)
    for group, seen in enumerate(patterns):
        yield seen, (groups == group).nonzero().flatten()


def weighted_moments(
    emission, values: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted means (K, D) and covariances (K, D, D) of values (n, D), weights (n, K).

    Old ones for a state without weight. Where a component is NaN, its conditional mean and
    covariance under the emission stand in for it.
    """
    if values.isnan().any():
        return _moments_with_gaps(emission, values, weights)
    mean = weighted_mean(values, weights, emission.loc)  # (K, D)
    apart = values.unsqueeze(1) - mean  # (n, K, D)
    covariance = torch.einsum("nk,nki,nkj->kij", weights, apart, apart)
    covariance = covariance / total(weights, 3)
    old = emission.covariance_matrix
    return mean, torch.where(visited(weights, 3), covariance, old)


def _moments_with_gaps(emission, values: Tensor, weights: Tensor):
    """As `weighted_moments`, with the conditional mean and covariance of what is missing."""
    size, dims = emission.loc.shape
    filled = values.unsqueeze(1).expand(-1, size, -1).clone()  # (n, K, D)
    extra = emission.covariance_matrix.new_zeros(size, dims, dims)
    for seen, steps in _patterns(values):
        hidden = ~seen
        if not hidden.any():
            continue
        covariance = emission.covariance_matrix
        across = covariance[:, hidden][:, :, seen]  # (K, hidden, seen)
        gain = torch.linalg.solve(covariance[:, seen][:, :, seen], across.mT).mT
        apart = values[steps][:, None, seen] - emission.loc[:, seen]  # (steps, K, seen)
        known = emission.loc[:, hidden] + torch.einsum("khs,nks->nkh", gain, apart)
        filled[
            steps[:, None, None], torch.arange(size)[:, None], hidden.nonzero().T
        ] = known
        rest = covariance[:, hidden][:, :, hidden] - gain @ across.mT
        at = hidden.nonzero().flatten()
        weight = weights[steps].sum(0)[:, None, None]
        extra[:, at[:, None], at] += weight * rest
    heavy = total(weights, 3)
    mean = torch.einsum("nk,nkd->kd", weights, filled) / heavy[..., 0]
    mean = torch.where(visited(weights, 2), mean, emission.loc)
    apart = filled - mean
    covariance = torch.einsum("nk,nki,nkj->kij", weights, apart, apart) + extra
    old = emission.covariance_matrix
    return mean, torch.where(visited(weights, 3), covariance / heavy, old)


def _wide(covariance: Tensor, min_scale: float) -> Tensor:
    """Covariances (K, D, D) with no direction narrower than `min_scale`."""
    if not min_scale:
        return covariance
    variances, axes = torch.linalg.eigh(covariance)
    variances = torch.diag_embed(variances.clamp(min=min_scale**2))
    return axes @ variances @ axes.mT


def _held_covariance(emission, covariance: Tensor, wide: Tensor) -> Tensor:
    """Covariances held open, each dimension in units of its own spread (D,), so that one
    floor suits them all.
    """
    units = wide[:, None] * wide
    variances, axes = torch.linalg.eigh(covariance / units)
    before = torch.linalg.eigvalsh(emission.covariance_matrix / units)[:, :1]
    scales = held_open(
        *(x.clamp(min=0).sqrt() for x in (variances, torch.ones_like(wide), before))
    )
    return units * (axes @ torch.diag_embed(scales.square()) @ axes.mT)
