"""The trellis teaches: messages that meet, four reasons for a posterior, and each step on paper."""

import re

import pytest
import torch
from browser import PHONE
from explorers import FORTNIGHT, facts, weather_trellis
from random_models import rows

from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.recursion import backward, forward

MESSAGES = {"α": forward, "β": backward, "δ": lambda p: forward(p, torch.amax)}
SUPER = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
SPLITS = """models => models.map(model => {
    const b = hmmExplore.ofSymbols(model), answer = hmmExplore.compute(model, b);
    return answer.gamma && answer.gamma.map((row, t) => row.map((_, k) =>
        hmmExplore.splitOdds(model, b, answer, t, k)));
})"""


def random_story(seed):
    """2 to 4 states, 1 to 6 words of which some are missing; exact zeros in all tables."""
    g = torch.Generator().manual_seed(seed)
    num_states, num_symbols, num_steps = (
        int(torch.randint(low, high, (), generator=g))
        for low, high in ((2, 5), (2, 4), (1, 7))
    )

    def table(*shape):
        probs = rows(g, *shape) * (torch.rand(*shape, generator=g) > 0.3)
        probs[..., -1] += 1 - probs.sum(-1)
        return probs

    hmm = HMM(
        table(num_states), table(num_states, num_states), table(num_states, num_symbols)
    )
    words = torch.randint(num_symbols, (num_steps,), generator=g)
    return hmm, words, torch.rand(num_steps, generator=g) > 0.25


def log_odds(hmm, words, observed):
    """log P(z_t = k | x) / P(z_t ≠ k | x) of the observed words; shape (T, K)."""
    probs = smooth_states(hmm.potentials(words, observed=observed)).smoothed_probs
    others = (probs[:, None] * (1 - torch.eye(probs.shape[1]))).sum(-1)
    return probs.log() - others.log()


def value(text):
    """A number as the page writes it, 0.0138 or 4.97·10⁻⁵."""
    mantissa, _, power = text.partition("·10")
    mantissa = {"−∞": "-inf", "+∞": "inf"}.get(mantissa, mantissa.replace("−", "-"))
    return float(mantissa) * 10.0 ** int(power.translate(SUPER) or 0)


def circle(page, day, state="Rainy"):
    """What is written for one circle: symbol -> number."""
    node = page.get_by_role("button", name=re.compile(f"^Day {day}, {state}:"))
    told = node.get_attribute("aria-label").partition(": ")[2]
    return {name: value(number) for name, number in re.findall(r"(\S) = ([^,]+)", told)}


def reasons(page):
    """The rows of the panel: name -> number of nats as shown."""
    rows = page.locator(".hmm-why").first.locator("tr:has(td)").all()
    cells = [(row.locator("th"), row.locator("td").nth(1)) for row in rows]
    return {name.inner_text(): cell.inner_text() for name, cell in cells}


def test_the_four_terms_are_the_librarys(opened):
    """Their running sums are the log-odds of the chain alone, and with the words before the
    day, with its own, and with all; the library masks words for that.
    """
    stories = [random_story(seed) for seed in range(180)]
    given = [
        explore.trellis(hmm, torch.where(observed, words.double(), torch.nan)).model
        for hmm, words, observed in stories
    ]
    answers = opened(weather_trellis()).page.evaluate(SPLITS, given)
    kinds = {"impossible": 0, "infinite": 0, "finite": 0}
    for (hmm, words, observed), found in zip(stories, answers, strict=True):
        days = torch.arange(len(words))
        if found is None:
            assert (
                log_likelihood(hmm.potentials(words, observed=observed)) == -torch.inf
            )
            kinds["impossible"] += 1
            continue
        for t in range(len(words)):
            masks = (days < 0, days < t, days <= t, days >= 0)
            wanted = [log_odds(hmm, words, observed & mask)[t] for mask in masks]
            for k, told in enumerate(found[t]):
                odds = torch.tensor(
                    [each["odds"] for each in told], dtype=torch.float64
                )
                want = torch.stack(wanted)[:, k]
                torch.testing.assert_close(odds, want, rtol=1e-12, atol=2e-12)
                p = torch.tensor([each["p"] for each in told], dtype=torch.float64)
                torch.testing.assert_close(p, want.sigmoid(), rtol=1e-12, atol=1e-15)
                gains = [each["gain"] for each in told if each["gain"] is not None]
                assert sum(gains) == pytest.approx(float(want[3]), rel=1e-12, abs=2e-12)
                settled = [n for n in range(4) if odds[n].isinf()]
                assert len(gains) == min([4, *(n + 1 for n in settled)])
                kinds["infinite" if settled else "finite"] += 1
    assert min(kinds.values()) > 10, "all kinds are among them"


