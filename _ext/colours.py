"""One colour, one quantity: messages in code have the colour that they have in equations and
figures. And what each explorer carries in its notebook, script and picture, becomes files.
"""

import base64
import re
from pathlib import Path

from hmmlib.book.explore import script
from hmmlib.palette import SYMBOLS

NAMES = "|".join(SYMBOLS)
# A name in code, unless it is the name of an argument, and a word in a comment.
NAME = re.compile(rf'<span class="n">((?:log_)?({NAMES}))</span>(?!<span class="o">=<)')
COMMENT = re.compile(r'<span class="c1">.*?</span>')
WORD = re.compile(rf"\b({NAMES})\b")
PICTURE = re.compile(
    r'(id="(hmm-\w+)"[^>]*>)<img (alt="[^"]*") src="data:image/png;base64,([^"]*)">'
)
SCRIPT = re.compile(r"<script data-hmm-explore>.*?</script>", re.S)


def setup(app):
    app.connect("html-page-context", colour_messages)
    app.connect("html-page-context", load_once)
    app.connect("build-finished", ship)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def colour_messages(app, pagename, templatename, context, doctree):
    """Give alpha, beta, gamma and delta in code the class of their quantity."""

    def name(match):
        return f'<span class="n hmm-{SYMBOLS[match[2]]}">{match[1]}</span>'

    def word(match):
        return f'<span class="hmm-{SYMBOLS[match[1]]}">{match[1]}</span>'

    body = NAME.sub(name, context.get("body", ""))
    context["body"] = COMMENT.sub(lambda comment: WORD.sub(word, comment[0]), body)


def load_once(app, pagename, templatename, context, doctree):
    """Link the script of the first explorer, deferred, drop the others, and write out pictures,
    which are fetched where scripts do not run.
    """
    if "data-hmm-explore" not in context.get("body", ""):
        return
    pathto, folder = context["pathto"], Path(app.outdir) / "_static/explorers"
    folder.mkdir(parents=True, exist_ok=True)

    def picture(match):
        (folder / f"{match[2]}.png").write_bytes(base64.b64decode(match[4]))
        address = pathto(f"_static/explorers/{match[2]}.png", 1)
        return f'{match[1]}<img {match[3]} loading="lazy" src="{address}">'

    address = pathto("_static/explore.js", 1)
    link = f'<script defer="defer" src="{address}"></script>'
    body = SCRIPT.sub("", SCRIPT.sub(link, context["body"], count=1))
    context["body"] = PICTURE.sub(picture, body)


def ship(app, exception):
    """Copy the script to the site."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "_static/explore.js").write_text(script(), encoding="utf-8")
