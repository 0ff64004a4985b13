"""Drawings and figures show what they are told to, and say in words what they cannot
draw.
"""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import FancyBboxPatch
from torch.distributions import Normal

from hmmlib import draw, plot
from hmmlib.palette import legible


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(ax):
    return {text.get_text() for text in ax.texts} - {""}


def test_unrolled_shades_what_is_observed_and_only_that():
    ax = draw.unrolled(["$z_1$", "$z_2$", "$z_3$"], ["walk", "shop", "clean"])
    assert words(ax) == {"$z_1$", "$z_2$", "$z_3$", "walk", "shop", "clean"}
    nodes = ax.collections[0]
    shaded = {
        tuple(xy)
        for xy, color in zip(nodes.get_offsets(), nodes.get_facecolors(), strict=True)
        if tuple(color) == to_rgba(draw.OBSERVED)
    }
    assert shaded == {(0.0, -1.0), (1.0, -1.0), (2.0, -1.0)}
    assert len(ax.patches) == 5  # two moves, three emissions


def test_unrolled_leaves_out_what_is_not_observed():
    ax = draw.unrolled(["$z_0$", "$z_1$"], [None, "$x_1$"])
    assert words(ax) == {"$z_0$", "$z_1$", "$x_1$"} and len(ax.patches) == 2


def test_a_graphical_model_has_the_arrows_that_are_named():
    """Of the nodes that are there; observed ones are shaded, single ones too."""
    rows = {"u": ["u1", "u2", None], "z": ["z1", "z2", "z3"]}
    ax = draw.graphical_model(rows, [("z", "z", 1), ("u", "z", 1)], {"u", ("z", 1)})
    assert words(ax) == {"u1", "u2", "z1", "z2", "z3"}
    nodes = ax.collections[0]
    shaded = (nodes.get_facecolors() == to_rgba(draw.OBSERVED)).all(axis=1)
    assert nodes.get_offsets()[shaded].tolist() == [[0, 0], [1, 0], [1, -1]]
    assert len(nodes.get_offsets()) == 5
    drawn = {tuple(map(tuple, arrow._posA_posB)) for arrow in ax.patches}
    moves = {((0, -1), (1, -1)), ((1, -1), (2, -1))}
    assert drawn == moves | {((0, 0), (1, -1)), ((1, 0), (2, -1))}


def test_state_diagram_has_an_arrow_and_a_number_for_each_possible_move():
    ax = draw.state_diagram([[0.7, 0.3, 0], [0, 0.6, 0.4], [0, 0, 1]], ["a", "b", "c"])
    assert words(ax) == {"a", "b", "c", "0.7", "0.3", "0.6", "0.4", "1"}


def test_trellis_draws_every_move_and_the_path_bold():
    ax = draw.trellis(
        ("R", "S"),
        ("walk", "shop", "walk"),
        values=[[1, 2], [3, 4], [5, 6]],
        path=torch.tensor([0, 1, 1]),
        colors=plot.STATE_COLORS,
    )
    assert words(ax) == {"R", "S", "walk", "shop", "1", "2", "3", "4", "5", "6"}
    assert len(ax.patches) == 8
    assert (
        sorted(arrow.get_linewidth() for arrow in ax.patches) == [1.0] * 6 + [3.5] * 2
    )


def test_what_a_plate_holds_is_independent_of_its_other_copies():
    """The chain and its words are inside the box, the tables that all copies share outside."""
    ax = draw.plate(hidden=("S", "$z_2$", "$z_T$"), observed=("W", "$x_2$", "$x_T$"))
    assert {"S", "W", r"$\pi$", "$A$", "$B$", "$n = 1, …, N$"} <= words(ax)
    (box,) = [each for each in ax.patches if isinstance(each, FancyBboxPatch)]
    nodes = ax.collections[0]
    inside = box.get_path().contains_points(nodes.get_offsets())
    tables = (nodes.get_facecolors() == to_rgba(draw.INK)).all(axis=1)
    assert (inside != tables).all() and inside.sum() == 6 and tables.sum() == 3
    arrows = len(ax.patches) - 1
    assert arrows == 2 + 3 + 1 + 2 + 3  # moves, words; what reads pi, A and B


def test_strips_paint_each_state_in_its_colour():
    ax = plot.strips(
        {"truth": [0, 1, 1], "guess": [1, 1, 0]},
        ("Rainy", "Sunny"),
        text=["a", "b", "c"],
    )
    mesh = ax.collections[0]
    painted = mesh.to_rgba(mesh.get_array()).reshape(2, 3, 4)
    assert np.allclose(painted[0, 0], to_rgba(plot.STATE_COLORS[0]))
    assert np.allclose(painted[1, 0], to_rgba(plot.STATE_COLORS[1]))
    assert {"a", "b", "c"} == words(ax)


def test_state_probs_draw_bars_as_high_as_the_probabilities():
    probs = np.array([[0.2, 0.8], [0.9, 0.1]])
    ax = plot.state_probs(
        probs, ("Rainy", "Sunny"), truth=[1, 0], others={"filtered": probs}
    )
    assert [bar.get_height() for bar in ax.containers[0]] == [0.2, 0.9]
    assert list(ax.lines[0].get_ydata()) == [0.2, 0.9]
    strip = [bar.get_facecolor() for each in ax.containers[1:] for bar in each]
    assert strip == [to_rgba(plot.STATE_COLORS[1]), to_rgba(plot.STATE_COLORS[0])]
    sunny = plot.state_probs(
        probs, ("Rainy", "Sunny"), state=1, others={"filtered": probs}
    )
    assert [bar.get_height() for bar in sunny.containers[0]] == [0.8, 0.1]
    assert list(sunny.lines[0].get_ydata()) == [0.8, 0.1]


