"""The library's own code on a page: taken from the source that runs, never pasted."""

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

# The marks of a row on the left and on the right, their names for screen readers, their tints
MARKS = {"same": ("", ""), "moved": ("›", "›"), "changed": ("−", "+")}
LABELS = {"−": "removed", "+": "new", "›": "moved"}
STACKED = (  # a narrow screen has one column: a line that stays once, a changed one twice
    "@media screen and (max-width: 600px) {"
    " .side-by-side :is(table, thead, tbody, tr, th, td) { display: block }"
    " .side-by-side :is(.same td + td, .moved td:first-child, .none) { display: none }"
    " }"
)
TINTS = {"−": "230, 159, 0, 0.28", "+": "230, 159, 0, 0.28", "›": "128, 128, 128, 0.16"}


def show_source(*objects) -> Markdown:
    """The source of functions and classes as one block of code that runs alone.

    The block includes the imports and constants that they use; a compiled function is shown
    as the Python code that it is compiled from.

    Raises:
        ValueError: if the block uses something of the library that it does not show.

    Example:
        >>> print(show_source(textwrap.indent).data.splitlines()[0])
        ```python
    """
    return Markdown(f"```python\n{block(*objects)}\n```")


def take(filename: str, *objects) -> Markdown:
    """The block of `show_source` as a folded file, to copy or to download.

    Raises:
        ValueError: as `show_source` does, and if `filename` is not that of a Python module.
    """
    if not re.fullmatch(r"\w+\.py", filename):
        raise ValueError(
            f"filename: got {filename!r}, needs the name of a Python file, such as forward.py"
        )
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
    """The code that `show_source` shows. Raises ValueError as `show_source` does."""
    sources = [_source(each) for each in objects]
    shown = {each.__name__ for each in objects}
    imports, constants = set(), {}
    for each, source in zip(objects, sources, strict=True):
        module = ast.parse(inspect.getsource(sys.modules[each.__module__]))
        offered = {name: line for node in module.body for name, line in _bound(node)}
        wanted = sorted(_names(source) & (offered.keys() - shown))
        for name in wanted:  # grows: a constant may use another one
            line = offered[name]
            if line is None or "hmmlib" in line:
                raise ValueError(
                    f"show_source: {each.__name__} uses {name}; show it in the same block"
                )
            if line.startswith(("import ", "from ")):
                package = line.split()[1].partition(".")[0]
                imports.add((package not in sys.stdlib_module_names, line))
            else:
                constants[line] = list(offered).index(name)
                wanted += sorted(_names(line) & (offered.keys() - shown))
    parts = (
        "\n".join(line for _, line in sorted(imports)),  # the standard library first
        "\n".join(sorted(constants, key=constants.get)),
        *sources,
    )
    code = "\n\n\n".join(filter(None, parts))
    try:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    except NameError as error:
        raise ValueError(
            f"show_source: {error}; show it earlier in the block"
        ) from error
    return code


class Change(NamedTuple):
    """One row of two functions side by side."""

    kind: str  #: "same", "moved" if only the indentation differs, or "changed"
    old: str | None  #: the line of the first function, None where a line is added
    new: str | None  #: the line of the second, None where a line is removed


def changes(before, after) -> list[Change]:
    """The code of two functions line by line, without docstrings, and how each line differs.

    Lines are matched without their indentation: a line that is only indented differently has
    moved, not changed.
    """
    left, right = _code(before), _code(after)
    stripped = ([line.strip() for line in lines] for lines in (left, right))
    matcher = difflib.SequenceMatcher(None, *stripped, autojunk=False)
    rows = []
    for tag, start, end, to_start, to_end in matcher.get_opcodes():
        pairs = itertools.zip_longest(left[start:end], right[to_start:to_end])
        for old, new in pairs:
            matched = "same" if old == new else "moved"
            rows.append(Change(matched if tag == "equal" else "changed", old, new))
    return rows


