"""What was observed: read from whatever holds it, and checked once.

Lists, lists of sequences of different lengths, arrays, masked arrays, tensors, pandas
Series and DataFrames (nullable types too), and words where the model names its symbols.
NaN, None, NA and masks mean missing. The verbs of a model take any of these, or what `read`
made of them, which they do not look at again.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import REAL, WHOLE, as_tensor, column_kinds, is_nullable, told

SIGNED = {*REAL, *WHOLE}  # torch knows little of other numbers


class Observed(NamedTuple):
    """Observations that have been read and checked."""

    values: Tensor  #: (T, *event_shape), or (N, T, *event_shape); NaN where missing
    lengths: Tensor | None = None  #: (N,)  steps that count, in a ragged batch
    index: object = None  #: the index of a Series or DataFrame, None for all else
    checked: bool = False  #: does the model know that its states can emit them?
    inputs: Tensor | None = None  #: (T, P) or (N, T, P)  what drives the model
    labels: Tensor | None = None  #: (T,) or (N, T)  known states, -1 where unknown
    evidence: tuple | None = None
    """Of M chains, each None or (T, K_m) or (N, T, K_m): what else tells their states."""


def read(
    observations,
    event_shape: tuple[int, ...] = (),
    lengths=None,
    observed=None,
    symbols=None,
) -> Observed:
    """Observations of one sequence (T, *event_shape) or of a batch (N, T, *event_shape).

    Args:
        observations: see the module. A DataFrame is one sequence, a row each step; a list
            of sequences whose lengths differ is a ragged batch.
        event_shape: the shape of one observation.
        lengths: (N,) integers, for a padded batch; what is behind is not read.
        observed: booleans (T,) or (N, T), False where an observation is missing.
        symbols: names of the V symbols; observations may then be names.

    Raises:
        ValueError: for another shape, no step, a column (T, 1) of single values without
            `lengths` (it may be one sequence, or T of them), and an unknown name.
    """
    if isinstance(observations, Observed):
        return observations
    index = None
    if not isinstance(observations, Tensor):
        if column_kinds(observations):
            index = getattr(observations, "index", None)
        if symbols is not None:
            observations = _coded(observations, symbols)
        sequences = as_sequences(observations)
        if sequences is not None:
            return _padded(sequences, event_shape, lengths, observed)
    values = as_steps(observations, event_shape, lengths)
    if values.dtype not in SIGNED:
        values = values.double() if values.dtype is torch.uint64 else values.long()
    steps = values.shape[: values.ndim - len(event_shape)]
    if lengths is not None:
        lengths = as_lengths(lengths, steps).to(values.device)
        behind = torch.arange(steps[1], device=values.device) >= lengths[:, None]
        blank = torch.nan if values.is_floating_point() else 0
        values = values.masked_fill(_aligned(behind, values), blank)
    if observed is not None:
        missing = ~_as_mask(observed, steps).to(values.device)
        if missing.any():
            values = values if values.is_floating_point() else values.double()
            values = values.masked_fill(_aligned(missing, values), torch.nan)
    return Observed(values, lengths, index)


def refuse_more(seen: Observed, *more) -> Observed:
    """The same. Raises ValueError if anything comes `more` with what was read before."""
    if any(each is not None for each in more):
        raise ValueError(
            "observations: were read before; needs lengths, observed, inputs, labels and"
            " evidence in the call of `read`"
        )
    return seen


def in_double(seen: Observed) -> Observed:
    """The same in float64, with NaN behind each end, which whole numbers cannot say."""
    values, lengths = seen.values.double(), seen.lengths
    if lengths is not None:
        behind = torch.arange(values.shape[1], device=values.device) >= lengths[:, None]
        behind = behind.reshape(*behind.shape, *[1] * (values.ndim - 2))
        values = values.masked_fill(behind, torch.nan)
    return seen._replace(values=values)


def as_steps(observations, event_shape: tuple[int, ...], lengths=None) -> Tensor:
    """Observations as (T, *event_shape), or (N, T, *event_shape) for a batch; NaN: missing.

    A DataFrame is one sequence, a row each step. Raises ValueError for another shape, for
    no step, and for a column (T, 1) of single values without `lengths`: it may be meant as
    one sequence or as T of them.
    """
    given = observations if isinstance(observations, Tensor) else with_nan(observations)
    values, event = as_tensor("observations", given), tuple(event_shape)
    found, is_table = tuple(values.shape), hasattr(observations, "columns")
    if is_table and not event:
        if found[1] != 1:
            raise ValueError(
                f"observations: got a DataFrame of {found[1]} columns,"
                f" {told(list(observations.columns))}, for an emission of single values;"
                " needs one column, such as table[name], or an emission of vectors"
            )
        values = values.squeeze(1)
        found = tuple(values.shape)
    elif is_table and len(event) > 1:
        raise ValueError(
            f"observations: got a DataFrame, needs an array of shape {('T', *event)}"
        )
    steps = found[: len(found) - len(event)]
    if len(steps) not in (1, 2) or found[len(steps) :] != event:
        needs = "".join(f", {size}" for size in event)
        raise ValueError(
            f"observations: got shape {found}, needs (T{needs}) or (N, T{needs})"
        )
    if 0 in steps:
        raise ValueError(f"observations: got shape {found}, needs at least one step")
    if lengths is None and len(steps) == 2 and steps[1] == 1 < steps[0]:
        flat = f"reshape{(steps[0], *event)}" if event else "reshape(-1)"
        raise ValueError(
            f"observations: got shape {found}; for one sequence of {steps[0]} steps use"
            f" .{flat}, for {steps[0]} sequences of one step pass lengths=[1] * {steps[0]}"
        )
    return values


def with_nan(values):
    """The same, with NaN where a value is masked, None or NA."""
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.getmaskarray(values).any() or values.dtype.kind not in "biuf":
            return values
        precision = values.dtype if values.dtype.kind == "f" else np.float64
        return values.astype(precision).filled(np.nan)
    kinds = column_kinds(values)
    if kinds and kinds <= set("biuf"):
        if not is_nullable(values):
            return values.to_numpy()
        return values.to_numpy(dtype=float, na_value=np.nan)
    if kinds:
        values = values.to_numpy(dtype=object)
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [with_nan(x) if _may_miss(x) else x for x in values]
    return math.nan if values is None or _is_missing(values) else values


def _may_miss(value) -> bool:
    """Can `value` be missing, or hold something that is?"""
    return not isinstance(value, int | float | np.number | str | Tensor)


def _is_missing(value) -> bool:
    return value is np.ma.masked or type(value).__name__ == "NAType"  # of pandas


def as_lengths(lengths, steps: tuple[int, ...]) -> Tensor:
    """`lengths` as (N,) integers from 1 to T, for `steps` (N, T). Raises ValueError."""
    lengths = as_tensor("lengths", lengths)
    if len(steps) != 2:
        raise ValueError(
            f"lengths: given for observations of one sequence, {steps[0]} steps, needs a"
            " batch (N, T): one row a sequence, padded to the longest"
        )
    if tuple(lengths.shape) != (steps[0],):
        raise ValueError(
            f"lengths: got shape {tuple(lengths.shape)}, needs ({steps[0]},), one for each"
            " sequence"
        )
    whole = lengths.dtype in WHOLE
    if not whole or lengths.long().min() < 1 or lengths.long().max() > steps[1]:
        raise ValueError(
            f"lengths: got {told(lengths.tolist())}, needs integers from 1 to {steps[1]}"
        )
    return lengths.long()


def _aligned(steps: Tensor, values: Tensor) -> Tensor:
    """Booleans of steps, (T,) or (N, T), with as many axes as the values."""
    return steps.reshape(*steps.shape, *[1] * (values.ndim - steps.ndim))


def _as_mask(observed, steps: tuple[int, ...]) -> Tensor:
    """`observed` as booleans of shape `steps`. Raises ValueError."""
    observed = as_tensor("observed", observed)
    if observed.shape == (*steps, 1):  # a column, as tables give
        observed = observed.squeeze(-1)
    if observed.dtype != torch.bool or observed.shape != steps:
        found = f"{observed.dtype} of shape {tuple(observed.shape)}"
        raise ValueError(
            f"observed: got {found}, needs booleans of shape {tuple(steps)}"
        )
    return observed


def as_sequences(observations) -> list | None:
    """The sequences of a list, if their lengths differ or they are tables; else None."""
    if not isinstance(observations, list | tuple) or len(observations) < 2:
        return None
    if any(
        isinstance(each, str) or not hasattr(each, "__len__") for each in observations
    ):
        return None
    try:
        sizes = {len(each) for each in observations}
    except TypeError:  # a tensor without an axis
        return None
    tables = any(hasattr(each, "columns") for each in observations)
    return list(observations) if len(sizes) > 1 or tables else None


def _padded(sequences: list, event_shape, lengths, observed) -> Observed:
    """A ragged batch of sequences that are read one by one."""
    if lengths is not None:
        raise ValueError(
            f"lengths: got {told(lengths)} for a list of sequences of different lengths,"
            " needs None: each has its own"
        )
    masks = [None] * len(sequences) if observed is None else list(observed)
    if len(masks) != len(sequences):
        raise ValueError(
            f"observed: got {len(masks)} masks, needs {len(sequences)}, one a sequence"
        )
    rows = []
    for n, (sequence, mask) in enumerate(zip(sequences, masks, strict=True)):
        try:
            values = read(sequence, event_shape, None, mask).values
        except ValueError as error:
            where, said = str(error).split(":", 1)
            raise ValueError(f"{where}, sequence {n}:{said}") from error
        if values.ndim != 1 + len(event_shape):
            found, needs = tuple(values.shape), ("T", *event_shape)
            raise ValueError(
                f"observations, sequence {n}: got shape {found}, needs {needs}"
            )
        rows.append(values.double() if not values.is_floating_point() else values)
    sizes = torch.tensor([len(row) for row in rows])
    values = torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=torch.nan
    )
    return Observed(values, sizes.to(values.device))


def _coded(observations, symbols):
    """The same, with the number of its symbol in the place of each name."""
    numbers = {name: number for number, name in enumerate(symbols)}

    def code(value):
        if isinstance(value, str):
            if value not in numbers:
                raise ValueError(
                    f"observations: got {told(value)}, needs one of the symbols"
                    f" {told(list(numbers))}"
                )
            return numbers[value]
        if isinstance(value, list | tuple):
            return [code(each) for each in value]
        if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
            return [code(each) for each in value.tolist()]
        if hasattr(value, "columns"):
            return value.apply(code)
        if hasattr(value, "isna") and column_kinds(value) - set("biuf"):
            plain = value.astype(object).where(value.notna(), None)
            coded = [code(each) for each in plain]
            return type(value)(coded, index=value.index, dtype=float)
        return value

    return code(observations)
