"""Small counts read as symbols: a table of log-probabilities, and a row of it for each step.

The compiled loops look a count up, as they do a symbol, and sum up how often each state
emits it; the M-step is then a fit to the distinct counts alone.
"""

import torch
from torch.distributions import Distribution

from hmmlib.emissions.condensed import condensed, restated
from hmmlib.emissions.protocol import NO_LIMITS, Lookup, fit, log_prob, lookup, m_step

MOST_ROWS = 1024


def read_by_symbol(family: type) -> None:
    """Register what reads a table, for a family of single counts 0, 1, 2, ..."""
    lookup.register(family, _lookup)
    m_step.register(family, _m_step)
    restated.register(family, _restated)


def _lookup(emission: Distribution, values) -> Lookup | None:
    """The table of all counts up to the largest, and a last row of 0 for a missing one.

    None for counts that are too large, or so few that the table costs more than it saves.
    """
    if emission.event_shape or len(emission.batch_shape) != 1 or values.requires_grad:
        return None
    floating = values.is_floating_point()
    missing = values.isnan()
    known = values.masked_fill(missing, 0)
    most = known.amax().item()
    if not most < min(MOST_ROWS, values.numel()):
        return None
    dtype = values.dtype if floating else emission.mean.dtype
    counts = torch.arange(int(most) + 1, dtype=dtype, device=values.device)
    table = log_prob(emission, counts[:, None]).to(dtype)
    table = torch.nn.functional.pad(table, (0, 0, 0, 1))
    rows = known.long().masked_fill(missing, len(counts))
    return Lookup((table.contiguous(),), rows=rows)


def _m_step(emission: Distribution, statistics, limits=NO_LIMITS) -> Distribution:
    """The fit to each count, weighted by how often each state emits it."""
    return fit(emission, *_counts(statistics), limits)


def _restated(emission: Distribution, statistics):
    return condensed(emission, *_counts(statistics))


def _counts(statistics):
    """Each count, and how often each state emits it."""
    weights = statistics[:-1]  # the last row is of missing ones
    counts = torch.arange(len(weights), dtype=weights.dtype, device=weights.device)
    return counts, weights
