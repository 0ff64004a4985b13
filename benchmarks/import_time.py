"""How long `from hmmlib import HMM, fit` takes beyond `import torch`: the median of ten runs."""

import statistics
import subprocess
import sys

CODE = """
import time
import torch
import torch.distributions
start = time.perf_counter()
from hmmlib import HMM, fit
print(time.perf_counter() - start)
"""


def seconds() -> float:
    """Of one run in a Python of its own."""
    run = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True
    )
    return float(run.stdout)


if __name__ == "__main__":
    print(f"{statistics.median(seconds() for _ in range(10)):.3f} s")
