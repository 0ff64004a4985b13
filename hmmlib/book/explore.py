"""Figures that compute in the reader's browser: a trellis, a signal, a meter.

Each function returns an `Explorer`, which a notebook and the site show as a live figure
(plain JavaScript, no server, no network; `explore.js`), and as a picture where scripts are
not allowed. Taught with in chapters 2, 3, 4, 6 and 7.
"""

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.distributions import Categorical, Normal

import hmmlib.plot as plot
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.inference import smooth_states, viterbi
from hmmlib.palette import QUANTITY_COLORS, STATE_COLORS, variables

SCRIPT = Path(__file__).with_suffix(".js")
QUESTIONS = ("forward", "backward", "smoothing", "viterbi")
MOST_STATES, MOST_STEPS, MOST_JOINT = 6, 200, 64


@dataclass(frozen=True, eq=False)
class Explorer:
    """A figure that computes in the browser.

    kind   "trellis", "signal" or "meter"
    words  says what it shows, to those who see neither figure nor picture
    model  what the figure starts with, as JSON has it
    draw   draws the picture that stands in where scripts are not allowed
    """

    kind: str
    words: str
    model: dict
    draw: Callable[[], Figure]

    @cached_property
    def identity(self) -> str:
        """A name for links, the same whenever the model is the same."""
        told = json.dumps([self.kind, self.model], sort_keys=True)
        return "hmm-" + hashlib.sha256(told.encode()).hexdigest()[:8]

    def picture(self) -> bytes:
        """The picture, as PNG."""
        figure, png = self.draw(), io.BytesIO()
        figure.savefig(png, format="png", dpi=100)
        plt.close(figure)
        return png.getvalue()

    def _repr_html_(self) -> str:
        model = json.dumps(self.model | {"palette": palette()}, ensure_ascii=False)
        picture = base64.b64encode(self.picture()).decode()
        return (
            f'<div class="hmm-explore" id="{self.identity}" data-kind="{self.kind}"'
            f' data-model="{html.escape(model)}">'
            f'<img alt="{html.escape(self.words)}" src="data:image/png;base64,{picture}">'
            f"</div>\n<script data-hmm-explore>{script()}</script>"
        )

    def __repr__(self) -> str:
        return self.words