def test_with_two_states_the_terms_are_ratios_of_the_messages(opened):
    model = weather_trellis().model
    found = opened(weather_trellis()).page.evaluate(SPLITS, [model])[0]
    p = weather.hmm.potentials(FORTNIGHT)
    alpha, beta = forward(p), backward(p)
    words = p.log_likelihoods
    prior = smooth_states(
        weather.hmm.potentials(FORTNIGHT, observed=torch.zeros(14).bool())
    ).smoothed_probs.log()
    for t in range(14):
        terms = prior[t], alpha[t] - words[t] - prior[t], words[t], beta[t]
        gains = [each["gain"] for each in found[t][0]]
        assert gains == pytest.approx([float(m[0] - m[1]) for m in terms], abs=1e-11)


def test_the_panel_adds_up_and_says_it_in_words(opened):
    page = opened(weather_trellis()).page
    names = ["prior", "past", "present", "future", "sum"]
    for day in (1, 4, 9, 14):
        page.get_by_role("button", name=f"Day {day}, Sunny").click()
        told = reasons(page)
        assert list(told) == names
        numbers = [round(1000 * value(told[name])) for name in names]
        assert sum(numbers[:4]) == numbers[4]
        wanted = log_odds(weather.hmm, FORTNIGHT, torch.ones(14).bool())[day - 1, 1]
        assert numbers[4] / 1000 == pytest.approx(float(wanted), abs=6e-4)
        words = page.locator(".hmm-why + p").inner_text()
        assert words.count("Sunny: ") + words.count("no past: 0") >= 3
        for number, who in zip(numbers, ("The chain", "The past"), strict=False):
            said = {1: "speaks for Sunny", -1: "speaks against Sunny"}
            if number:
                assert (
                    f"{who}{' alone' * (who == 'The chain')} {said[(number > 0) - (number < 0)]}"
                    in words
                )
        assert ("Day 1 has no past: 0." in words) is (day == 1)
        assert ("Day 14 has no future: 0." in words) is (day == 14)
    page.get_by_role("button", name="Day 14: walk").click()
    page.get_by_role("button", name="Day 14: shop").click()
    page.get_by_role("button", name="Day 14: clean").click()
    assert (
        "Nothing was heard on this day: 0." in page.locator(".hmm-why + p").inner_text()
    )
    assert reasons(page)["present"] == "0.000"


def test_what_settles_the_matter_is_infinite_and_what_comes_later_has_no_term(opened):
    """It is certain on day 2; after that neither the day's word nor the future counts."""
    moves = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
    words = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
    hmm = HMM(torch.tensor([0.5, 0.5], dtype=torch.float64), moves, words)
    page = opened(
        explore.trellis(hmm, [1, 0, 1], ("up", "down"), ("a", "b"), "smoothing")
    ).page
    page.get_by_role("button", name="Day 1, up").click()
    assert reasons(page)["future"] == reasons(page)["sum"] == "+∞"
    page.get_by_role("button", name="Day 2, down").click()
    assert list(reasons(page).values())[2:] == ["−∞", "–", "−∞"]
    said = page.locator(".hmm-why + p").inner_text()
    assert "The present, “a”, rules down out: −∞." in said
    assert "The future can no longer change that." in said
    page.get_by_text("Change the story").click()
    page.get_by_label("B, what is seen: up a").fill("0")
    page.keyboard.press("Enter")
    assert (
        "no posterior probability to split"
        in page.locator("details").first.inner_text()
    )
    assert "NaN" not in page.locator(".hmm-explore").inner_text()


