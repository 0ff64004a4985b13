"""The exercises answer: right, or which mistake it looks like, and give nothing away."""

import importlib
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from chapters import CHAPTERS, cells, chapter_number
from hmmlib.book import exercises
from hmmlib.book.exercises import CHAPTERS as NUMBERS
from hmmlib.book.exercises import check, find, hint
from hmmlib.book.exercises.grading import Exercise
from hmmlib.book.exercises.remarks import ANYWHERE
from hmmlib.book.exercises.values import ANY

MODULES = [importlib.import_module(f"{exercises.__name__}.chapter{n}") for n in NUMBERS]
NAMES = [name for module in MODULES for name in module.EXERCISES]
every_exercise = pytest.mark.parametrize("name", NAMES)


@cache
def answers(name):
    """The right answer, as None, and that of each mistake by its diagnosis."""
    return {None: find(name).wanted(), **find(name).mistakes()}


def right_array(name):
    """The right answer of an exercise that asks for a value."""
    ((_, array),) = find(name).outcomes(answers(name)[None])
    return array


def answer(name, diagnosis=None):
    """What a reader submits: all right, or with a mistake in it and the rest right."""
    found = answers(name)[diagnosis]
    if find(name).trials:
        return found
    ((_, found),) = find(name).outcomes(found)
    right = right_array(name)
    if found.shape != right.shape:
        return found
    anything = found == str(ANY) if right.dtype.kind == "U" else np.isnan(found)
    return np.where(anything, right, found)


def in_other_forms(value):
    """The same value as readers may have it."""
    array = np.asarray(value)
    if array.dtype.kind == "U":
        return [array.tolist(), np.char.add(" ", np.char.upper(array)).tolist()]
    single = torch.tensor(array, dtype=torch.float32, requires_grad=True)
    listed = list(single) if single.ndim else float(array)
    return [array, array.tolist(), array.astype(np.float32), single, listed]


def in_single(value):
    """What is read of a result, in single precision and with a gradient."""
    if isinstance(value, dict):
        return {part: in_single(each) for part, each in value.items()}
    return torch.as_tensor(value, dtype=torch.float32).requires_grad_()


@every_exercise
def test_the_reference_is_right(name):
    verdict = check(name, answer(name))
    assert verdict and repr(verdict).replace("\n", " ") == f"Right. {find(name).shows}"


@every_exercise
def test_each_mistake_gets_its_own_diagnosis(name):
    """And so no two are alike, and none is right."""
    diagnoses = [diagnosis for diagnosis in answers(name) if diagnosis]
    assert len(diagnoses) >= 2
    for diagnosis in diagnoses:
        verdict = check(name, answer(name, diagnosis))
        assert not verdict and verdict.text == diagnosis
        assert len(diagnosis) > 20 and diagnosis[-1] in ".?"


@every_exercise
def test_an_answer_is_as_right_in_single_precision_in_lists_and_with_a_gradient(name):
    exercise = find(name)
    if not exercise.trials:
        assert all(check(name, each) for each in in_other_forms(answer(name)))
        return

    single = exercise._replace(read=lambda value: in_single(exercise.read(value)))
    assert single.judge(name, answer(name))


NONSENSE = [
    *("", "rain", "<script>alert(1)</script>", b"rain", "nan", True, 1j, -1e300),
    *(10**400, float("nan"), float("inf"), [], [[1.0], [2.0, 3.0]], {}, {"a": 1}, {1}),
    *(object(), [None], [...], ["nan", "nan"], np.array(["a", 1], dtype=object)),
    *(torch.empty(0), torch.eye(7).to_sparse(), torch.ones(2, dtype=torch.bool), print),
    *(len, int, lambda: 1, lambda *_: None, lambda *_: ..., lambda *x: x),
    *(lambda *_: "rain", lambda *_: 1 / 0, lambda *_: torch.tensor(ANY)),
]


