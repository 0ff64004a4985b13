"""The code that chapters 2 to 4 show is the code that they check against enumeration."""

import functools

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager

from chapters import ROOT, cells
from hmmlib import recursion


def up_to_the_check(path):
    """The code of a chapter, cell by cell, through its section "Check against enumeration"."""
    found = cells(path)
    headings = ["## Check against enumeration" in cell["source"] for cell in found]
    last = next(
        i
        for i, cell in enumerate(found)
        if i > headings.index(True) and cell["cell_type"] == "code"
    )
    return [cell["source"] for cell in found[: last + 1] if cell["cell_type"] == "code"]


@pytest.mark.parametrize(
    "chapter, name",
    [
        ("02_forward", None),
        ("02_forward", "forward"),
        ("03_smoothing", None),
        ("03_smoothing", "forward"),
        ("03_smoothing", "backward"),
        ("04_viterbi", None),
        ("04_viterbi", "forward"),
        ("04_viterbi", "trace_back"),
    ],
)
def test_a_wrong_recursion_does_not_pass_the_check_of_its_chapter(
    chapter, name, monkeypatch
):
    """Each function in turn gives an answer that is a little wrong; None: all are right."""
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    matplotlib.use("Agg")
    if name:
        right = getattr(recursion, name)

        @functools.wraps(
            right
        )  # so that the chapter still shows the source of the right one
        def wrong(*args, **kwargs):
            answer = right(*args, **kwargs)
            return answer.flip(0) if name == "trace_back" else 1.0001 * answer

        monkeypatch.setattr(recursion, name, wrong)
    code = up_to_the_check(ROOT / "chapters" / f"{chapter}.ipynb")
    dtype, transform = torch.get_default_dtype(), TransformerManager().transform_cell
    namespace = {"get_ipython": lambda: None}
    try:
        if name is None:
            for source in code:
                exec(transform(source), namespace)
        else:
            with pytest.raises(AssertionError):
                for source in code:
                    exec(transform(source), namespace)
    finally:
        torch.set_default_dtype(dtype)
