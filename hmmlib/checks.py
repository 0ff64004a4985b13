"""Arguments as the library needs them, or an error that says what was found and needed."""

import inspect
import operator
import reprlib
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

MOST = 10**9  # of anything that is counted
# A warning does not name lines of these packages.
INSIDE = ("hmmlib", "functools", "torch")
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


def _as_array(name: str, values) -> np.ndarray:
    """What numpy makes of it; tables of nullable numbers too."""
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(values).sum())
        if masked:
            raise ValueError(
                f"{name}: got an array with {masked} masked values, needs all of them"
            )
        return np.array(values.data)
    kinds = column_kinds(values)
    if kinds and kinds <= set("biuf"):
        if np.any(values.isna()) and "f" not in kinds:
            raise ValueError(f"{name}: got missing values, needs all of them")
        return np.array(
            values.to_numpy(dtype=bool)
            if kinds == {"b"}
            else values.to_numpy(dtype=float, na_value=np.nan)
            if is_nullable(values)
            else values.to_numpy()
        )
    if isinstance(values, list | tuple) and any(
        isinstance(x, np.ma.MaskedArray) for x in values
    ):
        values = [_as_array(name, x) for x in values]
    return np.array(values)


def column_kinds(values) -> set[str]:
    """The kinds of the columns of a pandas Series or DataFrame; empty for all else."""
    if not hasattr(values, "to_numpy") or not hasattr(values, "isna"):
        return set()
    columns = values.dtypes if hasattr(values, "columns") else [values.dtype]
    return {getattr(dtype, "kind", "O") for dtype in columns}


def is_nullable(values) -> bool:
    """Whether a column of a Series or DataFrame is of a type of pandas' own, which knows NA."""
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


def as_instance(name: str, value, kind: type):
    """`value`, which is a model or `Potentials` of class `kind`. Raises TypeError."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name}: got {type(value).__name__}, needs {_article(kind.__name__)}"
        )
    return value


def as_probs(name: str, values, shape: str) -> Tensor:
    """`values` as a floating-point tensor whose last axis sums to one; a copy.

    `shape`, such as "(K, V)", says how many axes are needed. Lists and integers become
    float64, half precision float32.

    Raises:
        ValueError: naming the argument, what was found and what is needed.
    """
    probs = as_tensor(name, values).clone()
    precision = probs.dtype
    if not probs.is_floating_point():
        probs = probs.double()
    else:
        probs = probs.to(torch.promote_types(precision, torch.float32))
    if probs.ndim != shape.count(",") + (not shape.endswith(",)")) or 0 in probs.shape:
        raise ValueError(
            f"{name}: got shape {tuple(probs.shape)}, needs {shape}, not empty"
        )
    half = probs.dtype != precision and precision.is_floating_point
    eps = torch.finfo(precision if half else probs.dtype).eps
    try:
        _check_probs(name, probs.detach(), max(1e-6, eps**0.5))
    except RuntimeError as error:
        raise ValueError(
            f"{name}: got a tensor whose numbers cannot be read, as inside of"
            " torch.func.vmap; needs a loop over models, or a batch of sequences (N, T)"
        ) from error
    return probs / probs.sum(-1, keepdim=True) if half else probs


def _check_probs(name: str, probs: Tensor, tolerance: float) -> None:
    """Raise ValueError unless each row is a distribution."""
    try:  # numpy takes a third of the time, but it cannot read on a GPU or in torch.func
        values = probs.numpy()
    except (TypeError, RuntimeError):
        values = probs
    # False for NaN, too
    if values.min() >= 0 and (abs(values.sum(-1) - 1) <= tolerance).all():
        return
    sums = probs.sum(-1)
    off = (sums - 1).abs() > tolerance
    wrong = ~((probs >= 0) & probs.isfinite())
    if wrong.any():
        where = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name}: {probs[tuple(where)].item():g} at {where}, needs probabilities, 0 to 1"
        )
    row = f"row {off.nonzero()[0].item()} " if probs.ndim == 2 else ""
    turned = probs.ndim == 2 and ((probs.sum(0) - 1).abs() <= tolerance).all()
    hint = "; its columns do, is it transposed?" if turned else ""
    raise ValueError(f"{name}: {row}sums to {sums[off][0].item():.6g}, needs 1{hint}")


def warn(message: str) -> None:
    """Warn, and name the line outside of hmmlib that led here."""
    frame, level = inspect.currentframe(), 1
    while (
        frame is not None
        and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "AEHIO" else f"a {name}"


def told(value) -> str:
    """A value in a few words, on one line."""
    return " ".join(reprlib.repr(value).split())