def test_a_fan_is_as_wide_as_the_quantiles_and_goes_on_from_the_past():
    spread = np.array([1.0, 2.0])
    ahead = Normal(torch.zeros(2), torch.tensor(spread))
    ax = plot.fan(ahead, past=[3.0, np.nan, 1.0], future=[0.5, -0.5], first_step=5)
    for band, z in zip(ax.collections, (1.959964, 1.281552, 0.67449), strict=True):
        corners = band.get_paths()[0].vertices
        for step, width in zip((8, 9), z * spread, strict=True):
            heights = corners[np.isclose(corners[:, 0], step), 1]
            assert np.allclose([heights.min(), heights.max()], [-width, width])
        assert corners[:, 0].min() == 7.5 and corners[:, 0].max() == 9.5
    past, median, future = ax.lines
    assert list(past.get_xdata()) == [5, 6, 7] and past.get_ydata()[0] == 3
    assert np.allclose(median.get_ydata(), 0) and list(future.get_xdata()) == [8, 9]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["95%", "80%", "50%", "median", "observed"]
    colors = [sum(band.get_facecolor()[0][:3]) for band in ax.collections]
    assert colors == sorted(colors, reverse=True)  # the narrower, the darker


def test_shares_are_as_high_as_the_probabilities():
    ax = plot.shares([[0.2, 0.8], [0.9, 0.1]], ("Rainy", "Sunny"))
    rainy, sunny = (each.get_paths()[0].vertices for each in ax.collections)
    for step, share in ((1, 0.2), (2, 0.9)):
        assert np.isclose(rainy[rainy[:, 0] == step, 1].max(), share)
        assert np.isclose(sunny[sunny[:, 0] == step, 1].max(), 1)
    assert to_rgba(plot.STATE_COLORS[1]) == tuple(ax.collections[1].get_facecolor()[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draw.unrolled(["a"], []),
            "rows: got lengths {'hidden': 1, 'observed': 0}, needs one",
        ),
        (
            lambda: draw.graphical_model({"z": []}, []),
            "rows: got lengths {'z': 0}, needs one, and at least 1",
        ),
        (
            lambda: draw.graphical_model({"z": ["a"]}, [("z", "x", 0)]),
            r"arrows: got z to x, needs rows, \['z'\]",
        ),
        (
            lambda: draw.state_diagram([[1.0]], ["a", "b"]),
            r"transition_matrix: got shape \(1, 1\)",
        ),
        (
            lambda: draw.trellis("RS", "ab", values=[[1]]),
            r"values: got shape \(1, 1\), needs",
        ),
        (
            lambda: draw.trellis("RS", "ab", path=[0, 2]),
            r"path: got \[0, 2\], needs 2 states",
        ),
        (lambda: plot.strips({"a": [0], "b": [0, 1]}, "RS"), "rows: got lengths"),
        (
            lambda: plot.strips({"a": [0]}, "ABCDEFGHI"),
            "state_labels: got 9, needs at most 8",
        ),
        (lambda: plot.strips({"a": [2]}, "RS"), "needs states from 0 to 1"),
        (lambda: plot.strips({"a": [0]}, "RS", text=["x", "y"]), "text: got 2 words"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_factorial_draws_each_chain_and_the_readings():
    ax = draw.factorial([["a1", "a2"], ["b1", "b2"]], ["x1", "x2"])
    assert {text.get_text() for text in ax.texts} == {
        "a1",
        "a2",
        "b1",
        "b2",
        "x1",
        "x2",
    }
    plt.close(ax.figure)
    with pytest.raises(ValueError, match=r"chains: got \[2, 1\] labels, needs 2"):
        draw.factorial([["a1", "a2"], ["b1"]], ["x1", "x2"])


@pytest.mark.parametrize(
    "name", ["$a_$", "100$ or 200$", r"$\frac$", "$$", r"a\$b$", "<b>", "%s {x}", "\\"]
)
def test_names_of_any_letters_are_drawn_and_mathematics_stays(name):
    drawn = [
        plot.strips({name: [0, 1]}, [name, "other"], text=[name, name]),
        plot.state_probs([[0.5, 0.5]], [name, "other"], name=name),
        plot.shares([[0.5, 0.5]], [name, "other"]),
        draw.unrolled([name, name], [name, None]),
        draw.graphical_model({name: [name]}, [], {name}),
        draw.factorial([[name]], [name]),
        draw.state_diagram([[0.5, 0.5], [0.2, 0.8]], [name, "other"]),
        draw.trellis([name, "other"], [name]),
        draw.plate([name] * 3, [name] * 3, (name, "a", "b"), name),
    ]
    for ax in drawn:
        ax.figure.canvas.draw()
        plt.close(ax.figure)
    assert legible("$z_t$") == "$z_t$"
    assert legible("$$") == r"\$\$"
