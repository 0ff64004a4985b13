"""How an answer is judged: right, or which mistake it looks like.

An exercise names the mistakes that its readers make. Those that can be made anywhere, a
log too many or a table turned, are named here, once. Nothing gives an answer away.
"""

import math
import reprlib
import textwrap
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

ANY = math.nan  # in a mistake: whatever the answer has in this place
ROUNDED = 0.02  # relative: right to about two digits


class Verdict(NamedTuple):
    """Right or not, and why; true when right."""

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return textwrap.fill(self.text, 84)


class Exercise(NamedTuple):
    """What is asked, as functions that compute it.

    Where a value is asked for, the reference and the mistakes take no arguments. Where a
    function is asked for they are such functions, and so is the answer of the reader: all
    are called with the same `trials`, made anew for each.
    """

    #: the right answer, computed
    wanted: Callable
    #: what the right answer shows, a sentence
    shows: str
    #: diagnosis -> what one gets who makes the mistake
    mistakes: Mapping[str, Callable]
    #: from a nudge to nearly everything
    hints: tuple[str, ...]
    #: gives the arguments that functions are called with, a list
    trials: Callable | None = None
    #: what counts in a value; a dict where it has several parts
    read: Callable = lambda value: value
    #: relative
    tolerance: float = 1e-4

    def judge(self, name: str, answer) -> Verdict:
        """The verdict on an answer; raises nothing, whatever it is."""
        if answer is None or answer is ...:
            helps = f'hint("{name}") helps, {len(self.hints)} times.'
            return Verdict(False, f"No answer yet. {helps}")
        if self.trials and not callable(answer):
            needs = "needs a function: hand it over without calling it"
            return Verdict(False, f"Found {_told(answer)}, {needs}.")
        if callable(answer) and not self.trials:
            return Verdict(
                False, "Found a function, needs what it gives back: call it."
            )
        try:
            found = self.outcomes(answer if self.trials else lambda: answer)
        except _Unfit as unfit:
            return Verdict(False, str(unfit))
        wanted = self.outcomes(self.wanted)
        if self._same(found, wanted):
            return Verdict(True, f"Right. {self.shows}")
        with np.errstate(all="ignore"):
            return Verdict(False, self._diagnosis(found, wanted))

    def outcomes(self, function: Callable) -> list[tuple[str, np.ndarray]]:
        """What a function gives: one array for each trial and part, and where it stands."""
        found = []
        for arguments in self.trials() if self.trials else [()]:
            given = " for " + ", ".join(map(_told, arguments)) if arguments else ""
            try:
                with warnings.catch_warnings(action="ignore"):
                    value = function(*arguments)
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise _Unfit(f"Your function failed{given}, with {what}") from error
            if value is None or value is ...:
                raise _Unfit(f"Your function gives nothing back{given}: no `return`?")
            try:
                parts = {"": value} if isinstance(value, dict) else self.read(value)
                parts = parts if isinstance(parts, dict) else {"": parts}
                arrays = {part: _array(each) for part, each in parts.items()}
                if not arrays:
                    raise TypeError("nothing in it")
            except Exception as error:
                needs = "needs another kind of result" if arguments else "needs numbers"
                raise _Unfit(f"Found {_told(value)}{given}, {needs}.") from error
            for part, array in arrays.items():
                found.append((f" in {part}{given}" if part else given, array))
        return found

    def _same(
        self, found: list, expected: list, tolerance: float | None = None
    ) -> bool:
        tolerance = tolerance or self.tolerance
        return all(
            _matches(one, other, tolerance)
            for (_, one), (_, other) in zip(found, expected, strict=True)
        )

    def _diagnosis(self, found: list, wanted: list) -> str:
        for (_, one), (_, right) in zip(found, wanted, strict=True):
            if right.dtype.kind == "U" and (strange := self._strange(one, right)):
                return strange
        known = {
            text: self.outcomes(mistake) for text, mistake in self.mistakes.items()
        }
        for text, change in ANYWHERE.items():
            known[text] = [(where, _changed(right, change)) for where, right in wanted]
        roughly = min(ROUNDED, 200 * self.tolerance)
        close = {
            "Close, right to about two digits. Is it rounded, counted or drawn? Work it out,"
            " and keep at least five digits.": wanted
        }
        for expected, tolerance in (
            (known, self.tolerance),
            (close, roughly),
            (known, roughly),
        ):
            for text, outcome in expected.items():
                if self._same(found, outcome, tolerance):
                    return text
        for (where, one), (_, right) in zip(found, wanted, strict=True):
            if not _matches(one, right, self.tolerance):
                return _difference(one, right, where, self.tolerance)
        raise AssertionError("a diagnosis of a right answer")

    def _strange(self, found: np.ndarray, right: np.ndarray) -> str | None:
        """What is wrong with words that are none of those to choose from."""
        known = [
            self.outcomes(each)[0][1] for each in (self.wanted, *self.mistakes.values())
        ]
        choices = sorted(
            {str(word) for each in known for word in each.flat} - {str(ANY)}
        )
        needs = "one word" if right.ndim == 0 else f"a list of {right.size} words"
        if found.shape == right.shape and set(found.flat) <= set(choices):
            return None
        return f"Found {_told(found.tolist())}, needs {needs} of: {', '.join(choices)}."


class _Unfit(Exception):
    """An answer that cannot be compared, and why."""


