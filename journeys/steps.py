"""What journeys share: a copy of the repository, fresh environments, notebooks run in them."""

import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
# what would lead a fresh environment back to this repository
LEAKS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")


class Row(NamedTuple):
    """One line of the table."""

    journey: str
    what: str
    seconds: float
    ok: bool
    note: str = ""


class Failed(Exception):
    """A step that did not succeed, with the end of what it said."""


class Step:
    """A step under way: the note that it leaves, and what failed."""

    note = ""
    ok = True
    seconds = 0.0


@contextmanager
def timed() -> Iterator[Step]:
    """A step whose seconds are counted, and whose failure becomes a note."""
    step, start = Step(), time.perf_counter()
    try:
        yield step
    except Failed as error:
        step.ok, step.note = False, str(error)
    step.seconds = time.perf_counter() - start


def need(condition: bool, message: str) -> None:
    """Raises Failed with the message unless the condition holds."""
    if not condition:
        raise Failed(message)


def outside(**more: str) -> dict[str, str]:
    """The environment of a process that does not know this repository."""
    kept = {name: value for name, value in os.environ.items() if name not in LEAKS}
    return (
        kept
        | {
            "PYTHONNOUSERSITE": "1",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        | more
    )


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    """What a command prints. Raises Failed with its last lines if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=outside(**env), text=True,
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Failed(f"{' '.join(map(str, command))}\n" + "\n".join(said[-25:]))
    return done.stdout


def snapshot(target: Path) -> Path:
    """A repository with the present files as its one commit, tracked or not yet tracked."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    run("git", "init", "--quiet", cwd=target)
    run("git", "add", "--all", cwd=target)
    author = ("-c", "user.name=journeys", "-c", "user.email=journeys@localhost")
    run("git", *author, "commit", "--quiet", "--message", "now", cwd=target)
    return target


def notebooks(repository: Path) -> list[Path]:
    """Every notebook of the book."""
    return sorted((repository / "chapters").rglob("*.ipynb"))


def environment(
    folder: Path, *install: str | Path, python: str = sys.executable
) -> Path:
    """A fresh environment with what pip is told to install; its Python."""
    run(python, "-m", "venv", folder)
    if install:
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", *install)
    return folder / "bin/python"


def layer(folder: Path, base: Path) -> Path:
    """A fresh environment that sees all that another one has; its Python.

    What is installed goes into the layer and leaves the one below as it was.
    """
    venv.create(folder)
    (site_packages(folder / "bin/python") / "below.pth").write_text(
        f"{site_packages(base)}\n"
    )
    return folder / "bin/python"


def site_packages(python: Path) -> Path:
    """Where an environment keeps its packages."""
    (found,) = python.parents[1].glob("lib/python*/site-packages")
    return found


def packages(python: Path) -> dict[str, str]:
    """The packages of an environment or of a layer, each with its version."""
    found = distributions(path=[str(site_packages(python))])
    return {each.name.lower().replace("_", "-"): each.version for each in found}


def two_at_a_time(row: Callable[[Path], Row], paths: list[Path]) -> Iterator[Row]:
    """A row for each path, in order: notebooks mostly wait for one core."""
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(row, paths)


class Ran(NamedTuple):
    """A notebook that ran: when its first figure was there, or what stands first if it has
    none, and warnings that the page does not show.
    """

    seconds_to_figure: float
    warnings: str


def run_notebook(python: Path, notebook: Path, **env: str) -> Ran:
    """Run a notebook from top to bottom where it lies. Raises Failed where a cell does."""
    manager = KernelManager()
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv += ["--log-level=ERROR"]
    manager._kernel_spec = KernelSpec(
        argv=argv, display_name="fresh", language="python"
    )
    book = nbformat.read(notebook, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    loud = {cell.id for cell in code if stderr(cell)}  # the page shows what they say
    client = NotebookClient(
        book, km=manager, timeout=600, resources={"metadata": {"path": notebook.parent}}
    )
    try:
        client.execute(env=outside(**env))
    except Exception as error:
        raise Failed(str(error)[-1500:]) from error
    finally:
        manager.shutdown_kernel(now=True)
    said = [text for cell in code if cell.id not in loud for text in stderr(cell)]
    figures = [
        cell
        for cell in code
        if any("image/png" in o.get("data", {}) for o in cell.outputs)
    ]
    start = moment(code[0], "iopub.execute_input")
    return Ran(
        moment((figures or code[1:])[0], "shell.execute_reply") - start, "".join(said)
    )


def stderr(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell said to stderr."""
    return [output.text for output in cell.outputs if output.get("name") == "stderr"]


def moment(cell: nbformat.NotebookNode, event: str) -> float:
    """When something happened to a cell, in seconds."""
    return datetime.fromisoformat(cell.metadata.execution[event]).timestamp()
