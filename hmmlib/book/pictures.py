"""Still pictures of the explorers, for pages on which scripts may not run."""

import math
from collections.abc import Sequence

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

import hmmlib.plot as plot
from hmmlib.durations import HSMM
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.inference import smooth_states, viterbi
from hmmlib.nilm.house import House
from hmmlib.nilm.splitting import disaggregate, posterior_mean
from hmmlib.palette import QUANTITY_COLORS, STATE_COLORS


def sampler(hmm: HMM, states: Sequence[str], num_days: int = 15) -> Figure:
    """The probability of the first state on each day, from three distributions of day 1."""
    figure, ax = plot.figure(2.6)
    days = np.arange(1, num_days + 1)
    powers = [
        torch.linalg.matrix_power(hmm.transition_matrix, int(d) - 1) for d in days
    ]
    for first, style in (([1, 0], "o-"), (hmm.initial_probs, "s-"), ([0, 1], "^-")):
        first = torch.as_tensor(first, dtype=hmm.transition_matrix.dtype)
        probs = [(first @ power)[0].item() for power in powers]
        ax.plot(days, probs, style, color="black", markersize=4, linewidth=1)
    name = _labels(states)[0]
    ax.set(xlabel="day", ylabel=f"P({name})", ylim=(-0.05, 1.05), xticks=days)
    return figure


def trellis(
    hmm: HMM, x: list[float], states: Sequence[str], words: Sequence[str]
) -> Figure:
    """Circles filled by their posterior probability, and the best path through them."""
    states, words = _labels(states), _labels(words)
    potentials = hmm.potentials(x)
    best, num_steps = viterbi(potentials), len(x)
    possible = best.log_joint > -math.inf
    probs = np.zeros((num_steps, len(states)))  # impossible words have no posterior
    if possible:
        probs = smooth_states(potentials).smoothed_probs.numpy()
    figure, ax = plot.figure(0.9 + 0.6 * len(states), max(4.0, 0.55 * num_steps + 1.2))
    days = np.arange(1, num_steps + 1)
    for k, color in enumerate(STATE_COLORS[: len(states)]):
        rows = [-k] * num_steps
        ax.scatter(days, rows, s=420, c="white", edgecolors=color)
        ax.scatter(days, rows, s=420 * probs[:, k], c=color, linewidths=0)
    if possible:
        line = {"color": QUANTITY_COLORS["best"], "linewidth": 2.5}
        ax.plot(days, -best.states.numpy(), **line)
    ax.set_xticks(days, [f"{t}\n{word}" for t, word in zip(days, words, strict=True)])
    ax.set_yticks([-k for k in range(len(states))], states)
    ax.set(xlim=(0.4, num_steps + 0.6), ylim=(0.5 - len(states), 0.5))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def signal(hmm: HMM, x: list[float], states: Sequence[str]) -> Figure:
    """The readings, coloured by the best path, and the density of each state beside them."""
    path = viterbi(hmm.potentials(x)).states.tolist()
    means = hmm.emission.loc
    figure, (ax, side) = plot.figure(2.8, ncols=2, sharey=True, width_ratios=(2.6, 1))
    steps = range(len(x))
    ax.scatter(steps, x, s=14, c=[STATE_COLORS[k] for k in path])
    ax.step(steps, means[path].numpy(), where="mid", color="black", linewidth=1)
    ax.set(xlabel="step", ylabel="reading")
    grid = torch.linspace(*ax.get_ylim(), 200, dtype=means.dtype)
    densities = hmm.emission.log_prob(grid[:, None]).exp().T.numpy()
    for name, density, color in zip(
        _labels(states), densities, STATE_COLORS, strict=False
    ):
        side.fill_betweenx(grid.numpy(), density, color=color, alpha=0.7, label=name)
    side.set(xlabel="density", xticks=[])
    side.legend(fontsize=10)
    return figure


def meter(
    model: FactorialHMM,
    x: list[float],
    names: Sequence[str],
    labels: Sequence[Sequence[str]],
    step: int,
) -> Figure:
    """Bars of the posterior probability of every joint state at one step."""
    flat = model.flattened()
    probs = smooth_states(flat.potentials(x)).smoothed_probs[step].numpy()
    joint_states = np.stack(np.unravel_index(range(len(probs)), model.sizes), axis=1)
    rows = [
        ", ".join(
            f"{name} {label[k]}"
            for name, label, k in zip(_labels(names), labels, joint, strict=True)
        )
        for joint in joint_states
    ]
    figure, ax = plot.figure(0.9 + 0.28 * len(rows))
    ax.barh(rows, probs, color=QUANTITY_COLORS["smoothed"])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel=f"probability at step {step + 1}, reading {x[step]:g} W")
    return figure


def durations(table: Tensor, states: Sequence[str]) -> Figure:
    """The law of the first state beside the geometric one of its mean; a sample of each."""
    steps = torch.arange(1, table.shape[1] + 1)
    leave = 1 / (table @ steps.to(table))
    geometric = leave[0] * (1 - leave[0]) ** (steps - 1)
    turns, emission = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.eye(2)
    law = HSMM(turns[1], turns, emission, table)
    plain = HMM(turns[1], torch.diag(1 - leave) + leave[:, None] * turns, emission)
    figure, (ax, below) = plot.figure(4.0, nrows=2, height_ratios=(2.4, 1))
    about = {"label": "geometric, the same mean", "fc": "none", "ec": "black"}
    at, first = steps.numpy(), {"label": _labels(states)[0], "color": STATE_COLORS[0]}
    ax.bar(at - 0.15, table[0].numpy(), 0.5, **first)
    ax.bar(at + 0.27, geometric.numpy(), 0.24, **about)
    ax.set(xlabel="steps that a stay lasts", ylabel="probability", xticks=at)
    ax.legend(fontsize=10)
    runs = {"law": law.sample(60, 1).states, "geometric": plain.sample(60, 1).states}
    plot.strips(runs, _labels(states), ax=below).collections[0].set_edgecolor("face")
    below.set(xticks=range(10, 61, 10), xlabel="step")
    return figure


def split(house: House, power: pd.Series) -> Figure:
    """The expected watts of each appliance on top of each other, and the meter as a line."""
    watts = disaggregate(house, power, how=posterior_mean)
    rest, *appliances = watts.columns[::-1]
    names = [rest, *appliances[::-1]]
    colors = [STATE_COLORS[-1], *STATE_COLORS]
    figure, ax = plot.figure(2.8)
    areas = {"labels": _labels(names), "colors": colors[: len(names)], "step": "post"}
    ax.stackplot(watts.index, watts[names].T.to_numpy(), **areas)
    ax.step(power.index, power, where="post", color="black", linewidth=0.6)
    ax.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M"))
    ax.set(ylabel="watts", xlim=(power.index[0], power.index[-1]))
    ax.legend(fontsize=10, ncols=len(names), loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def _labels(names: Sequence[str]) -> list[str]:
    """Names cut to 20 characters, without matplotlib's mathematics."""
    return [name[:20].replace("$", r"\$") for name in names]
