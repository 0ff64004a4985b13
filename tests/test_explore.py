"""The explorers: the numbers of the library, in a browser, by mouse and by keyboard."""

import io
import re

import pytest
import torch
from browser import DESKTOP
from PIL import Image
from random_models import rows
from torch.distributions import Normal

from hmmlib import plot
from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.palette import in_the_dark
from hmmlib.recursion import backward, forward

FORTNIGHT = weather.fortnight.observations
LEVELS = torch.tensor([0.0, 5.0, 10.0], dtype=torch.float64)
RUN = torch.tensor([0.3, 4.2, 5.1, 9.0, torch.nan, 11.2, 0.4, -0.8])


def weather_trellis(question="smoothing"):
    return explore.trellis(
        weather.hmm, FORTNIGHT, weather.states, weather.activities, question
    )


def machine(means=LEVELS, scales=(2.5, 2.5, 2.5)):
    moves = [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]
    scales = torch.as_tensor(scales, dtype=torch.float64)
    return HMM([0.5, 0.3, 0.2], moves, Normal(torch.as_tensor(means), scales))


def lamps(levels=((0.0, 60.0), (0.0, 60.0)), scale=5.0):
    g = torch.Generator().manual_seed(len(levels))
    levels = [torch.tensor(level, dtype=torch.float64) for level in levels]
    sizes = [len(level) for level in levels]
    even = [torch.full((size,), 1 / size, dtype=torch.float64) for size in sizes]
    return FactorialHMM(
        even, [rows(g, size, size) for size in sizes], additive_gaussian(levels, scale)
    )


def random_hmm(seed):
    """A model of 1 to 4 states and 1 to 4 symbols with some exact zeros, and 1 to 7 words."""
    g = torch.Generator().manual_seed(seed)
    num_states, num_symbols, num_steps = torch.randint(1, 5, (3,), generator=g).tolist()

    def table(*shape):
        probs = rows(g, *shape) * (torch.rand(*shape, generator=g) > 0.25)
        probs[..., 0] += 1 - probs.sum(-1)
        return probs

    hmm = HMM(
        table(num_states),
        table(num_states, num_states),
        table(num_states, num_symbols),
    )
    return hmm, torch.randint(num_symbols, (2 * num_steps - 1,), generator=g)


def page_of(*explorers, dark=False):
    colors = "#14181e;color:#ced6dd" if dark else "#fff;color:#222"
    figures = "".join(each._repr_html_() for each in explorers)
    return (
        f'<!doctype html><html lang="en"><title>explorers</title>'
        f'<body style="background:{colors}"><main>{figures}</main></html>'
    )


@pytest.fixture
def opened(new_tab, tmp_path):
    """A function that opens explorers on a page of their own: the tab, and the address."""

    def open_page(*explorers, dark=False, size=DESKTOP, fragment=""):
        (tmp_path / "page.html").write_text(page_of(*explorers, dark=dark))
        tab = new_tab(size)
        tab.page.goto((tmp_path / "page.html").as_uri() + fragment)
        return tab

    return open_page


def facts(page):
    """What the line below a trellis says: label -> value."""
    told = page.locator(".hmm-facts").first.locator("> span:has(b)").all()
    pairs = [(each.inner_text(), each.locator("b").inner_text()) for each in told]
    return {text.removesuffix(value).strip(): value for text, value in pairs}


def shown(value):
    return f"{float(value):.6f}".replace("-", "−")


# ------------------------------------------------------------------ the numbers


