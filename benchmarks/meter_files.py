"""Time and memory that `read_meter` takes for long files; prints a line for each kind.

python benchmarks/meter_files.py [num_rows]
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS = 10_000_000
PIECE = 500_000
OPTIONS = {
    "minutes.csv": {}, "channel_1.dat": {}, "history.csv": {}, "dates.csv": {},
    "register.csv": {"unit": "kWh", "cumulative": True},
}  # fmt: skip


def lines(kind: str, start: int, count: int) -> pd.DataFrame:
    """The rows from `start` on of a file of this kind."""
    number = np.arange(start, start + count)
    watts = 300 + number * 7919 % 1000
    if kind == "channel_1.dat":
        return pd.DataFrame({"time": 1_352_500_098 + 6 * number, "power": watts})
    seconds = pd.Timestamp("2005-01-01") + pd.to_timedelta(60 * number, unit="s")
    if kind == "history.csv":
        at = pd.Timestamp("2026-01-01") + pd.to_timedelta(
            3 * number + number * 7919 % 3, unit="s"
        )
        stamps = at.strftime("%Y-%m-%dT%H:%M:%S.123Z")
        return pd.DataFrame(
            {"entity_id": "sensor.mains", "state": watts, "last_changed": stamps}
        )
    if kind == "dates.csv":
        return pd.DataFrame(
            {"time": seconds.strftime("%d/%m/%Y %H:%M"), "power": watts}
        )
    power = number * 0.012 if kind == "register.csv" else watts
    return pd.DataFrame({"time": seconds.strftime("%Y-%m-%d %H:%M"), "power": power})


def write(path: Path, num_rows: int) -> None:
    """A file of `num_rows` rows, of the kind that its name says."""
    header, separator = path.suffix == ".csv", "," if path.suffix == ".csv" else " "
    for start in range(0, num_rows, PIECE):
        lines(path.name, start, min(PIECE, num_rows - start)).to_csv(
            path, mode="a", sep=separator, index=False, header=header and not start
        )


def measure(path: Path) -> None:
    """Reads the file, and prints what that took."""
    from hmmlib.meter import read_meter

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    power = read_meter(path, **OPTIONS[path.name])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{path.name:15} {path.stat().st_size / 1e6:5.0f} MB -> {len(power):10,} steps,"
        f" {seconds:5.1f} s, peak {peak:5.0f} MiB ({before:.0f} after import)"
    )


def main(num_rows: int) -> None:
    for kind in OPTIONS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / kind
            write(path, num_rows)
            subprocess.run([sys.executable, __file__, "read", path], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        measure(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROWS)
