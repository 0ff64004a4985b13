"""Binder: what repo2docker would build from .binder/, and every chapter run in it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import chdir, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from repo2docker.buildpacks import CondaBuildPack, PythonBuildPack

from journeys.steps import (
    Failed,
    Row,
    environment,
    need,
    notebooks,
    outside,
    run,
    run_notebook,
    timed,
    two_at_a_time,
)

GIGABYTES = 1.5
SECONDS_TO_START = 60
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def walk(work: Path) -> Iterator[Row]:
    """Rows for the files, the environment, its start, and each chapter."""
    repository = work / "binder/repository"
    with timed() as step:
        shutil.copytree(work / "repository", repository)
        pack = build_pack(repository)
        step.note = f"Python {pack.python_version}, {pack.binder_dir}"
    yield Row("binder", "the files of .binder/", step.seconds, step.ok, step.note)
    if not step.ok:
        return
    with timed() as step:
        python = environment(work / "binder/python", *beneath(), python=interpreter())
        own = gigabytes(python)
        without = install(pack, repository, python)
        added = gigabytes(python) - own
        step.note = f"{added:.2f} GB, on {own:.2f} GB of Binder's own{without}"
    yield Row("binder", "environment", step.seconds, step.ok, step.note)
    if not step.ok:
        return
    yield Row("binder", f"at most {GIGABYTES} GB", 0.0, added <= GIGABYTES)
    with timed() as step:
        step.note = start(python, repository)
    yield Row("binder", "start of JupyterLab", step.seconds, step.ok, step.note)
    yield from two_at_a_time(partial(read, python), notebooks(repository))


def read(python: Path, notebook: Path) -> Row:
    """A row for a chapter that was run where it lies."""
    with timed() as step:
        ran = run_notebook(python, notebook)
        step.note = f"first figure after {ran.seconds_to_figure:.0f} s"
        need(not ran.warnings, f"said to stderr: {ran.warnings[:500]}")
    return Row("binder", notebook.stem, step.seconds, step.ok, step.note)


def interpreter() -> str:
    """The Python that runtime.txt asks for, or else the one that runs this."""
    return shutil.which("python3.11") or sys.executable


def gigabytes(python: Path) -> float:
    """The size of an environment."""
    return sum(file.lstat().st_size for file in python.parents[1].rglob("*")) / 1e9


def build_pack(repository: Path) -> PythonBuildPack:
    """repo2docker's own reading of the files. Raises Failed if it is not what was meant."""
    with chdir(repository):
        pack = PythonBuildPack("any base image")
        need(pack.detect(), "repo2docker does not take this for a Python repository")
        need(
            str(pack.binder_dir) == ".binder", f"reads {pack.binder_dir}, not .binder/"
        )
        need(pack.python_version == "3.11", f"Python {pack.python_version}, needs 3.11")
        steps = [script for _, script in pack.get_assemble_scripts()]
        need(
            any("requirements.txt" in step for step in steps),
            "installs no requirements.txt",
        )
    return pack


def beneath() -> list[str]:
    """What is in the image before .binder/ is read, in repo2docker's own versions."""
    folder = Path(sys.modules[CondaBuildPack.__module__].__file__).parent
    asked = (folder / "environment.py-3.11.yml").read_text()
    locked = (folder / "environment.py-3.11-linux-64.lock").read_text()
    names = re.findall(r"^ *- ([\w-]+)==", asked, flags=re.M)
    return [
        f"{name.removesuffix('-singleuser')}=={version}"
        for name in names
        for version in re.findall(rf"/{name}-([\d.]+)-\w+\.conda", locked)
    ]


def install(pack: PythonBuildPack, repository: Path, python: Path) -> str:
    """Take the steps that repo2docker would take; what had to be left out."""
    without = ""
    if not reachable(CPU_INDEX):
        without = ", without PyTorch's CPU index, which could not be reached"
        file = repository / ".binder/requirements.txt"
        file.write_text(
            file.read_text().replace(f"--extra-index-url {CPU_INDEX}\n", "")
        )
    with chdir(repository):
        steps = [script for _, script in pack.get_assemble_scripts()]
    folder = python.parents[1]
    variables = {
        "KERNEL_PYTHON_PREFIX": str(folder),
        "NB_PYTHON_PREFIX": str(folder),
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
    }
    for step in steps:  # the cache of pip is ours, not the image's
        run(
            "sh", "-ec", step.replace("--no-cache-dir", ""), cwd=repository, **variables
        )
    run(python, "-m", "pip", "check")
    return without


def reachable(address: str) -> bool:
    """Does a host answer?"""
    try:
        socket.create_connection((urlsplit(address).hostname, 443), timeout=5).close()
    except OSError:
        return False
    return True


def start(python: Path, repository: Path) -> str:
    """The address that the buttons of the book open, once JupyterLab shows it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    page = "lab/tree/chapters/01_sampling.ipynb"
    options = (
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--IdentityProvider.token=",
    )
    server = subprocess.Popen(
        [python.with_name("jupyter"), "lab", *options], cwd=repository, env=outside(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            need(server.poll() is None, "JupyterLab ended")
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://localhost:{port}/{page}"),
            ):
                return page
            time.sleep(0.2)
        raise Failed(f"no JupyterLab after {SECONDS_TO_START} s")
    finally:
        server.terminate()
        server.wait()
