"""LinearEmission: a Gaussian whose mean follows inputs; each state has its own regression.

With lagged readings as inputs, see `hmmlib.inputs.lagged`, it makes a model autoregressive:
regimes that differ in level, persistence and noise. Hamilton 1989.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, constraints

from hmmlib.checks import as_tensor
from hmmlib.emissions.condensed import condensed
from hmmlib.emissions.parts import of_valid
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    fit,
    given,
    log_prob,
    needed,
    widened,
)
from hmmlib.emissions.weights import held_open, spread


class LinearEmission(Distribution):
    """x_t ~ Normal(weights[k] · inputs[t], scale[k]).

    Inputs have no constant of their own: a column of ones makes one. The verbs of an `HMM`
    then need `inputs`. As a distribution it scores a reading and its inputs side by side,
    (..., 1 + P).

    Args:
        weights: (K, P), in the unit of the readings for one unit of the input.
        scale: (K,), or one number for all; a standard deviation above 0.

    Raises:
        ValueError: naming the argument, what was found and what is needed.

    Example:
        >>> from hmmlib import HMM
        >>> calm_or_wild = LinearEmission([[0.0, 0.9], [0.0, -0.5]], [0.1, 1.0])
        >>> hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], calm_or_wild)
        >>> hmm.viterbi([1.0, 0.9, -0.5], inputs=[[1, 1.1], [1, 1.0], [1, 0.9]]).states
        tensor([0, 0, 1])
    """

    arg_constraints: ClassVar = {
        "weights": constraints.independent(constraints.real, 1),
        "scale": constraints.positive,
    }
    support = constraints.independent(constraints.real, 1)

    def __init__(self, weights, scale, validate_args=None):
        weights, scale = as_tensor("weights", weights), as_tensor("scale", scale)
        if weights.ndim != 2 or 0 in weights.shape:
            raise ValueError(
                f"weights: got shape {tuple(weights.shape)}, needs (K, P), K states and P"
                " inputs, at least one of each"
            )
        weights = weights if weights.is_floating_point() else weights.double()
        if tuple(scale.shape) not in ((), weights.shape[:1]):
            raise ValueError(
                f"scale: got shape {tuple(scale.shape)}, needs ({len(weights)},), one a state"
            )
        self.weights, self.scale = weights, scale.to(weights).expand(len(weights))
        if not weights.isfinite().all() or not (self.scale > 0).all():
            raise ValueError(
                f"weights, scale: got {weights.tolist()} and {scale.tolist()}, needs finite"
                " weights and scales above 0"
            )
        rows = torch.Size([1 + weights.shape[1]])
        super().__init__(weights.shape[:1], rows, validate_args=False)

    @property
    def num_inputs(self) -> int:
        """P."""
        return self.weights.shape[1]

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(reading | inputs), of both side by side: (..., 1, 1 + P) to (..., K)."""
        mean = (value[..., 1:] * self.weights).sum(-1)
        apart = (value[..., 0] - mean) / self.scale
        return -0.5 * apart.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)


@log_prob.register
def _(emission: LinearEmission, values):
    return emission.log_prob(values)


@given.register
def _(emission: LinearEmission, inputs):
    loc = inputs.to(emission.weights) @ emission.weights.mT
    return of_valid(Normal, loc=loc, scale=emission.scale)


@needed.register
def _(emission: LinearEmission):
    return "a finite reading"


@fit.register
def _(emission: LinearEmission, values, weights, limits=NO_LIMITS):
    """Weighted least squares."""
    readings, inputs = values[:, 0], values[:, 1:]
    roots = weights.mT.sqrt()[..., None]  # (K, n, 1)
    rows = (roots * inputs, roots * readings[:, None])
    found = torch.linalg.lstsq(*rows, driver="gelsd" if values.is_cpu else None)
    mass = weights.sum(0)
    slopes = torch.where(mass[:, None] > 0, found.solution[..., 0], emission.weights)
    squares = (weights * (readings[:, None] - inputs @ slopes.mT).square()).sum(0)
    scale = torch.where(mass > 0, squares / mass, emission.scale.square()).sqrt()
    scale = scale.clamp(min=limits.min_scale)
    return LinearEmission(slopes, held_open(scale, spread(readings), emission.scale))


@condensed.register
def _(emission: LinearEmission, values, weights):
    # R of a QR decomposition has the squares and products of all rows.
    mass, width = weights.sum(0), values.shape[1]
    rows = torch.linalg.qr(weights.mT.sqrt()[..., None] * values).R  # (K, m, 1 + P)
    unit = (mass / rows.shape[1]).sqrt()
    rows = rows / torch.where(mass > 0, unit, 1.0)[:, None, None]
    shares = (mass / rows.shape[1]).diag().repeat_interleave(rows.shape[1], 0)
    return rows.reshape(-1, width), shares


@blank.register
def _(emission: LinearEmission, num_states, values):
    values = values[~values.isnan().any(1)]
    if not len(values):
        raise ValueError("observations: all are missing, needs some to learn from")
    one = LinearEmission(values.new_zeros(1, values.shape[1] - 1), spread(values[:, 0]))
    one = fit(one, values, values.new_ones(len(values), 1))
    return LinearEmission(one.weights.expand(num_states, -1), one.scale[0])


@widened.register
def _(emission: LinearEmission, min_scale):
    return LinearEmission(emission.weights, emission.scale.clamp(min=min_scale))
