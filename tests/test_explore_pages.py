"""The explorers on any page: dark, without scripts, without motion, with names that are markup."""

import io

import pytest
from explorers import (
    FORTNIGHT,
    RUN,
    facts,
    lamps,
    machine,
    page_of,
    stays,
    weather_sampler,
    weather_trellis,
)
from PIL import Image

from hmmlib import plot
from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.palette import in_the_dark


def test_names_cannot_become_markup(opened):
    evil = "<img src=x onerror=window.broken=1>$_$"
    close = "</script><script>window.broken=1</script>"
    quote = "\"'><b id=broken>"
    figures = [
        explore.trellis(weather.hmm, FORTNIGHT, (evil, close), (quote, evil, close)),
        explore.signal(machine(), RUN, (evil, close, quote)),
        explore.meter(lamps(), [60.0], (evil, close)),
        explore.durations([[0.5, 0.5], [1.0, 0.0]], (evil, close)),
        explore.sampler(weather.hmm, (evil, close), (quote, evil, close)),
    ]
    page = opened(*figures).page
    page.get_by_text("Change the story").click()
    assert page.evaluate("window.broken") is None
    assert page.locator("img, #broken").count() == 0
    assert evil in page.locator(".hmm-explore").first.inner_text()


def test_a_page_that_may_not_run_scripts_has_a_picture_with_words(browser):
    figures = (
        weather_trellis(),
        weather_sampler(),
        explore.signal(machine(), RUN),
        explore.meter(lamps(), [60.0, 0]),
        stays(),
    )
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(page_of(*figures))
    for figure in figures:
        shown = page.get_by_alt_text(figure.words)
        assert shown.bounding_box()["width"] > 400 and len(repr(figure)) > 20
        picture = Image.open(io.BytesIO(figure.picture()))
        assert len(picture.convert("RGB").getcolors(10**6)) > 50, "something is drawn"
    context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_follow_the_page(opened, dark):
    page = opened(weather_trellis("viterbi"), dark=dark).page
    color = plot.STATE_COLORS[0]
    wanted = in_the_dark(color) if dark else color
    rgb = f"rgb({', '.join(str(int(wanted[i : i + 2], 16)) for i in (1, 3, 5))})"
    shade = "getComputedStyle(document.querySelector('.hmm-node')).backgroundColor"
    page.wait_for_function(f"{shade} === '{rgb}'")
    if dark:  # the reader turns the light on
        page.evaluate("document.body.style.color = '#222'")
        page.evaluate("document.documentElement.dataset.theme = 'light'")
        red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
        page.wait_for_function(f"{shade} === 'rgb({red}, {green}, {blue})'")


def test_nothing_moves_for_who_wants_no_motion(browser, tmp_path):
    for motion, some in (("reduce", False), ("no-preference", True)):
        page = browser.new_page(reduced_motion=motion)
        page.set_content(page_of(weather_trellis()))
        style = (
            "getComputedStyle(document.querySelector('.hmm-node')).transitionDuration"
        )
        assert (page.evaluate(style) != "0s") is some
        page.close()


def test_an_explorer_twice_on_a_page_starts_once_each(opened):
    """A notebook carries the script with each figure; the second one must not start anew."""
    tab = opened(weather_trellis(), weather_trellis("viterbi"))
    assert tab.page.locator(".hmm-explore[data-ready]").count() == 2
    assert tab.page.locator("#hmm-style").count() == 1
    assert not tab.errors


def test_each_kind_brings_its_own_script_and_waits_for_no_other(opened):
    """In any order: a figure whose script is further down the page starts when it comes."""
    figures = (stays(), weather_trellis(), explore.meter(lamps(), [60.0]), stays())
    for order in (figures, figures[::-1]):
        tab = opened(*order)
        assert tab.page.locator(".hmm-explore[data-ready] button").count() > 20
        assert tab.page.locator(".hmm-explore:not([data-ready])").count() == 0
        assert not tab.errors


def test_an_explorer_of_the_book_lives_on_its_page(new_tab, served):
    """Its numbers are there, and its script comes after the page is read."""
    tab = new_tab()
    page = tab.open(f"{served}/chapters/03_smoothing.html")
    assert facts(page)["log p(x) ="] == "−15.148962"
    assert page.get_by_role("button", name="Day 4, Rainy: γ = .498").count() == 1
    asked = [each.url for each in tab.requests if "/_static/explore" in each.url]
    assert [address.rpartition("/")[2] for address in asked] == ["explore.js"]
    assert page.locator("script[src$='explore.js']").get_attribute("defer") is not None
    assert not tab.errors


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_trellises_of_the_book_need_no_scrolling(new_tab, served, width):
    page = new_tab((width, 900)).page
    for chapter in ("02_forward", "03_smoothing", "04_viterbi"):
        page.goto(f"{served}/chapters/{chapter}.html")
        page.locator(".hmm-explore[data-ready] .hmm-grid").first.wait_for()
        page.locator("summary", has_text="Change the story").click()
        boxes = page.locator(".hmm-explore .hmm-scroll").all()
        scrolls = "each => each.scrollWidth - each.clientWidth"
        assert max(each.evaluate(scrolls) for each in boxes) <= 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
