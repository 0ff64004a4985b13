"""The explorer of durations: the library's laws, samples by another way, and each way to drag."""

import numpy as np
import pytest
import torch
from browser import PHONE
from explorers import stays
from scipy import stats

from hmmlib.book import explore
from hmmlib.durations import (
    geometric_after,
    negative_binomial_durations,
    poisson_durations,
)

SIZE = explore.LONGEST_STAY
LAWS = {
    "geometric": lambda mean: geometric_after([1], [1 - 1 / mean], SIZE),
    "poisson": lambda mean: poisson_durations([mean - 1], SIZE),
    "negative": lambda mean: negative_binomial_durations([mean], [0.3], SIZE),
    "after": lambda mean: geometric_after([3], [1 - 1 / (mean - 2)], SIZE),
}


def bar(page, d):
    return page.get_by_role("slider", name=f"Stays of {d} step").first


def law(page):
    """The probabilities that the bars say, 1 to 12."""
    bars = page.locator(".hmm-column").all()
    return np.array([float(each.get_attribute("aria-valuenow")) for each in bars])


def told(page):
    """The numbers in bold below the figure."""
    bold = page.locator(".hmm-facts b").all_inner_texts()
    return [float(text.removesuffix(" steps")) for text in bold]


@pytest.mark.parametrize("name", LAWS)
def test_a_law_is_the_librarys_up_to_where_the_library_refuses_it(opened, name):
    page = opened(stays()).page
    most = page.evaluate("([law, size]) => hmmExplore.limit(law, size)", [name, SIZE])
    least = 3 if name == "after" else 1
    for mean in np.linspace(least + 0.1, most, 7):
        found = page.evaluate(
            "given => hmmExplore.lawTable(...given)", [name, mean, SIZE]
        )
        np.testing.assert_allclose(found, LAWS[name](mean)[0], rtol=1e-9)
    with pytest.raises(ValueError, match="needs a longer table"):
        LAWS[name](most + 0.1)


def test_runs_are_quantiles_of_the_laws(opened):
    """By numpy's search in the cumulated table, and by scipy's geometric quantiles."""
    page = opened(stays()).page
    us = np.array(page.evaluate("hmmExplore.uniforms(7, 4000)"))
    assert stats.kstest(us, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(us[:-1], us[1:])[0, 1]) < 0.05
    random = np.random.default_rng(0)
    for _ in range(20):
        row = random.dirichlet(np.ones(SIZE)) * (random.random(SIZE) > 0.4)
        row = row / row.sum()
        found = page.evaluate(
            "([row, us]) => us.map(u => hmmExplore.fromTable(row, u))",
            [list(row), list(us)],
        )
        wanted = np.searchsorted(row.cumsum(), us, side="right") + 1
        np.testing.assert_array_equal(found, wanted)
        mean = 1 + 9 * random.random()
        found = page.evaluate(
            "([m, us]) => us.map(u => hmmExplore.fromGeometric(m, u))", [mean, list(us)]
        )
        np.testing.assert_array_equal(found, stats.geom.ppf(us, 1 / mean))
    ends = "[[[0, .3, .7, 0], 1 - 1e-17], [[1, 0], 0], [[0, 1], 0]]"
    ends = page.evaluate(f"{ends}.map(([row, u]) => hmmExplore.fromTable(row, u))")
    assert ends == [3, 1, 2]


def test_the_page_says_what_the_table_says(opened):
    """Bars, the mean, the geometric law of that mean, and the runs in the histogram and strip."""
    page = opened(stays()).page
    table = poisson_durations([4.0], SIZE)[0].numpy()
    np.testing.assert_allclose(law(page), table, atol=5e-5)
    mean = table @ np.arange(1, SIZE + 1)
    us = np.array(page.evaluate("hmmExplore.uniforms(1, 1000)"))[::2]
    runs = np.searchsorted(table.cumsum(), us, side="right") + 1
    wanted = [mean, runs.mean(), 1 - 1 / mean, table[0], 1 / mean]
    np.testing.assert_allclose(told(page), wanted, atol=5e-3)
    said = bar(page, 4).get_attribute("aria-valuetext")
    assert said.endswith(f"geometric {stats.geom.pmf(4, 1 / mean):.1%}")
    share = f"4 steps {(runs == 4).mean():.1%}"
    assert page.get_by_role("img", name=share).count() == 1
    first = ", ".join(map(str, runs[:5]))
    assert (
        page.get_by_role("img", name=f"The law: runs of rain of {first}").count() == 1
    )


def test_a_bar_is_dragged_and_runs_lengthen(opened):
    tab = opened(stays())
    page, before = tab.page, law(tab.page)
    mean = told(page)[0]
    box = bar(page, 9).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 17
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 60, steps=5)
    page.mouse.up()
    after = law(page)
    assert after[8] > before[8] + 0.05 and after.sum() == pytest.approx(1, abs=1e-3)
    others = np.arange(SIZE) != 8  # keep their proportions
    shrunk = before[others] * (1 - after[8]) / (1 - before[8])
    np.testing.assert_allclose(after[others], shrunk, atol=2e-4)
    assert told(page)[0] > mean + 0.3 and told(page)[1] > mean
    page.mouse.move(x, y - 90)
    assert (law(page) == after).all(), "it was let go"
    page.get_by_role("button", name="Reset").click()
    assert (law(page) == before).all() and not tab.errors


