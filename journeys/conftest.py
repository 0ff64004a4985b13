"""The journeys of a reader who runs the book, walked from the first step to the last.

make journeys                        # Colab, installing, Binder
make journeys WALK="oldest newest"   # some minutes more: once a week
"""

import pytest
from filelock import FileLock
from steps import ROOT, environment, snapshot

SHIPPED = ROOT / "journeys/colab.txt"


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    """A function that makes a folder which all workers share: once(name, make)."""
    base = tmp_path_factory.getbasetemp()
    base = base if worker_id == "master" else base.parent

    def once(name, make):
        folder = base / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                make(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def repository(once):
    """A repository whose one commit has the present files."""
    return once("repository", snapshot)


@pytest.fixture(scope="session")
def colab(once):
    """Colab's Python, with the packages of the list."""
    install = ("--no-deps", "--requirement", SHIPPED)
    return once("colab", lambda folder: environment(folder, *install)) / "bin/python"
