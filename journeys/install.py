"""Installing: a wheel with all that belongs into it, and code that runs where nobody cloned."""

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from journeys.colab import colab_environment
from journeys.steps import Row, layer, need, run, site_packages, timed

EXTRAS = {"bench", "fleet", "full-data", "test"}
ANSWER = """
import hmmlib
from hmmlib import nilm, pyro_models
from hmmlib.book import explore
from hmmlib.datasets import series
from hmmlib.datasets.household import load_household
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, viterbi
hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
p = hmm.potentials([0, 0, 1, 2, 2])
assert len(load_household()) > 80_000 and len(series.nile()) == 100
assert log_likelihood(p) > viterbi(p).log_joint
print(*viterbi(p).states.tolist(), hmmlib.__path__[0])
"""


def walk(work: Path) -> Iterator[Row]:
    """Rows for the wheel, for a path with spaces, and for places without write access."""
    folder = work / "a path with spaces"
    folder.mkdir()
    with timed() as step:
        repository = folder / "From Rain to Watts"
        shutil.copytree(work / "repository", repository)
        step.note = inspect(build(repository, folder / "wheels"), repository)
    yield Row("install", "pip wheel", step.seconds, step.ok, step.note)
    with timed() as step:
        python = layer(folder / "python", colab_environment(work))
        run(python, "-m", "pip", "install", "--quiet", repository, cwd=folder)
        step.note = answer(python, folder)
    yield Row("install", "pip install", step.seconds, step.ok, step.note)
    for home in (folder / "home", site_packages(python) / "home") if step.ok else ():
        what = (
            f"read-only, {'a home' if home.parent == folder else 'no home'} to cache in"
        )
        with timed() as step:
            step.note = read_only(python, folder, home)
        yield Row("install", what, step.seconds, step.ok, step.note)


def build(repository: Path, target: Path) -> Path:
    """The wheel of a repository."""
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", target, repository, cwd=target.parent)
    (wheel,) = target.glob("*.whl")
    return wheel


def inspect(wheel: Path, repository: Path) -> str:
    """The size of a wheel that holds the package with its data, its metadata, and no more."""
    listed = run("git", "ls-files", "-z", "hmmlib", cwd=repository).split("\0")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        about = message_from_bytes(archive.read(name))
    different = held ^ set(filter(None, listed))
    need(not different, f"in the wheel or in hmmlib/, not in both: {sorted(different)}")
    kinds = ("py.typed", "book/explore.js", ".csv", ".csv.xz", "SOURCES.md")
    missing = [kind for kind in kinds if not any(name.endswith(kind) for name in held)]
    need(not missing, f"not in the wheel: {missing}")
    extras = set(about.get_all("Provides-Extra", ()))
    need(extras >= EXTRAS, f"extras: got {sorted(extras)}, needs {sorted(EXTRAS)}")
    for field in (
        "License-Expression",
        "Keywords",
        "Classifier",
        "Project-URL",
        "Summary",
    ):
        need(bool(about[field]), f"metadata: no {field}")
    return f"{wheel.stat().st_size / 1e6:.2f} MB, {len(held)} files"


def answer(python: Path, folder: Path, *before: str, **env: str) -> str:
    """What the installed library answers, started from a folder that is not its own."""
    said = run(*before, python, "-c", ANSWER, cwd=folder, **env).split(maxsplit=5)
    need(said[:5] == list("11000"), f"viterbi: got {said[:5]}")
    need(said[5].strip().startswith(str(site_packages(python))), f"imported {said[5]}")
    return "answers from " + " ".join(said[5].strip().rsplit("/", 6)[1:2])


def read_only(python: Path, folder: Path, home: Path) -> str:
    """The answer where site-packages cannot be written, once what was compiled is gone."""
    packages = site_packages(python)
    for cached in packages.glob("hmmlib/**/__pycache__"):
        shutil.rmtree(cached)
    run("chmod", "-R", "a-w", packages)
    # root may write anywhere, unless it gives up that right
    drop = ("--inh-caps=-dac_override", "--bounding-set=-dac_override")
    before = ("setpriv", *drop) if os.geteuid() == 0 else ()
    try:
        refused = run(
            *before, "sh", "-c", 'touch "$0/x" 2>&1 || echo refused', packages
        )
        need(
            refused.endswith("refused\n"),
            "could write to a read-only folder: nothing tested",
        )
        return answer(
            python, folder, *before, HOME=str(home), XDG_CACHE_HOME=f"{home}/.cache"
        )
    finally:
        run("chmod", "-R", "u+w", packages)
