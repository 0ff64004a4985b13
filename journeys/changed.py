"""What is installed in other versions than requirements.lock and requirements.txt say."""

import re
from importlib.metadata import distributions

from packaging.markers import Marker

from journeys.steps import ROOT

PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(?: *; *([^\\#\n]+))?", flags=re.MULTILINE)


def name_of(package: str) -> str:
    """A package's name as the lock spells it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def locked() -> dict[str, str]:
    """The version of each package that this Python on this platform should have."""
    text = "".join(
        (ROOT / f"requirements.{end}").read_text() for end in ("txt", "lock")
    )
    return {
        name_of(name): version
        for name, version, marker in PIN.findall(text)
        if not marker or Marker(marker.strip()).evaluate()
    }


def changed() -> list[str]:
    """A line for each package that came, went, or has another version."""
    have = {name_of(each.name): each.version.split("+")[0] for each in distributions()}
    want = locked()
    ours = {"hmmlib", "pip"}
    return [
        f"{name} {want.get(name, 'not there')} -> {have.get(name, 'not there')}"
        for name in sorted((have.keys() | want.keys()) - ours)
        if have.get(name) != want.get(name)
    ]


if __name__ == "__main__":
    print(*changed(), sep="\n")
