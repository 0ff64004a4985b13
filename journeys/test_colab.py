"""Colab: each notebook alone in an empty folder, where Colab's packages are and hmmlib is not."""

import shutil

import nbformat
import pytest
from repository import present
from steps import NOTEBOOKS, each_notebook, layer, packages, run_notebook, site_packages


@pytest.fixture(scope="session")
def fetched(once, repository, colab):
    """Colab, once a notebook has fetched the library; the cell is the same in all of them."""

    def fetch(folder):
        python = layer(folder / "python", colab)
        fake = site_packages(python) / "google/colab"
        fake.mkdir(parents=True)
        (fake / "__init__.py").touch()
        book = nbformat.read(repository / NOTEBOOKS[0], as_version=4)
        book.cells = [cell for cell in book.cells if cell.cell_type == "code"][:1]
        nbformat.write(book, folder / "setup.ipynb")
        # whoever fetches the book's address gets the files of today
        redirected = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf",
            "GIT_CONFIG_VALUE_0": present(),
        }
        setup = folder / "setup.ipynb"
        assert run_notebook(python, setup, COLAB_RELEASE_TAG="none", **redirected) == ""
        assert "hmmlib" in packages(python)

    return once("fetched", fetch) / "python/bin/python"


@each_notebook
def test_a_notebook_runs_where_hmmlib_is_missing(
    notebook, repository, colab, fetched, tmp_path
):
    python = layer(tmp_path / "python", fetched)
    shutil.copy(repository / notebook, tmp_path)
    assert (
        run_notebook(python, tmp_path / notebook.name, COLAB_RELEASE_TAG="none") == ""
    )
    installed = packages(fetched) | packages(python)
    replaced = installed.keys() & packages(colab).keys()
    assert not replaced, f"replaced what Colab ships: {', '.join(sorted(replaced))}"
    print("installed", *installed)
