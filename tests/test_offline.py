"""The book to take along, and how it is found: PDF, zip, records of runs, sitemap, cards, and
the page for a wrong address.
"""

import json
import os
import re
import subprocess
import sys
import zipfile
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import execute
import nbformat
import offline
import pikepdf
import printed
import pypdfium2
import pytest
import yaml
from browser import Server, executable
from PIL import Image
from test_site import OWN_PAGES, each_page, parsed, soup  # noqa: F401

from chapters import APPENDIX, CHAPTERS, ROOT, chapter_number, solutions

HOME = yaml.safe_load((ROOT / "_config.yml").read_text())["html"]["baseurl"]
A4 = (595, 842)  # points
MARGIN = 20 / 25.4 * 72


def squeezed(text):
    """Text without its spaces, of which every reader of PDFs has its own opinion."""
    return re.sub(r"\s", "", text)


@pytest.fixture(scope="module")
def pdf(site):
    executable()  # without a browser there is none
    with pikepdf.open(site / printed.NAME) as pdf:
        yield pdf


@pytest.fixture(scope="module")
def sheets(site):
    executable()
    document = pypdfium2.PdfDocument(site / printed.NAME)
    yield [page.get_textpage() for page in document]


@pytest.fixture(scope="module")
def texts(sheets):
    return [squeezed(sheet.get_text_range()) for sheet in sheets]


@pytest.fixture(scope="module")
def bookmarks(pdf):
    """Title, page and level of each bookmark."""
    pages = {page.objgen: i for i, page in enumerate(pdf.pages, 1)}
    with pdf.open_outline() as outline:
        found = []
        for chapter in outline.root:
            for level, each in [
                (0, chapter),
                *((1, each) for each in chapter.children),
            ]:
                found.append((each.title, pages[each.destination[0].objgen], level))
    return found


def test_the_pdf_is_the_whole_book_in_its_order(site, bookmarks):
    chapters = [title for title, _, level in bookmarks if level == 0]
    titles = []
    for _, pages in printed.parts():
        for page in pages:
            heading = parsed(site / f"{page}.html").article.h1
            titles.append(heading.get_text().removesuffix("#"))
    assert chapters == ["Before you begin", *titles[1:], "Solutions"]
    numbers = [number for _, number, _ in bookmarks]
    assert numbers == sorted(numbers)


def test_the_contents_name_the_page_where_a_section_is(bookmarks, texts):
    first = bookmarks[0][1]
    contents = "".join(texts[: first - 1])
    for title, number, _ in bookmarks:
        assert squeezed(f"{title}{number}") in contents
        assert squeezed(title) in texts[number - 1]


def test_pages_are_numbered_full_and_a4(pdf, sheets, texts):
    for i, (page, sheet, text) in enumerate(zip(pdf.pages, sheets, texts, strict=True)):
        assert tuple(round(x) for x in page.mediabox[2:]) == A4
        assert len(text) > 40, f"page {i + 1} is empty"
        foot = sheet.get_text_bounded(bottom=0, top=MARGIN * 1.1)
        assert foot.strip() == (str(i + 1) if i else "")


def test_nothing_runs_off_the_paper(sheets):
    for number, sheet in enumerate(sheets, 1):
        for i in range(sheet.count_chars()):
            sign = sheet.get_text_range(i, 1)
            if (
                sign.isspace() or "\ue000" <= sign <= "\uf8ff"
            ):  # braces that are clipped
                continue
            left, _, right, _ = sheet.get_charbox(i)
            inside = left > MARGIN - 2 and right < A4[0] - MARGIN + 2
            assert inside, f"page {number}: {sheet.get_text_range(i, 40)!r}"


def test_the_pdf_has_its_solutions_at_the_end(bookmarks, texts):
    start = next(number for title, number, _ in bookmarks if title == "Solutions")
    for exercise in (
        f"{chapter_number(path)}.{i}"
        for path in CHAPTERS
        for i in range(1, len(solutions(path)) + 1)
    ):
        told = [re.search(rf"Solution{exercise}:page(\d\d\d)", text) for text in texts]
        (told,) = filter(None, told)
        assert f"Solution{exercise}" in texts[int(told[1]) - 1]
        assert int(told[1]) >= start


def test_nothing_is_printed_that_only_a_screen_can_do(texts):
    book = "".join(texts)
    for words in ("No answer yet", "Take it with you", "Show the code", "Runs alone:"):
        assert squeezed(words) not in book
    num_exercises = sum(len(solutions(path)) for path in CHAPTERS)
    assert book.count("answer=...") == num_exercises


def test_links_in_the_pdf_lead_into_it_or_to_the_web(pdf):
    num_inside = 0
    for page in pdf.pages:
        for note in page.get("/Annots", []):
            if "/A" in note and "/URI" in note.A:
                assert str(note.A.URI).startswith(("https://", "http://"))
                assert "localhost" not in str(note.A.URI)
            else:
                assert note.Dest in pdf.Root.Dests
                num_inside += 1
    assert num_inside > 300


def test_the_pdf_says_what_it_is_and_reads_aloud(pdf, site):
    with pdf.open_metadata() as metadata:
        assert metadata["dc:title"].startswith("From Rain to Watts: ")
    assert pdf.Root.Lang == "en"
    assert pdf.Root.MarkInfo.Marked  # tagged, for a screen reader
    assert (site / printed.NAME).stat().st_size < 19_000 * len(pdf.pages)
    assert not (site / "one-document.html").exists()


