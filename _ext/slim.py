"""A light site: one stylesheet and one script for all pages, and of the theme's two
thousand icons the few that are used. Each page is rewritten once, after the build.
"""

import base64
import hashlib
import io
import os
import re
from pathlib import Path

from bs4 import BeautifulSoup
from fontTools.subset import Options, Subsetter, load_font
from PIL import Image

NEEDED_FOR = {  # scripts and sheets, and the markup without which a page needs them not
    "fontawesome": None,  # a font and the stylesheet show the same icons
    "thebe": None,
    "kernelname": None,
    "documentation_options.pagename": None,
    "documentation_options.search_as_you_type": None,
    "toggle": ".toggle, .admonition.dropdown",
    "sphinx-design": "[class*=sd-]",
    "design-tabs": ".sd-tab-set",
    "mathjax": ".math",
    "searchtools": "#search-results",
    "language_data": "#search-results",
    "searchindex": "#search-results",
}


def setup(app):
    app.connect("build-finished", slim, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def slim(app, exception):
    if exception or app.builder.format != "html":
        return
    static, pages = Path(app.outdir) / "_static", {}
    for path in Path(app.outdir).rglob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        if page.find("main") and not page.find("link", href=re.compile("site.css")):
            pages[path] = page
    for path, page in pages.items():
        drop_unneeded(page)
        place_pictures(path, page)
        mend(page)
    icons = set(re.findall(r"fa-[\w-]+", "".join(map(str, pages.values()))))
    sheets = merge(pages, "link[rel=stylesheet]", "href", static / "site.css")
    css = "".join(stylesheet(file, static) for file in sheets)
    (static / "site.css").write_text(
        with_few_icons(css, icons, static), encoding="utf-8"
    )
    scripts = merge(pages, "script[src]", "src", static / "site.js")
    (static / "site.js").write_text(";\n".join(map(script, scripts)), encoding="utf-8")
    for path, page in pages.items():
        for tag in page.select("head script[src]"):
            tag["defer"] = ""
        path.write_text(str(page), encoding="utf-8")


def drop_unneeded(page):
    """Remove the scripts and sheets that nothing on the page needs."""
    for tag in page.select("script, link[rel=stylesheet]"):
        address = tag.get("src") or tag.get("href") or tag.get("type")
        says = (address or tag.get_text().strip()[:40]).lower()
        for part, markup in NEEDED_FOR.items():
            if part in says and not (markup and page.select_one(markup)):
                tag.decompose()
                break
    for tag in page.select(
        "link[rel=preload]"
    ):  # one script, early in the head: no need
        tag.decompose()


def place_pictures(path, page):
    """A picture keeps its place before it comes, and comes when it is near."""
    for tag in page.select("article img:not([width])"):
        with Image.open(path.parent / tag["src"]) as picture:
            tag["width"], tag["height"] = picture.size
        tag["loading"] = "lazy"


def mend(page):
    """What the theme and its extensions say to a screen reader, made right."""
    for icon in page.select("[class*=fa-]"):
        icon["aria-hidden"] = "true"
    for tag in page.select(".citation-list, .citation"):  # a list of what are no items
        del tag["role"]


def merge(pages, selector, attribute, target):
    """Put `target` in the place of the files that all pages load, and return those."""

    def local(path, tag):
        return (path.parent / tag[attribute].partition("?")[0]).resolve()

    loaded = [
        [local(path, tag) for tag in page.select(selector)]
        for path, page in pages.items()
    ]
    shared = [file for file in loaded[0] if all(file in files for files in loaded)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in shared)).hexdigest()
    for path, page in pages.items():
        first, *rest = (t for t in page.select(selector) if local(path, t) in shared)
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
    font = load_font(file, Options())
    subsetter = Subsetter()
    subsetter.populate(unicodes=signs)
    subsetter.subset(font)
    font.flavor, packed = "woff", io.BytesIO()
    font.save(packed)
    data = base64.b64encode(packed.getvalue()).decode()
    return f'url(data:font/woff;base64,{data}) format("woff")'
