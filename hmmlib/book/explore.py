"""Figures that compute in the reader's browser: a sampler, a trellis, a signal, a meter, durations.

Each function returns an `Explorer`, which a notebook and the site show as a live figure
(plain JavaScript without a server or a network, `explore*.js`), and as a still picture where
scripts may not run (`pictures`). Used in chapters 1 to 4, 6, 7 and 9; `own_meter`, a module
of its own, in chapter 8.
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
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import pad

import hmmlib.book.pictures as pictures
from hmmlib.checks import as_probs
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.palette import STATE_COLORS, variables

SCRIPT = Path(__file__).with_suffix(".js")
FILES = {  # explore_*.js of each kind, after the one that all share
    "trellis": ("chains", "why", "report", "trellis"),
    "signal": ("chains", "signal"),
    "meter": ("chains", "meter"),
    "durations": ("durations",),
    "sampler": ("sampler",),
    "own_meter": ("split", "csv", "job", "own_split", "own_meter"),
}
QUESTIONS = ("forward", "backward", "smoothing", "viterbi")
MOST_STATES, MOST_STEPS, MOST_JOINT, LONGEST_STAY = 6, 200, 64, 12


@dataclass(frozen=True, eq=False)
class Explorer:
    """A figure that computes in the browser.

    kind   "sampler", "trellis", "signal", "meter", "durations" or "own_meter"
    words  what it shows, for readers who see neither figure nor picture
    model  the numbers and names that the figure starts with, as in JSON
    draw   draws the picture for pages on which scripts may not run
    """

    kind: str
    words: str
    model: dict
    draw: Callable[[], Figure]

    @cached_property
    def identity(self) -> str:
        """A name for links, the same for the same model."""
        content = json.dumps([self.kind, self.model], sort_keys=True)
        return "hmm-" + hashlib.sha256(content.encode()).hexdigest()[:8]

    def picture(self) -> bytes:
        """The picture, as PNG."""
        figure, png = self.draw(), io.BytesIO()
        figure.savefig(png, format="png", dpi=100)
        plt.close(figure)
        return png.getvalue()

    def _repr_html_(self) -> str:
        palette = {"light": variables(), "dark": variables(dark=True)}
        model = json.dumps(self.model | {"palette": palette}, ensure_ascii=False)
        picture = base64.b64encode(self.picture()).decode()
        return (
            f'<div class="hmm-explore" id="{self.identity}" data-kind="{self.kind}"'
            f' data-model="{html.escape(model)}">'
            f'<img alt="{html.escape(self.words)}" src="data:image/png;base64,{picture}">'
            f"</div>\n<script data-hmm-explore>{script(self.kind)}</script>"
        )

    def __repr__(self) -> str:
        return self.words


def script(*kinds: str) -> str:
    """What these kinds need, by default all, without indentation and comments."""
    parts = dict.fromkeys(part for kind in kinds or FILES for part in FILES[kind])
    files = [SCRIPT, *(SCRIPT.with_stem(f"explore_{part}") for part in parts)]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    lines = map(str.strip, text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def sampler(
    hmm: HMM,
    states: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
) -> Explorer:
    """Days drawn one by one, and how fast a chain of two states forgets the first of them.

    Two sliders set how probable it is that a state follows itself.

    Args:
        hmm: 2 states, and a table of symbol probabilities (2, V) as emission
        states: 2 names, by default numbers
        symbols: V names, by default numbers

    Raises:
        ValueError: if an argument is not as described, or names do not fit.
    """
    table = _table(hmm)
    if hmm.num_states != 2:
        raise ValueError(f"hmm: got {hmm.num_states} states, needs 2")
    states, symbols = (
        _state_names(hmm, states),
        _names("symbols", symbols, table.shape[-1]),
    )
    model = {"states": states, "symbols": symbols, **_tables(hmm)}
    words = f"Days sampled from a chain of the states {' and '.join(states)}"
    return Explorer("sampler", words, model, lambda: pictures.sampler(hmm, states))


def trellis(
    hmm: HMM,
    observations,
    states: Sequence[str] | None = None,
    symbols: Sequence[str] | None = None,
    question: str = "forward",
) -> Explorer:
    """The trellis of a chain that emits symbols: messages, posterior and best path.

    Readers can edit the tables and the observations on the page, and go through a question
    step by step; in smoothing, forward and backward messages meet on the chosen day. A panel
    splits the log-odds of the chosen state, against all others together, into four terms that
    add up: the chain alone, the words before the day, the day's word, and the words after.
    "Write it out" shows every step of the calculation, for at most 40 days, ready to print.
    A shared link restores all of that.

    Args:
        hmm: at most 6 states, and a table of symbol probabilities (K, V) as emission
        observations: (T,) integers, NaN for a missing one; T at most 200
        states: K names, by default numbers
        symbols: V names, by default numbers
        question: the first one shown: "forward", "backward", "smoothing" or "viterbi"

    Raises:
        ValueError: if an argument is not as described, or names do not fit.
    """
    table = _table(hmm)
    if question not in QUESTIONS:
        raise ValueError(f"question: got {question!r}, needs one of {QUESTIONS}")
    x = _series(hmm, observations)
    states = _state_names(hmm, states)
    symbols = _names("symbols", symbols, table.shape[-1])
    model = {
        "states": states,
        "symbols": symbols,
        **_tables(hmm),
        "x": [-1 if math.isnan(v) else int(v) for v in x],
        "question": question,
    }
    seen = ["?" if math.isnan(v) else symbols[int(v)] for v in x]
    words = f"Trellis of {len(x)} days with the states {', '.join(states)}"
    return Explorer(
        "trellis", words, model, lambda: pictures.trellis(hmm, x, states, seen)
    )


def signal(hmm: HMM, observations, states: Sequence[str] | None = None) -> Explorer:
    """Readings with Gaussian states: drag means and spreads, see path and likelihood change.

    Args:
        hmm: at most 6 states, and a `Normal` emission
        observations: (T,) numbers, NaN for a missing one; T at most 200
        states: K names, by default numbers

    Raises:
        ValueError: if an argument is not as described, or names do not fit.
    """
    x = _series(hmm, observations)
    readings = torch.tensor([v for v in x if not math.isnan(v)], dtype=torch.float64)
    if not len(readings):
        raise ValueError("observations: all are missing, needs a reading")
    means, spreads = _normal(hmm, readings)
    states = _state_names(hmm, states)
    model = {
        "states": states,
        "pi": hmm.initial_probs.tolist(),
        "A": hmm.transition_matrix.tolist(),
        "means": means.tolist(),
        "scales": spreads.tolist(),
        "x": [None if math.isnan(v) else v for v in x],
    }
    words = f"Signal of {len(x)} readings with the states {', '.join(states)}"
    return Explorer("signal", words, model, lambda: pictures.signal(hmm, x, states))


def meter(
    model: FactorialHMM, readings, names: Sequence[str] | None = None, step: int = 0
) -> Explorer:
    """Appliances behind one meter: look at one, and see how that explains the others away.

    Args:
        model: at most 64 joint states; `additive_gaussian` emission with one scale
        readings: (T,) watts, none missing; T at most 200
        names: M names, by default numbers
        step: the step that is shown first, from 0

    Raises:
        ValueError: if an argument is not as described, or names do not fit.
    """
    watts, scale = _additive(model)
    x = _series(model.flattened(), readings)
    if any(map(math.isnan, x)):
        raise ValueError("readings: got NaN, needs a reading at each step")
    if not 0 <= step < len(x):
        raise ValueError(f"step: got {step}, needs 0 to {len(x) - 1}")
    names = _names("names", names, len(watts))
    labels = [_switch(each) for each in watts]
    content = {
        "names": names,
        "labels": labels,
        "levels": watts,
        "pis": [probs.tolist() for probs in model.initial_probs],
        "As": [matrix.tolist() for matrix in model.transition_matrices],
        "scale": scale,
        "x": x,
        "step": int(step),
    }
    words = f"Meter of {len(x)} readings above {', '.join(names)}"
    return Explorer(
        "meter", words, content, lambda: pictures.meter(model, x, names, labels, step)
    )


def durations(table, states: Sequence[str] | None = None) -> Explorer:
    """Two states in turn: drag how long the first one lasts, and watch its runs lengthen.

    Beside the law stand the geometric one of the same mean, which is all that a plain chain
    can have, and samples of both.

    Args:
        table: (2, D), p(a stay lasts d steps) in column d - 1; rows sum to one; D at most 12.
            See `hmmlib.durations`.
        states: 2 names, by default numbers

    Raises:
        ValueError: if an argument is not as described, or names do not fit.
    """
    rows = as_probs("table", table, "(2, D)").double()
    size, longest = rows.shape
    if size != 2 or longest > LONGEST_STAY:
        found = tuple(rows.shape)
        raise ValueError(
            f"table: got shape {found}, needs (2, D) with D at most {LONGEST_STAY}"
        )
    states = _names("states", states, 2)
    rows = pad(rows, (0, LONGEST_STAY - longest))
    model = {"states": states, "table": rows[0].tolist(), "other": rows[1].tolist()}
    words = f"Durations of {states[0]}, which takes turns with {states[1]}"
    return Explorer("durations", words, model, lambda: pictures.durations(rows, states))


def _table(hmm: HMM) -> Tensor:
    """The symbol probabilities, (K, V). Raises ValueError for other emissions."""
    table = getattr(hmm.emission, "probs", torch.zeros(0))
    if table.ndim != 2 or hmm.emission.event_shape:
        found = type(hmm.emission).__name__
        raise ValueError(f"hmm: got a {found} emission, needs a table, Categorical")
    return table


def _tables(hmm: HMM) -> dict:
    """pi, A and B of a chain that emits symbols, as lists."""
    tables = hmm.initial_probs, hmm.transition_matrix, hmm.emission.probs
    return {
        name: table.tolist()
        for name, table in zip(("pi", "A", "B"), tables, strict=True)
    }


def _series(hmm: HMM, observations) -> list[float]:
    """One series of numbers that the model can read; NaN where missing."""
    log_likelihoods = hmm.potentials(observations).log_likelihoods
    num_steps = log_likelihoods.shape[-2]
    if log_likelihoods.ndim != 2 or num_steps > MOST_STEPS:
        found = tuple(log_likelihoods.shape[:-1])
        raise ValueError(
            f"observations: got shape {found}, needs (T,) with T at most {MOST_STEPS}"
        )
    return torch.as_tensor(observations, dtype=torch.float64).tolist()


def _normal(hmm: HMM, readings: Tensor) -> tuple[Tensor, Tensor]:
    """Means and spreads, (K,) each. Raises ValueError if the emission is not their Normal.

    The page computes normal densities of them, so the model must have the same.
    """
    absent = torch.full((hmm.num_states,), math.nan)
    means, spreads = (getattr(hmm.emission, name, absent) for name in ("loc", "scale"))
    densities = Normal(means, spreads, validate_args=False).log_prob(readings[:, None])
    of_model = hmm.potentials(readings).log_likelihoods.to(densities)
    if not torch.allclose(densities, of_model, rtol=1e-4, atol=1e-4):
        found = type(hmm.emission).__name__
        raise ValueError(f"hmm: got a {found} emission, needs a Normal")
    return means, spreads


def _additive(model: FactorialHMM) -> tuple[list[list[float]], float]:
    """The watts of each chain's states, and the scale. Raises ValueError for other models."""
    levels = getattr(model.emission, "chain_means", None)
    scale = getattr(model.emission, "scale", torch.zeros(0)).unique()
    if levels is None or len(scale) != 1:
        raise ValueError("model: needs an additive_gaussian emission with one scale")
    num_joint = math.prod(map(len, levels))
    if num_joint > MOST_JOINT or len(levels) > len(STATE_COLORS):
        raise ValueError(
            f"model: got {num_joint} joint states of {len(levels)} chains, needs at most"
            f" {MOST_JOINT} and {len(STATE_COLORS)}"
        )
    return [level.tolist() for level in levels], float(scale)


def _state_names(hmm: HMM, names: Sequence[str] | None) -> list[str]:
    """The names of at most MOST_STATES states."""
    size = hmm.num_states
    if size > MOST_STATES:
        raise ValueError(f"hmm: got {size} states, needs at most {MOST_STATES}")
    return _names("states", names, size)


def _names(argument: str, names: Sequence[str] | None, size: int) -> list[str]:
    """`size` names as strings; 1, 2, ... where none are given."""
    names = [str(name) for name in (range(1, size + 1) if names is None else names)]
    if len(names) != size or len(set(names)) != size:
        raise ValueError(f"{argument}: got {names}, needs {size} different names")
    return names


def _switch(watts: list[float]) -> list[str]:
    """The names of an appliance's states: off and on, or their watts."""
    if len(watts) == 2 and watts[0] == 0:
        return ["off", "on"]
    return [f"{w:g} W" for w in watts]
