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
    *sequence, step = seen.nonzero()[which].tolist()
    place = f"step {step}" + (f" of sequence {sequence[0]}" if sequence else "")
    found = values[seen][which]
    found = f"{found.item():g}" if found.ndim == 0 else found.tolist()
    raise ValueError(
        f"observations: {found} at {place}, needs {needed(emission)}, or NaN where it is"
        " missing"
    )


def log_likelihoods(
    emission: Distribution, values: Tensor, dtype: torch.dtype
) -> Tensor:
    """log p(x_t | z_t) of all steps, (T, *S) or (N, T, *S); 0 where an observation is missing."""
    values, states = values.to(dtype), len(emission.batch_shape)
    steps = values.shape[: values.ndim - len(emission.event_shape)]
    seen = seen_steps(emission, values)
    if seen.all():
        there = values.reshape(*steps, *[1] * states, *emission.event_shape)
        return log_prob(emission, there).to(dtype)
    scores = values.new_zeros(*steps, *emission.batch_shape)
    if not seen.any():
        return scores
    there = values[seen]
    there = there.reshape(len(there), *[1] * states, *emission.event_shape)
    return scores.index_put((seen,), log_prob(emission, there).to(dtype))


def seen_steps(emission: Distribution, values: Tensor) -> Tensor:
    """Which steps say anything: (T,) or (N, T) booleans for values (..., *event_shape)."""
    missing = values.isnan()
    event = len(emission.event_shape)
    if not event:
        return ~missing
    missing = missing.flatten(-event)
    return ~(missing.all(-1) if misses_parts(emission) else missing.any(-1))


def _seen(emission: Distribution, values: Tensor, lengths: Tensor | None) -> Tensor:
    seen = seen_steps(emission, values)
    if lengths is not None:
        steps = torch.arange(seen.shape[1], device=seen.device)
        seen = seen & (steps < lengths[:, None])
    return seen
