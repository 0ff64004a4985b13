"""Words for wrong input, where more than one module needs the same ones."""

import math
import operator
import reprlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MOST = 10**9  # of anything that is counted
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
RAGGED = "; for sequences of different lengths, pad them and pass lengths"
WORDS = "; for words, the number of each one's column: [columns.index(word) for word in words]"
NUMBERS = (*REAL, *WHOLE, torch.uint16, torch.uint32, torch.uint64, torch.bool)


def as_tensor(name: str, values) -> Tensor:
    """Tensors as they are, the rest copied by numpy, so that floats stay float64.

    Raises ValueError for what is no array of real numbers, held one beside the other, and
    for an array of which something is masked or missing.
    """
    if isinstance(values, Tensor):
        if values.is_nested or values.layout is not torch.strided or values.is_meta:
            found = "nested" if values.is_nested else str(values.layout)
            found = "tensor without numbers" if values.is_meta else f"{found} tensor"
            raise ValueError(f"{name}: got a {found}, needs a dense tensor")
        if values.dtype not in NUMBERS:
            raise ValueError(f"{name}: got {values.dtype}, needs real numbers")
        return values
    try:
        if isinstance(values, list | tuple) and any(
            isinstance(x, Tensor) for x in values
        ):
            return torch.stack([as_tensor(name, x) for x in values])
        array = _as_array(name, values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{array.dtype}")
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return torch.tensor(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{name}: "):
            raise
        hint = RAGGED if "inhomogeneous" in str(error) else ""
        if (word := _text_in(values)) is not None:
            hint = f", not text such as {told(word)}{WORDS}"
        raise ValueError(
            f"{name}: got {type(values).__name__}, needs a tensor or a list of numbers{hint}"
        ) from error


def as_observations(observations) -> Tensor:
    """As `as_tensor`, but what is masked, None or NA is NaN: missing."""
    return as_tensor("observations", _with_nan(observations))


def as_steps(observations, event_shape: tuple[int, ...], lengths=None) -> Tensor:
    """Observations as (T, *event_shape), or (N, T, *event_shape) for a batch; NaN: missing.

    A DataFrame is one sequence, a row each step. Raises ValueError for another shape, for
    no step, and for a column (T, 1) of single values without `lengths`: it may be meant as
    one sequence or as T of them.
    """
    values, event = as_observations(observations), tuple(event_shape)
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
        flat, each = "reshape(-1)", f"lengths=[1] * {steps[0]}"
        if event:
            flat = f"reshape{(steps[0], *event)}"
        raise ValueError(
            f"observations: got shape {found}; for one sequence of {steps[0]} steps use"
            f" .{flat}, for {steps[0]} sequences of one step pass {each}"
        )
    return values


def _as_array(name: str, values) -> np.ndarray:
    """What numpy makes of it; tables of nullable numbers too."""
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(values).sum())
        if masked:
            raise ValueError(
                f"{name}: got an array with {masked} masked values, needs all of them"
            )
        return np.array(values.data)
    kinds = _kinds(values)
    if kinds and kinds <= set("biuf"):
        if np.any(values.isna()) and "f" not in kinds:
            raise ValueError(f"{name}: got missing values, needs all of them")
        return np.array(
            values.to_numpy(dtype=bool)
            if kinds == {"b"}
            else values.to_numpy(dtype=float, na_value=np.nan)
            if _is_nullable(values)
            else values.to_numpy()
        )
    if isinstance(values, list | tuple) and any(
        isinstance(x, np.ma.MaskedArray) for x in values
    ):
        values = [_as_array(name, x) for x in values]
    return np.array(values)


def _with_nan(values):
    """The same, with NaN where a value is masked, None or NA."""
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.getmaskarray(values).any() or values.dtype.kind not in "biuf":
            return values
        precision = values.dtype if values.dtype.kind == "f" else np.float64
        return values.astype(precision).filled(np.nan)
    kinds = _kinds(values)
    if kinds and kinds <= set("biuf"):
        if not _is_nullable(values):
            return values.to_numpy()
        return values.to_numpy(dtype=float, na_value=np.nan)
    if kinds:
        values = values.to_numpy(dtype=object)
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [_with_nan(x) if _may_miss(x) else x for x in values]
    return math.nan if values is None or _is_missing(values) else values


def _may_miss(value) -> bool:
    """Can `value` be missing, or hold something that is?"""
    return not isinstance(value, int | float | np.number | str | Tensor)


def _is_missing(value) -> bool:
    return value is np.ma.masked or type(value).__name__ == "NAType"  # of pandas


def _kinds(values) -> set[str]:
    """The kinds of the columns of a pandas Series or DataFrame; empty for all else."""
    if not hasattr(values, "to_numpy") or not hasattr(values, "isna"):
        return set()
    columns = values.dtypes if hasattr(values, "columns") else [values.dtype]
    return {getattr(dtype, "kind", "O") for dtype in columns}


def _is_nullable(values) -> bool:
    columns = values.dtypes if hasattr(values, "columns") else [values.dtype]
    return not all(isinstance(dtype, np.dtype) for dtype in columns)


def _text_in(values) -> str | None:
    """The first text among the values, if one of the first hundred is one."""
    try:
        flat = np.array(values, dtype=object).reshape(-1)[:100]
    except ValueError:
        return None
    return next((x for x in flat if isinstance(x, str | bytes)), None)


def as_count(name: str, value, least: int = 1) -> int:
    """`value` as an int from `least` to a thousand million. Raises ValueError."""
    try:
        count = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        count = least - 1
    if count < least or isinstance(value, bool):
        raise ValueError(
            f"{name}: got {told(value)}, needs an integer of at least {least}"
        )
    if count > MOST:
        raise ValueError(f"{name}: got {told(value)}, needs at most {MOST:,}")
    return count


def as_seed(seed) -> int | None:
    """None, or an int from 0 to below 2^63. Raises ValueError."""
    if seed is None:
        return None
    try:
        number = operator.index(seed)
    except (TypeError, ValueError, RuntimeError):
        number = -1
    if not 0 <= number < 2**63:
        raise ValueError(
            f"seed: got {told(seed)}, needs an integer from 0 to below 2^63, or None"
        )
    return number


def as_number(name: str, value, needs: str, fits: Callable[[float], bool]) -> float:
    """`value` as a float that `fits`. Raises ValueError that says what it needs."""
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        number = None
    if number is None or isinstance(value, str | bytes | bool) or not fits(number):
        raise ValueError(f"{name}: got {told(value)}, needs {needs}")
    return number


def as_kind(name: str, value, kind: type):
    """`value`, which is a `kind`. Raises ValueError."""
    if not isinstance(value, kind):
        found = type(value).__name__
        raise ValueError(f"{name}: got {found}, needs a {kind.__name__}")
    return value


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


def told(value) -> str:
    """A value in a few words, on one line."""
    return " ".join(reprlib.repr(value).split())
