"""What a chapter shows of the library runs alone."""

import base64
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from hmmlib import engines, enumeration, pyro_models, recursion
from hmmlib.book.show import changes, show_changes, show_source, take


def test_a_block_that_leaves_something_out_is_refused():
    with pytest.raises(ValueError, match=r"forward uses Potentials; show it"):
        show_source(recursion.forward)
    with pytest.raises(ValueError, match="all_paths uses as_count"):
        show_source(enumeration.all_paths)
    with pytest.raises(
        ValueError, match="name 'Potentials' is not defined; show it earlier"
    ):
        show_source(
            recursion.forward, recursion.by_step, recursion.move, recursion.Potentials
        )


def test_constants_come_along_and_compiled_functions_are_plain_python():
    code = show_source(engines.numbers.max_finite, engines.numbers.to_probs).data
    assert "\nTINY = 1e-280\nDENSE = 1e-100\n" in code and "@" not in code
    there = {}
    exec(code.removeprefix("```python\n").removesuffix("```"), there)
    assert there["max_finite"]([-1.0, 2.0]) == engines.numbers.max_finite(
        np.array([-1.0, 2.0])
    )


def test_only_changed_lines_are_marked():
    shown = show_changes(pyro_models.weather_story, pyro_models.signal_story).data
    table = BeautifulSoup(shown, "html.parser")
    rows = [[td.get_text() for td in tr.find_all("td")] for tr in table.find_all("tr")]
    left, right = (column for column in zip(*rows[1:], strict=True))
    assert any("−         doing" in x for x in left)
    assert any("+         reading = dist.Normal" in x for x in right)
    for old, new in zip(left, right, strict=True):
        marked = old.startswith("−") or new.startswith("+")
        assert marked == (old[1:].strip() != new[1:].strip())
    assert not any("pyro.markov" in x and x[0] in "−+" for x in left + right)
    assert "Docstring" not in shown and "friend" not in shown
    for story, column in zip(("weather", "signal"), (left, right), strict=True):
        code = "\n".join(line[2:] for line in column if line.strip())
        compile(code, story, "exec")


def before(x):
    """What it was."""
    y = x + 1
    print(y)
    return y


def after(x, times):
    """What it is now."""
    for _ in range(times):
        y = x + 1
        print(y)
    return y


def test_changed_lines_are_counted_and_moved_ones_apart():
    assert [row.kind for row in changes(before, after)] == (
        ["changed", "changed", "moved", "moved", "same"]
    )
    table = BeautifulSoup(show_changes(before, after).data, "html.parser")
    assert table.caption.get_text() == "2 of 5 lines changed, 2 only moved"
    signs = [sign.get_text() for sign in table.tbody.find_all("span")]
    assert signs == ["−", "+", "+", "›", "›", "›", "›"]


def test_the_count_is_what_the_rows_show():
    shown = show_changes(pyro_models.weather_story, pyro_models.signal_story).data
    rows = BeautifulSoup(shown, "html.parser").tbody.find_all("tr")
    marked = sum(bool(row.find("span")) for row in rows)
    assert "<caption" in shown and f">{marked} of {len(rows)} lines changed<" in shown


def test_side_by_side_can_be_heard_and_reached_by_key():
    table = BeautifulSoup(show_changes(before, after).data, "html.parser")
    assert [th["scope"] for th in table.find_all("th")] == ["col", "col"]
    assert table.div["tabindex"] == "0" and table.div["aria-label"]  # it scrolls
    for sign in table.tbody.find_all("span"):
        said = {"−": "removed", "+": "new", "›": "moved"}[sign.get_text()]
        assert sign["role"] == "img" and sign["aria-label"] == said


def test_two_equal_functions_have_no_changes():
    with pytest.raises(ValueError, match="same code"):
        show_changes(recursion.forward, recursion.forward)


def test_a_file_to_take_runs_and_is_what_downloads():
    told = take("forward.py", recursion.Potentials, recursion.by_step)
    code = told.data.split("```python\n")[1].split("```")[0]
    packed = re.search(r"base64,([^']+)'", told.data)[1]
    assert base64.b64decode(packed).decode() == code
    names = {}
    exec(code, names)
    assert {"by_step", "Potentials"} <= names.keys()
    for wrong in ("forward", "a b.py", "../x.py"):
        with pytest.raises(ValueError, match="filename: got"):
            take(wrong, recursion.move)


def test_names_in_html_are_escaped():
    def before():
        return 1 < 2

    def after():
        return "</td><script>"

    before.__name__ = "<img onerror=alert(1)>"
    shown = show_changes(before, after).data
    assert "<img" not in shown and "<script>" not in shown
    assert "&lt;img onerror" in shown and "1 &lt; 2" in shown
