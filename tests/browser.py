"""A browser for the tests, and a server that sends the site as a web server would."""

import gzip
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import printed
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TEXTS = {".html", ".css", ".js", ".svg", ".json"}
DESKTOP, PHONE = (1280, 900), (390, 844)


def executable() -> str:
    """The path of the system's browser. Without one, the tests that need it are skipped;
    with REQUIRE_BROWSER=1 they fail.
    """
    found = printed.browser()
    if found is None:
        needed = "no browser found: install one, e.g. `apt-get install chromium`"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(needed, pytrace=False)
        pytest.skip(needed)
    return found


@cache
def packed(path: Path) -> bytes:
    return gzip.compress(path.read_bytes())


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; text is compressed."""

    extensions_map: ClassVar = SimpleHTTPRequestHandler.extensions_map | {
        ".woff": "font/woff"
    }

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.suffix not in TEXTS or not path.is_file():
            return super().do_GET()
        body = packed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        with suppress(ConnectionError):  # a tab was closed before all had come
            super().handle()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """The folder's address is `.url` while the `with` block lasts."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.shutdown()
        super().__exit__(*args)


@dataclass
class Tab:
    """A page in a browser, what it asked for, and what went wrong in it."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda r: self.errors.append(f"failed: {r.url}"))
        self.page.on("request", lambda request: self.requests.append(request))

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, address: str) -> Page:
        """The page when its mathematics is set and its pictures, lazy ones too, are there."""
        self.page.goto(address, wait_until="load")
        self.page.evaluate(
            """async () => {
                await window.MathJax?.startup?.promise;
                for (const image of document.images) image.loading = "eager";
                await Promise.allSettled([...document.images].map(image => image.decode()));
                await document.fonts.ready;
            }"""
        )
        return self.page

    def weight(self) -> int:
        """Bytes that came over the wire for all requests, headers included."""
        sizes = [request.sizes() for request in self.requests]
        return sum(s["responseBodySize"] + s["responseHeadersSize"] for s in sizes)


def new_context(browser: Browser, size=DESKTOP, scheme="light") -> BrowserContext:
    """A reader who comes for the first time: an empty cache, nothing stored."""
    width, height = size
    return browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",  # no test waits for a transition
    )
