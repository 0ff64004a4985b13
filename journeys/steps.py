"""What journeys share: a copy of the repository, fresh environments, notebooks run in them."""

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.relative_to(ROOT) for path in ROOT.glob("chapters/**/*.ipynb"))
each_notebook = pytest.mark.parametrize(
    "notebook", NOTEBOOKS, ids=lambda path: path.stem
)
# what would lead a fresh environment back to this repository
LEAKS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_ADDOPTS")


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
    """What a command prints. Raises RuntimeError with its last lines if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=outside(**env), text=True,
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise RuntimeError("\n".join([" ".join(map(str, command)), *said[-25:]]))
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


def build(repository: Path, target: Path) -> Path:
    """The wheel of a repository."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", target, repository, cwd=target.parent)
    (wheel,) = target.glob("*.whl")
    return wheel


def environment(
    folder: Path, *install: str | Path, python: str = sys.executable
) -> Path:
    """A fresh environment with what pip is told to install; its Python."""
    run(python, "-m", "venv", folder)
    if install:
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", *install)
    return folder / "bin/python"


def layer(folder: Path, base: Path) -> Path:
    """A fresh environment that sees all that another one has, layer or not; its Python.

    What is installed goes into the layer and leaves those below as they were.
    """
    venv.create(folder)
    (site_packages(folder / "bin/python") / "below.pth").write_text(
        f"import site; site.addsitedir({str(site_packages(base))!r})\n"
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


def run_notebook(python: Path, notebook: Path, **env: str) -> str:
    """Run a notebook from top to bottom where it lies; warnings that its page does not show.

    An error of a cell is raised.
    """
    manager = KernelManager()
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv += ["--log-level=ERROR"]
    manager._kernel_spec = KernelSpec(
        argv=argv, display_name="fresh", language="python"
    )
    book = nbformat.read(notebook, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    quiet = [cell for cell in code if not stderr(cell)]
    client = NotebookClient(
        book, km=manager, timeout=600, resources={"metadata": {"path": notebook.parent}}
    )
    try:
        client.execute(env=outside(**env))
    finally:
        manager.shutdown_kernel(now=True)
    return "".join(text for cell in quiet for text in stderr(cell))


def stderr(cell: nbformat.NotebookNode) -> list[str]:
    """What a cell said to stderr."""
    return [output.text for output in cell.outputs if output.get("name") == "stderr"]
