"""Tables that a phone cannot show side by side: there each row becomes a card.

The names of columns are written into the cells, and book.css shows them on narrow screens.
What is wide is judged by the number of characters, when the page is written.
"""

import re

CODE_BREAKS = re.compile(
    r"(?<=[._(])(?=\w)"
)  # where code in a cell may go on in a new line
MOST_CHARACTERS = 44  # that fit side by side on a phone
ROLES = {"tr": "row", "td": "cell", "tbody": "rowgroup", "thead": "rowgroup"}


def fold(page):
    """Prepare each table of the page that is wider than a phone."""
    for code in page.select("table code .pre"):
        first, *others = CODE_BREAKS.split(code.get_text())
        code.clear()
        code.append(first)
        for piece in others:
            code.extend([page.new_tag("wbr"), piece])
    for table in (page.article or page).select("table:not(.side-by-side table)"):
        rows = [spread(row) for row in grid(table)]
        num_heads = len(table.thead.find_all("tr")) if table.thead else 0
        if num_heads and width(rows) > MOST_CHARACTERS:
            as_cards(table, rows[:num_heads], rows[num_heads:])


def grid(table):
    """The cells of each row, a cell that spans several rows in each of them."""
    rows, open_cells = [], {}  # open: column -> [cell, rows to come]
    for row in table.find_all("tr"):
        cells, column = [], 0
        own = row.find_all(["th", "td"], recursive=False)
        while own or column in open_cells:
            if column in open_cells:
                cell, left = open_cells.pop(column)
            else:
                cell = own.pop(0)
                left = int(cell.get("rowspan", 1))
            if left > 1:
                open_cells[column] = cell, left - 1
            cells.append(cell)
            column += int(cell.get("colspan", 1))
        rows.append(cells)
    return rows


def spread(cells):
    """A cell that spans several columns, once for each."""
    return [cell for cell in cells for _ in range(int(cell.get("colspan", 1)))]


def width(rows):
    """Characters of the widest cell of each column, added up."""
    return sum(
        max(len(cell.get_text(strip=True)) + 2 for cell in column)
        for column in zip(*rows, strict=False)
    )


def as_cards(table, heads, rows):
    """Names of columns in the cells, and roles, which a table of blocks would lose."""
    names = [
        " ".join(
            dict.fromkeys(
                filter(None, (cell.get_text(" ", strip=True) for cell in column))
            )
        )
        for column in zip(*heads, strict=False)
    ]
    table["class"] = [*table.get("class", []), "cards"]
    table["role"] = "table"
    for tag in table.find_all(ROLES):
        tag["role"] = ROLES[tag.name]
    for tag in table.find_all("th"):
        tag["role"] = "columnheader" if tag.find_parent("thead") else "rowheader"
    for cells in rows:
        row = cells[-1].parent
        borrowed = [
            cell.get_text(" ", strip=True) for cell in cells if cell.parent is not row
        ]
        if borrowed:
            row["data-of"] = ", ".join(dict.fromkeys(borrowed))
        for cell, name in zip(cells, names, strict=False):
            if cell.parent is row and cell.name == "td":
                cell["data-name"] = name
