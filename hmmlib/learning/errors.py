"""Standard errors and intervals from the curvature of the likelihood."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import as_number
from hmmlib.hmm import HMM
from hmmlib.learning.coordinates import Entry, named_values
from hmmlib.learning.information import Information, information
from hmmlib.learning.moving import Learn

if TYPE_CHECKING:
    import pandas


class StandardErrors(NamedTuple):
    """How far estimates lie from the truth, in standard deviations of their own unit.

    NaN where a parameter was held.
    """

    initial_probs: Tensor  #: (K,)
    transition_matrix: Tensor
    """(K, K); of moves that inputs drive, of their weights, (K, K, P)."""
    emission: dict[str, Tensor]
    """By name, shaped as the parameters: `emissions.parameters`."""
    covariance: Tensor
    """(P, P), of all entries in the order of the table; 0 where held."""
    table: (
        "pandas.DataFrame"  #: columns estimate and standard_error; a row for each entry
    )


def standard_errors(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    inputs=None,
    labels=None,
    learn: Learn | None = None,
    tied=None,
) -> StandardErrors:
    """Standard errors of the parameters of a fitted model, from the observed information.

    The inverse of minus the second derivative of log p(x), exact, carried over to the
    parameters by the delta method: right for maximum-likelihood estimates of a true model and
    much data. How often intervals made of them hold is in
    `hmmlib.datasets.series.interval_coverage`.

    Held, with NaN as its standard error: initial_probs of a single sequence, of which one
    draw tells next to nothing; a probability of exactly 0, and the other of its row; and,
    with a warning, what stands on its boundary within 1e-6. Weights of moves that inputs
    drive are counted from those of staying. Cost: D recursions in PyTorch at once, of D free
    parameters: about a second for K = 3 Gaussian states and a thousand steps.

    Args:
        hmm: the end of a fit.
        observations, lengths, observed, inputs, labels: as for `HMM`, what it was fitted to.
        learn: what was learned, as in `fit_em`; the rest is known. By default all parts, but
            initial_probs of a single sequence.
        tied: as in `fit_em`.

    Raises:
        ValueError: where the likelihood does not curve down, because the data do not tell
            some parameters apart or the model is no maximum; the message names them.

    Zucchini, MacDonald & Langrock 2016, sec. 3.6; Lystig & Hughes 2002.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> standard_errors(coin, [0, 1, 1, 1] * 12).emission["probs"]
        tensor([[0.0625, 0.0625]], dtype=torch.float64)
    """
    given = {"inputs": inputs, "labels": labels, "learn": learn, "tied": tied}
    return errors_of(information(hmm, observations, lengths, observed, **given))


def errors_of(found: Information) -> StandardErrors:
    """Standard errors from the covariance of the coordinates."""
    where = found.where
    slopes = torch.autograd.functional.jacobian(
        where.natural, where.start, vectorize=True
    )  # (P, D)
    covariance = slopes @ found.covariance @ slopes.mT
    errors = covariance.diagonal().clamp(min=0).sqrt()
    errors = errors.where((slopes != 0).any(1), torch.nan)
    values = named_values(where.build(where.start))
    chunks = errors.split([x.numel() for x in values.values()])
    shaped = {
        name: chunk.view_as(x)
        for (name, x), chunk in zip(values.items(), chunks, strict=True)
    }
    estimates = where.natural(where.start)
    columns = {"estimate": estimates, "standard_error": errors}
    table = as_table(where.entries, columns)
    initial, moves = shaped.pop("initial_probs"), shaped.pop("transition_matrix")
    return StandardErrors(initial, moves, shaped, covariance, table)


def as_table(entries: list[Entry], columns: dict[str, Tensor]) -> "pandas.DataFrame":
    """A row for each entry."""
    import pandas as pd  # takes a while to load

    given = {name: x.detach().cpu().numpy() for name, x in columns.items()}
    return pd.DataFrame(
        given, index=pd.Index([str(e) for e in entries], name="parameter")
    )


def confidence_intervals(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    level: float = 0.95,
    method: Callable | None = None,
    **options,
) -> "pandas.DataFrame":
    """An interval for each parameter that covers the truth in `level` of all repetitions.

    Args:
        hmm, observations, lengths, observed: as for `standard_errors`.
        level: between 0 and 1.
        method: `wald` by default, from the standard errors; or `profile`, from the likelihood
            itself, which takes a fit for each of some twenty points of every parameter; or
            `bootstrap_intervals`, from fits to simulated data or to blocks of the data.
        options: go to `method`; inputs, labels, learn and tied to all of them.

    Returns:
        Columns estimate, standard_error, low, high; a row for each entry, NaN where it was
        held.

    Raises:
        ValueError: as `standard_errors`, and for another level.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> confidence_intervals(coin, [0, 1, 1, 1] * 12).loc["probs[0, 0]"].round(4).tolist()
        [0.25, 0.0625, 0.1478, 0.3905]
    """
    level = as_level(level)
    return (method or wald)(
        hmm, observations, lengths, observed, level=level, **options
    )


def wald(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    level: float = 0.95,
    **options,
) -> "pandas.DataFrame":
    """Intervals of standard errors; see `confidence_intervals`.

    Symmetric for locations, for logarithms of positive numbers and for log-odds of
    probabilities, so that each interval stays within what the parameter may be.
    """
    found = information(hmm, observations, lengths, observed, **options)
    return wald_of(found, as_level(level))


def wald_of(found: Information, level: float) -> "pandas.DataFrame":
    """The same from an `Information`."""
    from scipy.special import ndtri  # takes a while to load

    table, entries = errors_of(found).table, found.where.entries
    times = ndtri((1 + level) / 2)
    bounds = [
        interval(entry, value, times * error)
        for entry, value, error in zip(entries, *table.to_numpy().T, strict=True)
    ]
    low, high = np.array(bounds).reshape(-1, 2).T
    return table.assign(low=low, high=high)


def interval(entry: Entry, value: float, reach: float) -> tuple[float, float]:
    """value ± reach, on a scale without bounds and back again."""
    if (entry.low, entry.high) == (0.0, 1.0):
        if not 0 < value < 1:
            return np.nan, np.nan
        odds, reach = np.log(value) - np.log1p(-value), reach / (value * (1 - value))
        return tuple(1 / (1 + np.exp(-(odds + step))) for step in (-reach, reach))
    if np.isfinite(entry.low) and np.isinf(entry.high):
        above = value - entry.low
        factor = np.exp(reach / above)
        return entry.low + above / factor, entry.low + above * factor
    return value - reach, value + reach


def as_level(level) -> float:
    """A share between 0 and 1. Raises ValueError."""
    needs = "a share between 0 and 1, such as 0.95"
    return as_number("level", level, needs, lambda x: 0 < x < 1)