@every_exercise
def test_nonsense_is_never_right_and_never_raises(name):
    class Odd:
        def __repr__(self):
            raise RuntimeError("no words for it")

        def __array__(self, *_, **__):
            raise RuntimeError("no numbers in it")

    nonsense = [*NONSENSE, Odd(), [Odd()], Odd, lambda *_: Odd()]
    if not find(name).trials:
        fills = (ANY, np.inf, 0.123, "rain", "nan")
        nonsense += [np.full(right_array(name).shape, fill) for fill in fills]
    for each in nonsense:
        verdict = check(name, each)
        assert not verdict
        assert len(verdict.text) > 15 and repr(verdict)


@every_exercise
def test_hints_are_a_ladder(name, monkeypatch):
    monkeypatch.setattr(
        exercises, "_num_given", {}
    )  # another test may have asked before
    hints = find(name).hints
    assert len(hints) >= 3
    for _ in range(2):  # after the last one they begin anew
        for rung, text in enumerate(hints, start=1):
            assert hint(name) == f"Hint {rung} of {len(hints)}: {text}"
        assert "solution folds out" in hint(name)


@every_exercise
def test_nothing_gives_the_number_away(name):
    exercise = find(name)
    if exercise.trials or (right := right_array(name)).dtype.kind == "U":
        return
    noise = right * np.random.default_rng(0).uniform(1.5, 2.0, right.shape) + 0.1
    said = [*exercise.hints, *filter(None, answers(name)), check(name, noise).text]
    said.append(check(name, right[..., None].repeat(3, axis=-1) * 1.5).text)
    counts = r"\[[\d, ]*\]|\([\d, ]*\)|and \d+ more"  # of entries, not of what is asked
    for number in re.findall(r"\d+(?:\.\d+)?", re.sub(counts, "", " ".join(said))):
        assert not np.isclose(float(number), abs(right), rtol=0.01).any(), number


def test_the_pages_and_the_package_have_the_same_exercises():
    for path in CHAPTERS:
        asked = [
            name
            for cell in cells(path, "code")
            for name in re.findall(
                r'^check\("([^"]*)", answer\)$', cell["source"], re.M
            )
        ]
        assert asked == [
            name for name in NAMES if name.split(".")[0] == chapter_number(path)
        ]
    with pytest.raises(ValueError) as told:
        find("")
    assert str(told.value) == f"name: got '', needs one of {', '.join(NAMES)}"


@pytest.mark.parametrize("name", ["2.7", "99.1", "Viterbi", 2.3, None, ["2.3"]])
def test_an_unknown_name_is_refused(name):
    for function in (lambda: check(name, 1.0), lambda: hint(name)):
        with pytest.raises(ValueError, match=r"name: got .*, needs one of .*2\.3"):
            function()


@pytest.mark.parametrize("blank", [..., None])
def test_without_an_answer_it_points_to_the_hints(blank):
    verdict = check("2.3", blank)
    assert not verdict
    assert repr(verdict) == 'No answer yet. hint("2.3") helps, 3 times.'


# What can be said of any answer

LOGS = np.array([[-1.0, -2.0, -0.5], [-3.0, -4.0, -0.25], [-0.1, -6.0, -7.0]])
PROBS = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.15, 0.25, 0.6]])


def told(right, found, **options):
    exercise = Exercise(lambda: right, "", dict, (), **options)
    return exercise.judge("0.0", found).text


@pytest.mark.parametrize("diagnosis", ANYWHERE)
def test_mistakes_that_can_be_made_anywhere(diagnosis):
    right = LOGS if "log is missing" in diagnosis else PROBS
    found = np.nan_to_num(ANYWHERE[diagnosis](right), nan=0.4)
    assert told(right, found) == diagnosis


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("rain", "Found text, needs numbers."),
        (PROBS[:2], "Found shape (2, 3), needs shape (3, 3)."),
        (PROBS.ravel(), "The numbers are right; their shape is (9,), needs (3, 3)."),
        (PROBS[..., None] * [1, 2], "One of your columns is right."),
        (np.where(PROBS == 0.1, ANY, PROBS), "Entry [1, 1] is NaN: 0 / 0"),
        (
            PROBS + np.array([1, 0, 0]),
            "Entry [0, 0] is 1.2, and a probability lies between 0 and 1.",
        ),
        (
            PROBS / [[1], [2], [1]],
            "Row [1] sums to 0.5, needs 1. The proportions are right.",
        ),
        (PROBS**2, "Row [0] sums to 0.38, needs 1."),
        (PROBS + np.array([1e-3, -1e-3, 0]), "Close, right to about two digits."),
        (PROBS[:, [0, 2, 1]], "Entry [0, 1] is too large, and 5 more are wrong."),
        (PROBS[[0, 2, 1]], "Entry [1, 0] is too small, and 5 more are wrong."),
        (lambda: PROBS, "Found a function, needs its result: call it."),
        ({1: 2}, "Found dict, needs numbers."),
    ],
)
def test_what_is_said_of_numbers(found, text):
    assert text in told(PROBS, found)


