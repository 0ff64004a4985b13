"""Library code shown in a chapter, as it runs, never pasted."""

import ast
import builtins
import difflib
import html
import inspect
import itertools
import sys
import textwrap

from IPython.display import HTML, Markdown


def show_source(*objects) -> Markdown:
    """The source of functions and classes as one block of code that runs alone.

    Constants that they use come along; of a compiled function one sees the Python that it is
    compiled from. Raises ValueError when the block would call something of the library that it does
    not show.

    >>> print(show_source(textwrap.indent).data.splitlines()[0])
    ```python
    """
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
    return Markdown(f"```python\n{code}\n```")


def show_changes(before, after) -> HTML:
    """The code of two functions side by side, with the lines marked that differ.

    Docstrings are left out. What is removed is marked − on the left, what is new + on the
    right. Raises ValueError when the two are alike.
    """
    left, right = (_code(each) for each in (before, after))
    rows, num_changed = [], 0
    blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    for kind, start, end, to_start, to_end in blocks:
        pairs = itertools.zip_longest(left[start:end], right[to_start:to_end])
        for old, new in pairs:
            changed = kind != "equal"
            num_changed += changed
            cells = (_cell(old, "−" * changed), _cell(new, "+" * changed))
            rows.append(f"<tr>{cells[0]}{cells[1]}</tr>")
    if not num_changed:
        raise ValueError("show_changes: got two functions with the same code")
    names = "".join(
        f'<th style="text-align: left"><code>{html.escape(each.__name__)}</code></th>'
        for each in (before, after)
    )
    table = (
        '<table style="width: 100%; min-width: 40em; table-layout: fixed; border-collapse:'
        f' collapse"><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )
    return HTML(f'<div class="side-by-side" style="overflow-x: auto">{table}</div>')


def _source(each) -> str:
    """The text of a function or class, without the decorator that compiles it."""
    source = textwrap.dedent(inspect.getsource(each)).rstrip()
    return source[source.index("def ") :] if hasattr(each, "py_func") else source


def _code(function) -> list[str]:
    """The lines of a function without its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    lines = source.rstrip().splitlines()
    if ast.get_docstring(ast.parse(source).body[0]):
        lines = lines[: body[0].lineno - 1] + lines[body[0].end_lineno :]
    return lines


def _cell(line: str | None, mark: str) -> str:
    """One line of code as a cell of a table, marked when it changed."""
    tint = "background: rgba(230, 159, 0, 0.28); " if mark and line is not None else ""
    code = html.escape(line or "")
    mark = mark if line is not None else ""
    return (
        f'<td style="{tint}text-align: left; vertical-align: top; padding: 0 0.4em 0 6.4ch;'
        " text-indent: -6ch;"
        " font-family: monospace; font-size: 0.7rem; line-height: 1.5; white-space: pre-wrap;"
        f' overflow-wrap: anywhere">{mark or " "} {code}</td>'
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
