"""Rules for the source of hmmlib that a program can check."""

import ast
import re
import sys
from pathlib import Path

import pytest
import torch
from torch.distributions import Categorical, Normal

import hmmlib

PACKAGE = Path(hmmlib.__file__).parent
SOURCES = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
NAMED_TUPLE = {
    "_asdict",
    "_fields",
    "_make",
    "_replace",
}  # public, whatever they look like
MOST_PRIVATE = 3
MOST_CALLS = 15


def nodes(*kinds):
    """Each node of some kinds, with the place where it stands."""
    for path, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, kinds):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_module_is_short(path):
    most = 150 if path.name == "recursion.py" and path.parent == PACKAGE else 350
    assert len(SOURCES[path].splitlines()) <= most


def test_a_function_is_short():
    functions = nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    lines = {f"{at} {f.name}": f.end_lineno - f.lineno + 1 for at, f in functions}
    assert {name: n for name, n in lines.items() if n > 50} == {}


def is_private(name: str | None) -> bool:
    return bool(re.match("_[a-z]", name or ""))


def test_private_attributes_of_other_packages_are_few():
    """Attributes and imports that begin with an underscore and are not hmmlib's own."""
    own = {node.name for _, node in nodes(ast.FunctionDef, ast.ClassDef)}
    own |= {n.attr for _, n in nodes(ast.Attribute) if isinstance(n.ctx, ast.Store)}
    own |= {n.id for _, n in nodes(ast.Name) if isinstance(n.ctx, ast.Store)}
    found = [
        f"{at} {node.attr}"
        for at, node in nodes(ast.Attribute)
        if is_private(node.attr) and node.attr not in own | NAMED_TUPLE
    ]
    found += [
        f"{at} {alias.name}"
        for at, node in nodes(ast.ImportFrom)
        for alias in node.names
        if is_private(alias.name) and alias.name not in own
    ]
    assert len(found) <= MOST_PRIVATE, found


def test_no_module_imports_from_the_front_door():
    """It imports them; import-linter cannot tell the package from its modules."""
    for at, node in nodes(ast.ImportFrom):
        if node.module == "hmmlib":
            modules = [(PACKAGE / alias.name) for alias in node.names]
            there = [m.is_dir() or m.with_suffix(".py").exists() for m in modules]
            assert all(there), at


@pytest.mark.parametrize(
    "emission",
    [
        Categorical(probs=torch.tensor([[0.1, 0.9], [0.6, 0.4]]).double()),
        Normal(torch.tensor([0.0, 1.0]).double(), 1.0),
    ],
    ids=lambda emission: type(emission).__name__,
)
def test_an_answer_is_few_calls_away(emission):
    """Functions of hmmlib that are called between a model and its best path."""
    hmm, x = hmmlib.HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission), [0, 1, 1, 0]
    x = torch.tensor(x, dtype=emission.sample().dtype)
    hmm.viterbi(x)  # compiles
    called = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            called.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    hmm.viterbi(x)
    sys.setprofile(before)
    assert 0 < len(called) <= MOST_CALLS, called
