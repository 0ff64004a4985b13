"""Truth is checked: change a copy of a chapter in any way a reader could see, and the
run fails.
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
    table = next(o for o in outputs(notebook) if "text/html" in o.get("data", {}))
    html = "".join(table["data"]["text/html"])
    swap = {"Rainy": "Sunny", "Sunny": "Rainy"}
    table["data"]["text/html"] = re.sub(
        "Rainy|Sunny", lambda name: swap[name.group()], html
    )


def nothing(notebook):
    """The chapter as it is."""


TAMPERINGS = [one_digit, one_cell_of_a_table, a_figure, the_source, a_removed_output]
TAMPERINGS += [a_swapped_state_name, nothing]


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The names of the tampered copies that failed, from one run of them all under
    nbval.
    """
    folder = tmp_path_factory.mktemp("tampered")
    shutil.copy(ROOT / "conftest.py", folder)
    original = json.loads(CHAPTER.read_text(encoding="utf-8"))
    for tamper in TAMPERINGS:
        notebook = copy.deepcopy(original)
        tamper(notebook)
        assert (notebook == original) == (tamper is nothing), (
            f"{tamper.__name__} changed nothing"
        )
        (folder / f"{tamper.__name__}.ipynb").write_text(
            json.dumps(notebook), encoding="utf-8"
        )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "--tb=no",
    ]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=.", "-rfE"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=env, check=False
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    return set(re.findall(r"^(?:FAILED|ERROR) (\w+)\.ipynb", run.stdout, flags=re.M))


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_tampering_is_caught(tamper, failed):
    assert (tamper.__name__ in failed) == (tamper is not nothing)


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