def test_what_is_said_where_one_number_is_wanted():
    assert "The sum of your numbers is right." in told(1.0, [0.25, 0.75])
    assert "The logsumexp of your numbers is right." in told(
        np.log(5.0), np.log([2.0, 3.0])
    )
    assert told(0.7, 0.4) == "It is too small."
    assert told(0.7, [0.4]) == "Found shape (1,), needs a single number."
    assert told(2.6e-7, 1e-7) == "It is too small."  # small is not zero


def test_a_mistake_is_known_when_it_is_rounded_too():
    exercise = Exercise(lambda: 0.25, "", lambda: {"One in seven.": 1 / 7}, ())
    assert exercise.judge("0.0", 0.143).text == "One in seven."
    assert exercise.judge("0.0", 0.248).text.startswith(
        "Close, right to about two digits."
    )
    assert exercise.judge("0.0", -1.39).text.startswith("This is the logarithm.")
    counted = exercise._replace(wanted=lambda: 1000, tolerance=1e-6)
    assert counted.judge("0.0", 1001).text == "It is too large."


def test_what_is_said_of_words():
    exercise = Exercise(
        lambda: ["more", "same"], "", lambda: {"Think again.": ["less", ANY]}, ()
    )
    assert exercise.judge("0.0", ["More ", "same"])
    assert exercise.judge("0.0", ["less", "more"]).text == "Think again."
    for found, text in (
        (
            ["rain", "same"],
            "Found ['rain', 'same'], needs a list of 2 words from: less, more, same.",
        ),
        ("more", "Found 'more', needs a list of 2 words from: less, more, same."),
        (["more", "less"], "Entry [1] is not what happens."),
    ):
        assert text in exercise.judge("0.0", found).text


def test_what_is_said_of_functions():
    exercise = Exercise(
        lambda: torch.exp, "", dict, (), lambda: [(torch.tensor([-1.0, -2.0]),)]
    )
    for right in (torch.exp, lambda x: x.exp_()):  # the second changes its argument
        assert exercise.judge("0.0", right)
    for found, text in (
        (0.5, "Found 0.5, needs a function: submit it without calling it."),
        (lambda x: x[5], "Your function failed for a (2,) array, with IndexError"),
        (lambda: 1, "with TypeError: "),
        (lambda x: None, "returns nothing for a (2,) array: is `return` missing?"),
        (lambda x: {}, "needs another type of result"),
        (lambda x: x.exp()[:1], "Found shape (1,) for a (2,) array, needs shape (2,)."),
        (
            lambda x: x,
            "This is the logarithm. The question asks for the number itself.",
        ),
    ):
        assert text in exercise.judge("0.0", found).text


def test_verdicts_and_hints_are_plain_text():
    """So nothing an answer says can act on the page."""
    verdict = check("4.1", ["<script>alert(1)</script>", "same"])
    assert "<script>" in verdict.text
    for shown in (verdict, hint("4.1")):
        data, _ = DisplayFormatter().format(shown)
        assert data == {"text/plain": repr(shown)}


def test_the_import_waits_for_what_it_needs():
    code = (
        "import sys; from hmmlib.book.exercises import check, hint;"
        "assert not {'torch', 'numpy', 'hmmlib.book.exercises.grading'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
