"""Files that are too large for the package: looked for on this machine, then downloaded."""

import hashlib
import os
from pathlib import Path

FOLDER = "HMMLIB_DATA"  # the environment variable that names a folder of such files


def fetch(url: str, sha256: str, progressbar: bool = True) -> Path:
    """The path of a file with this SHA-256, named as the last part of `url`.

    It is looked for in the folder that the environment variable HMMLIB_DATA names, and in
    the cache; then it is downloaded into the cache.

    Raises:
        ImportError: it has to be downloaded, and pooch is missing;
            `pip install "hmmlib[full-data]"` installs it.
        OSError: it could not be downloaded.
        ValueError: the file that was found has another SHA-256.
    """
    name = url.rsplit("/", 1)[-1]
    if (path := _in_folder(name, sha256)) is not None:
        return path
    import pooch

    try:
        path = pooch.retrieve(
            url, f"sha256:{sha256}", fname=name,
            path=pooch.os_cache("hmmlib"), progressbar=progressbar,
        )  # fmt: skip
    except OSError as error:  # that of requests, too
        raise OSError(
            f"{name} could not be downloaded ({type(error).__name__}); offline, download"
            f" {url} elsewhere and set the environment variable {FOLDER} to its folder"
        ) from error
    return Path(path)


def _in_folder(name: str, sha256: str) -> Path | None:
    """The file in the folder that HMMLIB_DATA names; None if it is not there."""
    if not os.environ.get(FOLDER):
        return None
    path = Path(os.environ[FOLDER]) / name
    if not path.is_file():
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(f"{FOLDER}: {path} has the SHA-256 {found}, needs {sha256}")
    return path
