"""Graphical models as pictures. Empty is hidden, shaded observed, a dot a parameter.

Every function draws on `ax`, or on a new figure, and returns the matplotlib Axes.
Labels are the caller's; `$...$` is mathematics. Layout is by hand, since a chain *is* a
grid; nodes, arrows and labels are networkx's.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import offset_copy

from hmmlib.palette import legible

HIDDEN, OBSERVED, INK = "white", "#c8c8c8", "black"
NODE_SIZE, STATE_SIZE = 1500, 2600  # area in points squared, as networkx has it


def unrolled(
    hidden: Sequence[str], observed: Sequence[str | None], ax: Axes | None = None
) -> Axes:
    """The chain step by step: T hidden nodes in a row, an observed node under each.

    `hidden` and `observed` are T labels each, for instance `["$z_1$", "$z_2$"]` and
    `["walk", "shop"]`; None draws no observed node. Raises ValueError unless there are
    as many of one as of the other, and at least one.
    """
    if len(hidden) != len(observed) or not hidden:
        raise ValueError(
            f"observed: got {len(observed)} labels, needs as many as hidden, {len(hidden)}, and one"
        )
    graph = nx.DiGraph()
    for t in range(len(hidden)):
        graph.add_node(("z", t), label=hidden[t], pos=(t, 0), color=HIDDEN)
        if observed[t] is not None:
            graph.add_node(("x", t), label=observed[t], pos=(t, -1), color=OBSERVED)
            graph.add_edge(("z", t), ("x", t))
        if t:
            graph.add_edge(("z", t - 1), ("z", t))
    ax = _canvas(ax, 1.15 * len(hidden), 2.3)
    _render(graph, ax)
    return ax


def factorial(
    chains: Sequence[Sequence[str]], observed: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Several hidden chains above one row of observations, which all of them feed.

    `chains` is M lists of T labels, `observed` T labels. Raises ValueError unless they are
    equally long, and at least one.
    """
    if not chains or not observed or {len(c) for c in chains} != {len(observed)}:
        found = [len(chain) for chain in chains]
        raise ValueError(
            f"chains: got {found} labels, needs {len(observed)}, one for each observation"
        )
    graph, low = nx.DiGraph(), len(chains)
    shift = 0.2 * low  # of each row, so that no arrow crosses a node
    apart = max(1.0, 0.85 * shift * (low - 1))
    for t in range(len(observed)):
        middle = t * apart + shift / 2 * (low - 1)
        for m, chain in enumerate(chains):
            place = (t * apart + shift * m, -0.75 * m)
            graph.add_node((m, t), label=chain[t], pos=place, color=HIDDEN)
            if t:
                graph.add_edge((m, t - 1), (m, t))
        graph.add_node(
            ("x", t),
            label=observed[t],
            pos=(middle, -0.75 * low - 0.15),
            color=OBSERVED,
        )
        for m in range(low):
            graph.add_edge((m, t), ("x", t))
    wider = (apart * (len(observed) - 1) + shift * (low - 1)) / (len(observed) - 0.6)
    wider = max(wider, 0.7)
    ax = _canvas(ax, min(1.5 * len(observed) * wider, 7.0), 0.8 * low + 1.7)
    _render(graph, ax, node_size=1100)
    return ax


