"""UK-DALE for tests that need it: found on this machine, never downloaded, or a skip."""

import functools
import hashlib
import os
from pathlib import Path

import pytest

from hmmlib.datasets import ukdale
from hmmlib.datasets.download import FOLDER

MISSING = (
    "UK-DALE is not here: name its folder in HMMLIB_DATA, or call fetch_ukdale() once"
)


@functools.cache
def is_here() -> bool:
    """Whether `fetch_ukdale` needs no network."""
    folders = [os.environ.get(FOLDER)]
    try:
        import pooch
    except ImportError:
        pass
    else:
        folders.append(pooch.os_cache("hmmlib"))
    name = ukdale.URL.rsplit("/", 1)[-1]
    paths = [Path(folder) / name for folder in folders if folder]
    return any(
        path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest() == ukdale.SHA256
        for path in paths
    )


needs_ukdale = pytest.mark.skipif(not is_here(), reason=MISSING)
