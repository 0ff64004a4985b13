"""One colour, one quantity: readable, told apart by everybody, and written once."""

import itertools

import numpy as np
import pytest

from chapters import ROOT
from hmmlib.palette import (
    QUANTITY_COLORS,
    STATE_COLORS,
    channels,
    contrast,
    style_sheet,
    variables,
)

PAGES = {False: "#FFFFFF", True: "#14181E"}  # the site's backgrounds
both_pages = pytest.mark.parametrize("dark", PAGES, ids=["light", "dark"])
# What is left of linear red, green and blue; Machado, Oliveira & Fernandes 2009, severity 1.
SIGHTS = {
    "everybody": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def lab(color, sight):
    """CIE L*a*b* of a colour as somebody sees it."""
    c = np.array(channels(color))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHTS[sight]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ seen / (0.9505, 1, 1.089), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@both_pages
def test_quantities_are_readable_as_text(dark):
    """4.5 : 1 is what WCAG 2.2 asks of text, at level AA."""
    for name in QUANTITY_COLORS:
        assert contrast(variables(dark)[name], PAGES[dark]) >= 4.5, name


@both_pages
def test_letters_on_states_are_readable(dark):
    colors = variables(dark)
    for k in range(len(STATE_COLORS)):
        assert contrast(colors[f"on{k}"], colors[f"state{k}"]) >= 4.5, k


@both_pages
@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_are_told_apart(dark, sight):
    """Whatever colours the eye sees; 2.3 is the least difference that is noticed at all."""
    colors = variables(dark)
    for family in (QUANTITY_COLORS, [f"state{k}" for k in range(5)]):
        for one, two in itertools.combinations(family, 2):
            apart = np.linalg.norm(lab(colors[one], sight) - lab(colors[two], sight))
            assert apart > 10, (one, two, apart)


def test_the_style_sheet_is_written_from_the_palette():
    assert (ROOT / "_static/palette.css").read_text() == style_sheet()
