"""Exercises that answer: is it right, or which mistake does it look like?

`check("2.3", answer)` judges an answer to exercise 3 of chapter 2, `hint("2.3")` gives
one hint after the other. A chapter's module holds its exercises as data, and is imported
when one of them is asked for; `grading` compares.
"""

import textwrap
from importlib import import_module

CHAPTERS = range(1, 10)
_told: dict[str, int] = {}  # hints given so far, by exercise


class Hint(str):
    """A hint, which a notebook shows as it reads."""

    def __repr__(self) -> str:
        return textwrap.fill(self, 84)


def check(name: str, answer):
    """A `grading.Verdict` on the answer: true when right, and it shows what it says.

    Raises ValueError for a name that no exercise has, and nothing for any answer.
    """
    return find(name).judge(name, answer)


def hint(name: str) -> Hint:
    """The next hint for an exercise; after the last one they begin anew.

    Raises ValueError for a name that no exercise has.
    """
    hints = find(name).hints
    rung = _told.get(name, 0)
    _told[name] = (rung + 1) % (len(hints) + 1)
    if rung == len(hints):
        return Hint("That was the last hint. The solution folds out below.")
    return Hint(f"Hint {rung + 1} of {len(hints)}: {hints[rung]}")


def find(name: str):
    """The `grading.Exercise` of that name. Raises ValueError where there is none."""
    chapter = str(name).partition(".")[0]
    chapters = [n for n in CHAPTERS if str(n) == chapter] or CHAPTERS
    known = {}
    for number in chapters:
        known |= import_module(f"hmmlib.book.exercises.chapter{number}").EXERCISES
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"name: got {name!r}, needs one of {', '.join(known)}")
    return known[name]
