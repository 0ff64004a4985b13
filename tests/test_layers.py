"""Imports point down: a module of hmmlib imports only from the layers below it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hmmlib"
LAYERS = [  # a module may import from rows above its own
    {"palette", "checks", "logs", "book", "book.exercises.values"},
    {
        "recursion",
        "kernels",
        "scores",
        "emissions",
        "draw",
        "plot",
        "book.show",
        "meter",
        "book.exercises.remarks",
        "datasets.series",
        "datasets.household",
    },
    {"enumeration", "inference", "hmm", "book.exercises.grading"},
    {"datasets.weather", "factorial", "learning", "pyro_models"},
    {"nilm", "book.pictures"},
    {"datasets"},
    {"book.exercises.models", "book.explore"},
    {f"book.exercises.chapter{number}" for number in range(1, 10)},
    {"book.exercises"},
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"
)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path):
    name = module_name(path)
    layer = next((i for i, row in enumerate(LAYERS) if name in row), None)
    assert layer is not None, (
        f"{name} has no layer: give it one in {Path(__file__).name}"
    )
    below = set().union(*LAYERS[:layer])
    for node in ast.walk(ast.parse(path.read_text())):
        imported = []
        if isinstance(node, ast.ImportFrom):
            imported = [node.module]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        for each in imported:
            if each and each.startswith("hmmlib"):
                assert each.removeprefix("hmmlib.") in below, (
                    f"{name} imports {each}, which is not below it"
                )


def test_the_definition_stays_short():
    assert len((PACKAGE / "recursion.py").read_text().splitlines()) <= 150
