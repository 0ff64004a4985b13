"""The book to take along: one PDF, and a zip of notebooks with the library that they import."""

import zipfile
from pathlib import Path

import printed
from sphinx.util import logging

ROOT = Path(__file__).parents[1]
NOTEBOOKS = "from-rain-to-watts-notebooks.zip"
PACKED = [
    "chapters/*.ipynb", "chapters/appendix/*.ipynb", "chapters/appendix/notation.md",
    "chapters/appendix/glossary.md", "hmmlib/**/*", "pyproject.toml", "CITATION.cff", "LICENSE",
]  # fmt: skip
README = """# From Rain to Watts: the notebooks

The chapters with their outputs, to read as they are or to run, and `hmmlib`, the library that
they import, with its data. The book itself is at {url}

To run them you need Python 3.11 or newer. In this folder, on Linux or a Mac:

    python3 -m venv .venv
    .venv/bin/pip install . jupyterlab
    .venv/bin/jupyter lab chapters/01_sampling.ipynb

On Windows:

    py -m venv .venv
    .venv\\Scripts\\pip install . jupyterlab
    .venv\\Scripts\\jupyter lab chapters\\01_sampling.ipynb

The second line fetches PyTorch and takes some minutes; afterwards no network is needed. Start
with chapter 1. Each chapter runs in seconds.
"""
log = logging.getLogger(__name__)


def setup(app):
    app.connect("html-page-context", offer, priority=900)  # the theme makes them
    app.connect("build-finished", take_along, priority=970)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def offer(app, pagename, templatename, context, doctree):
    """In the menu of downloads, below those of the page, those of the whole."""
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            whole = [(NOTEBOOKS, "all notebooks, .zip", "fas fa-file-zipper")]
            if printed.browser():
                whole.insert(0, (printed.NAME, "the whole book, .pdf", "fas fa-book"))
            group["buttons"] += [
                {
                    "type": "link",
                    "url": context["pathto"](name, 1),
                    "text": text,
                    "tooltip": f"Download {text}",
                    "icon": icon,
                    "label": f"download-{Path(name).suffix[1:]}-of-all-button",
                }
                for name, text, icon in whole
            ]


def take_along(app, exception):
    """Pack the notebooks and print the book, where there is a browser to print with."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    pack(site / NOTEBOOKS)
    if printed.browser():
        printed.print_book(site)
    else:
        log.info(
            "No PDF of the book: printing needs Chromium or Chrome, and none was found."
        )


def files() -> list[Path]:
    """What goes into the zip."""
    found = {
        path for pattern in PACKED for path in ROOT.glob(pattern) if path.is_file()
    }
    return sorted(
        path
        for path in found
        if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
    )


def pack(target: Path) -> None:
    """Write the zip, the same bytes for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name, data):
            info = zipfile.ZipInfo(f"from-rain-to-watts/{name}")
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, data)

        add("README.md", README.format(**printed.about()))
        for path in files():
            add(path.relative_to(ROOT).as_posix(), path.read_bytes())
