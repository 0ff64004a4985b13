"""A light site: one stylesheet and one script for all pages, and of the theme's two
thousand icons the few that are used. Each page is rewritten once, after the build.
"""

import base64
import hashlib
import io
import json
import logging
import os
import re
from pathlib import Path

import cards
from bs4 import BeautifulSoup
from fontTools.subset import Options, Subsetter, load_font
from PIL import Image

RECORD = Path(__file__).parents[1] / "chapters/runs_alone.json"
NEEDED_FOR = {  # scripts and sheets, and what a page says if it needs them
    "fontawesome": None,  # a font and the stylesheet show the same icons
    "thebe": None,
    "kernelname": None,
    "documentation_options.pagename": None,
    "documentation_options.search_as_you_type": None,
    "toggle": r'class="toggle\b|admonition[^"]* dropdown',
    "sphinx-design": r'class="[^"]*\bsd-',
    "design-tabs": r"\bsd-tab-set",
    "mathjax": r'class="[^"]*\bmath\b',
    "searchtools": r'id="search-results"',
    "language_data": r'id="search-results"',
    "searchindex": r'id="search-results"',
}


def setup(app):
    app.connect("env-get-outdated", every_page)
    app.connect("build-finished", slim, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def every_page(app, env, added, changed, removed):
    """What pages share depends on all of them, so all are written in each build."""
    return env.found_docs


def slim(app, exception):
    if exception or app.builder.format != "html":
        return
    static, pages, icons = Path(app.outdir) / "_static", {}, set()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if "<main" not in text or "/site.css?v=" in text:
            continue
        icons |= set(re.findall(r"fa-[\w-]+", text))
        pages[path] = BeautifulSoup(text, "html.parser")
        drop_unneeded(pages[path], text)
        place_pictures(pages[path], path)
        mend(pages[path])
        cards.fold(pages[path])
        mark_what_runs(pages[path], record)
    sheets = merge(pages, "link", "href", static / "site.css")
    css = "".join(stylesheet(file, static) for file in sheets)
    css = with_few_icons(css, icons, static)
    (static / "site.css").write_text(css, encoding="utf-8")
    scripts = merge(pages, "script", "src", static / "site.js")
    (static / "site.js").write_text(";\n".join(map(script, scripts)), encoding="utf-8")
    for path, page in pages.items():
        for tag in page.head.find_all("script", src=True):
            tag["defer"] = ""
        path.write_text(str(page), encoding="utf-8")


def drop_unneeded(page, text):
    """Remove the scripts and sheets that nothing on the page needs."""
    for tag in page.find_all(["script", "link"]):
        if tag.get("rel") == ["preload"]:  # the one script is early in the head already
            tag.decompose()
            continue
        address = tag.get("src") or tag.get("href") or tag.get("type")
        says = (address or tag.get_text().strip()[:40]).lower()
        for part, sign in NEEDED_FOR.items():
            if part in says and not (sign and re.search(sign, text)):
                tag.decompose()
                break


def place_pictures(page, path):
    """A picture keeps its place before it comes, and comes when it is near."""
    for tag in (page.article or page).find_all(
        "img", width=False, src=re.compile("png$")
    ):
        with Image.open(path.parent / tag["src"]) as picture:
            tag["width"], tag["height"] = picture.size
        tag["loading"] = "lazy"


def mend(page):
    """What the theme and its extensions say to a screen reader, made right."""
    for icon in page.find_all(class_=re.compile("^fa-")):
        icon["aria-hidden"] = "true"
    for tag in page.find_all(class_=["citation-list", "citation"]):
        del tag["role"]  # a list of what are no items


def mark_what_runs(page, record):
    """A line under each block that ran alone, by the record of that run."""
    for code in (page.article or page).find_all("pre"):
        digest = hashlib.sha256(code.get_text().encode()).hexdigest()[:16]
        if digest in record["blocks"]:
            line = page.new_tag("p", attrs={"class": "runs-alone"})
            line.string = f"Runs alone: tested with torch {record['torch']}"
            code.find_parent(class_=re.compile("^highlight-")).insert_after(line)


def merge(pages, name, attribute, target):
    """Put `target` in the place of the files that all pages load, and return those."""

    def loads(path, page):
        """The tags that load a script or a sheet, by file."""
        return {
            (path.parent / tag[attribute].partition("?")[0]).resolve(): tag
            for tag in page.find_all(name, {attribute: True})
            if name == "script" or tag["rel"] == ["stylesheet"]
        }

    loaded = {path: loads(path, page) for path, page in pages.items()}
    first, *others = loaded.values()
    shared = [file for file in first if all(file in each for each in others)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in shared)).hexdigest()
    for path, tags in loaded.items():
        first, *rest = (tags[file] for file in tags if file in shared)
        first[attribute] = f"{os.path.relpath(target, path.parent)}?v={digest[:8]}"
        for tag in rest:
            tag.decompose()
    return shared


def script(file):
    return re.sub(r"//# sourceMappingURL=.*", "", file.read_text(encoding="utf-8"))


def stylesheet(file, static):
    """The text of a sheet with what it imports, as it must read in the folder `static`."""
    css = file.read_text(encoding="utf-8")
    css = re.sub(r'@charset "[^"]*";|/\*# sourceMappingURL=.*?\*/', "", css)
    css = re.sub(
        r'@import "([^"]+)";', lambda m: stylesheet(file.parent / m[1], static), css
    )
    return re.sub(
        r"url\((?!data:)[\"']?([^)\"']+)[\"']?\)",
        lambda m: f"url({os.path.relpath(file.parent / m[1], static)})",
        css,
    )


def with_few_icons(css, icons, static):
    """The sheet without the rules of icons that no page shows, and with fonts inside that
    hold the rest.
    """
    css = re.sub(
        r'((?:\.fa-[\w-]+:before,?)+)\{content:"[^"]*"\}',
        lambda m: m[0] if icons & set(re.findall(r"fa-[\w-]+", m[1])) else "",
        css,
    )
    signs = {ord(sign) for sign in re.findall("[\ue000-\uf8ff]", css)}
    signs |= {int(code, 16) for code in re.findall(r'"\\([ef][0-9a-f]{3})"', css)}
    return re.sub(
        r"(@font-face\{[^}]*src:)[^}]*?([\w./-]*/fontawesome/[\w./-]*\.ttf)[^}]*",
        lambda m: m[1] + subset_font(static / m[2], signs),
        css,
    )


def subset_font(file, signs):
    """A font of these signs only, as the `src` of a stylesheet."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each table
    font = load_font(file, Options())
    subsetter = Subsetter()
    subsetter.populate(unicodes=signs)
    subsetter.subset(font)
    font.flavor, packed = "woff", io.BytesIO()
    font.save(packed)
    data = base64.b64encode(packed.getvalue()).decode()
    return f'url(data:font/woff;base64,{data}) format("woff")'
