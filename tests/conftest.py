"""What several test files share: the built site, and a browser to look at it."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Fixtures import what only the book needs themselves: the tests of the library run without.


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id):
    """The book, built fresh, warnings as errors; once, whoever of the workers comes first."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    out = (base if worker_id == "master" else base.parent) / "site"
    with FileLock(f"{out}.lock"):
        if not out.exists():
            build(out)
    html = out / "_build/html"
    assert (html / "index.html").exists(), "another worker could not build the site"
    return html


def build(out: Path):
    command = [Path(sys.executable).parent / "jupyter-book", "build", ROOT]
    built = subprocess.run(
        [*command, "--path-output", out, "--all", "-n", "-W", "--keep-going"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]


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

    def open_page(*explorers, dark=False, size=DESKTOP, fragment=""):
        (tmp_path / "page.html").write_text(page_of(*explorers, dark=dark))
        tab = new_tab(size)
        tab.page.goto((tmp_path / "page.html").as_uri() + fragment)
        return tab

    return open_page
