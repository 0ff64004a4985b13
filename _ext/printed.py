"""The book as one PDF: the pages of the site in one document, printed by a browser.

python _ext/printed.py _build/html prints once more what is built.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pikepdf
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
NAME = "from-rain-to-watts.pdf"
# Chromium without windows comes first, because it is quicker.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SHORT = 16  # lines of code, or rows of a table, that stay together
# What only a screen can do: links to headings, figures that move, downloads, "take it with you".
NOT_ON_PAPER = """.headerlink, script, #move-it, #take-it-along, p.runs-alone,
    #read-it-run-it-copy-it > p:first-of-type"""
TITLE_PAGE = """<section class="title-page">
<img alt="" src="_static/favicon.svg">
<p class="title">{title}</p>
<p class="subtitle">{subtitle}</p>
<p class="colophon">{authors}<br>Version {version}, {year}<br><a href="{url}">{url}</a></p>
<p class="colophon">Text: CC BY 4.0. Code: MIT.</p>
<p class="colophon">The imports of each chapter, the code of its figures, figures that move, and
exercises that answer are on the site and in the notebooks. Solutions are at the end.<br>
Print it in colour: in grey, rain and sun look the same.</p>
</section>
<nav class="book-page book-contents"><p class="title">Contents</p></nav>"""
READY = """async () => {
    await MathJax.startup.promise;
    await Promise.all([...document.images].map(image => image.decode()));
    await document.fonts.ready;
}"""
FILL_IN = """numbers => {
    for (const each of document.querySelectorAll("[data-page-of]"))
        each.textContent = numbers[each.dataset.pageOf];
}"""


def browser() -> str | None:
    """The path of the system's Chromium or Chrome, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def parts() -> list[tuple[str, list[str]]]:
    """The captions of the book's parts, and the pages of each, as `_toc.yml` has them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [("", [toc["root"]])]
    for part in toc["parts"]:
        listed.append((part["caption"], [each["file"] for each in part["chapters"]]))
    return listed


def place(page: str, fragment: str = "") -> str:
    """What a place of a page is called in the one document."""
    return re.sub(r"[^\w.-]", "-", f"{page}--{fragment}")


