"""The oldest versions that pyproject.toml allows, and the newest that there are."""

import os
import re
import shutil
import tomllib

import pytest
from steps import ROOT, build, environment, packages, run

NEEDED = ("numba", "numpy", "pandas", "pyro-ppl", "scipy", "matplotlib", "torch")
# tests of more than hmmlib import what only the book has
BOOK = ["benchmarks", "browser", "bs4", "chapters", "explorers", "runs_alone"]
BOOK += [
    path.stem for name in ("_ext", "scripts") for path in (ROOT / name).glob("*.py")
]
OF_THE_BOOK = rf"^ *(from|import) ({'|'.join(BOOK)})\b|Path\(__file__"
ALONE = ("-p", "no:cacheprovider", "-o", "addopts=", "-o", "pythonpath=")


def lowest() -> list[str]:
    """Each package at its lower bound.

    torch only where its builds without CUDA can be had (some gigabytes otherwise).
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = [each.replace(">=", "==") for each in project["dependencies"]]
    cpu = "download.pytorch.org" in os.environ.get("PIP_EXTRA_INDEX_URL", "")
    return [each for each in lowest if cpu or not each.startswith("torch")]


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_the_library_passes_its_tests(which, repository, tmp_path):
    """Of old versions warnings are no errors. The newest of all, but torch."""
    shutil.copytree(repository / "tests", tmp_path / "tests")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(repository / name, tmp_path)
    install = lowest() if which == "oldest" else []
    if not any(each.startswith("torch==") for each in install):
        pinned = (ROOT / "requirements.txt").read_text()
        install.append(re.search(r"^torch==\S+", pinned, re.M).group())
    wheel = build(repository, tmp_path / "wheels")
    extras = f"hmmlib[fleet,full-data,test] @ {wheel.as_uri()}"
    python = environment(tmp_path / "python", extras, *install)
    run(python, "-m", "pip", "check")
    print({name: packages(python)[name] for name in NEEDED})
    of_the_library = [
        path
        for path in sorted((tmp_path / "tests").rglob("test_*.py"))
        if not re.search(OF_THE_BOOK, path.read_text(), re.M)
    ]
    options = ("-W", "default") if which == "oldest" else ()
    command = (python, "-m", "pytest", "-q", "-n", "2", *ALONE, *options)
    said = run(*command, *of_the_library, cwd=tmp_path, OMP_NUM_THREADS="1")
    print(said.strip().splitlines()[-1])