@pytest.fixture(scope="module")
def unzipped(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zip")
    with zipfile.ZipFile(site / offline.NOTEBOOKS) as archive:
        archive.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


def test_the_zip_has_the_notebooks_as_they_are(unzipped):
    for path in [*CHAPTERS, *APPENDIX]:
        copy = unzipped / path.relative_to(ROOT)
        assert copy.read_bytes() == path.read_bytes()
    names = {path.name for path in unzipped.rglob("*")}
    assert not names & {"__pycache__", ".ipynb_checkpoints", ".venv", "_build"}


def test_links_between_notebooks_lead_somewhere_in_the_zip(unzipped):
    for path in unzipped.glob("chapters/**/*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        for address in re.findall(r"\]\(([^)\s]+)\)", text):
            parts = urlsplit(address)
            if parts.path and not parts.scheme:
                assert (path.parent / unquote(parts.path)).exists(), address


def test_the_library_of_the_zip_is_complete(unzipped):
    """It imports, loads its data and draws its explorers from that folder alone."""
    code = "import hmmlib; from hmmlib.datasets import household, series, weather;"
    code += "from hmmlib.book import explore;"
    code += "household.load_household(); series.nile(); series.federal_funds();"
    code += "explore.trellis(weather.hmm, [0, 1], weather.states, weather.activities);"
    code += "print(hmmlib.__file__)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=unzipped, capture_output=True, text=True,
        check=True, env=os.environ | {"PYTHONPATH": str(unzipped)},
    )  # fmt: skip
    assert run.stdout.strip() == str(unzipped / "hmmlib/__init__.py")


def test_the_same_files_make_the_same_zip(site, tmp_path):
    offline.pack(tmp_path / "again.zip")
    again = (tmp_path / "again.zip").read_bytes()
    assert again == (site / offline.NOTEBOOKS).read_bytes()


@each_page
def test_each_page_offers_the_whole_book(site, soup):  # noqa: F811
    for name in [offline.NOTEBOOKS, *[printed.NAME] * bool(printed.browser())]:
        (link,) = soup.select(f".bd-header-article a[href$='{name}']")
        assert link.get_text(strip=True).endswith(name.rpartition(".")[2])


def test_without_a_browser_the_page_says_why_there_is_no_pdf(monkeypatch):
    monkeypatch.setattr(printed, "browser", lambda: None)
    import versions

    said = versions.downloads()
    assert "not here" in said and f"{HOME}{printed.NAME}" in said
    assert f'href="../../{printed.NAME}"' not in said
    assert f'href="../../{offline.NOTEBOOKS}"' in said


RECORD = json.loads(execute.RECORD.read_text(encoding="utf-8"))


def test_outputs_are_made_with_the_versions_that_the_book_names(site):
    """And the page of versions says so, with a row for each notebook."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    needed = dict(re.findall(r"^([\w-]+)==([\w.]+)", lines, re.M))
    text = parsed(site / "chapters/appendix/versions.html").article.get_text(" ")
    assert {f"chapters/{name}" for name in RECORD} == {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in [*CHAPTERS, *APPENDIX]
    }
    for run in RECORD.values():
        assert run["day"] in text and f"{run['seconds']:.0f}" in text
        for name, version in run["versions"].items():
            assert version in text
            if name != "Python":
                assert version.partition("+")[0] == needed[name]


def test_the_sitemap_lists_the_pages_of_the_book(site):
    tree = ElementTree.parse(site / "sitemap.xml")
    listed = {each.text for each in tree.findall(".//{*}loc")}
    assert listed == {f"{HOME}{page}.html" for page in OWN_PAGES}


@each_page
def test_a_page_has_a_card_and_can_be_cited(site, page, soup):  # noqa: F811
    tags = {
        tag.get("property") or tag.get("name"): tag["content"]
        for tag in soup.head.find_all("meta", content=True)
    }
    assert tags["og:site_name"] == "From Rain to Watts"
    assert tags["og:url"] == tags["citation_public_url"] == f"{HOME}{page}.html"
    assert len(tags["og:description"]) > 20
    assert tags["citation_title"] and "<" not in tags["citation_title"]
    assert tags["citation_author"] and re.fullmatch(
        r"20\d\d", tags["citation_publication_date"]
    )
    with Image.open(site / tags["og:image"].removeprefix(HOME)) as card:
        assert card.width / card.height > 1.8


def test_a_wrong_address_shows_a_page_that_leads_back(site, new_tab):
    """Whatever the depth of the address, files and links are found."""
    prefix = urlsplit(HOME).path
    with Server(site) as server:
        tab = new_tab()

        def as_hosted(route):
            path = urlsplit(route.request.url).path
            found = (
                path.startswith(prefix) and (site / path.removeprefix(prefix)).is_file()
            )
            name = path.removeprefix(prefix) if found else "404.html"
            route.fulfill(path=site / name, status=200 if found else 404)

        tab.page.route("**/*", as_hosted)
        page = tab.open(f"{server.url}{prefix}chapters/no/such/page.html")
        assert page.inner_text("article h1") == "Nothing is here"
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
        failed = [each for each in tab.errors if "no/such/page" not in each]
        assert not [each for each in failed if "404 (Not Found)" not in each]
        assert len([each for each in tab.errors if "404" in each]) <= 1
        page.click("text=chapters >> visible=true")
        assert page.url == f"{server.url}{prefix}intro.html#the-map"
        assert "What you will be able to do" in page.inner_text("article")
