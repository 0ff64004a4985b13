"""A series of observations, held against an emission: can it emit them, and how well?"""

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions.protocol import (
    fallback_for,
    in_support,
    log_prob,
    misses_parts,
    needed,
)


def check_support(
    emission: Distribution, values: Tensor, lengths: Tensor | None = None
) -> None:
    """Raise ValueError for the first value that no state emits; NaN is missing.

    `values` are (T, *event_shape), or (N, T, *event_shape), of which the first `lengths`
    (N,) of each row count.
    """
    event = len(emission.event_shape)
    states = len(emission.batch_shape)
    seen = _seen(emission, values, lengths)  # (T,) or (N, T)
    there = values[seen]
    if not len(there):
        return
    if misses_parts(emission):
        there = fallback_for(there)
    finite = there.isfinite().flatten(1).all(-1) if event else there.isfinite()
    spaced = there.reshape(len(there), *[1] * states, *there.shape[1:])
    possible = in_support(emission, spaced).reshape(len(there), -1).any(-1) & finite
    if possible.all():
        return
    which = (~possible).nonzero()[0].item()
    found = _told(values, seen.nonzero()[which].tolist())
    raise ValueError(
        f"observations: {found}, needs {needed(emission)}, or NaN where it is missing"
    )


def log_likelihoods(
    emission: Distribution, values: Tensor, dtype: torch.dtype
) -> Tensor:
    """log p(x_t | z_t) of all steps, (T, *S) or (N, T, *S); 0 where an observation is missing.

    Raises:
        ValueError: where a density is infinite, as a Beta's may be at 0 and at 1.
    """
    values, states = values.to(dtype), len(emission.batch_shape)
    steps = values.shape[: values.ndim - len(emission.event_shape)]
    seen = seen_steps(emission, values)
    if seen.all():
        there = values.reshape(*steps, *[1] * states, *emission.event_shape)
        return _finite(log_prob(emission, there).to(dtype), values, len(steps))
    scores = values.new_zeros(*steps, *emission.batch_shape)
    if not seen.any():
        return scores
    there = values[seen]
    there = there.reshape(len(there), *[1] * states, *emission.event_shape)
    scores = scores.index_put((seen,), log_prob(emission, there).to(dtype))
    return _finite(scores, values, len(steps))


def seen_steps(emission: Distribution, values: Tensor) -> Tensor:
    """Which steps say anything: (T,) or (N, T) booleans for values (..., *event_shape)."""
    missing = values.isnan()
    event = len(emission.event_shape)
    if not event:
        return ~missing
    missing = missing.flatten(-event)
    return ~(missing.all(-1) if misses_parts(emission) else missing.any(-1))


def _finite(scores: Tensor, values: Tensor, axes: int) -> Tensor:
    """The scores. Raises ValueError where one is infinity; `axes` are those before states."""
    if scores.amax() == torch.inf:
        found = _told(values, scores.isposinf().nonzero()[0, :axes].tolist())
        raise ValueError(
            f"observations: {found} has an infinite density in one of the states, needs"
            " values whose density is finite"
        )
    return scores


def _told(values: Tensor, at: list[int]) -> str:
    """The observation, its step, and its sequence if it is one of several."""
    found, (*sequence, step) = values[tuple(at)], at
    found = f"{found.item():g}" if found.ndim == 0 else found.tolist()
    return f"{found} at step {step}" + "".join(f" of sequence {n}" for n in sequence)


def _seen(emission: Distribution, values: Tensor, lengths: Tensor | None) -> Tensor:
    seen = seen_steps(emission, values)
    if lengths is not None:
        steps = torch.arange(seen.shape[1], device=seen.device)
        seen = seen & (steps < lengths[:, None])
    return seen
