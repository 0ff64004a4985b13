"""What several test files share: the built site, and a browser to look at it."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECONDS_TO_BUILD = 1800
# Fixtures import what only the book needs themselves: the tests of the library run without.


@pytest.fixture(scope="session", autouse=True)
def building(request, tmp_path_factory, worker_id):
    """The folder where the book is built, fresh; it is begun as soon as a test will need it.

    The first worker does so beside its tests. SITE=_build/html takes what `make book` has built.
    """
    base = tmp_path_factory.getbasetemp()
    out = (base if worker_id == "master" else base.parent) / "site"
    wanted = any("site" in item.fixturenames for item in request.session.items)
    if wanted and worker_id in ("master", "gw0") and "SITE" not in os.environ:
        threading.Thread(target=build, args=[out]).start()
    return out


@pytest.fixture(scope="session")
def site(building):
    """The book, built with warnings as errors."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"]).resolve()
    end = time.monotonic() + SECONDS_TO_BUILD
    while not (building / "log").exists():
        assert time.monotonic() < end, "the book was not built in time"
        time.sleep(1)
    html = building / "_build/html"
    assert (html / "index.html").exists(), (building / "log").read_text()[-6000:]
    return html


def build(out: Path):
    """Build the site; the log is there when it is done. With warnings, there is no site."""
    command = [Path(sys.executable).parent / "jupyter-book", "build", ROOT]
    command += ["--path-output", out, "--all", "-n", "-W", "--keep-going"]
    out.mkdir()
    unfinished = out / "log.part"
    try:
        with unfinished.open("w") as log:
            built = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, check=False
            )
        if built.returncode:
            shutil.rmtree(out / "_build", ignore_errors=True)
    finally:
        unfinished.rename(out / "log")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker runs all tests of a file, or, of the site, all tests of a page."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrPage(LoadFileScheduling):
        def _split_scope(self, nodeid):
            page = re.search(
                r"test_(?:browser|site|offline)\.py::.*\[((?:\w|/)+)", nodeid
            )
            return page[1] if page else super()._split_scope(nodeid)

    return ByFileOrPage(config, log)


@pytest.fixture(scope="session")
def served(site):
    """The site's address on this machine."""
    from browser import Server

    with Server(site) as server:
        yield server.url


@pytest.fixture(
    scope="module"
)  # its event loop would be in the way of notebooks' kernels
def browser():
    """The system's Chromium."""
    from browser import FLAGS, executable
    from playwright.sync_api import sync_playwright

    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser):
    """A function that gives a new tab in a fresh context: new_tab(size, scheme)."""
    from browser import DESKTOP, Tab, new_context

    with ExitStack() as contexts:

        def new(size=DESKTOP, scheme="light") -> Tab:
            context = contexts.enter_context(new_context(browser, size, scheme))
            return Tab(context.new_page())

        yield new


@pytest.fixture
def fresh_pyro():
    """Pyro without parameters, with a fixed seed, in double precision."""
    import pyro
    import torch

    pyro.clear_param_store()
    pyro.set_rng_seed(3)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def opened(new_tab, tmp_path):
    """A function that opens explorers on a page of their own: the tab, and the address."""
    from browser import DESKTOP
    from explorers import page_of
    from playwright.sync_api import expect

    def open_page(*explorers, dark=False, size=DESKTOP, fragment=""):
        (tmp_path / "page.html").write_text(page_of(*explorers, dark=dark))
        tab = new_tab(size)
        tab.page.goto((tmp_path / "page.html").as_uri() + fragment)
        expect(tab.page.locator(".hmm-explore:not([data-ready])")).to_have_count(0)
        return tab

    return open_page
