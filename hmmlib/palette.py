"""The colours of the book: one colour, one quantity, on light pages and on dark ones.

Figures, equations, code and the explorers take them from here. `python -m hmmlib.palette`
prints them as style sheet of the site.
"""

# States and appliances are areas. Okabe and Ito's palette, which colour-blind readers tell
# apart: state 0, Rainy, is sky blue, state 1, Sunny, is orange.
STATE_COLORS = (
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#F0E442",
    "#D55E00",
    "#0072B2",
    "#999999",
)
# Quantities are lines, letters and code. The same hues, dark enough to be read on white.
QUANTITY_COLORS = {
    "forward": "#0072B2",  # alpha, and what is filtered
    "backward": "#A8487F",  # beta
    "smoothed": "#007A59",  # gamma
    "best": "#B84F00",  # delta, and the Viterbi path
}
SYMBOLS = {"alpha": "forward", "beta": "backward", "gamma": "smoothed", "delta": "best"}
INK, PAPER, GREY = "#000000", "#FFFFFF", "#767676"

# On a dark page a figure is turned over in lightness, with its hues kept: invert(0.92), then
# hue-rotate(180deg), whose matrix this is (Filter Effects Module Level 1).
KEPT = 0.92
HALF_TURN = (
    (-0.574, 1.430, 0.144),
    (0.426, 0.430, 0.144),
    (0.426, 1.430, -0.856),
)


def legible(text: str) -> str:
    """`text` as a figure can write it: dollars around what is no mathematics are dollars."""
    try:
        if "$" in text:
            from matplotlib.mathtext import MathTextParser

            MathTextParser("path").parse(text)
    except ValueError:
        text = text.replace("$", r"\$")
    return text


def in_the_dark(color: str) -> str:
    """The colour that `color` becomes on a dark page; both "#RRGGBB".

    >>> in_the_dark("#FFFFFF"), in_the_dark("#56B4E9")
    ('#141414', '#206F9B')
    """
    inverted = [KEPT - (2 * KEPT - 1) * channel for channel in channels(color)]
    turned = (
        sum(a * c for a, c in zip(row, inverted, strict=True)) for row in HALF_TURN
    )
    return "#" + "".join(f"{round(255 * min(1, max(0, c))):02X}" for c in turned)


def contrast(one: str, two: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of the luminances of two colours, 1 to 21; WCAG 2.2.

    >>> round(contrast("#FFFFFF", "#000000"))
    21
    """
    low, high = sorted(luminance(color) for color in (one, two))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Relative luminance of "#RRGGBB", 0 (black) to 1 (white); WCAG 2.2."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in channels(color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def channels(color: str) -> list[float]:
    """Red, green and blue of "#RRGGBB", each 0 to 1."""
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def variables(dark: bool = False) -> dict[str, str]:
    """Every colour by the name of its CSS variable, for light pages or dark ones.

    `state0` … are the states, `on0` … the ink that reads best on them.
    """
    turned = in_the_dark if dark else str
    colors = {"paper": turned(PAPER), "ink": turned(INK)}
    colors |= {name: turned(color) for name, color in QUANTITY_COLORS.items()}
    for k, color in enumerate(map(turned, STATE_COLORS)):
        inks = sorted(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, color))
        colors |= {f"state{k}": color, f"on{k}": inks[-1]}
    return colors


def style_sheet() -> str:
    """The quantities as CSS, for both pages: their variables, and their letters."""
    rules = ["/* Written by `python -m hmmlib.palette`. */"]
    for page, dark in (("html", False), ('html[data-theme="dark"]', True)):
        colors = variables(dark)
        lines = (f"  --hmm-{name}: {colors[name]};" for name in QUANTITY_COLORS)
        rules.append("\n".join([page + " {", *lines, "}"]))
    # MathJax draws a letter as an element whose class is its code point; these are italic.
    letters = {"alpha": "1D6FC", "beta": "1D6FD", "gamma": "1D6FE", "delta": "1D6FF"}
    for letter, quantity in SYMBOLS.items():
        rules.append(
            f"mjx-c.mjx-c{letters[letter]},\n.highlight .hmm-{quantity} {{\n"
            f"  color: var(--hmm-{quantity});\n}}"
        )
    return "\n".join(rules) + "\n"


if __name__ == "__main__":
    print(style_sheet(), end="")
