"""Truth is checked: change a copy of a chapter in any way a reader could see, and the
cell fails, and no other.
"""

import base64
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys

import execute
import nbformat
import pytest
from PIL import Image, ImageDraw

from chapters import APPENDIX, CHAPTERS, ROOT, comparison

CHAPTER = CHAPTERS[0]


def outputs(notebook):
    return [output for cell in notebook["cells"] for output in cell.get("outputs", [])]


def one_digit(notebook):
    """The last digit of a printed log probability."""
    output = next(
        o for o in outputs(notebook) if "-19.191999" in "".join(o.get("text", ""))
    )
    output["text"] = "".join(output["text"]).replace("-19.191999", "-19.191998", 1)


def one_cell_of_a_table(notebook):
    table = next(o for o in outputs(notebook) if "text/html" in o.get("data", {}))
    html = "".join(table["data"]["text/html"])
    table["data"]["text/html"] = html.replace("<td>0.7</td>", "<td>0.6</td>", 1)


def a_figure(notebook):
    """One small square of one picture, painted over."""
    figure = next(o for o in outputs(notebook) if "image/png" in o.get("data", {}))
    picture = Image.open(
        io.BytesIO(base64.b64decode(figure["data"]["image/png"]))
    ).convert("RGBA")
    ImageDraw.Draw(picture).rectangle((20, 20, 25, 25), fill="red")
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    figure["data"]["image/png"] = base64.b64encode(buffer.getvalue()).decode()


def the_source(notebook):
    cell = next(c for c in notebook["cells"] if "seed=18" in "".join(c["source"]))
    cell["source"] = "".join(cell["source"]).replace("seed=18", "seed=19")


def a_removed_output(notebook):
    cell = next(
        c for c in notebook["cells"] if c.get("outputs") and "text" in c["outputs"][0]
    )
    cell["outputs"] = []


def a_swapped_state_name(notebook):
    """In the second table."""
    _, table, *_ = [o for o in outputs(notebook) if "text/html" in o.get("data", {})]
    html = "".join(table["data"]["text/html"])
    swap = {"Rainy": "Sunny", "Sunny": "Rainy"}
    table["data"]["text/html"] = re.sub(
        "Rainy|Sunny", lambda name: swap[name.group()], html
    )


OF_OUTPUTS = [one_digit, one_cell_of_a_table, a_figure, a_removed_output]
OF_OUTPUTS += [a_swapped_state_name]


def changed_cell(tamper, notebook):
    """Tamper with a notebook; what nbval calls the one code cell that this has changed."""
    before = copy.deepcopy(notebook)
    tamper(notebook)
    pairs = [
        (one, other)
        for one, other in zip(before["cells"], notebook["cells"], strict=True)
        if one["cell_type"] == "code"
    ]
    (number,) = [n for n, (one, other) in enumerate(pairs) if one != other]
    return f"Cell {number}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The cell that each tampering changed, and the cells that failed under nbval, of two
    copies of a chapter: one with other outputs, one with other source.
    """
    folder = tmp_path_factory.mktemp("tampered")
    shutil.copy(ROOT / "conftest.py", folder)
    changed = {}
    for name, tamperings in (("outputs", OF_OUTPUTS), ("source", [the_source])):
        notebook = json.loads(CHAPTER.read_text(encoding="utf-8"))
        changed |= {tamper: changed_cell(tamper, notebook) for tamper in tamperings}
        path = folder / f"{name}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"]
    command += ["--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=."]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "-rfE"], cwd=folder, capture_output=True, text=True, env=env
    )
    assert done.returncode == 1, done.stdout + done.stderr
    failed = {"outputs": [], "source": []}
    failures = r"^(?:FAILED|ERROR) (\w+)\.ipynb::(\w+ \d+)"
    for name, cell in re.findall(failures, done.stdout, flags=re.M):
        failed[name].append(cell)
    return changed, failed


@pytest.mark.parametrize("tamper", OF_OUTPUTS, ids=lambda tamper: tamper.__name__)
def test_a_changed_output_is_caught(tamper, run):
    changed, failed = run
    assert changed[tamper] in failed["outputs"]


def test_changed_code_is_caught(run):
    changed, failed = run
    assert changed[the_source] in failed["source"]


def test_nothing_else_is_caught(run):
    """And nothing before a changed cell."""
    changed, failed = run
    assert sorted(failed["outputs"]) == sorted(changed[each] for each in OF_OUTPUTS)
    assert failed["source"][0] == changed[the_source]


def shortened(output):
    """The output with something of it lost."""
    for key in ("text", "data"):
        if key in output:
            output[key] = type(output[key])()
            return
    output["output_type"] = "error"


@pytest.mark.parametrize("path", [*CHAPTERS, *APPENDIX], ids=lambda path: path.stem)
def test_an_edit_without_a_run_is_caught_in_each_cell_whatever_it_prints(path):
    """nbval cannot see it where a later cell types the same table again."""
    notebook, name = nbformat.read(path, as_version=4), execute.named(path)
    record = {name: execute.digests(notebook)}
    assert execute.stale(notebook, name, record) == ""
    for n, cell in enumerate(notebook.cells):
        edited = copy.deepcopy(notebook)
        edited.cells[n].source += " "
        said = execute.stale(edited, name, record)
        assert bool(said) == (cell.cell_type == "code")
        if said:
            assert f"chapters/{name}.ipynb: code not" in said
            assert f"make execute CHAPTERS=chapters/{name}.ipynb" in said
            assert (ROOT / f"chapters/{name}.ipynb").exists()
        if cell.get("outputs"):
            edited = copy.deepcopy(notebook)
            shortened(edited.cells[n].outputs[0])
            assert ".ipynb: outputs not" in execute.stale(edited, name, record)
    assert "code and outputs not" in execute.stale(notebook, name, {})


def test_a_picture_inside_of_html_is_compared_as_a_picture():
    compare = comparison()

    def output(words="day 1", corner="white", compression=6):
        picture, buffer = Image.new("RGB", (40, 30), "white"), io.BytesIO()
        ImageDraw.Draw(picture).rectangle((0, 0, 5, 5), fill=corner)
        picture.save(buffer, "png", compress_level=compression)
        told = base64.b64encode(buffer.getvalue()).decode()
        return compare.Output(f'<img src="data:image/png;base64,{told}"> {words}')

    assert output() == output(compression=0), "the same pixels, packed in another way"
    assert output() != output(corner="red")
    assert output() != output(words="day 2")
    assert output() != compare.Output("day 1")
