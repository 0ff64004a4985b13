"""Is this tree faster or slower than a commit? In a minute, the two by turns.

    python benchmarks/before_after.py HEAD~3      # or: make faster SINCE=HEAD~3

Each tree is a process of its own. The two take turns at every task, a few hundredths of a
second each, so that a machine that slows down slows both; the table holds medians of the
ratios, before divided by after: 2.0 is twice as fast. Threads are left as they are.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).resolve()
SECONDS, ROUNDS = 0.03, 7
SIZES = ("K2 T14", "K3 T10,000", "K16 T10,000", "K64 T2,000", "512 x T100 K8")


def work(sizes: list[str]) -> None:
    """Answer each line of input, a task, with the shortest of its times."""
    warnings.simplefilter("ignore")
    import peers  # of this tree; hmmlib is that of PYTHONPATH

    tasks = {}
    for size in sizes:
        for emission in ("categorical", "Gaussian"):
            calls = peers.of_hmmlib(peers.Problem(peers.SIZES[size], emission))
            tasks |= {f"{size}|{emission}|{task}": f for task, f in calls.items()}
    print("\n".join(tasks), "", sep="\n", flush=True)
    for line in sys.stdin:
        call, times = tasks[line.strip()], []
        call()
        until = time.perf_counter() + SECONDS
        while not times or time.perf_counter() < until:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(min(times), flush=True)


def worker(tree: Path, sizes: list[str]) -> tuple[subprocess.Popen, list[str]]:
    """A process that measures the library of `tree`, and the names of its tasks."""
    process = subprocess.Popen(
        [sys.executable, HERE, "--work", "--sizes", *sizes],
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    names = []
    while name := process.stdout.readline().strip():
        names.append(name)
    return process, names


def measured(process: subprocess.Popen, task: str) -> float:
    process.stdin.write(f"{task}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def compare(before: Path, after: Path, sizes: list[str]) -> None:
    """Print a row for each size and emission."""
    trees = [worker(tree, sizes) for tree in (before, after)]
    names, rows = trees[0][1], {}
    for name in names:
        turns = [[measured(tree, name) for tree, _ in trees] for _ in range(ROUNDS + 1)]
        ratios = [old / new for old, new in turns[1:]]  # the first round compiles
        micro = 1e6 * min(new for _, new in turns)
        size, emission, task = name.split("|")
        rows.setdefault((size, emission), []).append(
            f"{task} {statistics.median(ratios):.2f} ({micro:,.0f} us)"
        )
    for (size, emission), cells in rows.items():
        print(f"{size:14} {emission:12}", "   ".join(cells))
    for tree, _ in trees:
        tree.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("commit", nargs="?", default="HEAD")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.sizes)
        return
    root = HERE.parents[1]
    git = ["git", "-C", str(root), "worktree"]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        before = Path(folder) / "before"
        add = [*git, "add", "--quiet", "--detach", str(before), options.commit]
        subprocess.run(add, check=True)
        remove = [*git, "remove", "--force", str(before)]
        stack.callback(subprocess.run, remove, check=True)
        compare(before, root, options.sizes)


if __name__ == "__main__":
    main()
