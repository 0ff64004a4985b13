"""Library code shown in a chapter, as it runs, never pasted."""

import ast
import builtins
import inspect
import sys
import textwrap

from IPython.display import Markdown


def show_source(*objects) -> Markdown:
    """The source of functions and classes as one block of code that runs alone.

    Raises ValueError when the block would call something of the library that it does
    not show.

    >>> print(show_source(textwrap.indent).data.splitlines()[0])
    ```python
    """
    sources = [textwrap.dedent(inspect.getsource(each)).rstrip() for each in objects]
    shown = {each.__name__ for each in objects}
    imports = []
    for each, source in zip(objects, sources, strict=True):
        module = ast.parse(inspect.getsource(sys.modules[each.__module__]))
        offered = {name: line for node in module.body for name, line in _bound(node)}
        for name in sorted(_names(ast.parse(source)) & (offered.keys() - shown)):
            line = offered[name]
            if line is None or "hmmlib" in line:
                raise ValueError(
                    f"show_source: {each.__name__} uses {name}; show it in the same block"
                )
            imports.append(line)
    imports = sorted(
        set(imports),
        key=lambda line: (
            line.split()[1].split(".")[0] not in sys.stdlib_module_names,
            line,
        ),
    )
    code = "\n\n\n".join((["\n".join(imports)] if imports else []) + sources)
    try:
        exec(compile(code, "block", "exec"), {"__name__": "block"})
    except NameError as error:
        raise ValueError(
            f"show_source: {error}; show it earlier in the block"
        ) from error
    return Markdown(f"```python\n{code}\n```")


def _bound(node: ast.stmt) -> list[tuple[str, str | None]]:
    """The names that a statement binds, each with its import line, or None if
    defined.
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
    return [(name.id, None) for name in stored if isinstance(name.ctx, ast.Store)]


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
