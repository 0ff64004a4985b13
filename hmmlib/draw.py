"""Graphical models as pictures: white nodes are hidden, grey observed, black dots parameters.

Every function draws on `ax`, or on a new figure, and returns the Axes. A label may hold
mathematics between dollar signs. Positions are computed here; networkx draws.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import offset_copy

from hmmlib.palette import legible

HIDDEN, OBSERVED, INK = "white", "#c8c8c8", "black"
NODE_SIZE, STATE_SIZE = 1500, 2600  # areas in square points, as networkx takes them
RADIUS, BENT = 1.5, "arc3,rad=0.25"  # the circle of states, and the arrows between them


def unrolled(
    hidden: Sequence[str], observed: Sequence[str | None], ax: Axes | None = None
) -> Axes:
    """The chain step by step: T hidden nodes in a row, an observed node under each.

    Args:
        hidden: T labels, such as `["$z_1$", "$z_2$"]`.
        observed: T labels, such as `["walk", "shop"]`; None leaves out the node.

    Raises:
        ValueError: if the numbers of labels differ, or are 0.

    Example:
        >>> ax = unrolled(["$z_1$", "$z_2$", "$z_3$"], ["walk", None, "clean"])
    """
    rows = {"hidden": hidden, "observed": observed}
    arrows = ("hidden", "hidden", 1), ("hidden", "observed", 0)
    return graphical_model(rows, arrows, {"observed"}, ax)


def graphical_model(
    rows: dict[str, Sequence[str | None]],
    arrows: Sequence[tuple[str, str, int]],
    observed: Collection[str | tuple[str, int]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Any model step by step: for each variable a row of T nodes, and the arrows between.

    Args:
        rows: T labels of each variable, from the top down; None leaves out the node.
        arrows: (from, to, lag): at each step, to the node that is `lag` steps later.
        observed: variables, or single nodes such as ("z", 0).

    Raises:
        ValueError: if the numbers of labels differ, or are 0, or an arrow has no row.

    Example:
        >>> rows = {"u": ["cold", "warm"], "z": ["$z_1$", "$z_2$"]}
        >>> ax = graphical_model(rows, [("z", "z", 1), ("u", "z", 1)], observed={"u"})
    """
    lengths, graph = {name: len(labels) for name, labels in rows.items()}, nx.DiGraph()
    if len({*lengths.values()}) != 1 or 0 in lengths.values():
        raise ValueError(f"rows: got lengths {lengths}, needs one, and at least 1")
    for row, (name, labels) in enumerate(rows.items()):
        for t, label in enumerate(labels):
            color = HIDDEN if {name, (name, t)}.isdisjoint(observed) else OBSERVED
            if label is not None:
                _place(graph, (name, t), label, (t, -row), color)
    for start, end, lag in arrows:
        if not {start, end} <= rows.keys():
            raise ValueError(f"arrows: got {start} to {end}, needs rows, {[*rows]}")
        pairs = [((start, t), (end, t + lag)) for t in range(lengths[start])]
        graph.add_edges_from(pair for pair in pairs if graph.nodes >= {*pair})
    ax = _canvas(ax, 1.15 * lengths[name], 0.7 + 0.8 * len(rows))
    _render(graph, ax)
    return ax


def factorial(
    chains: Sequence[Sequence[str]], observed: Sequence[str], ax: Axes | None = None
) -> Axes:
    """M hidden chains in rows, and below them the observations that depend on them all.

    Args:
        chains: M lists of T labels.
        observed: T labels.

    Raises:
        ValueError: if the numbers of labels differ, or are 0.

    Example:
        >>> ax = factorial([["$a_1$", "$a_2$"], ["$b_1$", "$b_2$"]], ["$x_1$", "$x_2$"])
    """
    if not chains or not observed or {len(c) for c in chains} != {len(observed)}:
        found = [len(chain) for chain in chains]
        raise ValueError(
            f"chains: got {found} labels, needs {len(observed)}, one for each observation"
        )
    num_chains, num_steps = len(chains), len(observed)
    # each row is shifted to the right, so that no arrow crosses a node
    shift = 0.2 * num_chains
    slant = shift * (num_chains - 1)  # from the first row to the last
    apart = max(1.0, 0.85 * slant)
    graph = nx.DiGraph()
    for t in range(num_steps):
        for m, chain in enumerate(chains):
            _place(graph, (m, t), chain[t], (t * apart + shift * m, -0.75 * m))
            if t:
                graph.add_edge((m, t - 1), (m, t))
        low = (t * apart + slant / 2, -0.75 * num_chains - 0.15)
        _place(graph, ("x", t), observed[t], low, OBSERVED)
        graph.add_edges_from(((m, t), ("x", t)) for m in range(num_chains))
    wider = max((apart * (num_steps - 1) + slant) / (num_steps - 0.6), 0.7)
    ax = _canvas(ax, min(1.5 * num_steps * wider, 7.0), 0.8 * num_chains + 1.7)
    _render(graph, ax, node_size=1100)
    return ax


