"""Installing: a wheel with all that belongs into it, and code that runs where nobody cloned."""

import os
import shutil
import zipfile
from email import message_from_bytes

import pytest
from steps import build, layer, run, site_packages

EXTRAS = {"bench", "fleet", "full-data", "test"}
KINDS = ("py.typed", "book/explore.js", ".csv", ".csv.xz", "SOURCES.md")
FIELDS = ("License-Expression", "Keywords", "Classifier", "Project-URL", "Summary")
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("a path with spaces")


@pytest.fixture(scope="module")
def clone(folder, repository):
    return shutil.copytree(repository, folder / "From Rain to Watts")


@pytest.fixture(scope="module")
def python(folder, clone, colab):
    """A Python where pip has installed the library from the clone."""
    python = layer(folder / "python", colab)
    run(python, "-m", "pip", "install", "--quiet", clone, cwd=folder)
    return python


def test_a_wheel_holds_the_package_and_its_metadata(folder, clone):
    wheel = build(clone, folder / "wheels")
    listed = run("git", "ls-files", "-z", "hmmlib", cwd=clone).split("\0")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        about = message_from_bytes(archive.read(name))
    assert held == set(filter(None, listed))
    assert [k for k in KINDS if not any(name.endswith(k) for name in held)] == []
    assert set(about.get_all("Provides-Extra", ())) >= EXTRAS
    assert [field for field in FIELDS if not about[field]] == []
    print(f"{wheel.stat().st_size / 1e6:.2f} MB, {len(held)} files")


def check_answer(python, folder, *before, **env):
    """Ask the installed library, from a folder that is not its own."""
    said = run(*before, python, "-c", ANSWER, cwd=folder, **env).split(maxsplit=5)
    assert said[:5] == list("11000")
    assert said[5].startswith(str(site_packages(python)))


def test_the_installed_library_answers(python, folder):
    check_answer(python, folder)


@pytest.mark.parametrize("home", ["home", "no home"])
def test_it_answers_where_nothing_can_be_written(home, python, folder):
    """Not to site-packages, with nothing compiled before; with and without a cache at home."""
    packages = site_packages(python)
    home = folder / "home" if home == "home" else packages / "home"
    for cached in packages.glob("hmmlib/**/__pycache__"):
        shutil.rmtree(cached)
    run("chmod", "-R", "a-w", packages)
    # root may write anywhere, unless it gives up that right
    drop = ("--inh-caps=-dac_override", "--bounding-set=-dac_override")
    before = ("setpriv", *drop) if os.geteuid() == 0 else ()
    try:
        write = ("sh", "-c", 'touch "$0/x" 2>&1 || echo refused', packages)
        assert run(*before, *write).endswith("refused\n"), "the folder is not read-only"
        places = {"HOME": str(home), "XDG_CACHE_HOME": f"{home}/.cache"}
        check_answer(python, folder, *before, **places)
    finally:
        run("chmod", "-R", "u+w", packages)
