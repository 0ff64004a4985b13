"""A model from data alone: a family, a number of states, and the observations."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from hmmlib.checks import as_count, as_seed, as_tensor, told, warn
from hmmlib.emissions import blank_of, counted_probs, has_clusters
from hmmlib.hmm import HMM
from hmmlib.inputs import as_inputs, beside_inputs
from hmmlib.learning.em import fit_em
from hmmlib.learning.result import Fit
from hmmlib.learning.starts import fit_restarts, guess_emission, random_starts
from hmmlib.observations import (
    Observed,
    as_sequences,
    in_double,
    read,
    with_nan,
)

STAY = 0.9  # of the chain that learning starts from
MOST_COLUMNS, MANY_ROWS = 10, 50  # so few columns, and so many rows for each: a table?


def fit(
    family,
    num_states: int,
    observations,
    lengths=None,
    num_starts: int = 5,
    seed: int = 0,
    *,
    observed=None,
    inputs=None,
    symbols=None,
    method=fit_em,
    **options,
) -> Fit:
    """The best HMM of a family for the data, of several starts; all runs in `Fit.runs`.

    The first start is of k-means, the others are random averages of its states.

    Args:
        family: a class, such as `Normal`, `MultivariateNormal`, `Poisson` or
            `Categorical`; or an emission with batch_shape (K,), for its shape alone.
        num_states: K.
        observations, lengths, observed: as for `HMM`. Columns of a DataFrame are independent
            components of a family of single values; an array (N, T) is N sequences.
        inputs: as for `HMM`, where the family is `LinearEmission`.
        num_starts, seed: how many fits, and from which random starts.
        symbols: names of the symbols; by default those that occur, where they are words.
        method: `fit_em`, or `fit_gradient` for a family without Baum-Welch.
        options: go to `method`, such as num_iters, min_scale, pseudo_count, and labels.

    Raises ValueError for a family without a start from data, and too few different values.

    Example:
        >>> from torch.distributions import Normal
        >>> series = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]],
        ...              Normal(torch.tensor([0.0, 9.0]), 1.0)).sample(200, seed=0)
        >>> round(fit(Normal, 2, series.observations).model.emission.loc.max().item())
        9
    """
    num_states, seed = as_count("num_states", num_states), as_seed(seed) or 0
    num_starts = as_count("num_starts", num_starts)
    words = words_in(observations)
    symbols = symbols or words
    found, event = read_for(family, observations, lengths, observed, symbols, inputs)
    blank = blank_for(family, num_states, event, found)
    _refuse_words(words, blank)
    like = HMM(*_sticky(num_states), blank, symbols)
    starts = _starts(like, found, num_starts, seed)
    runs = fit_restarts(starts, found, None, method, **options)
    return runs[0]._replace(runs=tuple(runs))


def read_for(
    family, observations, lengths, observed, symbols, inputs
) -> tuple[Observed, tuple[int, ...]]:
    """The observations, beside their inputs if the family has any, and the shape of one.

    Raises ValueError as `fit`.
    """
    driven = hasattr(family, "num_inputs")
    event = () if driven else _event_shape(family, observations)
    found = in_double(read(observations, event, lengths, observed, symbols))
    if not isinstance(family, Distribution) and lengths is None:
        _warn_of_columns(observations, event)
    if not driven and inputs is not None:
        raise ValueError(
            "inputs: given, but they do not drive the family; needs LinearEmission, or fit_em"
            " from an HMM with SoftmaxTransitions"
        )
    if not driven:
        return found, event
    if found.inputs is not None:  # read before
        return found, tuple(family.event_shape)
    inputs = as_inputs(inputs, tuple(found.values.shape), found.lengths, None)
    return beside_inputs(found._replace(inputs=inputs)), inputs.shape[-1:]


def _warn_of_columns(observations, event: tuple[int, ...]) -> None:
    """An array of many short rows may be meant as a table: one sequence, several columns."""
    shape = tuple(getattr(observations, "shape", ()))
    if event or len(shape) != 2 or hasattr(observations, "columns"):
        return
    rows, columns = shape
    if 1 < columns <= MOST_COLUMNS and rows >= MANY_ROWS * columns:
        warn(
            f"observations: got shape {shape}, read as {rows} sequences of {columns} steps;"
            f" for one sequence of {columns} columns pass pandas.DataFrame(observations); if"
            f" they are sequences, pass lengths=[{columns}] * {rows}"
        )


def _refuse_words(words: tuple[str, ...] | None, emission: Distribution) -> None:
    """Raise ValueError for text where the family has no symbols."""
    if words and not counted_probs(emission):
        raise ValueError(
            f"observations: got text such as {told(words[0])}, needs numbers for"
            f" {type(emission).__name__}"
        )


def _starts(like: HMM, found: Observed, num_starts: int, seed: int) -> list[HMM]:
    """`like` with emissions from the data: clusters first, random ones after."""
    found = like.read(found)
    if like.num_states == 1:
        return [like]
    starts = []
    if has_clusters(like.emission):
        guess = guess_emission(like.emission, _complete(like, found), seed)
        starts.append(HMM.of_checked(*_sticky(like.num_states), guess, like.symbols))
        like = starts[0]
    more = num_starts - len(starts)
    return starts + (random_starts(like, more, seed) if more else [])


def _complete(like: HMM, found: Observed) -> Tensor:
    """The observations of which no component is missing, (n, *event_shape)."""
    values = found.values.flatten(
        0, found.values.ndim - len(like.emission.event_shape) - 1
    )
    return values[~values.reshape(len(values), -1).isnan().any(-1)]


def _sticky(num_states: int) -> tuple[Tensor, Tensor]:
    """Even odds of a start, and moves that are rare."""
    even = torch.full((num_states,), 1 / num_states, dtype=torch.float64)
    leave = (1 - STAY) / max(num_states - 1, 1) if num_states > 1 else 0.0
    moves = torch.full((num_states, num_states), leave, dtype=torch.float64)
    return even, moves.fill_diagonal_(1 - leave * (num_states - 1))


def _event_shape(family, observations) -> tuple[int, ...]:
    """The shape of one observation, from the family and the data."""
    if isinstance(family, Distribution):
        return tuple(family.event_shape)
    if not isinstance(family, type) or not issubclass(family, Distribution):
        raise ValueError(
            f"family: got {told(family)}, needs a class of torch.distributions, such as"
            " Normal, or an emission of batch_shape (K,)"
        )
    sequences = as_sequences(observations)
    first = sequences[0] if sequences else observations
    columns = len(first.columns) if hasattr(first, "columns") else 1
    if columns == 1 and not family.support.event_dim:
        return ()
    if columns > 1:
        return (columns,)
    given = first if isinstance(first, Tensor) else with_nan(first)
    return tuple(as_tensor("observations", given).shape[-1:])


def blank_for(family, num_states: int, event: tuple, found: Observed) -> Distribution:
    """Equal states that can emit the data; independent components for single values.

    Raises ValueError as `fit`.
    """
    if isinstance(family, Distribution):
        if tuple(family.batch_shape) != (num_states,):
            raise ValueError(
                f"family: got an emission of batch_shape {tuple(family.batch_shape)}, needs"
                f" ({num_states},), or a class"
            )
        return family
    values = found.values.double()
    values = values.flatten(0, values.ndim - len(event) - 1)
    values = values[~values.reshape(len(values), -1).isnan().all(-1)]
    if not len(values):
        raise ValueError("observations: all are missing, needs some to learn from")
    blank = blank_of(family, num_states, values)
    return Independent(blank, 1) if event and not blank.event_shape else blank


def words_in(observations) -> tuple[str, ...] | None:
    """The different words among the observations, in order; None if they are numbers."""
    words: set[str] = set()

    def gather(value):
        if isinstance(value, str):
            words.add(value)
        elif hasattr(value, "columns"):
            for name in value.columns:
                gather(value[name])
        elif hasattr(value, "tolist") or isinstance(value, list | tuple):
            kind = getattr(getattr(value, "dtype", None), "kind", "O")
            if kind not in "biuf" and not isinstance(value, Tensor):
                for each in (
                    value if isinstance(value, list | tuple) else value.tolist()
                ):
                    gather(each)

    gather(observations)
    return tuple(sorted(words)) or None