def state_diagram(
    transition_matrix,
    labels: Sequence[str],
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The states, and an arrow with its probability for each possible move.

    Two states stand side by side, more on a circle.

    Args:
        transition_matrix: (K, K); row: the state left, column: the state entered.
        labels: K names of states.
        colors: K colours or more, white without them.

    Raises:
        ValueError: if the matrix does not have a row and a column for each label.

    Example:
        >>> ax = state_diagram([[0.7, 0.3], [0.4, 0.6]], ["Rainy", "Sunny"])
    """
    matrix = np.asarray(transition_matrix)
    num_states = len(labels)
    if matrix.shape != (num_states, num_states):
        needs = f"({num_states}, {num_states}), a row and a column for each label"
        raise ValueError(f"transition_matrix: got shape {matrix.shape}, needs {needs}")
    colors = colors or [HIDDEN] * num_states
    angles = np.pi - 2 * np.pi * np.arange(num_states) / num_states
    outward = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # (K, 2)
    graph = nx.DiGraph()
    for k in range(num_states):
        _place(graph, k, labels[k], tuple(RADIUS * outward[k]), colors[k])
    moves = np.argwhere(matrix > 0).tolist()
    graph.add_edges_from((i, j) for i, j in moves if i != j)
    ax = _canvas(ax, 5.4, 1.6 if num_states <= 2 else 4.6)
    _render(graph, ax, node_size=STATE_SIZE, connectionstyle=BENT)
    _edge_labels(graph, {(i, j): f"{matrix[i, j]:.2g}" for i, j in graph.edges}, ax)
    for k in range(num_states):
        if matrix[k, k] > 0:
            _loop(outward[k], f"{matrix[k, k]:.2g}", ax)
    return ax


def trellis(
    states: Sequence[str],
    steps: Sequence[str],
    values=None,
    path: Sequence[int] | None = None,
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Every path through K states in T steps: a row for a state, a column for a step.

    Args:
        states: K labels on the left.
        steps: T labels below, such as what was observed.
        values: (T, K) numbers inside the nodes.
        path: T states, drawn bold.
        colors: K colours or more, white without them.

    Raises:
        ValueError: if the sizes disagree, or `path` has a state that does not exist.

    Example:
        >>> ax = trellis(["Rainy", "Sunny"], ["walk", "shop", "clean"], path=[1, 0, 0])
    """
    num_steps, num_states = len(steps), len(states)
    if values is not None and np.shape(values) != (num_steps, num_states):
        needs = f"({num_steps}, {num_states})"
        raise ValueError(f"values: got shape {np.shape(values)}, needs {needs}")
    path = [] if path is None else _as_path(path, num_steps, num_states)
    colors = (colors or [HIDDEN] * num_states)[:num_states]
    graph = _every_path(num_steps, colors, values)
    bold = set(pairwise(enumerate(path)))
    widths = [3.5 if edge in bold else 1.0 for edge in graph.edges]
    ax = _canvas(ax, 1.2 + 1.3 * num_steps, 0.4 + 0.95 * num_states)
    _render(graph, ax, width=widths, font_size=10)
    for k, label in enumerate(states):
        _write(label, (-0.32, -0.8 * k), ax, fontsize=12, ha="right")
    for t, label in enumerate(steps):
        _write(label, (t, -0.8 * num_states + 0.2), ax, fontsize=11)
    ax.set(xlim=(-0.75, num_steps - 0.6), ylim=(-0.8 * num_states, 0.42))
    return ax


def plate(
    hidden: Sequence[str] = ("$z_1$", "$z_2$", "$z_T$"),
    observed: Sequence[str] = ("$x_1$", "$x_2$", "$x_T$"),
    parameters: tuple[str, str, str] = (r"$\pi$", "$A$", "$B$"),
    plate_label: str = "$n = 1, …, N$",
    ax: Axes | None = None,
) -> Axes:
    """The model in plate notation: the box stands for N independent sequences.

    Args:
        hidden: labels of the first two hidden nodes and the last.
        observed: labels of the observed nodes below them.
        parameters: labels of the start, the transition and the emission, outside the box
            because all sequences share them.
        plate_label: what the box repeats.

    Example:
        >>> ax = plate(plate_label="$n = 1, …, 100$")
    """
    graph = nx.DiGraph()
    columns = (0, 1, 2.4)  # with dots between the second and the last
    for t, column in enumerate(columns):
        _place(graph, ("z", t), hidden[t], (column, 0))
        _place(graph, ("x", t), observed[t], (column, -1), OBSERVED)
        graph.add_edge(("z", t), ("x", t))
        if t:
            graph.add_edge(("z", t - 1), ("z", t))
    places = [(-1, 0), (1.35, 0.95), (0.5, -2.05)]
    reached = [[("z", 0)], [("z", 1), ("z", 2)], [("x", t) for t in range(3)]]
    for m, place in enumerate(places):
        _place(graph, m, "", place, INK)
        graph.add_edges_from((m, node) for node in reached[m])
    ax = _canvas(ax, 5.0, 3.9)
    box = {"boxstyle": "round,pad=0,rounding_size=0.08", "fill": False}
    ax.add_patch(FancyBboxPatch((-0.5, -1.65), 3.4, 2.15, edgecolor=INK, **box))
    _write(plate_label, (2.85, -1.6), ax, fontsize=11, ha="right", va="bottom")
    sizes = [60 if node in range(3) else NODE_SIZE for node in graph]
    _render(graph, ax, node_size=sizes)
    dots = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    _write("…", (1.65, 0), ax, fontsize=13, bbox=dots)
    for label, (x, y) in zip(parameters, places, strict=True):
        _write(label, (x - 0.12, y), ax, fontsize=13, ha="right")
    return ax


def _as_path(path, num_steps: int, num_states: int) -> list[int]:
    """`path` as T states of `range(num_states)`. Raises ValueError."""
    path = np.asarray(path).tolist()
    if len(path) != num_steps or not set(path) <= set(range(num_states)):
        needs = f"{num_steps} states from 0 to {num_states - 1}"
        raise ValueError(f"path: got {path}, needs {needs}")
    return path


def _every_path(num_steps: int, colors: Sequence[str], values) -> nx.DiGraph:
    """The graph of a trellis: nodes (t, k) with their values, and every move."""
    graph, states = nx.DiGraph(), range(len(colors))
    for t in range(num_steps):
        for k in states:
            label = "" if values is None else _short(values[t][k])
            _place(graph, (t, k), label, (t, -0.8 * k), colors[k])
    for t in range(1, num_steps):
        graph.add_edges_from(((t - 1, i), (t, j)) for i in states for j in states)
    return graph


def _short(number: float) -> str:
    """The number with three digits if they fit into a node, else with two."""
    text = f"{number:.3g}"
    return text if len(text) <= 6 else f"{number:.2g}"


def _loop(outward: np.ndarray, label: str, ax: Axes) -> None:
    """An arrow from a state to itself, on the outer side of the circle of states."""
    place, radius = tuple(RADIUS * outward), np.sqrt(STATE_SIZE) / 2  # in points
    along = np.array([-outward[1], outward[0]])
    head, tail = (
        offset_copy(ax.transData, ax.figure, *(radius * point), units="points")
        for point in (0.9 * outward + 0.45 * along, 0.9 * outward - 0.45 * along)
    )
    arrow = {
        "arrowstyle": "-|>,head_width=0.3,head_length=0.6",
        "connectionstyle": "arc3,rad=1.7",
        "color": INK,
        "lw": 1.2,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate(
        "", place, place, xycoords=head, textcoords=tail, arrowprops=arrow,
        annotation_clip=False,
    )  # fmt: skip
    side = ("right", "center", "left")[1 + round(outward[0])]
    ax.annotate(
        legible(label), place, (1.75 * radius + 2) * outward,
        textcoords="offset points", ha=side, va="center", fontsize=11,
    )  # fmt: skip


def _edge_labels(graph: nx.DiGraph, labels: dict, ax: Axes) -> None:
    """Write a label on each bent arrow of a state diagram."""
    nx.draw_networkx_edge_labels(
        graph, nx.get_node_attributes(graph, "pos"), labels, ax=ax,
        connectionstyle=BENT, font_size=11, node_size=STATE_SIZE, rotate=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )  # fmt: skip


def _write(label: str, place: tuple[float, float], ax: Axes, **style) -> None:
    """Write a label, centred unless `style` says otherwise."""
    ax.text(*place, legible(label), **{"ha": "center", "va": "center"} | style)


def _place(graph: nx.DiGraph, node, label: str, place: tuple, color=HIDDEN) -> None:
    """Add a node with all that `_render` needs."""
    graph.add_node(node, label=label, pos=place, color=color)


def _canvas(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the Axes of a new figure of `width` x `height` inches, without a frame."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), dpi=144, layout="constrained")
    ax.set_axis_off()
    return ax


def _render(
    graph: nx.DiGraph, ax: Axes, node_size=NODE_SIZE, connectionstyle="arc3", width=1.2,
    font_size=12,
) -> None:  # fmt: skip
    """Draw a graph whose nodes carry `pos`, `label` and `color`."""
    place = nx.get_node_attributes(graph, "pos")
    nx.draw_networkx_nodes(
        graph, place, ax=ax, node_size=node_size, edgecolors=INK, linewidths=1.2,
        node_color=list(nx.get_node_attributes(graph, "color").values()),
    )  # fmt: skip
    nx.draw_networkx_edges(
        graph, place, ax=ax, node_size=node_size, arrowsize=15, width=width,
        connectionstyle=connectionstyle,
    )  # fmt: skip
    labels = nx.get_node_attributes(graph, "label")
    labels = {node: legible(str(text)) for node, text in labels.items()}
    nx.draw_networkx_labels(graph, place, labels, ax=ax, font_size=font_size)
    ax.margins(0.16)