def test_keys_move_between_bars_and_change_them(opened):
    page = opened(stays()).page
    assert page.locator(".hmm-column[tabindex='0']").count() == 1, (
        "one stop of the tab key"
    )
    bar(page, 1).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "Stays of 2 steps"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    start = round(law(page)[1], 2)
    for key, wanted in (
        ("ArrowUp", start + 0.01),
        ("PageUp", start + 0.11),
        ("ArrowDown", start + 0.1),
        ("End", 1),
        ("PageDown", 0.9),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert law(page)[1] == pytest.approx(wanted, abs=1e-9), key
        assert law(page).sum() == pytest.approx(1, abs=1e-3)
    assert "NaN" not in page.locator(".hmm-explore").inner_html()


def test_presets_and_the_slider_of_the_mean(opened):
    page = opened(stays()).page
    slider = page.get_by_role("slider", name="Mean of the law")
    assert slider.is_disabled(), "a law that was drawn has no parameter"
    page.get_by_role("button", name="Poisson").click()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_text("mean 5.1 steps").count() == 1
    np.testing.assert_allclose(law(page), LAWS["poisson"](5.1)[0], atol=5e-5)
    page.get_by_role("button", name="at least 3").click()
    assert (law(page)[:2] == 0).all()
    page.keyboard.press("End")
    for name in ("negative binomial", "at least 3", "geometric"):
        page.get_by_role("button", name=name).first.click()
        pressed = page.locator("[data-law][aria-pressed=true]")
        assert pressed.count() == 1 and name in pressed.inner_text()
    np.testing.assert_allclose(law(page), LAWS["geometric"](3.1)[0], atol=5e-5)


def test_the_other_state_may_have_the_same_law(opened):
    page = opened(stays()).page
    strip = page.locator(".hmm-strip").first
    runs = """strip => [...strip.querySelectorAll("rect")].map(each =>
        Number(each.getAttribute("width")))"""
    us = np.array(page.evaluate("hmmExplore.uniforms(1, 40)"))
    own, other = (poisson_durations([rate], SIZE)[0].numpy() for rate in (4.0, 2.0))
    for button, second in (("a law of its own", other), ("the same law", own)):
        page.get_by_role("button", name=button).click()
        found = np.array(strip.evaluate(runs))
        laws = [own, second] * 20
        wanted = [
            1 + np.searchsorted(row.cumsum(), u, side="right")
            for row, u in zip(laws, us, strict=True)
        ][: len(found)]
        assert found[:-1].tolist() == wanted[:-1] and found.sum() == 96
    page.get_by_role("button", name="Sample again").click()
    assert strip.evaluate(runs) != found.tolist()


def test_a_changed_durations_carries_the_state_and_nonsense_is_ignored(opened):
    page = opened(stays()).page
    page.get_by_role("button", name="negative binomial").click()
    page.get_by_role("button", name="the same law").click()
    page.get_by_role("button", name="Sample again").click()
    page.get_by_role("button", name="Share").click()
    link, now = page.evaluate("location.hash"), told(page)
    assert told(opened(stays(), fragment=link).page) == now
    start = told(opened(stays()).page)
    for right, wrong in (
        ("law=negative", "law=toString"),
        ("law=negative", "law=poisson"),
        ("law=negative", "law=own"),
        ("seed=2", "seed=-1"),
        ("same=1", "same=2"),
        ("mean=", "mean=NaN"),
        ("table=", "table=0.5,"),
    ):
        assert right in link
        changed = link.replace(right, wrong)
        if "own" in wrong:  # any row is a law of one's own, but it sums to one
            changed = changed.replace("table=0.", "table=0.9")
        tab = opened(stays(), fragment=changed)
        assert told(tab.page) == start and not tab.errors, wrong


def test_durations_fit_a_phone_and_a_finger(opened):
    page = opened(stays(), size=PHONE).page
    width, _ = PHONE
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for each in page.locator(".hmm-column").all():
        box = each.bounding_box()
        assert box["width"] >= 24 and box["height"] >= 24


def test_durations_in_forced_colours_and_on_paper(opened):
    page = opened(stays()).page
    pressed = page.get_by_role("button", name="a law of its own")
    plain = page.get_by_role("button", name="the same law")
    color = "each => getComputedStyle(each).backgroundColor"
    page.emulate_media(forced_colors="active")
    assert pressed.evaluate(color) != plain.evaluate(color)
    page.emulate_media(forced_colors="none", media="print")
    assert not page.get_by_role("button").first.is_visible()
    assert page.locator(".hmm-strip").first.is_visible()


def test_durations_that_do_not_fit_are_refused_in_words():
    for make, message in (
        (
            lambda: explore.durations([[0.5, 0.5]]),
            r"got shape \(1, 2\), needs \(2, D\)",
        ),
        (lambda: explore.durations(torch.full((2, 13), 1 / 13)), "D at most 12"),
        (lambda: explore.durations([[0.5, 0.6], [1, 0]]), "table: row 0 sums to 1.1"),
        (lambda: explore.durations([[1.0], [1.0]], ("a", "a")), "2 different names"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    assert explore.durations([[1.0], [1.0]]).model["table"] == [1.0] + 11 * [0.0]