@pytest.mark.parametrize("day", [4, 1, 9, 14])
def test_messages_meet_and_end_in_the_posterior(opened, day):
    page = opened(weather_trellis()).page
    page.get_by_role("button", name=f"Day {day}, Rainy").click()
    back, on = (
        page.get_by_role("button", name=f"One step {way}") for way in ("back", "on")
    )
    meeting = max(day, 15 - day)
    for _ in range(meeting + 2):
        back.click()
    assert back.is_disabled()
    assert page.get_by_role("button", name="not computed yet").count() == 28
    p = weather.hmm.potentials(FORTNIGHT)
    gamma = smooth_states(p).smoothed_probs
    for step in range(1, meeting + 1):
        on.click()
        for t in range(14):
            wanted = {"α": t < min(step, day), "β": t >= max(14 - step, day - 1)}
            told = circle(page, t + 1)
            assert set(told) == {name for name, here in wanted.items() if here}, (
                step,
                t,
            )
            for name, number in told.items():
                exact = float(MESSAGES[name](p)[t, 0].exp())
                assert number == pytest.approx(exact, rel=5e-3)
    products = [circle(page, day, state) for state in weather.states]
    rainy, sunny = (each["α"] * each["β"] for each in products)
    assert rainy / (rainy + sunny) == pytest.approx(float(gamma[day - 1, 0]), abs=5e-3)
    assert "Next they are multiplied" in page.locator(".hmm-say").inner_text()
    on.click()
    said = page.locator(".hmm-say").inner_text()
    assert f"γ{day}(R) = α{day}(R) · β{day}(R) / p(x)" in said
    assert f"p(x) = α{day}(R) · β{day}(R) + α{day}(S) · β{day}(S)" in said
    assert list(circle(page, day)) == ["γ"]
    on.click()
    assert on.is_disabled()
    found = [circle(page, t + 1)["γ"] for t in range(14)]
    assert found == pytest.approx(gamma[:, 0].tolist(), abs=6e-4)


def test_play_lets_the_messages_meet(opened):
    page = opened(explore.trellis(weather.hmm, [0, 1], question="smoothing")).page
    page.get_by_role("button", name="Play").click()
    page.get_by_text("they meet on day 1").wait_for()
    page.get_by_text("On day 1 the messages have met").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert page.locator(".hmm-say").inner_text().startswith("Day 1, 1, 1:")


def written(page, question):
    page.get_by_role("button", name=question, exact=True).click()
    return page.locator(".hmm-report")


@pytest.mark.parametrize("which", ["weather", "random"])
def test_the_report_has_the_librarys_numbers_and_its_arithmetic_is_right(opened, which):
    g = torch.Generator().manual_seed(5)
    hmm, x = weather.hmm, FORTNIGHT
    if which == "random":
        hmm = HMM(rows(g, 3), rows(g, 3, 3), rows(g, 3, 2))
        x = torch.tensor([0, 1, torch.nan, 1, 1, 0], dtype=torch.float64)
    p = hmm.potentials(x)
    names = weather.states if which == "weather" else ("up", "mid", "low")
    page = opened(explore.trellis(hmm, x, names, question="smoothing")).page
    page.get_by_role("button", name="Write it out").click()
    for question, symbol in (("Forward", "α"), ("Backward", "β"), ("Viterbi", "δ")):
        report = written(page, question)
        wanted = MESSAGES[symbol](p).exp()
        lines = report.locator("li > div").all_inner_texts()
        assert len(lines) == wanted.numel()
        for line in lines:
            day, letter = re.match(rf"{symbol}(\d+)\((\w)\) = ", line).groups()
            k = [name[0].upper() for name in names].index(letter.upper())
            told, exact = line.split(" = ")[1:], float(wanted[int(day) - 1, k])
            result = value(re.match(r"[\d.]+(·10[⁻⁰-⁹¹²³]+)?", told[-1])[0])
            assert result == pytest.approx(exact, rel=6e-4)
            if len(told) == 2:
                assert calculated(told[0]) == pytest.approx(exact, rel=2e-3)
        if question != "Backward":
            assert (
                f"{float(log_likelihood(p)):.6f}".replace("-", "−")
                in report.inner_text()
                or question == "Viterbi"
            )
    best = " ".join(
        names[k][0].upper() if which == "weather" else names[k][0]
        for k in viterbi(p).states
    )
    assert best in written(page, "Viterbi").inner_text()
    smoothed = smooth_states(p).smoothed_probs
    report = written(page, "Smoothing")
    found = re.findall(r"γ\d+\(\w\) = (.+) / (.+) = (\S+)", report.inner_text())
    assert len(found) == smoothed.numel()
    for (product, total, result), exact in zip(
        found, smoothed.flatten().tolist(), strict=True
    ):
        assert value(result) == pytest.approx(exact, abs=1e-6, rel=6e-4)
        assert calculated(product) / value(total) == pytest.approx(exact, rel=3e-3)
    assert "Why this probability" in report.inner_text()


def calculated(text):
    """The value of an arithmetic expression as the page writes it."""
    text = re.sub(r"·10([⁻⁰-⁹¹²³]+)", lambda m: f"e{m[1].translate(SUPER)}", text)
    return eval(text.replace(" · ", " * "), {"max": max})  # digits, +, *, ( ) and max


