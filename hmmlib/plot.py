"""Figures of state sequences, of state probabilities and of forecasts."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch.distributions import Distribution

from hmmlib.emissions import quantiles
from hmmlib.palette import GREY, INK, QUANTITY_COLORS, STATE_COLORS, channels, legible

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
STYLE = {
    "figure.dpi": 144,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def figure(height: float = 2.6, width: float = 7.0, **subplots) -> tuple[Figure, Axes]:
    """A figure and its Axes in the style of the book, as from `plt.subplots`.

    Args:
        height: in inches, as `width` is.
        subplots: further arguments of `plt.subplots`.

    Example:
        >>> fig, (left, right) = figure(ncols=2, sharey=True)
    """
    with plt.rc_context(STYLE):
        return plt.subplots(figsize=(width, height), **subplots)


def strips(
    rows: Mapping[str, Sequence[int]],
    state_labels: Sequence[str],
    text: Sequence[str] | None = None,
    first_step: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """State sequences as coloured strips, one below the other; returns the Axes.

    Args:
        rows: a name and T states for each strip.
        state_labels: K names of states, at most 8.
        text: T words, written on the first strip.
        first_step: the number of the first step.
        ax: where to draw; a new figure without it.

    Raises:
        ValueError: if the numbers of steps differ, or a state has no label.

    Example:
        >>> ax = strips({"truth": [1, 0, 0], "decoded": [1, 1, 0]}, ["Rainy", "Sunny"])
    """
    num_steps, num_states = _num_steps(rows), len(state_labels)
    grid = np.stack([_states(name, rows[name], num_states) for name in rows])
    if text is not None and len(text) != num_steps:
        raise ValueError(
            f"text: got {len(text)} words, needs {num_steps}, one for each step"
        )
    if ax is None:
        _, ax = figure(0.85 + 0.42 * len(rows))
    ax.pcolormesh(
        np.arange(num_steps + 1) + first_step - 0.5, np.arange(len(rows) + 1) - 0.5,
        grid, cmap=ListedColormap(list(STATE_COLORS[:num_states])),
        vmin=-0.5, vmax=num_states - 0.5, edgecolors="white", linewidth=1.5,
    )  # fmt: skip
    for t, word in enumerate(() if text is None else text, first_step):
        ax.text(t, 0, legible(word), ha="center", va="center", fontsize=9.5, color=INK)
    ax.set_yticks(range(len(rows)), map(legible, rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(np.arange(num_steps) + first_step)
    ax.set_xlabel("day")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    _state_legend(ax, state_labels)
    return ax


def state_probs(
    probs, state_labels: Sequence[str], state: int = 0,
    others: Mapping[str, Sequence[float]] | None = None, truth: Sequence[int] | None = None,
    name: str = "smoothed", first_step: int = 1, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """The probability of one state on each day as bars, with others to compare.

    Args:
        probs: (T, K) state probabilities, `name` in the legend.
        state_labels: K names of states.
        state: the number of the state whose probability is drawn.
        others: names and (T, K) probabilities, drawn as lines.
        truth: T states, drawn as a strip above the bars.
        first_step: the number of the first step.
        ax: where to draw; a new figure without it.

    Example:
        >>> ax = state_probs([[0.2, 0.8], [0.9, 0.1]], ["Rainy", "Sunny"], truth=[1, 0])
    """
    probs = np.asarray(probs)
    days = np.arange(len(probs)) + first_step
    if ax is None:
        _, ax = figure(2.9)
    color = STATE_COLORS[state]
    ax.bar(days, probs[:, state], color=color, width=0.8, label=legible(name))
    _lines(
        ax, days, {key: np.asarray(p)[:, state] for key, p in (others or {}).items()}
    )
    ax.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    if truth is not None:
        _truth(ax, days, np.asarray(truth))
    ax.set_xticks(days)
    ax.set_yticks([0, 0.5, 1])
    ax.set_xlim(days[0] - 0.6, days[-1] + 0.6)
    ax.set_xlabel("day")
    ax.set_ylabel(legible(f"P({state_labels[state]})"))
    if others:
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.22)}
        ax.legend(ncols=4, fontsize=10, frameon=False, **below)
    return ax


def fan(
    ahead: Distribution, past: Sequence[float] = (),
    future: Sequence[float] | None = None, first_step: int = 1, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """A forecast of single numbers: the median, and bands that hold 50, 80 and 95%.

    Args:
        ahead: what will be observed in the next H steps, as from `Belief.predict(H)`.
        past: T observations before, NaN where missing.
        future: H observations, to compare.
        first_step: the number of the first step of the past.
        ax: where to draw; a new figure without it.

    Raises:
        ValueError: for vectors, and for a family whose quantiles are not known.

    Example:
        >>> import torch
        >>> from torch.distributions import Normal
        >>> ahead = Normal(torch.zeros(3), torch.tensor([1.0, 1.4, 1.7]))
        >>> ax = fan(ahead, past=[0.2, 0.1])
    """
    bounds = quantiles(ahead, LEVELS).numpy()  # (7, H)
    steps = np.arange(len(past) + bounds.shape[1]) + first_step
    before, after = np.split(steps, [len(past)])
    if ax is None:
        _, ax = figure(2.9)
    color, wide = QUANTITY_COLORS["forward"], _with_edges(after, bounds)
    ax.plot(before, np.asarray(past, dtype=float), color=INK, linewidth=1.2)
    for i, share in enumerate(("95%", "80%", "50%")):
        tint = [1 - (0.25 + 0.2 * i) * (1 - channel) for channel in channels(color)]
        ax.fill_between(wide[0], wide[1 + i], wide[-1 - i], color=tint, label=share)
    ax.plot(*wide[[0, 4]], color=color, linewidth=2, label="median")
    if future is not None:
        style = {"color": INK, "linewidth": 1.2, "marker": "o", "markersize": 3}
        ax.plot(after, np.asarray(future, dtype=float), label="observed", **style)
    ax.set_xlabel("step")
    ax.locator_params(axis="x", integer=True)
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 5}
    ax.legend(fontsize=10, frameon=False, **above)
    return ax


def shares(
    probs, state_labels: Sequence[str], first_step: int = 1, ax: Axes | None = None
) -> Axes:
    """Probabilities (T, K) as bands, one on the other: `Belief.forecast(T)` of the states.

    Of symbols: `belief.forecast(T) @ emission.probs`, with their names.

    Example:
        >>> ax = shares([[0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], ["Rainy", "Sunny"])
    """
    probs = np.asarray(probs)
    if ax is None:
        _, ax = figure(2.3)
    wide = _with_edges(np.arange(len(probs)) + first_step, probs.T)
    ax.stackplot(*wide[:1], wide[1:], colors=STATE_COLORS[: len(state_labels)])
    ax.set(xlabel="step", ylabel="probability", ylim=(0, 1), xlim=wide[0, [0, -1]])
    ax.locator_params(axis="x", integer=True)
    _state_legend(ax, state_labels)
    return ax


def diagnostics(residuals, num_lags: int = 30) -> np.ndarray:
    """Four looks at pseudo-residuals, which are standard normal if the model is right.

    Over time, with the lines that 95% stay within; their histogram beside the normal density;
    their quantiles against those of a normal, with the band in which each of them lies with
    95%; and their autocorrelation, with the 95% band of independent ones. Ordinary residuals
    depend on each other a little even in the right model: judge the last by those `ahead`.

    Args:
        residuals: from `hmmlib.learning.pseudo_residuals`, whose segments are drawn too; or
            (T,) or (N, T) numbers, NaN where missing.
        num_lags: at most so many, and a quarter of the steps.

    Returns:
        (2, 2) Axes.

    Raises:
        ValueError: for fewer than three residuals.

    Example:
        >>> axes = diagnostics(np.random.default_rng(0).normal(size=100))
    """
    rows = np.atleast_2d(np.asarray(getattr(residuals, "values", residuals), float))
    known = np.sort(rows[np.isfinite(rows)])
    if len(known) < 3:
        raise ValueError(f"residuals: got {len(known)} numbers, needs three or more")
    _, axes = figure(5.2, ncols=2, nrows=2)
    _over_time(axes[0, 0], residuals, rows)
    _histogram(axes[0, 1], known)
    _quantiles(axes[1, 0], known)
    _autocorrelation(axes[1, 1], rows, num_lags)
    return axes


def _over_time(ax: Axes, residuals, rows: np.ndarray) -> None:
    """Each residual at its step, one sequence after the other; a count as its segment."""
    style = {"color": QUANTITY_COLORS["forward"], "markersize": 2.5, "linewidth": 0.8}
    steps = np.arange(rows.size) + 1
    ends = [
        np.clip(np.asarray(getattr(residuals, name, rows), float).ravel(), -9, 9)
        for name in ("low", "high")
    ]
    if (ends[1] > ends[0]).any():
        ax.vlines(steps, *ends, color=STATE_COLORS[0], linewidth=0.8)
    ax.plot(steps, np.clip(rows.ravel(), -9, 9), "o", **style)
    ax.axhline(0, color=INK, linewidth=0.8)
    for bound in (-1.96, 1.96):
        ax.axhline(bound, color=GREY, linewidth=1, linestyle="--")
    most = max(3.2, 1.05 * np.nanmax(np.clip(np.abs(rows), 0, 9)))
    ax.set(xlabel="step", ylabel="residual", title="over time", ylim=(-most, most))


def _histogram(ax: Axes, known: np.ndarray) -> None:
    """The shares of the residuals, and the normal density."""
    most = max(3.5, min(9.0, np.abs(known).max()))
    grid = np.linspace(-most, most, 200)
    ax.hist(known, 25, range=(-most, most), density=True, color=STATE_COLORS[0])
    ax.plot(grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color=INK)
    ax.set(xlabel="residual", ylabel="density", title="against a normal density")


def _quantiles(ax: Axes, known: np.ndarray) -> None:
    """The sorted residuals over the quantiles of a normal, and where each of them belongs."""
    from scipy.special import betaincinv, ndtri  # takes a while to load

    rank = np.arange(len(known)) + 1.0
    across = ndtri((rank - 0.5) / len(known))
    low, high = (
        ndtri(betaincinv(rank, len(known) + 1 - rank, share))
        for share in (0.025, 0.975)
    )
    ax.fill_between(across, low, high, color="#DDDDDD", label="95% of each")
    ax.plot(across, across, color=INK, linewidth=1)
    ax.plot(across, known, "o", color=QUANTITY_COLORS["forward"], markersize=2.5)
    ax.set(xlabel="normal quantile", ylabel="residual", title="quantiles")


def _autocorrelation(ax: Axes, rows: np.ndarray, num_lags: int) -> None:
    """The correlation of residuals some steps apart, of the same sequence."""
    apart = rows - np.nanmean(rows[np.isfinite(rows)])
    apart[~np.isfinite(apart)] = np.nan
    spread, num = np.nanmean(apart**2), np.isfinite(apart).sum()
    lags = np.arange(1, min(num_lags, max(rows.shape[1] // 4, 1)) + 1)
    products = [apart[:, lag:] * apart[:, :-lag] for lag in lags]
    found = [np.nansum(x) / max(np.isfinite(x).sum(), 1) / spread for x in products]
    ax.axhspan(-1.96 / num**0.5, 1.96 / num**0.5, color="#DDDDDD")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.vlines(lags, 0, found, color=QUANTITY_COLORS["forward"], linewidth=2)
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="lag, steps", ylabel="correlation", title="autocorrelation")


def _with_edges(steps: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The steps, and rows beside them, with half a step more at both ends; (R + 1, H + 2)."""
    wide = np.pad(np.stack([steps.astype(float), *rows]), ((0, 0), (1, 1)), "edge")
    wide[0, [0, -1]] += -0.5, 0.5
    return wide


def _num_steps(rows: Mapping[str, Sequence[int]]) -> int:
    """The number of steps of all rows. Raises ValueError if there is not one number."""
    lengths = {name: len(states) for name, states in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"rows: got lengths {lengths}, needs one length, at least 1")
    return next(iter(lengths.values()))


def _states(name: str, states: Sequence[int], num_states: int) -> np.ndarray:
    """One row as an array of states that have labels and colours. Raises ValueError."""
    if num_states > len(STATE_COLORS):
        raise ValueError(
            f"state_labels: got {num_states}, needs at most {len(STATE_COLORS)}, the"
            " number of colours"
        )
    states = np.asarray(states)
    if states.ndim != 1 or states.min() < 0 or states.max() >= num_states:
        raise ValueError(
            f"rows[{name!r}]: got {states.tolist()}, needs states from 0 to"
            f" {num_states - 1}"
        )
    return states


def _lines(ax: Axes, days: np.ndarray, lines: Mapping[str, np.ndarray]) -> None:
    """Probabilities to compare with the bars; "filtered" has a colour of its own."""
    for (name, line), mark in zip(lines.items(), cycle("osD^"), strict=False):
        color = QUANTITY_COLORS["forward"] if name == "filtered" else INK
        style = {"marker": mark, "markersize": 5, "linewidth": 1.2}
        ax.plot(days, line, color=color, label=legible(name), **style)


def _truth(ax: Axes, days: np.ndarray, states: np.ndarray) -> None:
    """The true states as a strip above the bars."""
    for day, state in zip(days, states, strict=True):
        ax.bar(day, 0.07, bottom=1.08, width=0.94, color=STATE_COLORS[state])
    ax.text(days[0] - 0.65, 1.115, "truth", ha="right", va="center", fontsize=10)


def _state_legend(ax: Axes, state_labels: Sequence[str]) -> None:
    """The colours of the states, above the strips on the right."""
    colors = STATE_COLORS[: len(state_labels)]
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors]
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(state_labels)}
    labels = [legible(label) for label in state_labels]
    ax.legend(handles, labels, fontsize=10, frameon=False, **above)
