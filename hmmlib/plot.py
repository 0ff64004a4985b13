"""Figures of sequences and posteriors. A colour is a state, through the whole book."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from hmmlib.palette import GREY, INK, QUANTITY_COLORS, STATE_COLORS, legible

STYLE = {
    "figure.dpi": 144,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def figure(height: float = 2.6, width: float = 7.0, **subplots) -> tuple[Figure, Axes]:
    """A figure and its axes in the book's style; sizes in inches.

    Further arguments go to `plt.subplots`.
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
    """One coloured strip for each named row of T states, to compare them day by day.

    `rows` maps a name to (T,) integer states; `text`, T words, is written on the first
    strip. Steps count from `first_step`. Raises ValueError for rows of different
    lengths, or a state without a label.
    """
    grid = np.stack(
        [
            _states(name, states, len(state_labels))
            for name, states in _same_length(rows).items()
        ]
    )
    num_rows, num_steps = grid.shape
    if text is not None and len(text) != num_steps:
        raise ValueError(
            f"text: got {len(text)} words, needs {num_steps}, one for each step"
        )
    if ax is None:
        _, ax = figure(0.85 + 0.42 * num_rows)
    palette = ListedColormap(list(STATE_COLORS[: len(state_labels)]))
    x_edges = np.arange(num_steps + 1) + first_step - 0.5
    ax.pcolormesh(
        x_edges, np.arange(num_rows + 1) - 0.5, grid, cmap=palette,
        vmin=-0.5, vmax=len(state_labels) - 0.5, edgecolors="white", linewidth=1.5,
    )  # fmt: skip
    for t, word in enumerate(() if text is None else text):
        ax.text(
            t + first_step,
            0,
            legible(word),
            ha="center",
            va="center",
            fontsize=9.5,
            color=INK,
        )
    ax.set_yticks(range(num_rows), map(legible, rows))
    ax.set_ylim(num_rows - 0.5, -0.5)
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
    """Bars of the probability of one state on each day, and what to compare them with.

    `probs` is (T, K), called `name` in the legend; `others` maps a name to (T, K)
    probabilities drawn as lines; `truth` holds (T,) integer states.
    """
    probs = np.asarray(probs)
    days = np.arange(len(probs)) + first_step
    if ax is None:
        _, ax = figure(2.9)
    ax.bar(
        days,
        probs[:, state],
        color=STATE_COLORS[state],
        width=0.8,
        label=legible(name),
    )
    for (name, lines), mark in zip((others or {}).items(), "osD^", strict=False):
        ax.plot(
            days,
            np.asarray(lines)[:, state],
            color=QUANTITY_COLORS["forward"] if name == "filtered" else INK,
            marker=mark,
            markersize=5,
            linewidth=1.2,
            label=legible(name),
        )
    ax.axhline(0.5, color=GREY, linewidth=1, linestyle=":")
    if truth is not None:
        for day, true_state in zip(days, np.asarray(truth), strict=True):
            ax.bar(day, 0.07, bottom=1.08, width=0.94, color=STATE_COLORS[true_state])
        ax.text(days[0] - 0.65, 1.115, "truth", ha="right", va="center", fontsize=10)
    ax.set_xticks(days)
    ax.set_yticks([0, 0.5, 1])
    ax.set_xlim(days[0] - 0.6, days[-1] + 0.6)
    ax.set_xlabel("day")
    ax.set_ylabel(legible(f"P({state_labels[state]})"))
    if others:
        ax.legend(
            ncols=4,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.22),
            fontsize=10,
            frameon=False,
        )
    return ax


def _same_length(rows: Mapping[str, Sequence[int]]) -> Mapping[str, Sequence[int]]:
    lengths = {name: len(states) for name, states in rows.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"rows: got lengths {lengths}, needs one length, at least 1")
    return rows


def _states(name: str, states: Sequence[int], num_states: int) -> np.ndarray:
    if num_states > len(STATE_COLORS):
        raise ValueError(
            f"state_labels: got {num_states}, needs at most {len(STATE_COLORS)} colours"
        )
    states = np.asarray(states)
    if states.ndim != 1 or states.min() < 0 or states.max() >= num_states:
        raise ValueError(
            f"rows[{name!r}]: needs states from 0 to {num_states - 1}, got {states.tolist()}"
        )
    return states


def _state_legend(ax: Axes, state_labels: Sequence[str]) -> None:
    handles = [
        plt.Rectangle((0, 0), 1, 1, color=color)
        for color in STATE_COLORS[: len(state_labels)]
    ]
    ax.legend(
        handles,
        [legible(each) for each in state_labels],
        ncols=len(state_labels),
        loc="lower right",
        bbox_to_anchor=(1, 1),
        fontsize=10,
        frameon=False,
    )
