"""hmmlearn's own tests of three classes, run with hmmlib's in their place.

The tests are those of the hmmlearn that is installed; they are copied to a temporary package
when this test runs, and their imports replaced.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("hmmlearn")

FILES = "test_gaussian_hmm", "test_categorical_hmm", "test_poisson_hmm", "test_base"
# What is not ours: hmmlearn's compiled loops, called by name.
LEFT_OUT = (
    "not forward_scaling and not forward_pass and not backward and not viterbi_pass"
)
EXCEPTIONS = {
    "TestGaussianHMMWithSphericalCovars.test_underflow_from_scaling[scaling]": (
        "demands a ValueError where scaling underflows; here nothing does"
    ),
}


def borrow(folder: Path):
    """Copy the tests to the package `borrowed` in `folder`, with the imports replaced."""
    (source,) = importlib.util.find_spec("hmmlearn").submodule_search_locations
    tests = folder / "borrowed/tests"
    tests.mkdir(parents=True)
    (folder / "borrowed/__init__.py").touch()
    (folder / "borrowed/hmm.py").write_text("from hmmlib.estimators import *\n")
    for name in ("__init__", "conftest"):
        shutil.copy(Path(source, "tests", f"{name}.py"), tests)
    for name in FILES:
        text = Path(source, "tests", f"{name}.py").read_text("utf-8")
        text = re.sub(
            r"^from hmmlearn import hmm$", "from .. import hmm", text, flags=re.M
        )
        text = re.sub(
            r"^from hmmlearn\.base import", "from ..hmm import", text, flags=re.M
        )
        (tests / f"{name}.py").write_text(text, "utf-8")


def run(folder: Path) -> dict[str, str]:
    """Which test has failed, and how; empty text for one that has passed."""
    report = folder / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "borrowed",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    command += ["-c", os.devnull, "--rootdir", folder, "-k", LEFT_OUT]
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(folder)])
    environment = os.environ | {"PYTHONPATH": path, "HMMLEARN_SEED": "1"}
    subprocess.run([*command, f"--junit-xml={report}"], cwd=folder, env=environment,
                   capture_output=True, check=False)  # fmt: skip
    return {
        f"{case.get('classname').rpartition('.')[2]}.{case.get('name')}": "".join(
            f"{each.get('message')}\n{each.text}" for each in case
            if each.tag in ("failure", "error")
        )
        for case in ElementTree.parse(report).iter("testcase")
    }  # fmt: skip


def test_the_tests_of_hmmlearn_pass(tmp_path):
    borrow(tmp_path)
    outcomes = run(tmp_path)
    assert len(outcomes) > 140
    failed = {name: text for name, text in outcomes.items() if text}
    assert set(failed) == set(EXCEPTIONS), "\n".join(failed.values())[-5000:]
