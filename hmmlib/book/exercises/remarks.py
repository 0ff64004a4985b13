"""What can be said of a wrong answer in any exercise, without giving the right one away."""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from hmmlib.book.exercises.values import ANY, agree, described, matches

# diagnosis -> the mistake, made in the right answer; None where it cannot be made
ANYWHERE: Mapping[str, Callable] = {
    "A log is missing: this is the probability, not its logarithm.": lambda right: (
        np.exp(right) if (right <= 0).all() else None
    ),
    "This is the logarithm. The question asks for the number itself.": lambda right: (
        np.log(right) if (right > 0).all() else None
    ),
    "This logarithm is to base 2. The book uses natural logarithms.": lambda right: (
        right / math.log(2)
    ),
    "This logarithm is to base 10. The book uses natural logarithms.": lambda right: (
        right / math.log(10)
    ),
    "This is one minus the answer: the complement.": lambda right: 1 - right,
    "The sign is wrong.": lambda right: -right,
    "Rows and columns are swapped.": lambda right: right.T,
    "The order is reversed: the last entry comes first.": lambda right: (
        right[::-1] if right.ndim else None
    ),
    "Right, but each entry is one step late.": lambda right: (
        np.concatenate([right[:1] * ANY, right[:-1]]) if _is_series(right) else None
    ),
    "Right, but each entry is one step early.": lambda right: (
        np.concatenate([right[1:], right[:1] * ANY]) if _is_series(right) else None
    ),
}


def _is_series(right: np.ndarray) -> bool:
    return right.ndim > 0 and len(right) > 2


def with_mistake(right: np.ndarray, mistake: Callable) -> np.ndarray:
    """The right answer with a mistake of `ANYWHERE`, unchanged where it cannot be made."""
    changed = None if right.dtype.kind == "U" or not right.size else mistake(right)
    return right if changed is None else changed


def on_unknown_words(found: np.ndarray, known: Iterable[np.ndarray]) -> str | None:
    """The remark on words of which some are in no known answer, right or wrong."""
    right, *_ = known = list(known)
    choices = sorted({str(word) for each in known for word in each.flat} - {str(ANY)})
    if found.shape == right.shape and set(found.flat) <= set(choices):
        return None
    needed = f"a list of {right.size} words" if right.ndim else "one word"
    return (
        f"Found {described(found.tolist())}, needs {needed} from: {', '.join(choices)}."
    )


def on_difference(found, right, where: str, tolerance: float) -> str:
    """The remark on an array that differs from the right one."""
    if right.dtype.kind == "U":
        place = tuple(np.argwhere(found != right)[0])
        return f"{_entry(place)} is not what happens. Try it."
    if found.dtype.kind == "U":
        return f"Found text{where}, needs numbers."
    if found.shape != right.shape:
        return _on_shapes(found, right, where, tolerance)
    return _on_numbers(found, right, where, tolerance)


def _on_shapes(found, right, where: str, tolerance: float) -> str:
    """The remark on numbers in another shape than the right ones."""
    if found.size == right.size and matches(
        found.reshape(right.shape), right, tolerance
    ):
        return f"The numbers are right; their shape is {found.shape}{where}, needs {right.shape}."
    shape, needed = (
        f"shape {each.shape}" if each.ndim else "a single number"
        for each in (found, right)
    )
    remark = f"Found {shape}{where}, needs {needed}."
    if right.ndim == 0 and found.size:
        if matches(found.sum(), right, tolerance):
            return f"{remark} The sum of your numbers is right."
        if matches(np.logaddexp.reduce(found.ravel()), right, tolerance):
            return f"{remark} The logsumexp of your numbers is right."
    columns = found.T if found.ndim == right.ndim + 1 else ()
    if any(matches(column.T, right, tolerance) for column in columns):
        return f"{remark} One of your columns is right."
    return remark


def _on_numbers(found, right, where: str, tolerance: float) -> str:
    """The remark on numbers in the right shape."""
    if (nan := np.isnan(found)).any():
        return f"{_first(nan)} is NaN{where}: 0 / 0, or infinity minus infinity."
    outside = (found < 0) | (found > 1)
    if ((right >= 0) & (right <= 1)).all() and outside.any():
        value = found[outside][0]
        return f"{_first(outside)} is {value:.4g}{where}, and a probability lies between 0 and 1."
    if right.ndim and np.allclose(right.sum(-1), 1):
        sums = found.sum(-1, keepdims=True)
        if (off := ~np.isclose(sums[..., 0], 1)).any():
            row = _first(off).replace("Entry", "Row")
            remark = f"{row} sums to {sums[..., 0][off][0]:.4g}{where}, needs 1."
            proportional = matches(found / sums, right, tolerance)
            return f"{remark} The proportions are right." if proportional else remark
    off = ~agree(found, right, tolerance)
    size = "large" if found[off][0] > right[off][0] else "small"
    others = f", and {off.sum() - 1} more are wrong" if off.sum() > 1 else ""
    return f"{_first(off)} is too {size}{where}{others}."


def _first(chosen: np.ndarray) -> str:
    """The name of the first entry for which `chosen` is true."""
    return _entry(tuple(np.argwhere(chosen)[0]))


def _entry(place: tuple) -> str:
    """The name of an entry; of a single number, "It"."""
    return f"Entry {[int(i) for i in place]}" if place else "It"
