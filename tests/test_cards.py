"""Wide tables as cards: each value carries the name of its column, also under joined cells."""

import cards
from bs4 import BeautifulSoup

LONG = "a value that needs some room"
WIDE = f"""<table><thead>
<tr><th></th><th></th><th colspan="2">error</th></tr>
<tr><th>data</th><th>method</th><th>pi</th><th>A</th></tr></thead>
<tbody><tr><th rowspan="2">rain</th><th>EM</th><td>{LONG}</td><td>0.1</td></tr>
<tr><th>Pyro</th><td>0.2</td><td>0.3</td></tr></tbody></table>"""
NARROW = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"


def folded(html):
    page = BeautifulSoup(f"<article>{html}</article>", "html.parser")
    cards.fold(page)
    return page.article


def test_a_value_carries_the_name_of_its_column():
    table = folded(WIDE).table
    assert "cards" in table["class"]
    named = [(td["data-name"], td.get_text()) for td in table.find_all("td")]
    assert named == [
        ("error pi", LONG),
        ("error A", "0.1"),
        ("error pi", "0.2"),
        ("error A", "0.3"),
    ]
    first, second = table.tbody.find_all("tr")
    assert second["data-of"] == "rain" and not first.get("data-of")


def test_a_table_of_blocks_is_still_a_table_to_a_screen_reader():
    table = folded(WIDE).table
    roles = {tag.name: tag["role"] for tag in [table, *table.find_all(True)]}
    assert roles["table"] == "table" and roles["tr"] == "row" and roles["td"] == "cell"
    assert [th["role"] for th in table.tbody.find_all("th")] == ["rowheader"] * 3


def test_what_fits_a_phone_stays_as_it_is():
    assert str(folded(NARROW)) == f"<article>{NARROW}</article>"
    beside = f'<div class="side-by-side">{WIDE}</div>'
    assert not folded(beside).select(".cards"), "code has a form of its own for phones"


def test_code_in_a_table_may_break_at_its_joints():
    names = '<code><span class="pre">filter_states(p).filtered_probs</span></code>'
    code = folded(WIDE.replace(LONG, names)).code
    assert code.get_text() == "filter_states(p).filtered_probs"
    assert code.decode_contents().count("<wbr/>") == 4
