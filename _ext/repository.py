"""Put the repository's address everywhere: it is written in _config.yml, and the rest follows.

    python _ext/repository.py https://github.com/OWNER/NAME

Replaces the address, the OWNER/NAME of launch links, and the address of the site on GitHub Pages,
in every tracked file. Without an address, shows the present one.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)")


def forms(url: str) -> list[str]:
    """The spellings of one repository: OWNER/NAME, as in its address, and the site on Pages."""
    match = GITHUB.fullmatch(url.removesuffix("/").removesuffix(".git"))
    if not match:
        raise ValueError(f"URL: got {url!r}, needs https://github.com/OWNER/NAME")
    owner, name = match.groups()
    return [f"{owner}/{name}", f"{owner}.github.io/{name}"]


def present(root: Path = ROOT) -> str:
    """The address in _config.yml."""
    return GITHUB.search((root / "_config.yml").read_text()).group()


def replace(root: Path, url: str) -> list[Path]:
    """Write the new address wherever the present one stands; the files that changed."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    pairs = list(zip(forms(present(root)), forms(url), strict=True))
    changed = []
    paths = [root / name for name in tracked.split("\0") if name]
    paths.sort(
        key=lambda path: path.name == "_config.yml"
    )  # last: till then, try again
    for path in filter(Path.is_file, paths):
        before = path.read_bytes()
        after = before
        for old, new in pairs:
            after = after.replace(old.encode(), new.encode())
        if after != before:
            path.write_bytes(after)
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(present())
    else:
        try:
            changed = replace(ROOT, sys.argv[1])
        except ValueError as error:
            sys.exit(str(error))
        for path in changed:
            print(path.relative_to(ROOT))
