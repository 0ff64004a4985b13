"""The lock holds what requirements.txt asks for, and nothing that ties it to one machine."""

import re

from packaging.requirements import Requirement

from chapters import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE))


def asked() -> dict[str, Requirement]:
    """The lines of requirements.txt, by name."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [
        Requirement(line.split(" #")[0]) for line in lines if line and line[0] != "#"
    ]
    return {each.name: each for each in found}


def test_the_lock_is_current():
    wanted = {name: str(each.specifier) for name, each in asked().items()}
    assert wanted.pop("torch") and "torch" not in LOCKED
    stale = {name for name in wanted if wanted[name] != f"=={LOCKED.get(name)}"}
    assert not stale, f"requirements.lock has other versions of {stale}: run make lock"


def test_everything_in_the_lock_has_a_hash():
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_is_tied_to_no_machine():
    """No address, no path, no CUDA."""
    assert not re.search(r"://|^-|[-_]index|find-links", LOCK, flags=re.MULTILINE)
    assert not re.search(r"nvidia|cuda|triton", re.sub(r"#.*", "", LOCK))


def test_jupyter_book_stays_below_2():
    assert asked()["jupyter-book"].specifier.contains("1.0.4.post1")
    assert int(LOCKED["jupyter-book"].split(".")[0]) == 1
