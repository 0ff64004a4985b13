"""Binder: what repo2docker would build from .binder/, and every chapter run in it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import chdir, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from repo2docker.buildpacks import CondaBuildPack, PythonBuildPack
from steps import each_notebook, environment, layer, outside, run, run_notebook

GIGABYTES = 1.5
SECONDS_TO_START = 60
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@pytest.fixture(scope="module")
def clone(repository, tmp_path_factory):
    """A repository of its own; without PyTorch's index, where that cannot be reached."""
    clone = shutil.copytree(
        repository, tmp_path_factory.mktemp("binder") / "repository"
    )
    try:
        socket.create_connection((urlsplit(CPU_INDEX).hostname, 443), timeout=5).close()
    except OSError:
        file = clone / ".binder/requirements.txt"
        file.write_text(
            file.read_text().replace(f"--extra-index-url {CPU_INDEX}\n", "")
        )
    return clone


@pytest.fixture(scope="module")
def steps(clone):
    """The commands that repo2docker would run, from its own reading of the files."""
    with chdir(clone):
        pack = PythonBuildPack("any base image")
        assert pack.detect() and str(pack.binder_dir) == ".binder"
        assert pack.python_version == "3.11"
        steps = [script for _, script in pack.get_assemble_scripts()]
    assert any("requirements.txt" in step for step in steps)
    return steps


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """What is in the image before .binder/ is read, in repo2docker's own versions."""
    folder = Path(sys.modules[CondaBuildPack.__module__].__file__).parent
    asked = (folder / "environment.py-3.11.yml").read_text()
    locked = (folder / "environment.py-3.11-linux-64.lock").read_text()
    beneath = [
        f"{name.removesuffix('-singleuser')}=={version}"
        for name in re.findall(r"^ *- ([\w-]+)==", asked, flags=re.M)
        for version in re.findall(rf"/{name}-([\d.]+)-\w+\.conda", locked)
    ]
    interpreter = shutil.which("python3.11") or sys.executable
    target = tmp_path_factory.mktemp("image") / "python"
    return environment(target, *beneath, python=interpreter)


@pytest.fixture(scope="module")
def added(image, steps, clone):
    """The gigabytes that the book adds to the image."""
    folder, before = image.parents[1], gigabytes(image)
    variables = {
        "KERNEL_PYTHON_PREFIX": str(folder),
        "NB_PYTHON_PREFIX": str(folder),
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    for step in steps:  # the cache of pip is ours, not the image's
        step = step.replace("--no-cache-dir", "")
        run("sh", "-ec", step, cwd=clone, **variables)
    return gigabytes(image) - before


def gigabytes(python: Path) -> float:
    """The size of an environment."""
    return sum(file.lstat().st_size for file in python.parents[1].rglob("*")) / 1e9


def test_the_environment_is_small_and_consistent(image, added):
    run(image, "-m", "pip", "check")
    print(f"{added:.2f} GB")
    assert added <= GIGABYTES


def test_jupyterlab_shows_the_page_that_buttons_open(image, added, clone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    page = f"http://localhost:{port}/lab/tree/chapters/01_sampling.ipynb"
    options = ("--no-browser", "--allow-root", "--IdentityProvider.token=")
    server = subprocess.Popen(
        [image.with_name("jupyter"), "lab", *options, f"--port={port}"], cwd=clone,
        env=outside(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + SECONDS_TO_START
    try:
        while time.monotonic() < end:
            assert server.poll() is None, "JupyterLab ended"
            with suppress(OSError), urllib.request.urlopen(page):
                return
            time.sleep(0.2)
        pytest.fail(f"no JupyterLab after {SECONDS_TO_START} s")
    finally:
        server.terminate()
        server.wait()


@each_notebook
def test_a_notebook_runs_where_it_lies(notebook, image, added, clone, tmp_path):
    """Each in a layer of its own: what one notebook fetches, the next one lacks."""
    python = layer(tmp_path / "python", image)
    assert run_notebook(python, clone / notebook) == ""
