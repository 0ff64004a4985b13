"""The oldest versions that pyproject.toml allows, and the newest that there are."""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from journeys.install import build
from journeys.steps import ROOT, Row, environment, packages, run, timed

NEEDED = ("numba", "numpy", "pandas", "pyro-ppl", "scipy", "matplotlib", "torch")
# tests of more than hmmlib import what lies beside them, or beside the chapters
BESIDE = {
    path.stem for name in ("tests", "_ext") for path in (ROOT / name).glob("*.py")
}
BESIDE = {name for name in BESIDE - {"random_models"} if not name.startswith("test_")}
OTHERS = "|".join([*BESIDE, "bs4", "playwright"])
OF_THE_BOOK = rf"^ *(from|import) ({OTHERS})\b|Path\(__file__"


def walk_oldest(work: Path) -> Iterator[Row]:
    """The library's tests with everything at its lower bound; others' warnings are no errors.

    torch too, but only where its builds without CUDA can be had (some gigabytes otherwise).
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = [each.replace(">=", "==") for each in project["dependencies"]]
    if "download.pytorch.org" not in os.environ.get("PIP_EXTRA_INDEX_URL", ""):
        lowest = [each for each in lowest if not each.startswith("torch")]
    yield from walk("oldest", work, lowest, ["-W", "default"])


def walk_newest(work: Path) -> Iterator[Row]:
    """The library's tests with the newest release of everything but torch."""
    yield from walk("newest", work, [], [])


def walk(
    journey: str, work: Path, install: list[str], options: list[str]
) -> Iterator[Row]:
    """A row for the environment, with the versions that it got, and one for the tests."""
    folder = work / journey
    shutil.copytree(
        work / "repository/tests",
        folder / "tests",
        ignore=shutil.ignore_patterns("conftest.py"),
    )
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(work / "repository" / name, folder)
    with timed() as step:
        torch = re.search(r"^torch==\S+", (ROOT / "requirements.txt").read_text(), re.M)
        wheel = build(work / "repository", folder / "wheels")
        extras = f"hmmlib[fleet,full-data,test] @ {wheel.as_uri()}"
        if not any(each.startswith("torch==") for each in install):
            install = [*install, torch.group()]
        python = environment(folder / "python", extras, *install)
        run(python, "-m", "pip", "check")
        have = packages(python)
        step.note = ", ".join(f"{name} {have[name]}" for name in NEEDED)
    yield Row(journey, "environment", step.seconds, step.ok, step.note)
    if not step.ok:
        return
    with timed() as step:
        step.note = run_tests(python, folder, options)
    yield Row(journey, "the library's tests", step.seconds, step.ok, step.note)


def run_tests(python: Path, folder: Path, options: list[str]) -> str:
    """The last line of pytest over the tests that need no more than the library."""
    of_the_library = [
        path
        for path in sorted((folder / "tests").glob("test_*.py"))
        if not re.search(OF_THE_BOOK, path.read_text(), re.M)
    ]
    clean = (
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
    command = (python, "-m", "pytest", *clean, *options, *of_the_library)
    return run(*command, cwd=folder, OMP_NUM_THREADS="1").strip().splitlines()[-1]
