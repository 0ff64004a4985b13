"""Run notebooks from top to bottom, store their outputs, and note with what and how long.

    python scripts/execute.py chapters/02_forward.ipynb

The notes are in chapters/executed.json: seconds, day, versions, and digests of code and of
outputs. By these a test sees whether the outputs that are stored are those of that run, and
whether the code has been edited since: an edit can leave every output as it is, where a later
cell types the same table again.
"""

import hashlib
import json
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
RECORD = CHAPTERS / "executed.json"
PACKAGES = (
    "torch", "pyro-ppl", "numpy", "numba", "scipy", "pandas", "matplotlib", "networkx", "dask",
)  # fmt: skip


def digests(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Of the code of all cells, and of all outputs; of nothing else."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [[without_metadata(each) for each in cell.outputs] for cell in cells]
    return {"code": digest([cell.source for cell in cells]), "outputs": digest(outputs)}


def digest(parts: list) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def named(path: Path) -> str:
    """How chapters/executed.json calls a notebook, e.g. `appendix/errors`."""
    return path.resolve().relative_to(CHAPTERS).with_suffix("").as_posix()


def without_metadata(output: dict) -> dict:
    return {key: value for key, value in output.items() if key != "metadata"}


def stale(notebook: nbformat.NotebookNode, name: str, record: dict) -> str:
    """What differs from the run that is noted, and the command that mends it; or nothing."""
    noted, found = record.get(name, {}), digests(notebook)
    differing = [part for part in found if found[part] != noted.get(part)]
    if not differing:
        return ""
    path = f"chapters/{name}.ipynb"
    return (
        f"{path}: {' and '.join(differing)} not as in the run that chapters/executed.json "
        f"notes; make execute CHAPTERS={path}"
    )


def execute(path: Path) -> dict:
    """Run one notebook in place, and what there is to note of it."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        resources={"metadata": {"path": path.parent}},
        record_timing=False,
        coalesce_streams=True,  # in which pieces a text came differs from run to run
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    nbformat.write(notebook, path)
    return {
        "seconds": round(seconds, 1),
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        **digests(notebook),
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        run = execute(path)
        record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
        name = named(path)
        record = dict(sorted((record | {name: run}).items()))
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"{path}: {run['seconds']:.1f} s", flush=True)