def state_diagram(
    transition_matrix,
    labels: Sequence[str],
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
):
    """The states, and an arrow with its probability for each possible move.

    `transition_matrix` is (K, K), row: the state left, column: the state entered;
    `labels` and `colors` have K entries. Two states stand side by side, more on a
    circle. Raises ValueError when the sizes disagree.
    """
    matrix = np.asarray(transition_matrix)
    num_states = len(labels)
    if matrix.shape != (num_states, num_states):
        needs = f"({num_states}, {num_states}), a row and a column for each label"
        raise ValueError(f"transition_matrix: got shape {matrix.shape}, needs {needs}")
    angles = np.pi - 2 * np.pi * np.arange(num_states) / num_states
    outward = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    graph = nx.DiGraph()
    for k, place in enumerate(outward):
        graph.add_node(
            k,
            label=labels[k],
            pos=tuple(1.5 * place),
            color=colors[k] if colors else HIDDEN,
        )
    graph.add_weighted_edges_from(
        (i, j, matrix[i, j]) for i, j in np.argwhere(matrix > 0).tolist() if i != j
    )
    ax = _canvas(ax, 5.4, 1.6 if num_states <= 2 else 4.6)
    _render(graph, ax, node_size=STATE_SIZE, connectionstyle="arc3,rad=0.25")
    nx.draw_networkx_edge_labels(
        graph,
        nx.get_node_attributes(graph, "pos"),
        {
            edge: f"{weight:.2g}"
            for edge, weight in nx.get_edge_attributes(graph, "weight").items()
        },
        ax=ax,
        connectionstyle="arc3,rad=0.25",
        font_size=11,
        node_size=STATE_SIZE,
        rotate=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    for k, place in enumerate(outward):
        if matrix[k, k] > 0:
            _loop(ax, tuple(1.5 * place), place, f"{matrix[k, k]:.2g}", STATE_SIZE)
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

    `states` are K labels on the left, `steps` T labels below, such as what was
    observed; `values` (T, K) numbers inside the nodes; `path`, T integers, is drawn
    bold. Raises ValueError when the sizes disagree.
    """
    num_steps, num_states = len(steps), len(states)
    path = None if path is None else np.asarray(path).tolist()
    if values is not None and np.shape(values) != (num_steps, num_states):
        raise ValueError(
            f"values: got shape {np.shape(values)}, needs ({num_steps}, {num_states})"
        )
    if path is not None and (
        len(path) != num_steps or not set(path) <= set(range(num_states))
    ):
        raise ValueError(
            f"path: got {path}, needs {num_steps} states below {num_states}"
        )
    graph = nx.DiGraph()
    for t in range(num_steps):
        for k in range(num_states):
            label = "" if values is None else _short(values[t][k])
            color = colors[k] if colors else HIDDEN
            graph.add_node((t, k), label=label, pos=(t, -0.8 * k), color=color)
    everywhere = range(num_states)
    for t in range(1, num_steps):
        graph.add_edges_from(
            ((t - 1, i), (t, j)) for i in everywhere for j in everywhere
        )
    taken = (
        set()
        if path is None
        else {((t, path[t]), (t + 1, path[t + 1])) for t in range(num_steps - 1)}
    )
    ax = _canvas(ax, 1.2 + 1.3 * num_steps, 0.4 + 0.95 * num_states)
    _render(
        graph,
        ax,
        width=[3.5 if edge in taken else 1.0 for edge in graph.edges],
        font_size=10,
    )
    for k, label in enumerate(states):
        ax.text(-0.32, -0.8 * k, legible(label), ha="right", va="center", fontsize=12)
    for t, label in enumerate(steps):
        ax.text(
            t,
            -0.8 * num_states + 0.2,
            legible(label),
            ha="center",
            va="center",
            fontsize=11,
        )
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

    `hidden` and `observed` label the first two steps and the last. `parameters` label the
    start, the transition and the emission; they stand outside, since all sequences share
    them.
    """
    graph = nx.DiGraph()
    columns = (0, 1, 2.4)  # with dots between the second and the last
    for t, column in enumerate(columns):
        graph.add_node(("z", t), label=hidden[t], pos=(column, 0), color=HIDDEN)
        graph.add_node(("x", t), label=observed[t], pos=(column, -1), color=OBSERVED)
        graph.add_edge(("z", t), ("x", t))
        if t:
            graph.add_edge(("z", t - 1), ("z", t))
    places = [(-1, 0), (1.35, 0.95), (0.5, -2.05)]
    reached = [[("z", 0)], [("z", 1), ("z", 2)], [("x", t) for t in range(3)]]
    for m, place in enumerate(places):
        graph.add_node(m, label="", pos=place, color=INK)
        graph.add_edges_from((m, node) for node in reached[m])
    ax = _canvas(ax, 5.0, 3.9)
    box = {"boxstyle": "round,pad=0,rounding_size=0.08", "fill": False}
    ax.add_patch(FancyBboxPatch((-0.5, -1.65), 3.4, 2.15, edgecolor=INK, **box))
    ax.text(2.85, -1.6, legible(plate_label), ha="right", va="bottom", fontsize=11)
    _render(
        graph, ax, node_size=[60 if node in range(3) else NODE_SIZE for node in graph]
    )
    dots = {"facecolor": "white", "edgecolor": "none", "pad": 2}
    ax.text(1.65, 0, "…", ha="center", va="center", fontsize=13, bbox=dots)
    for label, (x, y) in zip(parameters, places, strict=True):
        ax.text(x - 0.12, y, legible(label), ha="right", va="center", fontsize=13)
    return ax


def _loop(
    ax: Axes,
    place: tuple[float, float],
    outward: np.ndarray,
    label: str,
    node_size: float,
) -> None:
    """An arrow from a node to itself, on its outer side; sizes in points."""
    radius = np.sqrt(node_size) / 2
    along = np.array([-outward[1], outward[0]])
    head, tail = (radius * (0.9 * outward + side * 0.45 * along) for side in (1, -1))
    at = [
        offset_copy(ax.transData, ax.figure, *point, units="points")
        for point in (head, tail)
    ]
    arrow = {
        "arrowstyle": "-|>,head_width=0.3,head_length=0.6",
        "color": INK,
        "lw": 1.2,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    arrow["connectionstyle"] = "arc3,rad=1.7"
    ax.annotate(
        "",
        place,
        place,
        xycoords=at[0],
        textcoords=at[1],
        arrowprops=arrow,
        annotation_clip=False,
    )
    sideways = ("right", "center", "left")[1 + round(outward[0])]
    ax.annotate(
        legible(label),
        place,
        (1.75 * radius + 2) * outward,
        textcoords="offset points",
        ha=sideways,
        va="center",
        fontsize=11,
    )


def _short(number: float) -> str:
    """Three digits if they fit into a circle, else two."""
    text = f"{number:.3g}"
    return text if len(text) <= 6 else f"{number:.2g}"


def _canvas(ax: Axes | None, width: float, height: float) -> Axes:
    """An empty stage of `width` x `height` inches, unless the caller has one."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), dpi=144, layout="constrained")
    ax.set_axis_off()
    return ax


def _render(
    graph: nx.DiGraph,
    ax: Axes,
    node_size=NODE_SIZE,
    connectionstyle="arc3",
    width=1.2,
    font_size=12,
) -> None:
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
