"""The page of versions and downloads: what it tells is read off the records."""

import json
from collections import defaultdict
from pathlib import Path

import nbformat
import offline
import printed

PAGE = "chapters/appendix/versions"
RECORD = Path(__file__).parents[1] / "chapters/executed.json"
BIBTEX = """```bibtex
@book{{rain2026,
  title = {{{title}: {subtitle}}},
  author = {{{{{authors}}}}},
  year = {{{year}}},
  note = {{Version {version}}},
  url = {{{url}}},
}}
```"""


def setup(app):
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fill_in(app, docname, source):
    """Put each part in the place of its comment."""
    if docname == PAGE:
        for name, part in parts().items():
            source[0] = source[0].replace(f"<!-- {name} -->", part)


def parts() -> dict[str, str]:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return {
        "downloads": downloads(),
        "versions": versions(record),
        "runs": runs(record),
        "bibtex": BIBTEX.format(**printed.about()),
    }


def downloads() -> str:
    def link(name, text):
        return f'<a class="reference internal" href="../../{name}">{text}</a>'

    pdf = link(printed.NAME, "The whole book as a PDF")
    if not printed.browser():
        pdf = "The whole book as a PDF is not here: this copy was built without a browser, which "
        pdf += f"prints it. It is [on the site]({printed.about()['url']}{printed.NAME})"
    return (
        f"- {pdf}, A4, with page numbers, bookmarks and the solutions at its end.\n"
        f"- {link(offline.NOTEBOOKS, 'All notebooks as a zip')}, with their outputs, "
        "the library and its data. `README.md` in it says how to run them."
    )


def versions(record: dict) -> str:
    """A table of packages; in most books, one version of each."""
    seen = defaultdict(set)
    for run in record.values():
        for name, version in run["versions"].items():
            seen[name].add(version)
    rows = [f"| {name} | {', '.join(sorted(found))} |" for name, found in seen.items()]
    return "\n".join(["| | version |", "|---|---|", *rows])


def runs(record: dict) -> str:
    rows = ["| notebook | seconds | day |", "|---|--:|---|"]
    folder = RECORD.parent
    for name, run in record.items():
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        title = notebook.cells[0].source.split("\n")[0].removeprefix("# ")
        path = Path("..", f"{name}.ipynb")
        rows.append(f"| [{title}]({path}) | {run['seconds']:.0f} | {run['day']} |")
    total = sum(run["seconds"] for run in record.values())
    rows.append(f"| all | {total:.0f} | |")
    return "\n".join(rows)
