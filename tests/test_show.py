"""What a chapter shows of the library runs alone."""

import subprocess
import sys

import numpy as np
import pytest
from bs4 import BeautifulSoup

from chapters import CHAPTERS, cells
from hmmlib import enumeration, kernels, pyro_models, recursion
from hmmlib.show import show_changes, show_source


def blocks(path):
    """The blocks of library code that a chapter shows, as a reader copies them."""
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    shown = [
        "".join(output.get("data", {}).get("text/markdown", "")) for output in outputs
    ]
    return [b.removeprefix("```python\n").removesuffix("```") for b in shown if b]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_block_runs_in_an_empty_folder_without_hmmlib(path, tmp_path):
    assert blocks(path)
    for n, block in enumerate(blocks(path)):
        (tmp_path / f"block_{n}.py").write_text(block, encoding="utf-8")
    run_all = """
import pathlib, sys
sys.modules["hmmlib"] = None  # importing it fails
for block in sorted(pathlib.Path().glob("block_*.py")):
    exec(compile(block.read_text(encoding="utf-8"), block.name, "exec"), {"__name__": "copied"})
"""
    subprocess.run([sys.executable, "-I", "-c", run_all], cwd=tmp_path, check=True)


def test_copied_code_computes_the_number_of_the_book(tmp_path):
    """Chapter 2's block, pasted, and the fortnight typed in by hand."""
    (code,) = [block for block in blocks(CHAPTERS[1]) if "def forward" in block]
    by_hand = """
pi, A = torch.tensor([0.6, 0.4]), torch.tensor([[0.7, 0.3], [0.4, 0.6]])
B = torch.tensor([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
words = torch.tensor([0, 0, 0, 1, 1, 0, 2, 1, 1, 1, 0, 1, 0, 0])
potentials = Potentials(pi.log(), (A.log(),), B.log().T[words])
print(f"{forward(potentials)[-1].logsumexp(0):.4f}")
"""
    (tmp_path / "copied.py").write_text(code + by_hand, encoding="utf-8")
    command = [sys.executable, "-I", "copied.py"]
    run = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "-15.1490"


def test_a_block_that_leaves_something_out_is_refused():
    with pytest.raises(ValueError, match=r"forward uses Potentials; show it"):
        show_source(recursion.forward)
    with pytest.raises(ValueError, match="all_paths uses as_count"):
        show_source(enumeration.all_paths)
    with pytest.raises(
        ValueError, match="name 'Potentials' is not defined; show it earlier"
    ):
        show_source(
            recursion.forward, recursion.by_step, recursion.move, recursion.Potentials
        )


def test_constants_come_along_and_compiled_functions_are_plain_python():
    code = show_source(kernels.max_finite, kernels.to_probs).data
    assert "\nTINY = 1e-280\nDENSE = 1e-100\n" in code and "@" not in code
    there = {}
    exec(code.removeprefix("```python\n").removesuffix("```"), there)
    assert there["max_finite"]([-1.0, 2.0]) == kernels.max_finite(np.array([-1.0, 2.0]))


def test_only_changed_lines_are_marked():
    shown = show_changes(pyro_models.weather_story, pyro_models.signal_story).data
    table = BeautifulSoup(shown, "html.parser")
    rows = [[td.get_text() for td in tr.find_all("td")] for tr in table.find_all("tr")]
    left, right = (column for column in zip(*rows[1:], strict=True))
    assert any("−         doing" in x for x in left)
    assert any("+         reading = dist.Normal" in x for x in right)
    for old, new in zip(left, right, strict=True):
        marked = old.startswith("−") or new.startswith("+")
        assert marked == (old[1:].strip() != new[1:].strip())
    assert not any("pyro.markov" in x and x[0] in "−+" for x in left + right)
    assert "Docstring" not in shown and "friend" not in shown
    for story, column in zip(("weather", "signal"), (left, right), strict=True):
        code = "\n".join(line[2:] for line in column if line.strip())
        compile(code, story, "exec")


def test_two_equal_functions_have_no_changes():
    with pytest.raises(ValueError, match="same code"):
        show_changes(recursion.forward, recursion.forward)


def test_names_in_html_are_escaped():
    def before():
        return 1 < 2

    def after():
        return "</td><script>"

    before.__name__ = "<img onerror=alert(1)>"
    shown = show_changes(before, after).data
    assert "<img" not in shown and "<script>" not in shown
    assert "&lt;img onerror" in shown and "1 &lt; 2" in shown
