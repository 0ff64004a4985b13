"""The site in a real browser: quiet, light, readable by everyone, and it does what its
buttons say.
"""

from pathlib import Path

import axe_playwright_python
import pytest
from browser import PHONE, Tab, new_context
from test_site import OWN_PAGES

MOST_BYTES, MOST_REQUESTS = 1_000_000, 25
NUM_TAB_STOPS = 40
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
SERIOUS = """async (options) => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"], ...options});
    return violations
        .filter(each => ["serious", "critical"].includes(each.impact))
        .flatMap(each => each.nodes.map(
            node => `${each.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}"""
BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
# Contrast depends on the colours and the size of a text and on what is behind it: of the elements
# that are equal in that, with all that they are in, one stays visible.
ONE_OF_A_LOOK = """() => {
    const looks = new Map(), seen = new Set(), shown = new Set();
    for (const each of document.querySelectorAll("body, body *")) {
        const s = getComputedStyle(each);
        const own = [s.color, s.background, s.opacity, s.fontSize, s.fontWeight].join();
        looks.set(each, `${looks.get(each.parentElement)} > ${own}`);
    }
    for (const [each, look] of looks) {
        if (seen.has(look)) continue;
        seen.add(look);
        for (let part = each; part && !shown.has(part); part = part.parentElement)
            shown.add(part);
    }
    for (const each of looks.keys())
        if (!shown.has(each)) each.style.setProperty("visibility", "hidden", "important");
}"""
ALL_VISIBLE = """() => {
    for (const each of document.querySelectorAll("[style]")) each.style.visibility = "";
}"""
ONE_TOKEN_OF_A_KIND = """() => {
    const seen = new Set();
    for (const token of document.querySelectorAll(".highlight span[class], .sig span[class]")) {
        const place = token.closest(".cell_input, .cell_output, details, .sig")?.className;
        const kind = `${place} ${token.parentElement.className} ${token.className}`;
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        seen.add(kind);
    }
}"""
FOCUS_SHOWS = """() => {
    const stop = document.activeElement;
    const look = () => {
        const style = getComputedStyle(stop);
        const none = style.outlineStyle === "none" || style.outlineWidth === "0px";
        const line = none ? "" : style.outline;
        return `${line} ${style.boxShadow}`;
    };
    const focused = look();
    stop.blur();
    const plain = look();
    stop.focus({focusVisible: true});
    const {width, height} = stop.getBoundingClientRect();
    return {what: stop.outerHTML.slice(0, 200), seen: focused !== plain && width * height > 0};
}"""
# What a button hands to the browser for its clipboard. The clipboard itself is shared by all
# that runs, and comes and goes.
COPIED = """number => {
    const button = document.querySelectorAll("button.copybtn")[number];
    const block = document.querySelector(button.dataset.clipboardTarget);
    let handed = "";
    const hear = event => handed = event.target.value;
    document.addEventListener("copy", hear, true);
    for (let tries = 0; !handed && tries < 3; tries++) button.click(); // busy, it may not hear
    document.removeEventListener("copy", hear, true);
    return [block.innerText, handed];
}"""


# What lies beyond the edge of a box that scrolls or cuts, in the text of a page but not in code.
CUT = """() => {
    const cut = [];
    for (const part of document.querySelectorAll(
        "article :is(img, table, mjx-math, .hmm-explore :is(svg, button, input, td, span))")) {
        if (part.closest("pre, .hmm-hidden, dl.py") || !part.getClientRects().length) continue;
        const {left, right} = part.getBoundingClientRect();
        let box = part;
        while ((box = box.parentElement) && box.tagName !== "ARTICLE") {
            const edge = box.getBoundingClientRect();
            if (getComputedStyle(box).overflowX !== "visible"
                && (right > edge.right + 2 || left < edge.left - 2))
                cut.push(`${part.tagName} ${Math.round(right - edge.right)} px: `
                    + (part.alt || part.textContent).slice(0, 80));
        }
    }
    return cut;
}"""

FORMULAS_FIT = """() => [...document.querySelectorAll("div.math mjx-math")].every(each =>
    each.getBoundingClientRect().width <= each.closest("div.math").clientWidth + 1)"""
SMALL_FORMULAS = """() => [...document.querySelectorAll("div.math mjx-math")]
    .filter(each => parseFloat(getComputedStyle(each).fontSize) < 12)
    .map(each => each.closest("div.math").previousElementSibling.textContent.slice(-200))"""
CODE_BEYOND_ITS_BOX = """() =>
    [...document.querySelectorAll("article pre")]
        .filter(block => block.scrollWidth > block.clientWidth + 1)
        .map(block => block.textContent.slice(0, 200))"""


@pytest.fixture(scope="module", params=OWN_PAGES)
def tab(request, browser, served):
    """One page, opened once for all tests of it, with everything folded out."""
    context = new_context(browser)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = Tab(context.new_page())
    tab.open(f"{served}/{request.param}.html")
    tab.page.evaluate(
        "document.querySelectorAll('details').forEach(d => d.open = true)"
    )
    yield tab
    context.close()


