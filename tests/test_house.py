"""Rules for the source of hmmlib that a program can check."""

import ast
import re
from pathlib import Path

import pytest

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
