"""Colab: each notebook alone in an empty folder, where Colab's packages are and hmmlib is not."""

import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from journeys.steps import (
    ROOT,
    Row,
    environment,
    layer,
    need,
    notebooks,
    packages,
    run_notebook,
    site_packages,
    timed,
    two_at_a_time,
)

sys.path.insert(0, str(ROOT / "_ext"))
from repository import present

SHIPPED = Path(__file__).with_name("colab.txt")
SECONDS_TO_FIGURE = 60  # told, not tested: a clock depends on who else uses the machine


def colab_environment(work: Path) -> Path:
    """Colab's Python, as far as the list goes; made once for all journeys that start there."""
    folder = work / "colab"
    if not folder.exists():
        environment(folder, "--no-deps", "--requirement", SHIPPED)
    return folder / "bin/python"


def walk(work: Path) -> Iterator[Row]:
    """A row for the environment and one for each notebook."""
    with timed() as step:
        base = colab_environment(work)
        step.note = f"{len(packages(base))} packages"
    yield Row("colab", "what Colab ships", step.seconds, step.ok, step.note)
    if step.ok:
        opened = partial(open_alone, work, base)
        yield from two_at_a_time(opened, notebooks(work / "repository"))


def open_alone(work: Path, base: Path, notebook: Path) -> Row:
    """A row for a notebook in a folder of its own."""
    with timed() as step:
        folder = work / "alone" / notebook.stem
        step.note = open_in(folder, base, notebook, work / "repository")
    return Row("colab", notebook.stem, step.seconds, step.ok, step.note)


def open_in(folder: Path, base: Path, notebook: Path, repository: Path) -> str:
    """Run a notebook as Colab would; what was installed, and when the first figure was there.

    Raises Failed where Colab's reader would be disappointed.
    """
    folder.mkdir(parents=True)
    shutil.copy(notebook, folder)
    python = layer(folder / "python", base)
    fake = site_packages(python) / "google/colab"
    fake.mkdir(parents=True)
    (fake / "__init__.py").touch()
    # whoever fetches the book's address gets the files of today
    redirected = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": present(),
    }
    ran = run_notebook(
        python, folder / notebook.name, COLAB_RELEASE_TAG="none", **redirected
    )

    installed = packages(python)
    need("hmmlib" in installed, "hmmlib was not installed")
    replaced = {
        f"{name} {packages(base)[name]}" for name in installed.keys() & packages(base)
    }
    need(not replaced, f"replaced what Colab ships: {', '.join(sorted(replaced))}")
    late = f"first figure after {ran.seconds_to_figure:.0f} s"
    if ran.seconds_to_figure > SECONDS_TO_FIGURE:
        late += f", more than {SECONDS_TO_FIGURE}"
    need(not ran.warnings, f"said to stderr: {ran.warnings[:500]}")
    return f"{late}; installed {', '.join(sorted(installed))}"
