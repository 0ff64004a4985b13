"""Missing observations in a story: NaN is masked."""

import functools
from collections.abc import Callable

from pyro.poutine.messenger import Messenger
from torch import Tensor


class MaskNaN(Messenger):
    """The Pyro handler under which an observation with a NaN adds nothing to log p."""


@MaskNaN.register(type="sample")
def mask_nan(msg: dict) -> None:
    """Masks the NaN observations of one sample site, in place.

    Args:
        msg: the site as Pyro hands it to a handler. One NaN component masks its whole
            observation.
    """
    value = msg["value"]
    if not (msg["is_observed"] and isinstance(value, Tensor) and value.isnan().any()):
        return
    seen, event_dim = ~value.isnan(), msg["fn"].event_dim
    if event_dim:
        seen = seen.flatten(-event_dim).all(-1)
    msg["mask"] = seen if msg["mask"] is None else seen & msg["mask"]
    msg["value"] = value.nan_to_num(1.0)  # masked, so the value does not matter


def nan_is_missing(story: Callable) -> Callable:
    """The story with its NaN observations missing; a decorator for any Pyro program.

    An observed vector is missing as a whole if one of its components is NaN.

    Example:
        >>> import pyro, pyro.distributions as dist, torch
        >>> @nan_is_missing
        ... def coin(flip):
        ...     pyro.sample("flip", dist.Bernoulli(0.5), obs=flip)
        >>> trace = pyro.poutine.trace(coin).get_trace(torch.tensor(torch.nan))
        >>> trace.log_prob_sum()
        tensor(0.)
    """

    @functools.wraps(story)
    def masked(*args, **kwargs):
        with MaskNaN():
            return story(*args, **kwargs)

    return masked
