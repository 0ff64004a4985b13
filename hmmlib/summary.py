"""A model as text: its tables, four digits of each number."""

from torch import Tensor

from hmmlib.emissions import parameters


def as_text(model, tables: list[tuple[str, Tensor]]) -> str:
    """The kind of the model, `tables` by name, parameters of the emission, and symbols."""
    emitted = parameters(model.emission).items()
    named = [
        *tables,
        *((f"{type(model.emission).__name__} {name}", x) for name, x in emitted),
    ]
    title = f"{type(model).__name__} of {model.num_states} states"
    lines = [title, *(f"{name}\n{as_table(x)}" for name, x in named)]
    if model.symbols is not None:
        lines.append(f"symbols  {', '.join(model.symbols)}")
    return "\n".join(lines)


def as_table(values: Tensor) -> str:
    """Numbers in rows and columns, four digits of each; a vector in one row."""
    values = values.detach()
    rows = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    cells = [[f"{x:.4g}" for x in row] for row in rows.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join("  " + "  ".join(c.rjust(width) for c in row) for row in cells)
