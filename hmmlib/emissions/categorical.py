"""Categorical: one of V symbols, each state with its own probabilities."""

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, OneHotCategorical

from hmmlib.checks import told
from hmmlib.emissions.condensed import at_means, condensed, restated
from hmmlib.emissions.looks import are_symbols
from hmmlib.emissions.parts import given_as_probs, log_probs_given, of_valid
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    Lookup,
    blank,
    counted_probs,
    draw,
    fit,
    has_clusters,
    log_prob,
    lookup,
    m_step,
    needed,
    of_table,
    randomised,
    surely_in_support,
    table_of,
)
from hmmlib.emissions.weights import normalised

symbol_log_probs = log_probs_given


@log_prob.register
def _(emission: Categorical, values):
    table = symbol_log_probs(emission)  # (K, ..., V)
    states = (torch.arange(size, device=table.device) for size in table.shape[:-1])
    return table[(*torch.meshgrid(*states, indexing="ij"), values.long())]


@log_prob.register
def _(emission: OneHotCategorical, values):
    return log_prob(_of_symbols(emission), values.argmax(-1))


@surely_in_support.register
def _(emission: Categorical, values):
    return are_symbols(values, emission.probs.shape[-1])


@needed.register
def _(emission: Categorical):
    return f"an integer from 0 to {emission.probs.shape[-1] - 1}"


@lookup.register
def _(emission: Categorical, values):
    if emission.event_shape or len(emission.batch_shape) != 1:
        return None
    if not values.is_floating_point() and given_as_probs(emission):
        return Lookup((emission.probs,), symbols=values.long())
    table = symbol_log_probs(emission).mT  # (V, K)
    if not values.is_floating_point():
        return Lookup((table,), rows=values.long())
    missing = values.isnan()
    if missing.any():  # one row more: a missing symbol is equally likely everywhere
        values = values.masked_fill(missing, len(table))
        table = torch.nn.functional.pad(table, (0, 0, 0, 1))
    return Lookup((table,), rows=values.long())


@table_of.register
def _(emission: Categorical):
    return emission.probs if emission.probs.ndim == 2 else None


@of_table.register
def _(emission: Categorical, table):
    return of_valid(Categorical, probs=table)


@m_step.register
def _(emission: Categorical, statistics, limits=NO_LIMITS):
    counts = statistics[
        : emission.probs.shape[-1]
    ].mT  # the row behind is of missing ones
    return of_table(emission, normalised(counts, emission.probs, limits.pseudo_count))


@fit.register
def _(emission: Categorical, values, weights, limits=NO_LIMITS):
    if values.ndim == 1:
        seen = ~values.isnan()
        counts = weights.new_zeros(emission.probs.shape[::-1])  # (V, K)
        counts = counts.index_add(0, values[seen].long(), weights[seen]).mT
    else:  # several symbols at once
        size = emission.probs.shape[-1]
        symbols = torch.nn.functional.one_hot(values.nan_to_num(0.0).long(), size)
        symbols = symbols * ~values.isnan().unsqueeze(-1)
        counts = torch.tensordot(weights, symbols.to(weights.dtype), dims=([0], [0]))
    return Categorical(probs=normalised(counts, emission.probs, limits.pseudo_count))


@fit.register
def _(emission: OneHotCategorical, values, weights, limits=NO_LIMITS):
    counts = torch.tensordot(weights, values, dims=([0], [0]))
    probs = normalised(counts, emission.probs, limits.pseudo_count)
    return type(emission)(probs=probs)


@condensed.register
def _(emission: Categorical, values, weights):
    counts = weights.new_zeros(emission.probs.shape[::-1])  # (V, K)
    return _symbols(counts), counts.index_add(0, values.long(), weights)


@restated.register
def _(emission: Categorical, statistics):
    counts = statistics[: emission.probs.shape[-1]]
    return _symbols(counts), counts


@condensed.register
def _(emission: OneHotCategorical, values, weights):
    return at_means(values, weights, emission.probs)


@blank.register
def _(emission: Categorical, num_states, values):
    num_symbols = int(values[~values.isnan()].max()) + 1
    even = torch.full((num_states, num_symbols), 1 / num_symbols, dtype=torch.float64)
    return Categorical(probs=even)


@blank.register
def _(emission: OneHotCategorical, num_states, values):
    even = torch.full_like(values[0], 1 / values.shape[-1])
    return OneHotCategorical(probs=even.expand(num_states, -1))


@has_clusters.register(Categorical)
@has_clusters.register(OneHotCategorical)
def _(emission):
    return False


@draw.register
def _(emission: Categorical, states):
    return torch.multinomial(emission.probs[states], 1).squeeze(1)


@randomised.register(Categorical)
@randomised.register(OneHotCategorical)
def _(emission, evenly, generator):
    return type(emission)(probs=evenly(emission.probs))


@counted_probs.register
def _(emission: Categorical):
    return [emission.probs]


def _symbols(counts: Tensor) -> Tensor:
    """0, 1, ..., V - 1, for counts (V, K)."""
    return torch.arange(len(counts), device=counts.device).to(counts)


def _of_symbols(emission: OneHotCategorical) -> Categorical:
    """The same symbols, as numbers and not as vectors."""
    given = {"validate_args": False}
    logits = log_probs_given(emission)
    if logits is emission.logits:
        return Categorical(logits=logits, **given)
    return Categorical(probs=emission.probs, **given)


def as_symbols(symbols, emission: Distribution) -> tuple[str, ...] | None:
    """`symbols` as V different names. Raises ValueError."""
    if symbols is None:
        return None
    try:
        names = tuple(symbols)
        right = all(isinstance(x, str) for x in names) and len(set(names)) == len(names)
    except TypeError:
        names, right = (), False
    if not right or isinstance(symbols, str):
        raise ValueError(f"symbols: got {told(symbols)}, needs V different names")
    sizes = {probs.shape[-1] for probs in counted_probs(emission)}
    if len(names) not in sizes:
        needs = (
            f"{max(sizes)}, one a symbol" if sizes else "none: its emission has none"
        )
        raise ValueError(f"symbols: got {len(names)} names, needs {needs}")
    return names
