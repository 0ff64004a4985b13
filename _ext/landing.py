"""Draw the picture of the landing page: the same riddle twice, from rain to watts.

python _ext/landing.py writes _static/from-rain-to-watts.png.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

from hmmlib import plot
from hmmlib.datasets import weather
from hmmlib.hmm import HMM

PICTURE = Path(__file__).parents[1] / "_static/from-rain-to-watts.png"
APPLIANCES = {  # watts when on, chance to switch on and off in a minute, seed, colour
    "fridge": (110, 0.05, 0.06, 1, plot.STATE_COLORS[2]),
    "washing machine": (480, 0.01, 0.02, 7, plot.STATE_COLORS[3]),
    "kettle": (1500, 0.012, 0.25, 3, plot.STATE_COLORS[5]),
}


def switching(
    on: float, off: float, watts: float, seed: int, num_minutes: int
) -> np.ndarray:
    """A simulated appliance with two states; its watts in each minute."""
    appliance = HMM(
        [1.0, 0.0],
        [[1 - on, on], [off, 1 - off]],
        Normal(torch.tensor([0.0, watts]), 1.0),
    )
    return watts * appliance.sample(num_minutes, seed=seed).states.double().numpy()


def landing_picture(num_minutes: int = 180) -> Figure:
    """The fortnight of words above, a simulated house below: seen on top, hidden in colour."""
    with plt.rc_context(plot.STYLE):
        fig, (rain, watts) = plt.subplots(
            2, 1, figsize=(8.6, 4.6), height_ratios=[0.34, 1]
        )
    states, words = weather.fortnight
    plot.strips(
        {"": states}, weather.states, [weather.activities[x] for x in words], ax=rain
    )
    rain.set_title(
        "Fourteen words on the phone. Which days were rainy?", loc="left", fontsize=12
    )
    rain.set(xlabel="", xticks=[])
    minutes = np.arange(num_minutes)
    parts = {
        name: switching(on, off, level, seed, num_minutes)
        for name, (level, on, off, seed, _) in APPLIANCES.items()
    }
    colors = [color for *_, color in APPLIANCES.values()]
    watts.stackplot(
        minutes, *parts.values(), colors=colors, labels=list(parts), step="post"
    )
    total = sum(parts.values()) + np.random.default_rng(0).normal(30, 12, num_minutes)
    watts.step(
        minutes, total, where="post", color="black", linewidth=1.2, label="the meter"
    )
    watts.set_title(
        "One meter for the whole house. Which appliance was on?",
        loc="left",
        fontsize=12,
    )
    watts.set(
        xlabel="minute", ylabel="watts", xlim=(0, num_minutes - 1), ylim=(0, None)
    )
    watts.legend(ncols=2, fontsize=10, loc="upper left", frameon=False)
    return fig


if __name__ == "__main__":
    landing_picture().savefig(PICTURE, dpi=144)
