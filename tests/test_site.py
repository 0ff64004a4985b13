"""The built site: complete, self-contained, and nothing raw on a page."""

import base64
import copy
import functools
import io
import re
from urllib.parse import unquote, urlsplit

import front
import pytest
import repository
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont

from chapters import APPENDIX, CHAPTERS, ROOT, solutions

OWN_PAGES = ["intro", *(f"chapters/{path.stem}" for path in CHAPTERS)]
OWN_PAGES += [
    f"chapters/appendix/{path.stem}"
    for path in (ROOT / "chapters/appendix").glob("*.md")
]
OWN_PAGES += [f"chapters/appendix/{path.stem}" for path in APPENDIX]
each_page = pytest.mark.parametrize("page", OWN_PAGES)
each_chapter = pytest.mark.parametrize("page", OWN_PAGES[1 : 1 + len(CHAPTERS)])
each_notebook = pytest.mark.parametrize(
    "page", OWN_PAGES[1 : 1 + len(CHAPTERS)] + OWN_PAGES[-len(APPENDIX) :]
)


@functools.cache
def parsed(path):
    """A page as a tree."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@functools.cache
def names(path):
    """What a link into a page may point to."""
    return {tag["id"] for tag in parsed(path).find_all(id=True)}


@pytest.fixture
def soup(site, page):
    return parsed(site / f"{page}.html")


@each_page
def test_a_page_fetches_nothing_from_elsewhere(soup):
    fetched = [
        tag.get("src") for tag in soup.find_all(["script", "img", "iframe", "source"])
    ]
    fetched += [
        tag["href"]
        for tag in soup.find_all("link", href=True)
        if set(tag["rel"]) & {"stylesheet", "icon", "preload", "preconnect"}
    ]
    assert fetched
    assert not [address for address in fetched if address and urlsplit(address).netloc]


@each_page
def test_links_within_the_book_lead_somewhere(site, page, soup):
    for tag in soup.find_all(["a", "script", "img", "link"]):
        address = tag.get("href") or tag.get("src") or ""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not address:
            continue
        here = site / f"{page}.html"
        target = (here.parent / unquote(parts.path)).resolve() if parts.path else here
        assert target.exists(), address
        if parts.fragment and target.suffix == ".html" and tag.name == "a":
            assert unquote(parts.fragment) in names(target), address


@each_page
def test_nothing_raw_is_left_on_a_page(soup):
    article = copy.copy(soup.find("article"))
    for shown in article.find_all(["pre", "code", "script", "style", "dt"]):
        shown.decompose()
    for mathematics in article.find_all(class_="math"):
        mathematics.decompose()
    text = article.get_text()
    assert not re.search(r"\$\$|\$[^$\s]|\{[a-z]+\}`|\*\*|:::|\]\(", text)


@each_page
def test_pictures_have_an_alternative_text(soup):
    for picture in soup.find("article").find_all("img"):
        assert len(picture.get("alt", "")) > 20, picture.get("src")


@each_chapter
def test_figures_are_numbered_and_captioned(soup):
    figures = soup.find("article").find_all("figure")
    assert figures
    for figure in figures:
        assert figure.get("id") and figure.find("figcaption").get_text(strip=True)


@each_chapter
def test_solutions_fold(page, soup):
    folded = [each.find("summary") for each in soup.find("article").find_all("details")]
    found = sum("Solution" in summary.get_text() for summary in folded if summary)
    assert found == len(solutions(ROOT / f"{page}.ipynb")) >= 3


@each_notebook
def test_launch_buttons_open_this_chapter(page, soup):
    owner_and_name = repository.forms(repository.present())[0]
    links = [tag["href"] for tag in soup.find_all("a", href=True)]
    assert any(f"mybinder.org/v2/gh/{owner_and_name}" in link for link in links)
    colab = f"colab.research.google.com/github/{owner_and_name}/blob/main/{page}.ipynb"
    assert any(colab in link for link in links)


def test_nothing_that_is_shipped_fetches_from_elsewhere(site):
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text), sheet.name
    script = (ROOT / "_static/book.js").read_text(encoding="utf-8")
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", script)


@each_page
def test_a_page_loads_one_sheet_and_one_script(soup):
    """And MathJax, where there is mathematics, and once, late, what brings explorers to life;
    nothing of the theme's that the page needs not.
    """
    sheets = [tag["href"] for tag in soup.find_all("link", rel="stylesheet")]
    scripts = [tag["src"] for tag in soup.find_all("script", src=True)]
    scripts = [re.sub(r".*_static/|\?.*", "", address) for address in scripts]
    assert [re.sub(r".*_static/|\?.*", "", sheet) for sheet in sheets] == ["site.css"]
    needed = ["site.js"]
    needed += ["mathjax/tex-mml-chtml.js"] * bool(soup.find("article").select(".math"))
    explorers = soup.select(".hmm-explore")
    needed += ["explore.js"] * bool(explorers)
    assert scripts == needed
    late = soup.select("script[src$='explore.js']")
    assert all(tag.has_attr("defer") for tag in late)
    assert not soup.select("script[data-hmm-explore], .hmm-explore img[src^=data]")
    assert "thebe" not in str(soup.find_all("script"))


def test_the_books_own_files_are_in_the_merged_ones(site):
    for own, merged in (("book.css", "site.css"), ("book.js", "site.js")):
        text = (ROOT / "_static" / own).read_text(encoding="utf-8")
        assert text in (site / "_static" / merged).read_text(encoding="utf-8")


def test_icons_of_a_page_are_in_the_fonts(site):
    """Each icon has its rule, and its sign is drawn in one of the fonts of the sheet."""
    css = (site / "_static/site.css").read_text(encoding="utf-8")
    packed = re.findall(r"url\(data:font/woff;base64,([^)]*)\)", css)
    fonts = [TTFont(io.BytesIO(base64.b64decode(each))) for each in packed]
    drawn = set().union(*(font.getBestCmap() for font in fonts))
    rules = re.findall(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\(\w+)"\}', css)
    signs = {
        name: code for names, code in rules for name in re.findall(r"fa-[\w-]+", names)
    }
    shown = set()
    for page in OWN_PAGES:
        for icon in parsed(site / f"{page}.html").select("[class*=fa-]"):
            shown |= set(icon["class"]) - {"fa-solid", "fa-brands", "fa-lg"}
    shown = {name for name in shown if name.startswith("fa-")}
    assert len(shown) > 10
    assert {int(signs[name], 16) for name in shown} <= drawn
    assert sum(map(len, packed)) < 20_000


def test_mathematics_comes_with_the_site(site):
    assert (site / "_static/mathjax/tex-mml-chtml.js").stat().st_size > 500_000
    assert (
        len(list((site / "_static/mathjax/output/chtml/fonts/woff-v2").glob("*.woff")))
        > 10
    )


def test_search_knows_viterbi_and_code_has_copy_buttons(site):
    assert "viterbi" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert "ClipboardJS(" in (site / "_static/site.js").read_text(encoding="utf-8")


def test_the_map_gives_reading_times(site):
    """A row for each chapter, with a time that was counted."""
    map_ = parsed(site / "intro.html").find("table")
    times = [row.find_all("td")[-1].text for row in map_.find_all("tr")[1:]]
    assert len(times) == len(CHAPTERS)
    assert all(re.fullmatch(r"\d+\smin", time) for time in times)


def test_a_placeholder_is_explained(site):
    """As long as the repository has no address, the front page says what works without it."""
    missing = front.PLACEHOLDER in repository.present()
    assert ("make repo URL=" in parsed(site / "intro.html").text) == missing
