"""Ten everyday tasks: hmmlib takes no more statements than hmmlearn, and says the same."""

import ast
import re

import pytest

from chapters import APPENDIX, cells

(PAGE,) = [path for path in APPENDIX if path.stem == "hmmlearn"]
PAIRS: list[tuple[str, str]] = []
theirs = None
for each in cells(PAGE, "code"):
    if each["source"].startswith("# hmmlearn\n"):
        theirs = each["source"]
    elif each["source"].startswith("# hmmlib\n") and theirs:
        PAIRS.append((theirs, each["source"]))
        theirs = None


def num_statements(code: str) -> int:
    return len(ast.parse(code).body)


def test_there_are_ten_tasks():
    text = "\n".join(cell["source"] for cell in cells(PAGE, "markdown"))
    titles = re.findall(r"^### (\d+)\.", text, re.M)
    assert titles == [str(number) for number in range(1, 11)]
    assert len(PAIRS) == 10


@pytest.mark.parametrize("pair", PAIRS, ids=range(1, len(PAIRS) + 1))
def test_a_task_takes_no_more_statements_than_in_hmmlearn(pair):
    theirs, ours = pair
    assert num_statements(ours) <= num_statements(theirs)