def show_changes(before, after) -> HTML:
    """The code of two functions side by side, with marks on the lines that differ.

    The rows of `changes`: removed lines are marked − on the left, new ones + on the right,
    moved ones › on both sides. A caption counts them.

    Raises:
        ValueError: if the two functions have the same code.
    """
    rows = changes(before, after)
    count = Counter(row.kind for row in rows)
    if count["same"] == len(rows):
        raise ValueError("show_changes: got two functions with the same code")
    caption = f"{count['changed']} of {len(rows)} lines changed"
    if count["moved"]:
        caption += f", {count['moved']} only moved"
    body = "".join(
        f'<tr class="{row.kind}">'
        f"{''.join(map(_cell, (row.old, row.new), MARKS[row.kind]))}</tr>"
        for row in rows
    )
    names = [html.escape(each.__name__) for each in (before, after)]
    heads = "".join(
        f'<th scope="col" style="text-align: left"><code>{name}</code></th>'
        for name in names
    )
    return HTML(
        f"<style>{STACKED}</style>"
        '<div class="side-by-side" style="overflow-x: auto" tabindex="0" role="group"'
        f' aria-label="{names[0]} and {names[1]} side by side"><table style="width: 100%;'
        ' table-layout: fixed; border-collapse: collapse"><caption'
        ' style="caption-side: top; text-align: left; color: inherit; padding: 0 0 0.4em">'
        f"{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _source(each) -> str:
    """The source of a function or class, without the decorator that compiles or wraps it."""
    source = textwrap.dedent(inspect.getsource(each)).rstrip()
    decorated = hasattr(each, "py_func") or hasattr(each, "__wrapped__")
    return source[source.index("def ") :] if decorated else source


def _code(function) -> list[str]:
    """The lines of a function without its docstring."""
    source = _source(function)
    lines, (tree,) = source.splitlines(), ast.parse(source).body
    if ast.get_docstring(tree):
        docstring = tree.body[0]
        del lines[docstring.lineno - 1 : docstring.end_lineno]
    return lines


def _cell(line: str | None, mark: str) -> str:
    """A line of code as a cell of a table, with the mark that says how it differs."""
    sign, tint = " ", ""
    if mark and line is not None:
        sign = f'<span role="img" aria-label="{LABELS[mark]}">{mark}</span>'
        tint = f"background: rgba({TINTS[mark]}); "
    absent = ' class="none"' if line is None else ""
    return (
        f'<td{absent} style="{tint}text-align: left; vertical-align: top; padding: 0 0.4em 0 6.4ch;'
        " text-indent: -6ch;"
        " font-family: monospace; font-size: 0.7rem; line-height: 1.5; white-space: pre-wrap;"
        f' overflow-wrap: anywhere">{sign} {html.escape(line or "")}</td>'
    )


def _bound(node: ast.stmt) -> list[tuple[str, str | None]]:
    """The names that a statement binds, each with the line that binds it.

    The line is an import or an assignment, and None for anything else.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        fields = dict(ast.iter_fields(node))
        return [
            (
                alias.asname or alias.name.partition(".")[0],
                ast.unparse(type(node)(**fields | {"names": [alias]})),
            )
            for alias in node.names
        ]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [(node.name, None)]
    line = ast.unparse(node) if isinstance(node, ast.Assign) else None
    return [(name, line) for name in _named(node, ast.Store)]


def _names(code: str) -> set[str]:
    """Every name that the code reads and does not bind itself."""
    tree = ast.parse(code)
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound = arguments.union(dir(builtins), _named(tree, ast.Store))
    return set(_named(tree, ast.Load)) - bound


def _named(tree: ast.AST, context: type[ast.expr_context]) -> list[str]:
    """The names in the code that are read (`ast.Load`) or bound (`ast.Store`)."""
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return [node.id for node in names if isinstance(node.ctx, context)]
