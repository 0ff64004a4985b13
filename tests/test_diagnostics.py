"""The figure of residuals, read back from its artists, and the summary of a fit."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal, Poisson

from hmmlib import HMM
from hmmlib.learning import (
    aic,
    bic,
    confidence_intervals,
    fit_em,
    pseudo_residuals,
    summary,
)
from hmmlib.palette import channels, contrast, in_the_dark
from hmmlib.plot import diagnostics


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def test_the_four_panels_hold_the_numbers():
    x = np.random.default_rng(0).normal(size=(2, 60))
    x[0, 5] = np.nan
    axes = diagnostics(x)
    over_time, histogram, quantiles, correlation = axes.flat
    np.testing.assert_allclose(over_time.lines[0].get_ydata(), x.ravel())
    area = sum(bar.get_height() * bar.get_width() for bar in histogram.patches)
    assert math.isclose(area, 1)
    known = np.sort(x[~np.isnan(x)])
    np.testing.assert_allclose(quantiles.lines[1].get_ydata(), known)
    band = quantiles.collections[0].get_paths()[0].vertices
    ends = stats.norm.ppf(stats.beta(1, len(known)).ppf([0.025, 0.975]))
    assert np.isin(np.round(ends, 8), np.round(band[:, 1], 8)).all()
    bars = correlation.collections[-1].get_segments()
    assert len(bars) == 15  # a quarter of 60 steps
    mean, spread = known.mean(), ((known - known.mean()) ** 2).mean()
    for lag in (1, 7):
        pairs = ((x[:, lag:] - mean) * (x[:, :-lag] - mean)).ravel()
        expected = np.nanmean(pairs) / spread
        assert math.isclose(bars[lag - 1][1][1], expected)


def test_counts_have_segments_and_no_infinity_is_drawn():
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Poisson(f8([1.0, 6.0])))
    found = pseudo_residuals(hmm, hmm.sample(50, seed=0).observations)
    axes = diagnostics(found)
    segments = np.array(axes[0, 0].collections[0].get_segments())
    assert np.isfinite(segments).all() and len(segments) == 50
    np.testing.assert_allclose(segments[:, 1, 1], np.clip(found.high.numpy(), -9, 9))
    diagnostics([0.1, 0.2, np.inf, -0.3])[0, 0].figure.canvas.draw()
    with pytest.raises(ValueError, match="residuals: got 2 numbers, needs three"):
        diagnostics([0.1, np.nan, 0.2])


def test_the_band_shows_on_dark_pages():
    """Grey on paper, as a dark page turns it round."""
    for turned in (str, in_the_dark):
        assert 1.2 < contrast(turned("#DDDDDD"), turned("#FFFFFF")) < 2
    assert len(channels("#DDDDDD")) == 3


def fitted():
    true = HMM(
        [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(f8([0.0, 5.0]), f8([1.0, 2.0]))
    )
    x = true.sample(300, seed=0).observations
    x[10] = torch.nan
    return fit_em(true, x, num_iters=500, tolerance=1e-9).model, x


def test_a_summary_says_what_the_functions_say():
    hmm, x = fitted()
    found = summary(hmm, x, level=0.9)
    assert found.table.equals(confidence_intervals(hmm, x, level=0.9))
    text, page = str(found), found._repr_html_()
    for words in (
        f"{hmm.log_likelihood(x).item():.3f}",
        f"{aic(hmm, x):.3f}",
        f"{bic(hmm, x):.3f}",
        "Normal",
        "299",
        "loc[1]",
        f"{hmm.emission.loc[1].item():.4g}",
        "5.0%",
        "95.0%",
    ):
        assert words in text and words in page
    assert "nan" not in text.lower() and repr(found) == text
    assert "initial_probs are held" in text
    assert max(map(len, text.splitlines()[:-1])) <= 88


def test_what_cannot_be_said_is_a_note():
    same = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], [[0.3, 0.7], [0.3, 0.7]])
    found = summary(same, [[0, 1, 1], [1, 0]])
    assert found.table["standard_error"].isna().all()
    assert any("bootstrap" in note for note in found.notes)
    assert found.header["Sequences"] == "2" and found.header["Observations"] == "5"
    assert found.header["Missing"] == "0"
    with pytest.raises(ValueError, match="observations"):
        summary(same, [0, 5])
    with pytest.raises(TypeError, match="hmm: got"):
        summary("model", [0])
