"""Explorers that several test files look at, and what a page says of them."""

import torch
from random_models import rows
from torch.distributions import Normal

from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.durations import poisson_durations
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM

FORTNIGHT = weather.fortnight.observations
LEVELS = torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64)
RUN = torch.tensor([0.3, 4.2, 5.1, 9.0, torch.nan, 11.2, 0.4, -0.8])


def weather_trellis(question="smoothing"):
    return explore.trellis(
        weather.hmm, FORTNIGHT, weather.states, weather.activities, question
    )


def machine(means=LEVELS, scales=(2.5, 2.5, 2.5)):
    moves = [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]
    scales = torch.as_tensor(scales, dtype=torch.float64)
    return HMM([0.5, 0.3, 0.2], moves, Normal(torch.as_tensor(means), scales))


def lamps(levels=((0.0, 60.0), (0.0, 60.0)), scale=5.0):
    g = torch.Generator().manual_seed(len(levels))
    levels = [torch.tensor(level, dtype=torch.float64) for level in levels]
    sizes = [len(level) for level in levels]
    even = [torch.full((size,), 1 / size, dtype=torch.float64) for size in sizes]
    return FactorialHMM(
        even, [rows(g, size, size) for size in sizes], additive_gaussian(levels, scale)
    )


def weather_sampler():
    return explore.sampler(weather.hmm, weather.states, weather.activities)


def stays():
    return explore.durations(poisson_durations([4.0, 2.0], 12), ("rain", "dry"))


def page_of(*explorers, dark=False):
    colors = "#14181e;color:#ced6dd" if dark else "#fff;color:#222"
    figures = "".join(each._repr_html_() for each in explorers)
    return (
        f'<!doctype html><html lang="en"><title>explorers</title>'
        f'<body style="background:{colors}"><main>{figures}</main></html>'
    )


def facts(page):
    """What the line below a trellis says: label -> value."""
    # in one call, since an explorer may be drawn anew between two
    pairs = page.evaluate(
        """[...document.querySelector(".hmm-facts").querySelectorAll(":scope > span:has(b)")]
            .map(each => [each.innerText, each.querySelector("b").innerText])"""
    )
    return {text.removesuffix(value).strip(): value for text, value in pairs}


def shown(value):
    return f"{float(value):.6f}".replace("-", "−")
