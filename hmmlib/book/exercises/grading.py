"""How an answer is judged: right, or which mistake it looks like.

An exercise names the mistakes that its readers make; those that can be made in any exercise,
such as a missing logarithm or a transposed table, are in `remarks`.
"""

import textwrap
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import hmmlib.book.exercises.remarks as remarks
from hmmlib.book.exercises.values import as_array, described, matches

ROUNDED = 0.02  # relative: right to about two digits
CLOSE = (
    "Close, right to about two digits. Is it rounded, counted or sampled? Compute it exactly,"
    " and keep at least five digits."
)
Outcomes = list[
    tuple[str, np.ndarray]
]  # arrays to compare, each with where it was found


class Verdict(NamedTuple):
    """Whether an answer is right, and why; true when right."""

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return textwrap.fill(self.text, 84)


class Exercise(NamedTuple):
    """A question: its right answer, the mistakes that readers make, and hints.

    An answer is a value or, where there are `trials`, a function, which is judged by what it
    returns for them. `wanted` and `mistakes` give the answers of those who are right and of
    those who make a mistake; they are functions, so that nothing is computed before a reader
    has answered, and nothing twice.
    """

    #: () -> the right answer
    wanted: Callable[[], Any]
    #: what the right answer shows, one sentence
    shows: str
    #: () -> for each diagnosis, the answer of a reader who makes that mistake
    mistakes: Callable[[], Mapping[str, Any]]
    #: from a nudge to nearly the whole solution
    hints: tuple[str, ...]
    #: () -> a list of argument tuples, new for each function that is tried
    trials: Callable[[], list[tuple]] | None = None
    #: the part of a value that is compared; a dict if there are several
    read: Callable = lambda value: value
    #: relative
    tolerance: float = 1e-4

    def judge(self, name: str, answer) -> Verdict:
        """The verdict on an answer. Raises nothing, whatever the answer is."""
        if answer is None or answer is ...:
            helps = f'hint("{name}") helps, {len(self.hints)} times.'
            return Verdict(False, f"No answer yet. {helps}")
        try:
            found = self.outcomes(answer)
        except _Unfit as unfit:
            return Verdict(False, str(unfit))
        wanted = _right(self)
        if _same(found, wanted, self.tolerance):
            return Verdict(True, f"Right. {self.shows}")
        with np.errstate(all="ignore"):
            return Verdict(False, self._diagnosis(found, wanted))

    def outcomes(self, answer) -> Outcomes:
        """What an answer comes to: one array for each trial and part."""
        if self.trials and not callable(answer):
            needed = "needs a function: submit it without calling it"
            raise _Unfit(f"Found {described(answer)}, {needed}.")
        if callable(answer) and not self.trials:
            raise _Unfit("Found a function, needs its result: call it.")
        found = []
        for arguments in self.trials() if self.trials else [()]:
            given = " for " + ", ".join(map(described, arguments)) if arguments else ""
            value = _called(answer, arguments, given) if self.trials else answer
            try:
                parts = {"": value} if isinstance(value, dict) else self.read(value)
                parts = parts if isinstance(parts, dict) else {"": parts}
                arrays = {part: as_array(each) for part, each in parts.items()}
                if not arrays:
                    raise TypeError("no parts")
            except Exception as error:
                needed = "another type of result" if arguments else "numbers"
                unfit = f"Found {described(value)}{given}, needs {needed}."
                raise _Unfit(unfit) from error
            for part, array in arrays.items():
                found.append((f" in {part}{given}" if part else given, array))
        return found

    def _diagnosis(self, found: Outcomes, wanted: Outcomes) -> str:
        """Which mistake the answer looks like, or where it differs from the right one."""
        known = dict(_wrong(self))
        if wanted[0][1].dtype.kind == "U":
            words = (outcome[0][1] for outcome in (wanted, *known.values()))
            if remark := remarks.on_unknown_words(found[0][1], words):
                return remark
        for text, mistake in remarks.ANYWHERE.items():
            known[text] = [
                (where, remarks.with_mistake(right, mistake)) for where, right in wanted
            ]
        rounded = min(ROUNDED, 200 * self.tolerance)
        for outcomes, tolerance in (
            (known, self.tolerance),
            ({CLOSE: wanted}, rounded),
            (known, rounded),
        ):
            for text, outcome in outcomes.items():
                if _same(found, outcome, tolerance):
                    return text
        return next(
            remarks.on_difference(one, right, where, self.tolerance)
            for (where, one), (_, right) in zip(found, wanted, strict=True)
            if not matches(one, right, self.tolerance)
        )


class _Unfit(Exception):
    """An answer that cannot be compared, and why."""


@cache
def _right(exercise: Exercise) -> Outcomes:
    """What the right answer comes to."""
    return exercise.outcomes(exercise.wanted())


@cache
def _wrong(exercise: Exercise) -> dict[str, Outcomes]:
    """What each mistake comes to, by its diagnosis."""
    return {text: exercise.outcomes(each) for text, each in exercise.mistakes().items()}


def _called(answer: Callable, arguments: tuple, given: str):
    """What the reader's function returns."""
    try:
        with warnings.catch_warnings(action="ignore"):
            value = answer(*arguments)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise _Unfit(f"Your function failed{given}, with {what}") from error
    if value is None or value is ...:
        raise _Unfit(f"Your function returns nothing{given}: is `return` missing?")
    return value


def _same(found: Outcomes, expected: Outcomes, tolerance: float) -> bool:
    return all(
        matches(one, other, tolerance)
        for (_, one), (_, other) in zip(found, expected, strict=True)
    )
