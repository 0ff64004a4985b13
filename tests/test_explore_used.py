"""The explorers in use: by mouse, by keyboard, and by a link that carries their state."""

import re

import pytest
import torch
from explorers import (
    FORTNIGHT,
    LEVELS,
    RUN,
    facts,
    lamps,
    machine,
    shown,
    weather_trellis,
)

from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood


def test_the_fortnight_is_on_the_page(opened):
    tab = opened(weather_trellis())
    told = facts(tab.page)
    assert told["log p(x) ="] == "−15.148962"
    assert told["its log joint"] == shown(-18.822901)
    assert told["its share of all paths"] == "2.54%"
    day4 = tab.page.get_by_role("button", name="Day 4, Rainy: γ = .498")
    assert day4.count() == 1
    day4.hover()
    assert "γ4(R) = α4(R) · β4(R) / p(x)" in tab.page.locator(".hmm-say").inner_text()
    assert not tab.errors


def test_the_arithmetic_of_a_circle_is_right(opened):
    """The factors written behind the = multiply and add up to the number in bold."""
    page = opened(weather_trellis("forward")).page
    page.get_by_role("button", name="Day 2, Rainy").hover()
    text = page.locator(".hmm-say").inner_text()
    assert "α2(R) = ( α1(R) · AR R + α1(S) · AS R ) · BR walk" in text
    numbers = [float(n) for n in re.findall(r"\d*\.\d+", text.split(" = ")[2])]
    a, b, c, d, e = numbers
    assert (a * b + c * d) * e == pytest.approx(0.0138)
    assert page.locator(".hmm-say b").inner_text() == "0.0138"


def test_a_click_on_a_word_changes_everything(opened):
    page = opened(weather_trellis()).page
    page.get_by_role("button", name="Day 4: shop").click()
    x = FORTNIGHT.clone()
    x[3] = 2  # after shop comes clean
    p = weather.hmm.potentials(x)
    assert facts(page)["log p(x) ="] == shown(log_likelihood(p))
    page.get_by_role("button", name="Day 4: clean").click()  # and then: not heard
    p = weather.hmm.potentials(x, observed=torch.arange(14) != 3)
    assert facts(page)["log p(x) ="] == shown(log_likelihood(p))
    page.get_by_role("button", name="Reset").click()
    assert facts(page)["log p(x) ="] == "−15.148962"


def test_a_table_is_edited_and_an_impossible_story_says_so(opened):
    page = opened(weather_trellis()).page
    page.get_by_text("Change the story").click()
    page.get_by_label("A, from (row) to (column): Rainy Sunny").fill("0.5")
    page.keyboard.press("Enter")
    moves = [[0.5, 0.5], [0.4, 0.6]]
    hmm = HMM(weather.hmm.initial_probs, moves, weather.hmm.emission)
    assert facts(page)["log p(x) ="] == shown(log_likelihood(hmm.potentials(FORTNIGHT)))
    kept = page.get_by_label("A, from (row) to (column): Rainy Rainy")
    assert kept.input_value() == "0.5"
    for state in weather.states:
        page.get_by_label(f"B, what is seen: {state} walk").fill("0")
        page.keyboard.press("Enter")
    assert facts(page) == {"log p(x) =": "−∞"}
    assert "impossible under this story" in page.locator(".hmm-facts").inner_text()
    assert "NaN" not in page.locator(".hmm-explore").inner_text()


def test_steps_forward_back_and_played(opened):
    page = opened(weather_trellis("viterbi")).page
    back = page.get_by_role("button", name="One step back")
    circles = page.locator(".hmm-node.on-path")
    assert circles.count() == 14
    for _ in range(3):
        back.click()
    assert circles.count() == 11, "the path is walked back from the last day"
    for _ in range(12):
        back.click()
    assert circles.count() == 0
    assert page.get_by_role("button", name="not computed yet").count() == 2
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.wait_for_function(
        "!document.querySelector('.hmm-explore').innerText.includes('Pause') ||"
        " document.querySelectorAll('.hmm-node.on-path').length > 0"
    )
    page.get_by_role("button", name="Backward").click()
    for _ in range(13):
        back.click()
    assert page.get_by_role("button", name="not computed yet").count() == 26
    assert page.get_by_role("button", name="Day 14, Rainy: β = 1").count() == 1


def test_the_keyboard_is_enough(opened):
    page = opened(weather_trellis("forward")).page
    page.keyboard.press("Tab")
    focused = """(document.activeElement.getAttribute('aria-label')
                  ?? document.activeElement.innerText)"""
    seen = []
    for _ in range(30):
        seen.append(page.evaluate(focused))
        page.keyboard.press("Tab")
    assert [s for s in seen if "Day 4, Rainy" in s], (
        "one circle is a stop of the tab key"
    )
    assert sum("Rainy:" in s or "Sunny:" in s for s in seen) == 1, "and only one"
    page.get_by_role("button", name="Day 1, Rainy").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert "Day 2, Sunny: α" in page.evaluate(focused)
    assert page.locator(".hmm-say").inner_text().startswith("Day 2, Sunny, walk")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


