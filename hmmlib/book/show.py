"""Library code shown in a chapter, as it runs, never pasted."""

import ast
import base64
import builtins
import difflib
import html
import inspect
import itertools
import re
import sys
import textwrap
from collections import Counter
from typing import NamedTuple

from IPython.display import HTML, Markdown

# How a row of two functions differs: its signs on the left and on the right, read aloud and tinted
MARKS = {"same": ("", ""), "moved": ("›", "›"), "changed": ("−", "+")}
SAID = {"−": "removed", "+": "new", "›": "moved"}
TINTS = {"−": "230, 159, 0, 0.28", "+": "230, 159, 0, 0.28", "›": "128, 128, 128, 0.16"}


def show_source(*objects) -> Markdown:
    """The source of functions and classes as one block of code that runs alone.

    Constants that they use come along; of a compiled function one sees the Python that it is
    compiled from. Raises ValueError when the block would call something of the library that it does
    not show.

    >>> print(show_source(textwrap.indent).data.splitlines()[0])
    ```python
    """
    return Markdown(f"```python\n{block(*objects)}\n```")


def take(filename: str, *objects) -> Markdown:
    """The same block as a file to take away: folded, to copy, and to download.

    Raises ValueError as `show_source` does, and for a name that is not one of a Python file.
    """
    if not re.fullmatch(r"\w+\.py", filename):
        raise ValueError(f"filename: got {filename!r}, needs letters and .py")
    names = ", ".join(each.__name__ for each in objects if each.__doc__)
    code = block(*objects)
    code = f'"""From Rain to Watts: {filename}. MIT License."""\n\n{code}\n'
    packed = base64.b64encode(code.encode()).decode()
    return Markdown(
        f"<details class='take-this'><summary>Take this: <code>{filename}</code>,"
        f" {len(code.splitlines())} lines that run alone</summary>\n\n"
        f"It holds {names}. <a download='{filename}'"
        f" href='data:text/x-python;base64,{packed}'>Download it</a>, or copy:\n\n"
        f"```python\n{code}```\n\n</details>"
    )


def block(*objects) -> str:
    """The code of `show_source`. Raises ValueError as it does."""
    sources = [_source(each) for each in objects]
    shown = {each.__name__ for each in objects}
    imports, constants = [], {}
    for each, source in zip(objects, sources, strict=True):
        module = ast.parse(inspect.getsource(sys.modules[each.__module__]))
        offered = {name: line for node in module.body for name, line in _bound(node)}
        wanted = sorted(_names(ast.parse(source)) & (offered.keys() - shown))
        for name in wanted:  # grows: a constant may need another one
            line = offered[name]
            if line is None or "hmmlib" in line:
                raise ValueError(
                    f"show_source: {each.__name__} uses {name}; show it in the same block"
                )
            if line.startswith(("import ", "from ")):
                imports.append(line)
            else:
                constants[line] = list(offered).index(name)
                wanted += sorted(_names(ast.parse(line)) & (offered.keys() - shown))
    imports = sorted(
        set(imports),
        key=lambda line: (
            line.split()[1].split(".")[0] not in sys.stdlib_module_names,
            line,
        ),
    )
    values = "\n".join(sorted(constants, key=constants.get))
    code = "\n\n\n".join(
        part for part in ("\n".join(imports), values, *sources) if part
    )
    try:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    except NameError as error:
        raise ValueError(
            f"show_source: {error}; show it earlier in the block"
        ) from error
    return code


class Change(NamedTuple):
    """One row of two functions side by side."""

    kind: str  #: "same", "moved" if only its indent differs, or "changed"
    old: str | None  #: the line before, None where the new one is added
    new: str | None  #: the line after, None where the old one is gone


def changes(before, after) -> list[Change]:
    """The code of two functions in rows, docstrings left out; what differs is marked.

    Lines are matched by their words: one that is only indented anew has moved, not changed.
    """
    left, right = (_code(each) for each in (before, after))
    words = ([line.strip() for line in lines] for lines in (left, right))
    blocks = difflib.SequenceMatcher(None, *words, autojunk=False).get_opcodes()
    rows = []
    for kind, start, end, to_start, to_end in blocks:
        pairs = itertools.zip_longest(left[start:end], right[to_start:to_end])
        for old, new in pairs:
            matched = "same" if old == new else "moved"
            rows.append(Change(matched if kind == "equal" else "changed", old, new))
    return rows


