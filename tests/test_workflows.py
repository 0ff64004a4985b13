"""Workflows: nothing that zizmor or actionlint know to be unsafe or wrong."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chapters import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def tool(name: str) -> str:
    """A program beside this Python or on the path."""
    here = Path(sys.executable).parent
    found = shutil.which(name, path=here) or shutil.which(name)
    return found or pytest.skip(
        f"{name} is not installed, workflows are not checked with it"
    )


CHECKS = {"zizmor": ["--offline", "--quiet", ROOT / ".github"], "actionlint": WORKFLOWS}


@pytest.mark.parametrize("name", CHECKS)
def test_a_checker_of_workflows_finds_nothing(name):
    command = [tool(name), *CHECKS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nobody_is_given_more_than_needed(path):
    """Read access by default; write access in a job that a pull request cannot start."""
    text = path.read_text()
    assert re.search(r"^permissions:( \{\}|\n  contents: read\n\n)", text, flags=re.M)
    assert "pull_request_target" not in text and "secrets." not in text
    assert not re.search(r"^ *pull_request:", text, re.M) or ": write" not in text
    for used in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", used), used
