"""Exercises that answer: is it right, or which mistake does it look like?

`check("2.3", answer)` judges an answer to exercise 3 of chapter 2, `hint("2.3")` gives one
hint after another. The exercises of a chapter are data in a module of their own, which is
imported when one of them is asked for; `grading` compares.
"""

import textwrap
from importlib import import_module

CHAPTERS = tuple(range(1, 12))
_num_given: dict[str, int] = {}  # hints, by exercise


class Hint(str):
    """A hint, shown in a notebook without quotation marks."""

    def __repr__(self) -> str:
        return textwrap.fill(self, 84)


def check(name: str, answer):
    """The `grading.Verdict` on an answer: true when right, and its repr says why.

    Raises ValueError for a name that no exercise has, and nothing for any answer.
    """
    return find(name).judge(name, answer)


def hint(name: str) -> Hint:
    """The next hint for an exercise; after the last one, the first again.

    Raises ValueError for a name that no exercise has.
    """
    hints = find(name).hints
    given = _num_given.get(name, 0)
    _num_given[name] = (given + 1) % (len(hints) + 1)
    if given == len(hints):
        return Hint("That was the last hint. The solution folds out below.")
    return Hint(f"Hint {given + 1} of {len(hints)}: {hints[given]}")


def find(name: str):
    """The `grading.Exercise` of that name. Raises ValueError if there is none."""
    chapter = str(name).partition(".")[0]
    chapters = [n for n in CHAPTERS if str(n) == chapter] or CHAPTERS
    known = {}
    for number in chapters:
        known |= import_module(f"{__name__}.chapter{number}").EXERCISES
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"name: got {name!r}, needs one of {', '.join(known)}")
    return known[name]
