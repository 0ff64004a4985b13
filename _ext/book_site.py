"""What the site needs beyond Jupyter Book: mathematics without a network, and a tidy page."""

import importlib.util
import shutil
from pathlib import Path


def setup(app):
    app.setup_extension("slim")
    app.connect("config-inited", configure, priority=900)
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", ship_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def configure(app, config):
    """Options that `_config.yml` cannot set without losing Jupyter Book's own."""
    config.mathjax_path = "mathjax/tex-mml-chtml.js"
    options = config.html_theme_options
    # One search button, the theme's; light or dark as the reader's system has it.
    options["navbar_persistent"] = []
    config.html_context["default_mode"] = "auto"


def drop_thebe(app, pagename, templatename, context, doctree):
    """Jupyter Book loads Thebe's scripts twice, which is an error on every page, and
    the book does not use them.
    """
    for files in ("script_files", "css_files"):
        context[files] = [
            file
            for file in context[files]
            if "thebe" not in f"{file} {getattr(file, 'attributes', '')}"
        ]


def ship_mathjax(app, exception):
    """Copy the one script and the fonts that pages use: 2 MB of MathJax's 24."""
    if exception or app.builder.format != "html":
        return
    source = (
        Path(
            importlib.util.find_spec(
                "sphinx-mathjax-offline"
            ).submodule_search_locations[0]
        )
        / "static/mathjax"
    )
    target = Path(app.outdir) / "_static/mathjax"
    fonts = Path("output/chtml/fonts/woff-v2")
    shutil.copytree(source / fonts, target / fonts, dirs_exist_ok=True)
    shutil.copy(source / "tex-mml-chtml.js", target)
