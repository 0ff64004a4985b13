"""Walk journeys and print a table of them; exits 1 when one failed."""

import sys
import tempfile
from pathlib import Path

from journeys import binder, bounds, colab, install
from journeys.steps import Row, snapshot

JOURNEYS = {
    "colab": colab.walk,
    "install": install.walk,
    "binder": binder.walk,
    "oldest": bounds.walk_oldest,
    "newest": bounds.walk_newest,
}
ON_EVERY_PUSH = ["colab", "install", "binder"]


def main(names: list[str]) -> int:
    """Print a line for each step as it ends; the number of steps that failed."""
    if unknown := set(names) - set(JOURNEYS):
        sys.exit(f"journeys: got {', '.join(unknown)}, needs some of {list(JOURNEYS)}")
    line = "{:8} {:44} {:>7} {:6} {}".format
    print(line(*Row._fields))
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="journeys-") as name:
        work = Path(name)
        snapshot(work / "repository")
        for journey in names or ON_EVERY_PUSH:
            for row in JOURNEYS[journey](work):
                mark = "yes" if row.ok else "NO"
                print(line(*row._replace(seconds=f"{row.seconds:.1f}", ok=mark)))
                sys.stdout.flush()
                passed, failed = passed + row.ok, failed + (not row.ok)
    print(f"{passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) > 0)