def article(site: Path, page: str, pages: list[str], url: str):
    """The text of one page as a section of the one document."""
    soup = BeautifulSoup((site / f"{page}.html").read_text("utf-8"), "html.parser")
    text, folder = soup.article, (site / page).parent

    def file(address):
        return (folder / address).resolve().relative_to(site).as_posix()

    def link(address):
        """The same place in the document, or on the site."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            return address
        target = file(parts.path).removesuffix(".html") if parts.path else page
        if target not in pages:
            return url + file(parts.path)
        return f"#{place(target, parts.fragment)}"

    for tag in text.select(NOT_ON_PAPER):
        tag.decompose()
    for_paper(text)
    for tag in text.find_all(True):
        if tag.has_attr("id"):
            tag["id"] = place(page, tag["id"])
        if tag.has_attr("href"):
            tag["href"] = link(tag["href"])
        if tag.name == "img" and not tag["src"].startswith("data:"):
            tag["src"] = file(tag["src"])
        tag.attrs.pop("loading", None)
    text.name, text.attrs = "section", {"id": place(page), "class": "book-page"}
    return text


def for_paper(text):
    """Leave out folded code and waiting answers; mark what is not to be divided, or left alone
    at the foot of a page.
    """
    for file in text.select(".cell:has(details.take-this)"):
        file.find_previous_sibling("p").decompose()  # take it with you
        file.decompose()
    for code in text.select("details.hide"):
        mark(code.find_parent(class_="cell"), "of-figure")
        code.decompose()
    for output in text.select('.cell:-soup-contains("check(") > .cell_output'):
        if "No answer yet" in output.get_text():
            output.decompose()
    if how := text.select_one("#exercises > p"):
        how.string = "The comment in each cell says what to hand over; in the notebook, the cell "
        how.append("judges it and gives hints.")
    for pre in text.find_all("pre"):
        if pre.get_text().count("\n") <= SHORT:
            mark(pre, "short")
    for table in text.find_all("table"):
        if len(table.find_all("tr")) <= SHORT:
            mark(table, "short")
    leading = [p for p in text.find_all("p") if p.get_text().rstrip().endswith(":")]
    for p in [*text.select("h2 + p, h3 + p"), *leading]:
        mark(p, "before")


def mark(tag, name: str) -> None:
    """Give a tag one more class."""
    tag["class"] = [*tag.get("class", []), name]


def solutions(articles, soup):
    """The section of all solutions, each taken from its exercise, which says where it went."""
    section = soup.new_tag("section", attrs={"class": "book-page", "id": "solutions"})
    section.append(soup.new_tag("h1", string="Solutions"))
    for text in articles:
        for each in text.find_all("details"):
            title = each.summary.get_text()
            each["id"] = place("solutions", title)
            where = soup.new_tag("p", attrs={"class": "solution-at"})
            line = f'<a href="#{each["id"]}">{title}: page {number(each["id"])}</a>'
            where.append(BeautifulSoup(line, "html.parser"))
            each.replace_with(where)
            each.name, each.summary.name = "section", "h2"
            section.append(each)
    return section


def number(name: str) -> str:
    """A gap for the number of the page where a place is."""
    return f'<span class="page-number" data-page-of="{name}">000</span>'


def contents(document) -> list[tuple[str, str, int]]:
    """Name, title and level of the chapters, and of the sections of those with numbers."""
    found = []
    for page in document.select("section.book-page"):
        found.append((page["id"], page.h1.get_text(), 0))
        if page.h1.get_text()[0].isdigit():
            for heading in page.find_all("h2"):
                found.append((heading.parent["id"], heading.get_text(), 1))
    return found


def one_document(site: Path, about: dict) -> tuple[str, list[tuple[str, str, int]]]:
    """The book in HTML, and its contents; the numbers of pages are not known yet."""
    pages = [page for _, each in parts() for page in each]
    articles = [article(site, page, pages, about["url"]) for page in pages]
    articles[0].h1.string = "Before you begin"
    a_page = (site / f"{pages[0]}.html").read_text(encoding="utf-8")
    head = BeautifulSoup(a_page, "html.parser").head
    keep = head.select('link[rel="stylesheet"], script[src*="mathjax"]')
    keep += head.find_all("script", string=re.compile("MathJax"))
    frame = '<html lang="en" data-theme="light"><head><meta charset="utf-8"></head>'
    frame += (
        '<body><main class="bd-content"><article class="bd-article"></article></main>'
    )
    document = BeautifulSoup(f"<!doctype html>{frame}</body></html>", "html.parser")
    document.head.append(document.new_tag("title", string=about["title"]))
    document.head.extend(reversed(keep))
    front = BeautifulSoup(TITLE_PAGE.format(**about), "html.parser")
    document.article.extend(list(front.contents))
    document.article.extend([*articles, solutions(articles, document)])
    listed = contents(document)
    captions = {place(each[0]): caption for caption, each in parts()}
    lines, heads = ["<div>"], []
    for i, (name, title, level) in enumerate(listed):
        if level == 0:
            lines.append("</div><div>")
        if captions.get(name):
            lines.append(f"<p class='part'>{captions[name]}</p>")
        line = f'<a href="#{name}"><span>{title}</span>{number(name)}</a>'
        lines.append(f'<p class="level-{level}">{line}</p>')
        if level == 0:
            head = json.dumps(title, ensure_ascii=False)
            heads.append(f"@page head-{i} {{ @top-right {{ content: {head} }} }}")
            heads.append(f"[id='{name}'] {{ page: head-{i} }}")
    document.nav.append(BeautifulSoup("".join(lines) + "</div>", "html.parser"))
    document.head.append(document.new_tag("style", string="\n".join(heads)))
    return str(document), listed


def about() -> dict:
    """What the title page says, from `CITATION.cff`."""
    cite = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    title, _, subtitle = cite["title"].partition(": ")
    authors = ", ".join(each["name"] for each in cite["authors"])
    return {
        "title": title, "subtitle": subtitle, "authors": authors, "url": cite["url"],
        "version": cite["version"], "year": cite["date-released"].year,
    }  # fmt: skip


def numbers(pdf: pikepdf.Pdf) -> dict[str, int]:
    """The page of each place that something in the document links to."""
    pages = {page.objgen: i for i, page in enumerate(pdf.pages, 1)}
    return {name[1:]: pages[to[0].objgen] for name, to in pdf.Root.Dests.items()}


def print_book(site: Path) -> Path:
    """Print the built site to one PDF in its folder. Needs a browser on the system."""
    from playwright.sync_api import sync_playwright

    facts = about()
    text, listed = one_document(site, facts)
    source, target = site / "one-document.html", site / NAME
    source.write_text(text, encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page()
        page.set_default_timeout(300_000)  # ms; a busy machine takes its time
        page.goto(source.as_uri())
        page.evaluate(READY)
        options = {"path": target, "prefer_css_page_size": True, "tagged": True}
        page.pdf(**options)  # once to see on which pages things are, once to say so
        with pikepdf.open(target) as pdf:
            page.evaluate(FILL_IN, numbers(pdf))
        page.pdf(**options)
        chromium.close()
    source.unlink()
    finish(target, listed, facts)
    return target


def with_palettes(pdf: pikepdf.Pdf) -> None:
    """Give each image a palette of 256 colours: half of the size, and on paper the same."""
    for image in pdf.objects:
        if not isinstance(image, pikepdf.Stream) or image.get("/Subtype") != "/Image":
            continue
        if "/SMask" in image or image.get("/ImageMask"):
            continue
        picture = pikepdf.PdfImage(image).as_pil_image().convert("RGB").quantize(256)
        palette = bytes(picture.getpalette())
        kind = pikepdf.Name.Indexed, pikepdf.Name.DeviceRGB, len(palette) // 3 - 1
        image.write(picture.tobytes())
        image.ColorSpace = pikepdf.Array([*kind, pikepdf.String(palette)])


def finish(target: Path, listed: list[tuple[str, str, int]], facts: dict) -> None:
    """Give the PDF its bookmarks and its title, and pack it well."""
    with pikepdf.open(target, allow_overwriting_input=True) as pdf:
        with pdf.open_outline() as outline:
            for name, title, level in listed:
                siblings = outline.root[-1].children if level else outline.root
                item = pikepdf.OutlineItem(title, pdf.Root.Dests[f"/{name}"])
                item.is_closed = level == 0
                siblings.append(item)
        with pdf.open_metadata() as metadata:
            metadata["dc:title"] = f"{facts['title']}: {facts['subtitle']}"
            metadata["dc:creator"] = [facts["authors"]]
        pdf.Root.PageMode = pikepdf.Name.UseOutlines
        with_palettes(pdf)
        pikepdf.settings.set_flate_compression_level(9)
        pdf.save(
            target,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            recompress_flate=True,
        )


if __name__ == "__main__":
    print(print_book(Path(sys.argv[1]).resolve()))
