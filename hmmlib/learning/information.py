"""The observed information: the curvature of log p(x) at a model, exactly.

It is minus the second derivative in coordinates without bounds (`coordinates`); its inverse is
the covariance of the estimates, and the delta method carries it over to the parameters
themselves. At a maximum the choice of coordinates makes no difference.

Letters: D coordinates, P entries of all parameters.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.checks import as_instance, warn
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.learning.coordinates import Coordinates, coordinates
from hmmlib.learning.moving import Learn
from hmmlib.learning.result import PARTS, as_options, cast
from hmmlib.logs import logsumexp
from hmmlib.observations import Observed
from hmmlib.recursion import Potentials

MOST_GAIN = 0.01  # nats below a maximum: about a seventh of a standard error
FLATTEST = (
    1e-9  # of the curvature in the flattest direction, each coordinate in its own unit
)
WIDEST = 2.0  # standard error of a logarithm or a log-ratio: 95 % hold a factor of 50 both ways
MOST_AT_ONCE = 30_000_000  # of T · K^3, a quarter of a GB for each table of that size
CURE = (
    "more data, a smaller model, known values (`learn=` says what moves), or intervals of"
    " `bootstrap`"
)


class Information(NamedTuple):
    """What the data say of a model's parameters."""

    where: Coordinates  #: the coordinates
    covariance: Tensor  #: (D, D), of the coordinates
    seen: Observed  #: the observations, read
    learn: dict  #: what moves, by part


def information(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    inputs=None,
    labels=None,
    learn: Learn | None = None,
    tied=None,
) -> Information:
    """The covariance of the estimates in coordinates without bounds, (D, D).

    Arguments as in `standard_errors`, which says what is held.

    Raises:
        ValueError: where the information is singular, or `hmm` is no maximum, with the names
            of the parameters that the data do not tell apart.
    """
    as_instance("hmm", hmm, HMM)
    hmm = cast(hmm, torch.float64)
    seen = hmm.read(observations, lengths, observed, inputs, labels)
    steps = seen.values.ndim - len(hmm.emission.event_shape)
    if learn is None:
        several = steps == 2 and len(seen.values) > 1
        learn = PARTS if several else PARTS[1:]
    learn = as_options(hmm, learn, 0.0).learn
    where = coordinates(hmm, learn, tied)
    if where.on_edge:
        warn(
            f"hmm: {_named(where.on_edge)} on the boundary of what it may be, where a"
            " standard error has no meaning; held there. For an interval use"
            " `profile_interval` or `bootstrap`"
        )
    if not len(where.start):
        raise ValueError("learn: nothing moves that is not on a boundary")
    gradient, curvature = derivatives(where, seen)
    return Information(where, covariance_of(where, gradient, curvature), seen, learn)


def derivatives(where: Coordinates, seen: Observed) -> tuple[Tensor, Tensor]:
    """The first and second derivative of log p(x), (D,) and (D, D)."""
    free = where.start.clone().requires_grad_()
    model = where.build(free)
    potentials = model.potentials(seen)
    work = potentials.log_likelihoods.numel() * model.num_states**2
    evidence = by_halving if work <= MOST_AT_ONCE else log_likelihood
    score = evidence(potentials).sum()
    (gradient,) = torch.autograd.grad(score, free, create_graph=True)
    rows = [
        torch.autograd.grad(each, free, retain_graph=True, materialize_grads=True)[0]
        for each in gradient
    ]
    curvature = torch.stack(rows)
    return gradient.detach(), (curvature + curvature.mT) / 2


def by_halving(potentials: Potentials) -> Tensor:
    """log p(x) of one chain, shape () or (N,), as a product of T - 1 matrices.

    log_transitions + log_likelihoods[t+1] is a matrix for each move. Neighbours are multiplied
    until one is left, in log2 T rounds of one operation each, whose second derivatives PyTorch
    finds in a fraction of the time that it needs for T steps. Cost T · K^3. Särkkä &
    García-Fernández 2021.
    """
    initial, (moves,), scores, _ = potentials
    first = initial + scores[..., 0, :]
    if scores.shape[-2] == 1:
        return logsumexp(first, -1)
    product = moves + scores[..., 1:, None, :]  # (..., T-1, K, K)
    while (num := product.shape[-3]) > 1:
        last = product[..., num - num % 2 :, :, :]
        left, right = product[..., 0 : num - 1 : 2, :, :], product[..., 1::2, :, :]
        joined = logsumexp(left[..., None] + right[..., None, :, :], -2)
        product = torch.cat([joined, last], -3) if num % 2 else joined
    reached = logsumexp(first[..., None] + product.squeeze(-3), -2)
    return logsumexp(reached, -1)


def covariance_of(where: Coordinates, gradient: Tensor, curvature: Tensor) -> Tensor:
    """The inverse of the observed information, (D, D). Raises ValueError, see above."""
    diagonal = -curvature.diagonal()
    if not (diagonal > 0).all() or not curvature.isfinite().all():
        flat = [n for n, x in zip(where.names, diagonal, strict=True) if not x > 0]
        raise ValueError(
            f"hmm: log p(x) does not curve down in {_named(flat)}, so they have no standard"
            f" error; needs the end of a fit, or {CURE}"
        )
    unit = diagonal.rsqrt()
    values, vectors = torch.linalg.eigh(-unit[:, None] * curvature * unit)
    if values[0] < FLATTEST:
        blame = vectors[:, 0].abs()
        flat = [
            where.names[i]
            for i in blame.argsort(descending=True)
            if blame[i] > 0.3 * blame.max()
        ]
        raise ValueError(
            f"hmm: log p(x) {'is flat' if values[0] > -FLATTEST else 'curves up'} in a"
            f" direction of {_named(flat)}; needs the end of a fit, or, if the data do not"
            f" tell these apart, {CURE}"
        )
    covariance = unit[:, None] * (vectors / values) @ vectors.mT * unit
    gain = (gradient @ covariance @ gradient / 2).item()
    if gain > MOST_GAIN:
        warn(
            f"hmm: a Newton step would gain {gain:.2g} nats, so this is no maximum, and"
            " standard errors are those of another model; needs the end of a fit, with more"
            " steps or a smaller tolerance"
        )
    _warn_of_weak(where, covariance)
    return covariance


def _warn_of_weak(where: Coordinates, covariance: Tensor) -> None:
    """Warn of probabilities and positive numbers that the data hardly bound."""
    errors = covariance.diagonal().sqrt()
    known = {(each.part, each.index): each for each in where.entries}
    bounded = [known[n.part, n.index].low == 0.0 for n in where.names]
    weak = [
        n
        for n, b, e in zip(where.names, bounded, errors.tolist(), strict=True)
        if b and e > WIDEST
    ]
    if weak:
        warn(
            f"hmm: the data hardly bound {_named(weak)}; standard errors and intervals made of"
            f" them are too rough there, needs {CURE}"
        )


def _named(entries: list) -> str:
    """The first few, in words."""
    names = [str(each) for each in entries[:6]]
    more = f" and {len(entries) - 6} more" if len(entries) > 6 else ""
    return ", ".join(names) + more