def test_the_browser_computes_what_the_library_computes(opened):
    """Random models with exact zeros, impossible words and missing ones; to 1e-9."""
    models = [random_hmm(seed) for seed in range(150)]
    given = [explore.trellis(*each).model for each in models]
    missing = [
        (hmm, torch.where(torch.arange(len(x)) == 1, torch.nan, x.double()))
        for hmm, x in models[:30]
    ]
    given += [explore.trellis(*each).model for each in missing]
    page = opened(weather_trellis()).page
    answers = page.evaluate(
        """models => models.map(model => {
            const b = hmmExplore.ofSymbols(model);
            const paths = hmmExplore.allPaths(model, b).map(path => path.score);
            return { ...hmmExplore.compute(model, b), paths };
        })""",
        given,
    )
    impossible = 0
    for (hmm, x), found in zip([*models, *missing], answers, strict=True):
        p = hmm.potentials(x)
        close = {"rtol": 1e-9, "atol": 1e-9}
        for name, wanted in (
            ("alpha", forward(p)),
            ("beta", backward(p)),
            ("delta", forward(p, torch.amax)),
            ("evidence", log_likelihood(p)),
            ("best", viterbi(p).log_joint),
        ):
            got = torch.tensor(found[name], dtype=torch.float64)
            torch.testing.assert_close(got, wanted, **close)
        listed = path_log_joints(p, all_paths(hmm.num_states, len(x)))
        got = torch.tensor(found["paths"], dtype=torch.float64)
        torch.testing.assert_close(got, listed.sort(descending=True).values, **close)
        if log_likelihood(p) == -torch.inf:
            impossible += 1
            assert found["gamma"] is None and found["path"] is None
        else:
            gamma = torch.tensor(found["gamma"], dtype=torch.float64)
            torch.testing.assert_close(gamma, smooth_states(p).smoothed_probs, **close)
            path = torch.tensor(found["path"])
            score = path_log_joints(p, path[None])[0]
            torch.testing.assert_close(score, viterbi(p).log_joint, **close)
    assert 5 < impossible < 120, "both kinds are among them"


def test_readings_in_the_browser_are_the_librarys(opened):
    page = opened(explore.signal(machine(), RUN)).page
    for seed in range(10):
        g = torch.Generator().manual_seed(seed)
        means = 10 * torch.rand(3, generator=g, dtype=torch.float64)
        scales = 0.05 + 3 * torch.rand(3, generator=g, dtype=torch.float64)
        hmm = machine(means, scales)
        given = explore.signal(hmm, RUN).model
        found = page.evaluate(
            "model => hmmExplore.compute(model, hmmExplore.ofReadings(model))", given
        )
        p = hmm.potentials(RUN)
        assert found["evidence"] == pytest.approx(float(log_likelihood(p)), rel=1e-9)
        gamma = torch.tensor(found["gamma"], dtype=torch.float64)
        torch.testing.assert_close(
            gamma, smooth_states(p).smoothed_probs, rtol=0, atol=1e-9
        )


def test_the_meter_in_the_browser_is_the_factorial_model(opened):
    """Marginals, evidence and the joint table; with a lamp looked at, by conditioning."""
    x = torch.tensor([2.0, 58.0, 63.0, 119.0, 61.0], dtype=torch.float64)
    page = opened(explore.meter(lamps(), x)).page
    for levels in (
        [(0.0, 60.0)] * 2,
        [(0.0, 60.0), (0.0, 75.0), (0.0, 20.0, 130.0)],
    ):
        model = lamps(levels)
        given = explore.meter(model, x).model
        flat = model.flattened().potentials(x)
        ask = "([given, at]) => hmmExplore.attribute(given, at)"
        for t in range(5):
            at = {"x": x.tolist(), "t": t, "scale": 5.0, "seen": [-1] * len(levels)}
            found = page.evaluate(ask, [given, at])
            singles = model.smooth(x).smoothed_probs
            for got, wanted in zip(found["singles"], singles, strict=True):
                torch.testing.assert_close(
                    torch.tensor(got, dtype=torch.float64), wanted[t], rtol=0, atol=1e-9
                )
            joint = torch.tensor(found["joint"], dtype=torch.float64)
            wanted = smooth_states(flat).smoothed_probs[t]
            torch.testing.assert_close(joint, wanted, rtol=0, atol=1e-9)
            assert found["evidence"] == pytest.approx(
                float(log_likelihood(flat)), rel=1e-9
            )
            at["seen"][0] = 1
            looked = page.evaluate(ask, [given, at])["joint"]
            looked = torch.tensor(looked, dtype=torch.float64)
            on = wanted * (torch.tensor(found["states"])[:, 0] == 1)
            torch.testing.assert_close(looked, on / on.sum(), rtol=0, atol=1e-9)


