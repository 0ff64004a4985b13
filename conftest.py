"""How stored outputs are compared with fresh ones: numbers as shown, pictures pixel by
pixel, the rest to the letter. After the cells of a notebook its folded solutions run.

Plain nbval compares text to the last character, which the last bits of a float do not
survive on another processor, and does not compare pictures at all. It compares outputs
as strings, so a string that knows how to compare is enough.
"""

import base64
import io
import math
import re
from collections import defaultdict

import nbformat
import numpy as np
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile
from PIL import Image

EMBEDDED = re.compile(r"(?<=data:image/png;base64,)[A-Za-z0-9+/=]+")
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w])")
PNG = "iVBORw0KGgo"
LOUD = 8  # of 255: two pixels this far apart are different
MOST_LOUD_PIXELS = 3  # less than the dot of a decimal point


class Output(str):
    """A stored or fresh output, equal to another that says the same."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        if self.startswith(PNG) and other.startswith(PNG):
            return same_picture(self, other)
        pictures = [EMBEDDED.findall(text) for text in (self, other)]
        one, two = (EMBEDDED.sub("", text) for text in (self, other))
        return same_text(one, two) and all(map(same_picture, *pictures))

    def __ne__(self, other):
        return not self == other


def same_text(one: str, two: str) -> bool:
    """The same words, and the same numbers: to the letter, or to 1e-9 if shown in full."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", two):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(a == b or (in_full(a, b) and close(a, b)) for a, b in pairs)


def in_full(*numbers: str) -> bool:
    """Are the numbers printed to their last bits, ten digits or more?"""
    return all(len(re.sub(r"[eE].*|[^0-9]", "", number)) >= 10 for number in numbers)


def close(one: str, two: str) -> bool:
    return math.isclose(float(one), float(two), rel_tol=1e-9)


def same_picture(one: str, two: str) -> bool:
    """The same size, and no more than a few pixels of difference, such as the edge of a
    letter.
    """
    one, two = (
        np.asarray(
            Image.open(io.BytesIO(base64.b64decode(x))).convert("RGBA"), dtype=int
        )
        for x in (one, two)
    )
    return (
        one.shape == two.shape
        and (abs(one - two).max(axis=-1) > LOUD).sum() <= MOST_LOUD_PIXELS
    )


def solutions(cells) -> list[str]:
    """The code of the folded solutions of a notebook, one string for each exercise."""
    prose = "\n".join(
        each["source"] for each in cells if each["cell_type"] == "markdown"
    )
    folded = re.findall(r"<details>.*?</details>", prose, flags=re.S)
    found = [re.findall(r"```python\n(.*?)```", each, flags=re.S) for each in folded]
    return ["\n".join(each) for each in found]


def skip_without_ukdale():
    """Skip a notebook that needs UK-DALE where that would have to be downloaded."""
    from tests import ukdale

    if not ukdale.is_here():
        pytest.skip(ukdale.MISSING, allow_module_level=True)


def pytest_configure(config):
    """Let nbval compare `Output`s, and run solutions as a reader does who pastes them."""
    as_nbval_does, cells_of = IPyNbCell.sanitize, IPyNbFile.collect

    def collect(file):
        if "fetch_ukdale" in file.path.read_text(encoding="utf-8"):
            skip_without_ukdale()
        yield from cells_of(file)
        for number, code in enumerate(solutions(file.nb.cells), start=1):
            yield IPyNbCell.from_parent(
                file, name=f"Solution {number}", cell_num=number,
                cell=nbformat.v4.new_code_cell(code), options=defaultdict(bool),
            )  # fmt: skip

    IPyNbFile.collect = collect
    IPyNbCell.sanitize = lambda self, text: (
        Output(as_nbval_does(self, text)) if isinstance(text, str) else text
    )


def pytest_collectstart(collector):
    """Let nbval compare pictures."""
    if isinstance(collector, IPyNbFile):
        collector.skip_compare = tuple(
            key for key in collector.skip_compare if not key.startswith("image/")
        )