def test_a_link_carries_the_state_and_nonsense_is_ignored(opened):
    tab = opened(weather_trellis())
    page = tab.page
    page.get_by_role("button", name="Day 4: shop").click()
    page.get_by_role("button", name="Viterbi").click()
    page.get_by_role("button", name="Share").click()
    before, link = facts(page), page.evaluate("location.hash")
    other = opened(weather_trellis(), fragment=link).page
    assert facts(other) == before
    assert other.get_by_role("button", name="Viterbi").get_attribute("aria-pressed")
    identity = weather_trellis().identity
    for wrong in (
        "pi=0.6,0.4",
        link.split(";", 1)[1].replace("pi=0.6,0.4", "pi=0.9,0.4"),
        link.split(";", 1)[1].replace("x=0", "x=7"),
        link.split(";", 1)[1].replace("viterbi", "toString"),
        "%%%",
    ):
        tab = opened(weather_trellis(), fragment=f"#{identity};{wrong}")
        assert facts(tab.page)["log p(x) ="] == "−15.148962", wrong
        assert not tab.errors, wrong


def test_links_of_the_other_figures_are_looked_at_too(opened):
    figures = (
        (explore.signal(machine(), RUN), "scales=", "scales=-"),
        (explore.signal(machine(), RUN), "means=0", "means=NaN"),
        (explore.meter(lamps(), [60.0, 0.0]), "t=0", "t=2"),
        (explore.meter(lamps(), [60.0, 0.0]), "scale=5", "scale=0"),
        (explore.meter(lamps(), [60.0, 0.0]), "seen=-1", "seen=2"),
    )
    for figure, right, wrong in figures:
        page = opened(figure).page
        before = page.locator(".hmm-facts, table").all_inner_texts()
        page.get_by_role("button", name="Share").click()
        link = page.evaluate("location.hash")
        assert right in link
        tab = opened(figure, fragment=link.replace(right, wrong))
        after = tab.page.locator(".hmm-facts, table").all_inner_texts()
        assert after == before, wrong
        assert not tab.errors


def test_all_paths_are_listed_beside_the_recursion(opened):
    page = opened(weather_trellis()).page
    page.get_by_text("Compare with all").click()
    page.get_by_text("The five most probable of 16,384").wait_for()
    folded = page.locator("details", has_text="Compare with all")
    table = folded.locator("table").inner_text()
    assert "S S S S S S R R R R S S S S" in table and "2.54%" in table
    assert folded.inner_text().count("−15.148962") == 2


def test_a_mean_is_dragged_and_moved_by_keys(opened):
    page = opened(explore.signal(machine(), RUN, ("low", "mid", "high"))).page
    knob = page.get_by_role("slider", name="Mean of mid")
    assert knob.get_attribute("aria-valuenow") == "5.00"
    box = knob.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=4)
    page.mouse.up()
    moved = float(knob.get_attribute("aria-valuenow"))
    assert 6 < moved < 10
    page.mouse.move(x, y - 90)
    assert float(knob.get_attribute("aria-valuenow")) == moved, "it was let go"
    page.get_by_role("button", name="Reset").click()
    width = page.get_by_role("slider", name="Spread of low")
    width.focus()
    page.keyboard.press("ArrowDown")
    assert float(width.get_attribute("aria-valuenow")) < 2.5
    link = page.evaluate("hmmExplore.pack({a: [1, null], b: 'x'})")
    assert link == "a=1,;b=x"
    page.get_by_role("button", name="Share").click()
    told = dict(
        part.split("=") for part in page.evaluate("location.hash").split(";")[1:]
    )
    scales = [float(each) for each in told["scales"].split(",")]
    evidence = log_likelihood(machine(LEVELS, scales).potentials(RUN))
    assert shown(evidence) in page.locator(".hmm-explore").inner_text()
    for _ in range(40):
        page.keyboard.press("Tab")
        page.keyboard.press("PageDown")
    assert "NaN" not in page.locator(".hmm-explore").inner_text()


def test_looking_at_one_lamp_explains_the_other_away(opened):
    readings = [2.0, 58.0, 63.0, 119.0, 61.0]
    even = torch.full((2,), 0.5, dtype=torch.float64)
    stay = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    watts = torch.tensor([0.0, 60.0], dtype=torch.float64)
    two = FactorialHMM((even, even), (stay, stay), additive_gaussian((watts, watts), 5))
    page = opened(explore.meter(two, readings, ("lamp a", "lamp b"), step=1)).page
    row = page.get_by_role("row", name="lamp b")
    cells = row.get_by_role("cell")
    assert [cells.nth(n).inner_text().strip() for n in (1, 2)] == [".500", ".500"]
    assert "1.00 bits" in page.locator(".hmm-facts").inner_text()
    page.get_by_role("group", name="lamp a").get_by_role("button", name="on").click()
    assert [cells.nth(n).inner_text().strip() for n in (1, 2)] == [".500", ".000"]
    assert "0.00 bits" in page.locator(".hmm-facts").inner_text()
    page.get_by_role("slider", name="Reading of the meter").focus()
    page.keyboard.press("End")
    assert cells.nth(2).inner_text().strip() == "1"
