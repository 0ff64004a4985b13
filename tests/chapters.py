"""The chapters, and the notebooks of the appendix, as the tests of the book read them."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
APPENDIX = sorted((ROOT / "chapters/appendix").glob("*.ipynb"))


def cells(path: Path, kind: str | None = None) -> list[dict]:
    """The cells of a notebook, all or of one kind, each with its source as one
    string.
    """
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in found:
        cell["source"] = "".join(cell["source"])
    return [cell for cell in found if kind in (None, cell["cell_type"])]


def texts(output: dict) -> list[str]:
    """Everything an output says in characters."""
    said = [output.get("text", ""), output.get("traceback", "")]
    said += [
        value
        for mime, value in output.get("data", {}).items()
        if mime.startswith("text/")
    ]
    return ["".join(each) for each in said]


def chapter_number(path: Path) -> str:
    """The number of a chapter, as exercises and titles have it."""
    return str(int(path.stem.partition("_")[0]))


def solutions(path: Path) -> list[str]:
    """The code of the folded solutions, one string for each exercise."""
    return comparison().solutions(cells(path))


def comparison():
    """The module that compares stored outputs with fresh ones, `conftest.py` of the root."""
    spec = importlib.util.spec_from_file_location("comparison", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