def show_changes(before, after) -> HTML:
    """The code of two functions side by side, with the lines marked that differ.

    The rows of `changes`: what is removed is marked − on the left, what is new + on the
    right, what has only moved to another indent ›. A caption counts them. Raises ValueError
    when the two are alike.
    """
    rows = changes(before, after)
    count = Counter(row.kind for row in rows)
    if count["same"] == len(rows):
        raise ValueError("show_changes: got two functions with the same code")
    said = f"{count['changed']} of {len(rows)} lines changed"
    if count["moved"]:
        said += f", {count['moved']} only moved"
    body = "".join(
        f"<tr>{_cell(row.old, marks[0])}{_cell(row.new, marks[1])}</tr>"
        for row in rows
        for marks in [MARKS[row.kind]]
    )
    names = "".join(
        f'<th scope="col" style="text-align: left"><code>{html.escape(each.__name__)}</code></th>'
        for each in (before, after)
    )
    label = html.escape(f"{before.__name__} and {after.__name__} side by side")
    return HTML(
        f'<div class="side-by-side" style="overflow-x: auto" tabindex="0" role="group"'
        f' aria-label="{label}"><table style="width: 100%; min-width: 40em; table-layout:'
        ' fixed; border-collapse: collapse"><caption style="caption-side: top; text-align:'
        f' left; color: inherit; padding: 0 0 0.4em">{said}</caption><thead><tr>{names}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _source(each) -> str:
    """The text of a function or class, without the decorator that compiles or wraps it."""
    source = textwrap.dedent(inspect.getsource(each)).rstrip()
    decorated = hasattr(each, "py_func") or hasattr(each, "__wrapped__")
    return source[source.index("def ") :] if decorated else source


def _code(function) -> list[str]:
    """The lines of a function without its docstring."""
    source = _source(function)
    body = ast.parse(source).body[0].body
    lines = source.rstrip().splitlines()
    if ast.get_docstring(ast.parse(source).body[0]):
        lines = lines[: body[0].lineno - 1] + lines[body[0].end_lineno :]
    return lines


def _cell(line: str | None, mark: str) -> str:
    """One line of code as a cell of a table; `mark` says in a sign how it differs."""
    sign, tint = " ", ""
    if mark and line is not None:
        sign = f'<span role="img" aria-label="{SAID[mark]}">{mark}</span>'
        tint = f"background: rgba({TINTS[mark]}); "
    return (
        f'<td style="{tint}text-align: left; vertical-align: top; padding: 0 0.4em 0 6.4ch;'
        " text-indent: -6ch;"
        " font-family: monospace; font-size: 0.7rem; line-height: 1.5; white-space: pre-wrap;"
        f' overflow-wrap: anywhere">{sign} {html.escape(line or "")}</td>'
    )


def _bound(node: ast.stmt) -> list[tuple[str, str | None]]:
    """The names that a statement binds, each with its line if it is an import or the
    value of a constant, or None.
    """
    if isinstance(node, ast.Import):
        return [
            (a.asname or a.name.split(".")[0], f"import {a.name}" + _renamed(a))
            for a in node.names
        ]
    if isinstance(node, ast.ImportFrom):
        return [
            (a.asname or a.name, f"from {node.module} import {a.name}" + _renamed(a))
            for a in node.names
        ]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [(node.name, None)]
    stored = (name for name in ast.walk(node) if isinstance(name, ast.Name))
    line = ast.unparse(node) if isinstance(node, ast.Assign) else None
    return [(name.id, line) for name in stored if isinstance(name.ctx, ast.Store)]


def _renamed(alias: ast.alias) -> str:
    return f" as {alias.asname}" if alias.asname else ""


def _names(tree: ast.AST) -> set[str]:
    """Every name that the code reads and does not bind itself."""
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    written = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return read - written - arguments - set(dir(builtins))
