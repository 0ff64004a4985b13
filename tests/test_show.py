"""What a chapter shows of the library runs alone."""

import subprocess
import sys

import pytest

from hmmlib import draw, enumeration, pyro_models, recursion
from hmmlib.show import show_source

BLOCKS = [
    (
        recursion.Potentials,
        recursion.by_step,
        recursion.move,
        recursion.forward,
        recursion.backward,
    ),
    (pyro_models.weather_story,),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_in_an_empty_folder_without_hmmlib(block, tmp_path):
    code = show_source(*block).data.removeprefix("```python\n").removesuffix("```")
    blocker = "import sys; sys.modules['hmmlib'] = None\n"
    (tmp_path / "copied.py").write_text(blocker + code)
    subprocess.run(
        [sys.executable, "-I", "copied.py"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )


def test_a_block_that_leaves_something_out_is_refused():
    with pytest.raises(ValueError, match=r"forward uses Potentials; show it"):
        show_source(recursion.forward)
    with pytest.raises(ValueError, match="all_paths uses MOST_PATHS"):
        show_source(enumeration.all_paths)
    with pytest.raises(ValueError, match="_render uses INK"):
        show_source(draw._render)
    with pytest.raises(
        ValueError, match="name 'Potentials' is not defined; show it earlier"
    ):
        show_source(
            recursion.forward, recursion.by_step, recursion.move, recursion.Potentials
        )
