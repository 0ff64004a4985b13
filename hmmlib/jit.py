"""How loops are compiled: by numba, for the CPU, cached on disk where that is possible."""

import atexit
import shutil
import tempfile

from numba import config, njit


def find_cache() -> None:
    """Use a temporary cache where neither this folder nor the user's own can be written."""
    try:
        njit(cache=True)(find_cache)  # refused where there is no place to keep it
    except RuntimeError:
        config.CACHE_DIR = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, config.CACHE_DIR, ignore_errors=True)


find_cache()

FAST = {"contract", "reassoc", "nsz"}  # sums in any order, a * b + c in one go
compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
# Where there is no NaN, and -inf only ever added to, a maximum is a single instruction.
compiled_max = njit(
    cache=True, nogil=True, error_model="numpy", fastmath=FAST | {"nnan"}
)
# For a function in the innermost loop: its lines are put in the place of the call. Passing a
# dozen arrays would take longer than what it does with them.
inlined = njit(
    cache=True, nogil=True, error_model="numpy", fastmath=FAST, inline="always"
)
