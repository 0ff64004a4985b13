"""The oldest versions that pyproject.toml allows, and the newest that there are."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from journeys.install import build
from journeys.steps import ROOT, Row, environment, packages, run, timed

# no wheel of an older torch without CUDA lies on PyPI: this one stands for all in the oldest
TORCH = re.search(
    r"^torch==\S+", (ROOT / "requirements.txt").read_text(), flags=re.M
).group()
NEEDED = ("numba", "numpy", "pandas", "pyro-ppl", "scipy", "matplotlib", "torch")


def walk_oldest(work: Path) -> Iterator[Row]:
    """The library's tests with every dependency at its lower bound."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    lowest = [
        re.sub(">=", "==", each) for each in asked if not each.startswith("torch")
    ]
    yield from walk("oldest", work, TORCH, *lowest)


def walk_newest(work: Path) -> Iterator[Row]:
    """The library's tests with the newest release of everything but torch."""
    yield from walk("newest", work, TORCH)


def walk(journey: str, work: Path, *install: str) -> Iterator[Row]:
    """A row for the environment, with the versions that it got, and one for the tests."""
    folder = work / journey
    shutil.copytree(work / "repository/tests", folder / "tests")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(work / "repository" / name, folder)
    with timed() as step:
        wheel = build(work / "repository", folder / "wheels")
        extras = f"hmmlib[fleet,full-data,test] @ {wheel.as_uri()}"
        python = environment(folder / "python", extras, *install)
        run(python, "-m", "pip", "check")
        have = packages(python)
        step.note = ", ".join(f"{name} {have[name]}" for name in NEEDED)
    yield Row(journey, "environment", step.seconds, step.ok, step.note)
    if not step.ok:
        return
    with timed() as step:
        step.note = run_tests(python, folder)
    yield Row(journey, "the library's tests", step.seconds, step.ok, step.note)


def run_tests(python: Path, folder: Path) -> str:
    """The last line of pytest over the tests that need no more than the library."""
    of_the_library = [
        path for path in sorted((folder / "tests").glob("test_*.py"))
        if not re.search(r"^(from|import) (chapters|conftest|bs4)\b", path.read_text(), re.M)
    ]  # fmt: skip
    options = (
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-o",
        "pythonpath=",
    )
    said = run(
        python,
        "-m",
        "pytest",
        *options,
        *of_the_library,
        cwd=folder,
        OMP_NUM_THREADS="1",
    )
    return said.strip().splitlines()[-1]
