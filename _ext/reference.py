"""The API page: a section for each module of hmmlib, made of its docstrings.

`chapters/appendix/api.md` gives their order in comments, `<!-- modules: hmm learning -->`. The
name of a package includes its modules, unless a comment `<!-- left out: ... -->` lists them. A
module that no comment names stops the build.
"""

import fnmatch
import inspect
import pkgutil
import re
from importlib import import_module

from sphinx.ext.napoleon import Config, GoogleDocstring

import hmmlib

PAGE = "chapters/appendix/api"
COMMENT = re.compile(r"<!-- (modules|left out): (.*?) -->", re.S)
SECTION = re.compile(r"(Args|Returns|Yields|Raises|Examples?|Notes?|References):$")
MODULE = """{0} `{1}`

```{{eval-rst}}
.. automodule:: hmmlib.{1}
{2}
```
"""


def setup(app):
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-skip-member", made_by_sklearn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fill_in(app, docname, source):
    """Put sections in the place of the comments."""
    if docname != PAGE:
        return
    walked = pkgutil.walk_packages(hmmlib.__path__, "hmmlib.")
    rest = [each.name.removeprefix("hmmlib.") for each in walked]

    def taken(names):
        """Modules of these names and those inside of them, each with the closest name."""
        found = {}
        for name in names.split():
            for module in fnmatch.filter(rest, name) + fnmatch.filter(
                rest, f"{name}.*"
            ):
                found[module] = name
        rest[:] = [module for module in rest if module not in found]
        return found

    for kind, names in COMMENT.findall(source[0]):
        if kind == "left out":
            taken(names)
    source[0] = COMMENT.sub(
        lambda match: "".join(section(*each) for each in taken(match[2]).items()),
        source[0],
    )
    if rest:
        raise ValueError(f"{docname}.md: names no {', '.join(rest)}")


def section(name: str, package: str) -> str:
    """What the page says of a module: of a package that exports names, these; or all names."""
    module = import_module(f"hmmlib.{name}")
    exported = getattr(import_module(f"hmmlib.{package}"), "__all__", None)
    own = [
        each
        for each, value in vars(module).items()
        if each[0] != "_" and inspect.getmodule(value) is module
        if exported is None or each in exported
    ]
    if not own and name != package:
        return ""
    members = f"   :members: {', '.join(own)}" if own else ""
    return MODULE.format("#" * (3 + name.count(".")), name, members)


def made_by_sklearn(app, what, name, obj, skip, options):
    """Leave out the methods that scikit-learn adds to each estimator for metadata routing."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def as_written(app, what, name, obj, options, lines):
    """Show a docstring as it reads in the source: `code` in backticks, tables and equations
    line by line, no other markup. Sections such as "Raises:" and examples are left to napoleon.
    """
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
    lines.clear()
    in_section = False
    for paragraph in paragraphs:
        rows = paragraph.split("\n")
        in_section = bool(SECTION.match(rows[0])) or (in_section and rows[0][:1] == " ")
        table = rows[1:] and any(re.search(r"^ |\S {2,}\S", row) for row in rows)
        table = table and not in_section and rows[0][:2] != "* "
        if ">>> " in paragraph:
            lines.extend(rows)
        elif table:
            lines.extend([".. code-block:: none", "", *("    " + row for row in rows)])
        else:
            lines.extend(without_markup(paragraph).split("\n"))
        lines.append("")
    lines[:] = GoogleDocstring(lines, Config(napoleon_use_rtype=False)).lines()


def without_markup(text):
    """What reStructuredText shows as the text reads."""
    pieces = re.split(r"(`[^`]+`)", text)
    return "".join(
        f"`{piece}`"
        if piece[:1] == "`"
        else re.sub(r"([*|](?=\S)|\\|_\b)", r"\\\1", piece)
        for piece in pieces
    )
