"""The front page and the course: reading times are counted, and a missing address is explained."""

import re
from pathlib import Path

import nbformat
import repository

CHAPTERS = Path(__file__).parents[1] / "chapters"
PAGES = {"intro", "chapters/appendix/course"}
WORDS_A_MINUTE, SECONDS_A_LINE = 150, 4
HIDDEN = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
PLACEHOLDER = "your_name_here"
NO_ADDRESS = f"""```{{note}}
This copy of the book has no public address yet: `{PLACEHOLDER}` stands where the owner of the
repository belongs. Until it is replaced, links to GitHub, Binder and Colab lead nowhere, and the
first cell of a chapter cannot fetch `hmmlib`. Of the commands above, run only `make book`, in the
folder in which you found this copy; `pip install .` there installs `hmmlib` alone. The PDF and the
zip are under [versions and downloads](chapters/appendix/versions.md). Whoever publishes the book
sets the address in all files at once: `make repo URL=https://github.com/OWNER/NAME`.
```"""


def setup(app):
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fill_in(app, docname, source):
    if docname in PAGES:
        note = NO_ADDRESS if PLACEHOLDER in repository.present() else ""
        filled = source[0].replace("<!-- address -->", note)
        source[0] = re.sub(r"<!-- minutes of ([\w, ]+) -->", minutes, filled)


def minutes(match: re.Match) -> str:
    """The reading time of the chapters named, each to the nearest five minutes."""
    each = (reading_time(CHAPTERS / f"{name}.ipynb") for name in match[1].split(", "))
    return f"{sum(5 * round(time / 5) for time in each)}\N{NO-BREAK SPACE}min"


def reading_time(path: Path) -> float:
    """Minutes for the text at 150 words a minute and 4 s a line of code; solutions are left out."""
    words = lines = 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            words += len(re.sub(r"<details>.*", "", cell.source, flags=re.S).split())
        elif not HIDDEN & set(cell.metadata.get("tags", [])):
            lines += sum(1 for line in cell.source.split("\n") if line.strip())
    return words / WORDS_A_MINUTE + lines * SECONDS_A_LINE / 60
