"""What each way of learning a house scores on UK-DALE house 2, June 2013, half against half.

    python benchmarks/houses.py           # learning from counts, and training for the question
    python benchmarks/houses.py networks  # and networks, three seeds: some minutes

With `hmmlib.datasets.fetch_ukdale`. Scores are 1 - sum |estimate - truth| / (2 sum truth) over
the four appliances, with 90 % intervals over days; always off is .50. Default arguments, and
the numbers of states that `choose_num_states` found in the first half, and one fewer. The
houses that chapter 10 loads are written to `--save FOLDER`.
"""

import sys
import time
from pathlib import Path

import pandas as pd

from hmmlib import nilm
from hmmlib.datasets.ukdale import fetch_ukdale

STATES = {"kettle": 3, "dishwasher": 3, "washing machine": 4, "microwave": 3, "rest": 8}
SEEDS, BATCHES = (0, 1, 2), 300


def score(estimate: pd.DataFrame, truth: pd.DataFrame) -> str:
    """Of all appliances together, with its interval."""
    low, value, high = nilm.day_bootstrap(
        lambda x, y: nilm.house_metrics(x, y).iloc[:1],
        truth,
        estimate[truth.columns],
        num_draws=200,
    ).iloc[0]
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def compare(
    learned: pd.DataFrame,
    judged: pd.DataFrame,
    num_states: dict,
    networks: bool,
    folder: Path | None = None,
) -> None:
    """A line for each way of learning; houses are saved to the folder, if there is one."""
    mains, truth = judged["mains"], judged.drop(columns="mains")
    house = nilm.learn_house(learned, num_states)
    print(f"  counted       {score(nilm.disaggregate(house, mains), truth)}")
    start = time.perf_counter()
    trained = nilm.train_discriminatively(house, learned)
    took = f"{time.perf_counter() - start:.0f} s"
    print(f"  trained       {score(nilm.disaggregate(trained, mains), truth)}  {took}")
    if folder:
        number = num_states["washing machine"]
        trained.save(folder / f"discriminative_{number}.json")
    for seed in SEEDS if networks else ():
        start = time.perf_counter()
        inside = nilm.learn_network(learned, num_states, num_batches=BATCHES, seed=seed)
        took = f"{time.perf_counter() - start:.0f} s"
        alone = nilm.network_alone(inside, mains)
        print(f"  net alone  {seed}  {score(alone, truth)}  {took}")
        print(f"  net inside {seed}  {score(nilm.disaggregate(inside, mains), truth)}")
        if folder:
            inside.save(folder / f"network_{seed}.json")


def main() -> None:
    """Both halves, both ways round, two numbers of states of the washing machine."""
    table = fetch_ukdale(progressbar=False)
    table = table.rename(columns=lambda name: name.replace("_", " "))
    halves = table[:"2013-06-15"], table["2013-06-16":]
    folder = Path(sys.argv[-1]) if "--save" in sys.argv else None
    for which, (learned, judged) in {
        "first half, judged on the second": halves,
        "second half, judged on the first": halves[::-1],
    }.items():
        for number in (4, 3):
            print(f"{which}; the washing machine has {number} states")
            chapter = which.startswith("first")
            networks = "networks" in sys.argv and number == 4
            num_states = STATES | {"washing machine": number}
            compare(learned, judged, num_states, networks, folder if chapter else None)


if __name__ == "__main__":
    main()
