"""The colours of the book: each stands for one state or quantity, on light and dark pages.

Figures, equations, code and the explorers use them. `python -m hmmlib.palette` prints
them as the site's style sheet.
"""

# States and appliances, drawn as areas: the palette of Okabe and Ito, which colour-blind
# readers can tell apart. State 0, Rainy, is sky blue; state 1, Sunny, is orange.
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
# Quantities, drawn as lines, letters and code: the same hues, dark enough to read on white.
QUANTITY_COLORS = {
    "forward": "#0072B2",  # alpha, and filtered probabilities
    "backward": "#A8487F",  # beta
    "smoothed": "#007A59",  # gamma, smoothed probabilities
    "best": "#B84F00",  # delta, and the Viterbi path
}
SYMBOLS = {"alpha": "forward", "beta": "backward", "gamma": "smoothed", "delta": "best"}
INK, PAPER, GREY = "#000000", "#FFFFFF", "#767676"

# A dark page inverts the lightness of a figure and keeps its hues: the CSS filters
# invert(0.92) and hue-rotate(180deg), whose matrix this is (Filter Effects Module Level 1).
KEPT = 0.92
HALF_TURN = (
    (-0.574, 1.430, 0.144),
    (0.426, 0.430, 0.144),
    (0.426, 1.430, -0.856),
)


def legible(text: str) -> str:
    """`text` as matplotlib can draw it: valid mathematics as it is, else with `$` escaped.

    Example:
        >>> print(legible("$z_1$"), legible("5 $"))
        $z_1$ 5 \\$
    """
    try:
        if "$" in text:
            from matplotlib.mathtext import MathTextParser

            MathTextParser("path").parse(text)
    except ValueError:
        text = text.replace("$", r"\$")
    return text


def in_the_dark(color: str) -> str:
    """The colour in which a dark page shows `color`; both "#RRGGBB".

    Example:
        >>> in_the_dark("#FFFFFF"), in_the_dark("#56B4E9")
        ('#141414', '#206F9B')
    """
    inverted = [KEPT - (2 * KEPT - 1) * channel for channel in channels(color)]
    turned = (
        sum(a * c for a, c in zip(row, inverted, strict=True)) for row in HALF_TURN
    )
    return "#" + "".join(f"{round(255 * min(1, max(0, c))):02X}" for c in turned)


def contrast(one: str, two: str) -> float:
    """(L1 + 0.05) / (L2 + 0.05) of the luminances L1 >= L2 of two colours; 1 to 21; WCAG 2.2.

    Example:
        >>> round(contrast("#FFFFFF", "#000000"))
        21
    """
    low, high = sorted(luminance(color) for color in (one, two))
    return (high + 0.05) / (low + 0.05)


def luminance(color: str) -> float:
    """Relative luminance of "#RRGGBB": 0 is black, 1 is white; WCAG 2.2."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in channels(color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def channels(color: str) -> list[float]:
    """Red, green and blue of "#RRGGBB", each from 0 to 1.

    Example:
        >>> channels("#FF0033")
        [1.0, 0.0, 0.2]
    """
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def variables(dark: bool = False) -> dict[str, str]:
    """Every colour, "#RRGGBB", by the name of its CSS variable on light or dark pages.

    `state0`, `state1`, … are the states; `on0`, `on1`, … is black or white, whichever has
    the higher contrast with the state.

    Example:
        >>> colors = variables()
        >>> colors["state0"], colors["on0"], colors["forward"]
        ('#56B4E9', '#000000', '#0072B2')
    """
    turned = in_the_dark if dark else str
    colors = {"paper": turned(PAPER), "ink": turned(INK)}
    colors |= {name: turned(color) for name, color in QUANTITY_COLORS.items()}
    for k, color in enumerate(map(turned, STATE_COLORS)):
        inks = sorted(("#000000", "#FFFFFF"), key=lambda ink: contrast(ink, color))
        colors |= {f"state{k}": color, f"on{k}": inks[-1]}
    return colors


def style_sheet() -> str:
    """The CSS of the quantities: their variables on light and dark pages, their letters."""
    rules = ["/* Written by `python -m hmmlib.palette`. */"]
    for page, dark in (("html", False), ('html[data-theme="dark"]', True)):
        colors = variables(dark)
        lines = (f"  --hmm-{name}: {colors[name]};" for name in QUANTITY_COLORS)
        rules.append("\n".join([page + " {", *lines, "}"]))
    # MathJax gives the element of a letter its code point as class: mathematical italics.
    letters = {"alpha": "1D6FC", "beta": "1D6FD", "gamma": "1D6FE", "delta": "1D6FF"}
    for letter, quantity in SYMBOLS.items():
        rules.append(
            f"mjx-c.mjx-c{letters[letter]},\n.highlight .hmm-{quantity} {{\n"
            f"  color: var(--hmm-{quantity});\n}}"
        )
    return "\n".join(rules) + "\n"


if __name__ == "__main__":
    print(style_sheet(), end="")