# diagnosis -> the change of the right answer that it speaks of; None where it says nothing
ANYWHERE: Mapping[str, Callable] = {
    "A log is missing: this is the probability, not its logarithm.": lambda right: (
        np.exp(right) if (right <= 0).all() else None
    ),
    "This is the logarithm. Asked is the number itself.": lambda right: (
        np.log(right) if (right > 0).all() else None
    ),
    "This logarithm is to base 2. The book's are natural.": lambda right: (
        right / math.log(2)
    ),
    "This logarithm is to base 10. The book's are natural.": lambda right: (
        right / math.log(10)
    ),
    "This is one minus what is asked: the other case.": lambda right: 1 - right,
    "The sign is the wrong way round.": lambda right: -right,
    "Rows and columns are swapped.": lambda right: right.T,
    "The order is reversed: the last entry stands first.": lambda right: (
        right[::-1] if right.ndim else None
    ),
    "Right, but each entry stands one step late.": lambda right: (
        np.concatenate([right[:1] * ANY, right[:-1]])
        if right.ndim and len(right) > 2
        else None
    ),
    "Right, but each entry stands one step early.": lambda right: (
        np.concatenate([right[1:], right[:1] * ANY])
        if right.ndim and len(right) > 2
        else None
    ),
}


def _changed(right: np.ndarray, change: Callable) -> np.ndarray:
    """The right answer with a mistake in it, or as it is where this cannot be made."""
    changed = None if right.dtype.kind == "U" or not right.size else change(right)
    return right if changed is None else changed


def _array(value) -> np.ndarray:
    """Numbers as float64, words in small letters. Raises TypeError for anything else."""
    array = np.asarray(_plain(value))
    if array.dtype.kind == "U":
        return np.char.lower(np.char.strip(array))
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{array.dtype}")
    return array.astype(float)


def _plain(value):
    """Tensors, also those in lists, as arrays."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    return (
        [_plain(each) for each in value] if isinstance(value, list | tuple) else value
    )


def _matches(found: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """The same shape, and the same words, or numbers within the relative tolerance."""
    if found.shape != expected.shape or found.dtype.kind != expected.dtype.kind:
        return False
    if expected.dtype.kind == "U":
        return bool(((expected == str(ANY)) | (found == expected)).all())
    return bool((np.isnan(expected) | _close(found, expected, tolerance)).all())


def _close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """Which entries agree; a small one next to large ones need not agree to the last digit."""
    size = abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return np.isclose(found, expected, rtol=tolerance, atol=tolerance / 100 * size)


def _difference(found, right, where: str, tolerance: float) -> str:
    """What can be said of an array that is not the right one."""
    if right.dtype.kind == "U":
        return f"{_entry(tuple(np.argwhere(found != right)[0]))} is not what happens. Try it."
    if found.dtype.kind == "U":
        return f"Found text{where}, needs numbers."
    if found.shape != right.shape:
        return _about_shapes(found, right, where, tolerance)
    return _about_numbers(found, right, where, tolerance)


def _about_shapes(found, right, where: str, tolerance: float) -> str:
    """What can be said of numbers in another shape than the right ones."""
    if found.size == right.size and _matches(
        found.reshape(right.shape), right, tolerance
    ):
        return f"The numbers are right, their shape is {found.shape}{where}, needs {right.shape}."
    one, other = (
        f"shape {each.shape}" if each.ndim else "a single number"
        for each in (found, right)
    )
    said = f"Found {one}{where}, needs {other}."
    if right.ndim == 0 and found.size:
        if _matches(found.sum(), right, tolerance):
            return f"{said} The sum of yours is right."
        if _matches(np.logaddexp.reduce(found.ravel()), right, tolerance):
            return f"{said} The logsumexp of yours is right."
    columns = found.T if found.ndim == right.ndim + 1 else ()
    if any(_matches(column.T, right, tolerance) for column in columns):
        return f"{said} One of your columns is right."
    return said


def _about_numbers(found, right, where: str, tolerance: float) -> str:
    """What can be said of numbers that are not the right ones, though as many."""

    def first(off: np.ndarray) -> tuple:
        return tuple(np.argwhere(off)[0])

    if np.isnan(found).any():
        why = "zero by zero, or one infinity less another"
        return f"{_entry(first(np.isnan(found)))} is NaN{where}: {why}."
    outside = (found < 0) | (found > 1)
    if ((right >= 0) & (right <= 1)).all() and outside.any():
        place = first(outside)
        said = f"{_entry(place)} is {found[place]:.4g}{where}"
        return f"{said}, and a probability lies between 0 and 1."
    if (
        right.ndim
        and np.allclose(right.sum(-1), 1)
        and not np.allclose(found.sum(-1), 1)
    ):
        sums = found.sum(-1, keepdims=True)
        place = first(~np.isclose(sums[..., 0], 1))
        row = _entry(place).replace("Entry", "Row")
        said = f"{row} sums to {sums[(*place, 0)]:.4g}{where}, needs 1."
        proportions = _matches(found / sums, right, tolerance)
        return f"{said} The proportions are right." if proportions else said
    off = ~_close(found, right, tolerance)
    place = first(off)
    size = "large" if found[place] > right[place] else "small"
    rest = f", and {off.sum() - 1} more are off" if off.sum() > 1 else ""
    return f"{_entry(place)} is too {size}{where}{rest}."


def _entry(place: tuple) -> str:
    """The name of an entry; of a single number, "It"."""
    return f"Entry {[int(i) for i in place]}" if place else "It"


def _told(value) -> str:
    """A value in a few words."""
    if isinstance(value, Tensor | np.ndarray) and not getattr(
        value, "is_nested", False
    ):
        return f"a {tuple(value.shape)} array"
    if isinstance(value, bool | int | float | str | list):
        return reprlib.repr(value)
    return type(value).__name__