def test_a_row_still_sums_to_one_when_an_entry_changes(opened):
    page = opened(weather_trellis()).page
    rows = [[0.2, 0.3, 0.5], [1, 0, 0], [0, 0, 1], [1.0]]
    for row in rows:
        for k in range(len(row)):
            for value in (-1, 0, 0.25, 1, 7):
                new = page.evaluate(
                    "given => hmmExplore.normalise(...given)", [row, k, value]
                )
                assert sum(new) == pytest.approx(1, abs=1e-12) and min(new) >= 0
                if len(row) > 1:
                    assert new[k] == min(1, max(0, value))


# ------------------------------------------------------------------ the trellis, used


def test_the_fortnight_is_on_the_page(opened):
    tab = opened(weather_trellis())
    told = facts(tab.page)
    assert told["log p(x) ="] == "−15.148962"
    assert told["its log joint"] == shown(-18.822901)
    assert told["its share of all paths"] == "2.54 %"
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
    assert [s for s in seen if "Day 1, Rainy" in s], (
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
    table = page.locator("details[open] table").inner_text()
    assert "S S S S S S R R R R S S S S" in table and "2.54 %" in table
    assert page.locator("details[open]").inner_text().count("−15.148962") == 2


# ------------------------------------------------------------------ signal and meter, used


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


# ------------------------------------------------------------------ wherever it stands


def test_names_cannot_become_markup(opened):
    evil = "<img src=x onerror=window.broken=1>$_$"
    close = "</script><script>window.broken=1</script>"
    quote = "\"'><b id=broken>"
    figures = [
        explore.trellis(weather.hmm, FORTNIGHT, (evil, close), (quote, evil, close)),
        explore.signal(machine(), RUN, (evil, close, quote)),
        explore.meter(lamps(), [60.0], (evil, close)),
    ]
    page = opened(*figures).page
    page.get_by_text("Change the story").click()
    assert page.evaluate("window.broken") is None
    assert page.locator("img, #broken").count() == 0
    assert evil in page.locator(".hmm-explore").first.inner_text()


def test_a_page_that_may_not_run_scripts_has_a_picture_with_words(browser):
    figures = (
        weather_trellis(),
        explore.signal(machine(), RUN),
        explore.meter(lamps(), [60.0, 0]),
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


def test_the_module_is_small_and_asks_for_nothing():
    script = explore.script()
    assert len(script.encode()) <= 40_000
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|eval\(|innerHTML", script)
    addresses = set(re.findall(r"https?://[\w./]+", script))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_what_does_not_fit_is_refused_in_words():
    two = HMM(
        [0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], Normal(torch.zeros(2), torch.ones(2))
    )
    many = HMM(torch.full((7,), 1 / 7), torch.full((7, 7), 1 / 7), torch.ones(7, 1))
    for make, message in (
        (lambda: explore.trellis(two, [0.0]), "got a Normal emission, needs a table"),
        (lambda: explore.signal(weather.hmm, [0]), "got a Categorical emission"),
        (lambda: explore.trellis(weather.hmm, [0], question="x"), "question: got 'x'"),
        (lambda: explore.trellis(weather.hmm, [0], ("a",)), "needs 2 different names"),
        (lambda: explore.trellis(weather.hmm, [9]), "needs an integer from 0 to 2"),
        (lambda: explore.trellis(weather.hmm, [[0]]), "needs \\(T,\\)"),
        (lambda: explore.trellis(weather.hmm, [0] * 201), "T at most 200"),
        (lambda: explore.trellis(many, [0]), "got 7 states, needs at most 6"),
        (lambda: explore.signal(two, [float("nan")]), "needs a reading"),
        (lambda: explore.meter(lamps(), [1.0], step=1), "step: got 1, needs 0 to 0"),
        (lambda: explore.meter(lamps(), [float("nan")]), "readings: got NaN"),
        (lambda: explore.meter(lamps([(0.0, 1.0)] * 7), [1.0]), "128 joint states"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_the_name_of_an_explorer_is_stable():
    assert weather_trellis().identity == weather_trellis().identity
    assert weather_trellis().identity != weather_trellis("forward").identity


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