def test_a_long_story_is_not_written_out_and_says_why(opened):
    page = opened(explore.trellis(weather.hmm, [0] * 41)).page
    page.get_by_role("button", name="Write it out").click()
    assert "41 days are too many" in page.locator(".hmm-report").inner_text()
    assert page.locator(".hmm-report li").count() == 0


def test_impossible_words_are_written_out_honestly(opened):
    hmm = HMM([1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]])
    page = opened(
        explore.trellis(hmm, [0, 1, 0], ("a", "b"), question="smoothing")
    ).page
    page.get_by_role("button", name="Write it out").click()
    for question in ("Smoothing", "Viterbi", "Forward", "Backward"):
        text = written(page, question).inner_text()
        assert "NaN" not in text and "undefined" not in text
        if question in ("Smoothing", "Viterbi"):
            assert "impossible under this story" in text
    page.get_by_role("button", name="Smoothing").click()
    for _ in range(5):
        page.get_by_role("button", name="One step back").click()
        assert "NaN" not in page.locator(".hmm-explore").inner_text()


def test_a_link_restores_day_state_panel_and_report(opened):
    page = opened(weather_trellis("forward")).page
    assert not page.locator(".hmm-why").first.is_visible(), "folded, until asked"
    page.get_by_role("button", name="Day 9, Sunny").click()
    page.locator("summary").first.click()
    page.get_by_role("button", name="Write it out").click()
    page.get_by_role("button", name="Share").click()
    link, report = (
        page.evaluate("location.hash"),
        page.locator(".hmm-report").inner_text(),
    )
    tab = opened(weather_trellis("forward"), fragment=link)
    assert tab.page.locator(".hmm-report").inner_text() == report
    assert tab.page.locator(".hmm-why").first.is_visible()
    assert tab.page.locator("summary").first.inner_text().endswith("Sunny on day 9?")
    for name in ("day=8", "state=1", "why=1", "report=1"):
        assert name in link
        wrong = opened(
            weather_trellis("forward"), fragment=link.replace(name, name[:-1] + "77")
        )
        assert wrong.page.locator(".hmm-report").is_hidden()
        assert not wrong.errors
    older = re.sub(r";(day|state|why|report)=\d+", "", link).replace("x=0", "x=1")
    told = facts(opened(weather_trellis("forward"), fragment=older).page)
    assert told["log p(x) ="] != "−15.148962", (
        "a link from before these were there still counts"
    )


def test_the_new_parts_are_reached_by_key(opened):
    page = opened(weather_trellis("forward")).page
    page.get_by_role("button", name="Day 4, Rainy").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    summary = page.locator("summary").first
    assert summary.inner_text() == "Why this probability of Sunny on day 5?"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert page.locator(".hmm-why").first.is_visible()
    button = page.get_by_role("button", name="Write it out")
    assert button.get_attribute("aria-expanded") == "false"
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.activeElement.tagName") == "H4"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Print this report"


CROWDED = """() => {
    const found = [];
    const boxes = [...document.querySelectorAll('.hmm-under, .hmm-node, .hmm-word')].map(node => {
        const range = document.createRange();
        range.selectNodeContents(node);
        const own = node.getBoundingClientRect(), inner = range.getBoundingClientRect();
        const text = node.matches('.hmm-under') ? inner : own;
        const { left, right } = text, { top, bottom } = own;
        return { left, right, top, bottom, text: node.innerText };
    });
    for (const a of boxes) for (const b of boxes)
        if (a !== b && a.left <= b.left && a.right + 1.5 > b.left
                && a.top < b.bottom - 1 && b.top < a.bottom - 1)
            found.push([a.text, b.text]);
    for (const scroll of document.querySelectorAll('.hmm-scroll'))
        if (scroll.scrollWidth > scroll.clientWidth) found.push(scroll.innerText.slice(0, 40));
    const box = document.querySelector('.hmm-explore').getBoundingClientRect();
    for (const b of boxes) if (b.left < box.left || b.right > box.right) found.push(b.text);
    if (document.documentElement.scrollWidth > innerWidth) found.push('page');
    return found;
}"""


@pytest.mark.parametrize("question", explore.QUESTIONS)
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_is_cut_or_crowded(opened, question, width):
    """No letter touches the next, and nothing scrolls; as wide as in the book."""
    page = opened(weather_trellis(question), size=(width, 900)).page
    page.add_style_tag(content="main{max-width:688px;margin:auto}body{margin:0 16px}")
    page.get_by_role("button", name="Write it out").click()
    page.locator("summary").first.press("Enter")
    page.wait_for_timeout(50)
    assert page.evaluate(CROWDED) == []
    for _ in range(6):
        page.get_by_role("button", name="One step back").click()
        assert page.evaluate(CROWDED) == []


