"""How the book is found: in a search engine, a message, a bibliography, and at a wrong address."""

import re
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import printed

from hmmlib.palette import STATE_COLORS

MISSING = """<section id="nothing-is-here"><h1>Nothing is here</h1>
<p>The address is wrong, or the page has moved. Most pages are in the list of
<a href="intro.html#the-map">chapters</a>; the <a href="search.html">search</a> knows the
rest.</p></section>"""


def setup(app):
    for extension in ("sphinx_sitemap", "sphinxext.opengraph"):
        app.setup_extension(extension)
    app.connect("config-inited", configure, priority=900)
    app.connect("html-collect-pages", missing_page)
    app.connect("html-page-context", citation_tags)
    app.connect("build-finished", at_any_address, priority=960)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def configure(app, config):
    """Addresses follow from that of the site."""
    config.ogp_site_url = config.html_baseurl
    config.ogp_site_name = config.html_title
    config.ogp_social_cards = {
        "image_mini": "_static/logo.png",  # favicon.svg at 256 pixels
        "line_color": STATE_COLORS[0],
    }
    config.sitemap_url_scheme = "{link}"
    config.sitemap_excludes = ["404.html", "search.html", "index.html"]


def missing_page(app):
    yield "404", {"title": "Nothing is here", "body": MISSING}, "page.html"


def citation_tags(app, pagename, templatename, context, doctree):
    """Tell Zotero and Google Scholar what they ask for, in the tags that they read."""
    if doctree is None:
        return
    facts, home = printed.about(), app.config.html_baseurl
    book = f"{facts['title']}: {facts['subtitle']}"
    is_root = pagename == app.config.root_doc
    title = book if is_root else re.sub(r"<[^>]*>", "", context["title"])
    tags = {
        "citation_title": title,
        "citation_author": facts["authors"],
        "citation_publication_date": facts["year"],
        "citation_public_url": f"{home}{pagename}.html",
    }
    if is_root:
        tags["citation_pdf_url"] = f"{home}{printed.NAME}"
    else:
        tags["citation_inbook_title"] = book
    context["metatags"] = context.get("metatags", "") + "".join(
        f'<meta name="{name}" content="{escape(str(text))}">\n'
        for name, text in tags.items()
    )


def at_any_address(app, exception):
    """A page that is sent for any wrong address finds its files and links from the root."""
    if exception or app.builder.format != "html":
        return
    path, base = Path(app.outdir) / "404.html", urlsplit(app.config.html_baseurl).path
    text = path.read_text(encoding="utf-8")
    text = text.replace("<head>", f'<head><base href="{base}"/>', 1)
    path.write_text(text.replace('href="#', 'href="404.html#'), encoding="utf-8")
