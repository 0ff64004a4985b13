"""The page of printed results: its comparison cannot pass a wrong number."""

import re
from decimal import Decimal

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from chapters import APPENDIX, cells, texts

(PAGE,) = [path for path in APPENDIX if path.stem == "numbers"]
CODE = cells(PAGE, "code")
(HELPERS,) = [cell["source"] for cell in CODE if "def compare(" in cell["source"]]


@pytest.fixture
def page():
    """The names of the cell that compares; its rows are empty."""
    names = {"Decimal": Decimal, "torch": torch}
    exec(HELPERS, names)
    return names


def test_there_are_results_from_many_sources_and_languages():
    said = "\n".join(text for output in CODE[-1]["outputs"] for text in texts(output))
    results, sources = re.search(r"(\d+) results from (\d+) sources", said).groups()
    (languages,) = re.search(r"(\d+) languages", said).groups()
    assert int(results) >= 25 and int(sources) >= 8 and int(languages) >= 4
    assert said.count("<tr>") == int(results)


def test_every_source_is_used_and_says_where_it_is_printed(page):
    prose = "\n".join(cell["source"] for cell in cells(PAGE, "markdown"))
    listed = prose.split("## Where they are printed")[1]
    code = "\n".join(cell["source"] for cell in CODE)
    for source in page["LANGUAGES"]:
        assert source in listed, source
        assert code.count(f'"{source}"') > 1, f"{source} has no result"


@given(
    number=st.floats(-1e3, 1e3).filter(lambda number: abs(number) > 1e-3),
    digits=st.integers(2, 9),
    apart=st.sampled_from([-1, 1]),
)
def test_the_last_printed_digit_counts(number, digits, apart):
    names = {"Decimal": Decimal, "torch": torch}
    exec(HELPERS, names)
    printed = f"{number:.{digits}f}"
    names["compare"]("it", "nltk", printed, number)
    unit = Decimal(1).scaleb(-digits)
    assume(abs(Decimal(number) - Decimal(printed)) < unit / 2)  # and not halfway
    with pytest.raises(AssertionError, match="it: printed"):
        names["compare"]("it", "nltk", str(Decimal(printed) + apart * unit), number)
    assert len(names["rows"]) == 1


@pytest.mark.parametrize(
    "printed, here",
    [
        ("0.5", torch.nan),
        ("0.5", torch.inf),
        ("0.5 0.5", 0.5),
        ("0.5", [0.5, 0.5]),
        ("", []),
        ("-0.5", 0.5),
        ("1.2e-8", 1.3e-8),
        ("HHF", "HFF"),
    ],
)
def test_what_is_not_the_same_is_an_error(page, printed, here):
    with pytest.raises((AssertionError, ArithmeticError)):
        page["compare"]("it", "nltk", printed, here)
    assert not page["rows"]


def test_a_print_that_is_cut_off_has_the_first_digits(page):
    page["compare"]("it", "mlpack", "-4.98", -4.9899, agrees=page["cut_off"])
    for printed in ("-4.99", "-4.97"):
        with pytest.raises(AssertionError):
            page["compare"]("it", "mlpack", printed, -4.9899, agrees=page["cut_off"])


def test_a_maximum_is_beaten_by_more_than_rounding(page):
    page["compare"]("it", "Stata", "-5.00", -4.80, agrees=page["higher"])
    for here in (-5.2, -5.0, -4.95):
        with pytest.raises(AssertionError):
            page["compare"]("it", "Stata", "-5.00", here, agrees=page["higher"])
    assert page["rows"][0][-1] == "higher"


def test_one_number_of_a_series_is_enough(page):
    series = torch.linspace(0.0, 1.0, 20, dtype=torch.float64)
    page["compare_series"]("it", "Stata", series.tolist(), series + 1e-9, 1e-8)
    for wrong in (2e-8, torch.nan):
        other = series.clone()
        other[7] += wrong
        with pytest.raises(AssertionError):
            page["compare_series"]("it", "Stata", series.tolist(), other, 1e-8)
    with pytest.raises(AssertionError):
        page["compare_series"]("it", "Stata", series.tolist(), series[1:], 1e-8)


def test_a_source_has_to_be_listed(page):
    with pytest.raises(KeyError):
        page["compare"]("it", "a friend", "0.5", 0.5)
