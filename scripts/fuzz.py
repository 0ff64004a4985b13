"""The property tests, with other random input each time, for as long as one likes.

    python scripts/fuzz.py --seconds 600 --seed 1

Stops at the first failure, which pytest shows with the input that it was shrunk to.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ["hostile", "recursion", "inference", "kernels", "meter"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    end, seed = time.monotonic() + options.seconds, options.seed
    environment = os.environ | {"HYPOTHESIS_PROFILE": "fuzz", "PYTHONPATH": str(ROOT)}
    files = [str(ROOT / f"tests/test_{name}.py") for name in FILES]
    while (left := end - time.monotonic()) > 0:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "hypothesis"]
        command += [f"--hypothesis-seed={seed}", f"--rootdir={ROOT}", *files]
        try:
            failed = subprocess.run(command, env=environment, timeout=left).returncode
        except subprocess.TimeoutExpired:
            break
        if failed:
            return failed
        seed += 1
    print(f"seeds {options.seed} to {seed}, and no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