def script() -> str:
    """`explore.js` without its indents and comments, as a page carries it."""
    lines = map(str.strip, SCRIPT.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def palette() -> dict[str, dict[str, str]]:
    """The colours of the book for light pages and for dark ones, by CSS variable."""
    return {"light": variables(), "dark": variables(dark=True)}


def trellis(
    hmm: HMM,
    observations,
    states: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    question: str = "forward",
) -> Explorer:
    """The trellis of a chain with symbols: messages, posterior and best path, live.

    observations  (T,) integers, NaN for a missing one; at most 200
    states        K names, symbols V names; numbers stand in
    question      what is asked first: "forward", "backward", "smoothing", "viterbi"

    Tables and observations are changed on the page. Raises ValueError for another emission
    than a table, more than 6 states, and names that do not fit.
    """
    if type(hmm.emission) is not Categorical:
        found = type(hmm.emission).__name__
        raise ValueError(f"hmm: got a {found} emission, needs a table, Categorical")
    if question not in QUESTIONS:
        raise ValueError(f"question: got {question!r}, needs one of {QUESTIONS}")
    x = _series(hmm, observations)
    states = _names("states", states, _few_states(hmm))
    symbols = _names("symbols", symbols, hmm.emission.probs.shape[-1])
    model = {
        "states": states,
        "symbols": symbols,
        "pi": hmm.initial_probs.tolist(),
        "A": hmm.transition_matrix.tolist(),
        "B": hmm.emission.probs.tolist(),
        "x": [-1 if math.isnan(v) else int(v) for v in x],
        "question": question,
    }
    words = ["?" if math.isnan(v) else symbols[int(v)] for v in x]
    told = f"Trellis of {len(x)} days with the states {', '.join(states)}"
    return Explorer(
        "trellis", told, model, lambda: _trellis_picture(hmm, x, states, words)
    )


def signal(hmm: HMM, observations, states: Sequence[str] | None = None) -> Explorer:
    """Readings with Gaussian states: drag means and spreads, see path and likelihood change.

    observations  (T,) numbers, NaN for a missing one; at most 200
    states        K names; numbers stand in

    Raises ValueError for another emission than `Normal`, more than 6 states, and names that
    do not fit.
    """
    if type(hmm.emission) is not Normal:
        found = type(hmm.emission).__name__
        raise ValueError(f"hmm: got a {found} emission, needs a Normal")
    x = _series(hmm, observations)
    if all(map(math.isnan, x)):
        raise ValueError("observations: all are missing, needs a reading")
    states = _names("states", states, _few_states(hmm))
    model = {
        "states": states,
        "pi": hmm.initial_probs.tolist(),
        "A": hmm.transition_matrix.tolist(),
        "means": hmm.emission.loc.tolist(),
        "scales": hmm.emission.scale.tolist(),
        "x": [None if math.isnan(v) else v for v in x],
    }
    told = f"Signal of {len(x)} readings with the states {', '.join(states)}"
    return Explorer("signal", told, model, lambda: _signal_picture(hmm, x, states))


def meter(
    model: FactorialHMM,
    readings,
    names: Sequence[str] | None = None,
    step: int = 0,
) -> Explorer:
    """Appliances behind one meter: look at one of them, and see the others explained away.

    readings  (T,) watts, none missing; at most 200
    names     M names; numbers stand in
    step      the step that is shown first, from 0

    Raises ValueError for an emission that is not `additive_gaussian` with one scale, more
    than 64 joint states, and names or a step that do not fit.
    """
    levels = getattr(model.emission, "chain_means", None)
    scale = getattr(model.emission, "scale", torch.zeros(0)).unique()
    if levels is None or len(scale) != 1:
        raise ValueError("model: needs an additive_gaussian emission with one scale")
    if math.prod(map(len, levels)) > MOST_JOINT or len(levels) > len(STATE_COLORS):
        raise ValueError(
            f"model: got {math.prod(map(len, levels))} joint states of {len(levels)}"
            f" chains, needs at most {MOST_JOINT} and {len(STATE_COLORS)}"
        )
    x = _series(model.flattened(), readings)
    if any(map(math.isnan, x)):
        raise ValueError("readings: got NaN, needs a reading at each step")
    if not 0 <= step < len(x):
        raise ValueError(f"step: got {step}, needs 0 to {len(x) - 1}")
    names = _names("names", names, len(levels))
    labels = [
        ["off", "on"]
        if len(watts) == 2 and watts[0] == 0
        else [f"{w:g} W" for w in watts]
        for watts in (level.tolist() for level in levels)
    ]
    told = {
        "names": names,
        "labels": labels,
        "levels": [level.tolist() for level in levels],
        "pis": [probs.tolist() for probs in model.initial_probs],
        "As": [matrix.tolist() for matrix in model.transition_matrices],
        "scale": float(scale),
        "x": x,
        "step": int(step),
    }
    words = f"Meter of {len(x)} readings above {', '.join(names)}"
    return Explorer(
        "meter", words, told, lambda: _meter_picture(model, x, names, labels, step)
    )


def _series(hmm: HMM, observations) -> list[float]:
    """One series of numbers, looked at by the model; NaN where missing."""
    log_likelihoods = hmm.potentials(observations).log_likelihoods
    num_steps = log_likelihoods.shape[-2]
    if log_likelihoods.ndim != 2 or num_steps > MOST_STEPS:
        found = tuple(log_likelihoods.shape[:-1])
        raise ValueError(
            f"observations: got shape {found}, needs (T,) with T at most {MOST_STEPS}"
        )
    return torch.as_tensor(observations, dtype=torch.float64).tolist()


def _few_states(hmm: HMM) -> int:
    if hmm.num_states > MOST_STATES:
        raise ValueError(
            f"hmm: got {hmm.num_states} states, needs at most {MOST_STATES}"
        )
    return hmm.num_states


def _names(argument: str, names: Sequence[str] | None, size: int) -> list[str]:
    """`size` names as strings; 1, 2, ... where none are given."""
    names = [str(name) for name in (range(1, size + 1) if names is None else names)]
    if len(names) != size or len(set(names)) != size:
        raise ValueError(f"{argument}: got {names}, needs {size} different names")
    return names


def _in_ink(names: Sequence[str]) -> list[str]:
    """Names for a picture: not too long, and no mathematics."""
    return [name[:20].replace("$", r"\$") for name in names]


def _trellis_picture(hmm: HMM, x, states: list[str], words: list[str]) -> Figure:
    """Circles filled by their posterior probability, and the best path through them."""
    states, words = _in_ink(states), _in_ink(words)
    potentials = hmm.potentials(x)
    best, num_steps = viterbi(potentials), len(x)
    probs = smooth_states(potentials).smoothed_probs.nan_to_num().numpy()
    figure, ax = plot.figure(0.9 + 0.6 * len(states), max(4.0, 0.55 * num_steps + 1.2))
    days = np.arange(1, num_steps + 1)
    for k in range(len(states)):
        ax.scatter(days, [-k] * num_steps, s=420, c="white", edgecolors=STATE_COLORS[k])
        ax.scatter(
            days, [-k] * num_steps, s=420 * probs[:, k], c=STATE_COLORS[k], linewidths=0
        )
    if best.log_joint > -math.inf:
        ax.plot(
            days, -best.states.numpy(), color=QUANTITY_COLORS["best"], linewidth=2.5
        )
    ax.set_xticks(days, [f"{t}\n{word}" for t, word in zip(days, words, strict=True)])
    ax.set_yticks([-k for k in range(len(states))], states)
    ax.set(xlim=(0.4, num_steps + 0.6), ylim=(0.5 - len(states), 0.5))
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return figure


def _signal_picture(hmm: HMM, x, states: list[str]) -> Figure:
    """The readings, coloured by the best path, and the curve of each state beside them."""
    path = viterbi(hmm.potentials(x)).states.tolist()
    figure, (ax, side) = plot.figure(2.8, ncols=2, sharey=True, width_ratios=(2.6, 1))
    ax.scatter(range(len(x)), x, s=14, c=[STATE_COLORS[k] for k in path])
    ax.step(
        range(len(x)),
        hmm.emission.loc[path].numpy(),
        where="mid",
        color="black",
        linewidth=1,
    )
    ax.set(xlabel="step", ylabel="reading")
    grid = torch.linspace(*ax.get_ylim(), 200, dtype=hmm.emission.loc.dtype)
    curves = hmm.emission.log_prob(grid[:, None]).exp().T.numpy()
    for name, curve, color in zip(_in_ink(states), curves, STATE_COLORS, strict=False):
        side.fill_betweenx(grid.numpy(), curve, color=color, alpha=0.7, label=name)
    side.set(xlabel="density", xticks=[])
    side.legend(fontsize=10)
    return figure


def _meter_picture(
    model, x, names: list[str], labels: list[list[str]], step: int
) -> Figure:
    """Bars of the posterior probability of every joint state at one step."""
    flat = model.flattened()
    probs = smooth_states(flat.potentials(x)).smoothed_probs[step].numpy()
    combined = np.stack(np.unravel_index(np.arange(len(probs)), model.sizes), axis=1)
    rows = [
        ", ".join(
            f"{name} {label[k]}"
            for name, label, k in zip(_in_ink(names), labels, row, strict=True)
        )
        for row in combined
    ]
    figure, ax = plot.figure(0.9 + 0.28 * len(rows))
    ax.barh(rows, probs, color=QUANTITY_COLORS["smoothed"])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel=f"probability at step {step + 1}, reading {x[step]:g} W")
    return figure