def in_the_dark(page):
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")


def test_a_page_is_light(tab, served, record_property):
    in_the_dark(tab.page)  # whatever the dark needs counts as well
    tab.page.wait_for_load_state("networkidle")
    addresses = [request.url for request in tab.requests]
    own = (served, "data:", "blob:")  # a blob is made by the page itself
    assert all(address.startswith(own) for address in addresses)
    record_property("bytes", tab.weight())
    record_property("requests", len(addresses))
    assert tab.weight() <= MOST_BYTES
    assert len(addresses) <= MOST_REQUESTS, addresses


def test_a_page_has_no_errors(tab):
    assert tab.errors == []


def test_a_picture_is_described(tab):
    assert tab.page.locator("img:not([alt])").count() == 0


def test_a_page_is_accessible(tab):
    """By axe-core's rules, all but contrast, which the next test looks at.

    Of the tokens of code that look alike one is looked at.
    """
    tab.page.evaluate(ONE_TOKEN_OF_A_KIND)
    tab.page.evaluate(AXE)
    assert tab.page.evaluate(SERIOUS, BUT_CONTRAST) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_contrast(tab, scheme):
    tab.page.emulate_media(color_scheme=scheme)
    tab.page.wait_for_selector(f"html[data-theme={scheme}]")
    tab.page.evaluate(ONE_TOKEN_OF_A_KIND)
    tab.page.evaluate(ONE_OF_A_LOOK)
    tab.page.evaluate(AXE)
    found = tab.page.evaluate(SERIOUS, {"runOnly": ["color-contrast"]})
    tab.page.evaluate(ALL_VISIBLE)
    assert found == []


def test_the_focus_is_seen(tab):
    tab.page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    for number in range(NUM_TAB_STOPS):
        tab.page.keyboard.press("Tab")
        stop = tab.page.evaluate(FOCUS_SHOWS)
        if number > 20 and stop["what"].startswith("<body"):  # a short page has no more
            break
        assert stop["seen"], stop["what"]


def test_buttons_copy_what_the_block_shows(tab):
    for number in range(tab.page.locator("button.copybtn").count()):
        # one call each, since a page may only copy within seconds of a click
        shown, copied = tab.page.evaluate(COPIED, number)
        lines = shown.rstrip("\n").split("\n")
        if any(line.startswith(">>> ") for line in lines):
            lines = [line[4:] for line in lines if line[:4] in (">>> ", "... ")]
        assert copied.rstrip("\n") == "\n".join(lines)


@pytest.mark.parametrize("width", [PHONE[0], 768, 1280])
def test_a_page_fits_the_screen(tab, width):
    """Nothing but code has to be scrolled sideways: figures, tables, formulas, explorers."""
    tab.page.emulate_media(color_scheme="light")
    tab.page.set_viewport_size({"width": width, "height": PHONE[1]})
    fits = "width => document.documentElement.scrollWidth <= width"
    tab.page.wait_for_function(
        fits, arg=width, timeout=5000
    )  # when it is laid out anew
    assert tab.page.evaluate(CUT) == []


def test_formulas_are_legible_on_a_phone(tab):
    """Each is as wide as its column at most, and its letters are 12 px high or more."""
    tab.page.set_viewport_size(dict(zip(("width", "height"), PHONE, strict=True)))
    tab.page.wait_for_function(FORMULAS_FIT)
    assert tab.page.evaluate(SMALL_FORMULAS) == []


def test_code_fits_a_wide_screen(tab):
    tab.page.set_viewport_size({"width": 1280, "height": PHONE[1]})
    assert tab.page.evaluate(CODE_BEYOND_ITS_BOX) == []


def test_the_skip_link_skips(new_tab, served):
    page = new_tab().open(f"{served}/intro.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_search_finds_viterbi(new_tab, served):
    tab = new_tab()
    page = tab.open(f"{served}/intro.html")
    page.locator("button.search-button__button:visible").first.click()
    page.keyboard.type("Viterbi")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a[href*='chapters/04_viterbi.html']")
    found.first.wait_for()  # results come one by one
    assert tab.errors == []


def test_the_buttons_of_the_header_work(new_tab, served):
    page = new_tab().open(f"{served}/chapters/02_forward.html")
    page.get_by_label("Launch interactive content").press("Enter")
    assert page.get_by_role("link", name="Colab").is_visible()
    page.keyboard.press("Escape")
    themes = set()
    for _ in range(3):  # light, dark, as the system
        page.locator("button.theme-switch-button").click()
        themes.add(page.evaluate("document.documentElement.dataset.theme"))
    assert themes == {"light", "dark"}


def test_the_book_opens_from_a_folder(new_tab, site):
    tab = new_tab()
    page = tab.open((site / "chapters/02_forward.html").as_uri())
    assert page.locator("mjx-container").count() > 10
    assert tab.errors == []
    assert all(request.url.startswith(("file:", "data:")) for request in tab.requests)