def test_days_wrap_in_weeks_and_lines_join_the_circles(opened):
    page = opened(weather_trellis(), size=PHONE).page
    tops = [
        page.get_by_role("button", name=f"Day {day}, Rainy").bounding_box()["y"]
        for day in range(1, 15)
    ]
    assert tops == [tops[0]] * 7 + [tops[7]] * 7 and tops[7] > tops[0] + 100
    ends = page.evaluate(
        """() => [...document.querySelectorAll('.hmm-grid line')].flatMap(line => {
            const at = line.getScreenCTM();
            const end = n => [`x${n}`, `y${n}`].map(name => line[name].baseVal.value);
            const seen = n => new DOMPoint(...end(n)).matrixTransform(at);
            return [seen(1), seen(2)].map(point => [point.x, point.y]);
        })"""
    )
    assert len(ends) == 2 * 4 * 14, "13 moves, of which one is drawn in both weeks"
    boxes = [each.bounding_box() for each in page.locator(".hmm-node").all()]
    centres = [(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2) for b in boxes]
    on_circles = [min(abs(x - u) + abs(y - v) for u, v in centres) < 3 for x, y in ends]
    assert sum(on_circles) == 2 * 4 * 12 + 2 * 4, "the rest leaves or enters a week"
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("document.querySelectorAll('.hmm-grid > svg').length === 1")


def test_many_days_scroll_in_their_box_and_wrap_on_paper(opened):
    page = opened(explore.trellis(weather.hmm, [0, 1] * 100), size=PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.locator(".hmm-grid > svg").count() == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".hmm-grid > svg").count() > 10
    assert page.locator(".hmm-grid").bounding_box()["width"] < 640
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".hmm-grid > svg").count() == 1


def test_forced_colours_tell_states_path_and_progress_apart(opened):
    page = opened(weather_trellis("viterbi")).page
    page.get_by_role("button", name="One step back").click()
    page.emulate_media(forced_colors="active")

    def style(name, what):
        node = page.get_by_role("button", name=name)
        return node.evaluate(f"each => getComputedStyle(each).{what}")

    rainy, sunny = "Day 8, Rainy", "Day 8, Sunny"
    assert style(rainy, "backgroundColor") != style(sunny, "backgroundColor")
    assert style(rainy, "boxShadow") != style(sunny, "boxShadow") == "none"
    segments = page.locator(".hmm-stack").nth(7).locator("span").all()
    colors = [
        each.evaluate("e => getComputedStyle(e).backgroundColor") for each in segments
    ]
    assert len(set(colors)) == 2
    page.get_by_role("button", name="Forward").click()
    page.get_by_role("button", name="One step back").click()
    assert style("Day 14, Rainy", "borderStyle") == "dashed"
    assert style("Day 13, Rainy", "borderStyle") == "solid"
    page.locator("summary").first.click()
    bar = page.locator(".hmm-lean i").first
    canvas = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert bar.evaluate("e => getComputedStyle(e).backgroundColor") != canvas
    path = "getComputedStyle(document.querySelector('.hmm-explore')).getPropertyValue('--best')"
    assert page.evaluate(path) == "Highlight"


def test_paper_shows_the_circles_and_the_report_alone_if_asked(opened):
    page = opened(weather_trellis(), weather_trellis("forward")).page
    page.get_by_role("button", name="Write it out").first.click()
    page.evaluate("window.print = () => {}")
    page.get_by_role("button", name="Print this report").click()
    page.emulate_media(media="print")
    report, nodes = page.locator(".hmm-report").first, page.locator(".hmm-node")
    assert report.is_visible() and report.locator("li").last.is_visible()
    assert not nodes.first.is_visible() and not nodes.last.is_visible()
    assert not page.get_by_text("Print this report").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert report.is_visible() and nodes.first.is_visible() and nodes.last.is_visible()
    assert not page.get_by_text("Share").first.is_visible()
    assert nodes.first.evaluate("e => getComputedStyle(e).printColorAdjust") == "exact"
    scrolls = page.locator(".hmm-scroll").all()
    assert all(
        e.evaluate("e => getComputedStyle(e).overflowX") == "visible" for e in scrolls
    )
