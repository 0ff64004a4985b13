"""A reader's own meter, split on the page: a file goes in, and nothing leaves the browser.

The reader describes appliances in four numbers each; the figure reads the file, learns the
rest from it and splits it, exactly, in plain JavaScript: `explore_csv.js` reads,
`explore_split.js` computes what `described_house`, `FactorialHMM.smooth` and `energy_moments`
compute, `explore_job.js` keeps the page awake meanwhile, and `explore_own_meter.js` and
`explore_own_split.js` are the page. Used in chapter 8.
"""

import math
from collections.abc import Mapping
from functools import partial

import pandas as pd

import hmmlib.book.pictures as pictures
from hmmlib.book.explore import Explorer
from hmmlib.checks import as_count, as_kind
from hmmlib.nilm.meters.series import check_power
from hmmlib.nilm.unlabelled import described_appliance, described_house

NUMBERS = ("watts", "minutes", "runs", "spread")
MOST_JOINT, MOST_REST, MOST_MINUTES = 256, 4, 3 * 1440


def own_meter(
    power: pd.Series,
    appliances: Mapping[str, tuple[float, float, float, float]],
    num_rest_states: int = 4,
    source: str = "sample data",
) -> Explorer:
    """A place for the reader's own file, which starts with these readings and appliances.

    Args:
        power: watts, one reading a minute, for at most three days.
        appliances: for each name watts, minutes a run, runs a day and spread, as
            `described_appliance` takes them.
        num_rest_states: the levels of the rest, 1 to 4.
        source: what the readings are called on the page.

    Raises:
        ValueError: there are more than 256 joint states, or `described_appliance`,
            `check_power` or `described_house` refuses what it gets.
    """
    readings = check_power(power, "1min").round()
    if len(readings) > MOST_MINUTES:
        raise ValueError(
            f"power: got {len(readings)} readings, needs at most {MOST_MINUTES}"
        )
    size = as_count("num_rest_states", num_rest_states)
    num_joint = size * 2 ** len(as_kind("appliances", appliances, Mapping))
    if size > MOST_REST or num_joint > MOST_JOINT:
        raise ValueError(
            f"appliances: got {num_joint} joint states, {size} of the rest, needs at most"
            f" {MOST_JOINT} and {MOST_REST}"
        )
    chains = {name: described_appliance(*each) for name, each in appliances.items()}
    house = described_house(readings, chains, size)
    given = [
        {"name": str(name), **dict(zip(NUMBERS, map(float, each), strict=True))}
        for name, each in appliances.items()
    ]
    model = {
        "appliances": given,
        "size": size,
        "source": source,
        "start": int(readings.index[0].tz_localize(None).timestamp() * 1000),
        "watts": [None if math.isnan(x) else int(x) for x in readings],
    }
    words = (
        f"A meter of {len(readings)} minutes, split among {', '.join(appliances)} and the"
        " rest; with scripts, it splits a file of your own"
    )
    day = readings[readings.index.normalize() == readings.index[0].normalize()]
    return Explorer("own_meter", words, model, partial(pictures.split, house, day))
