"""Colab: each notebook alone in an empty folder, where Colab's packages are and hmmlib is not."""

import shutil

from repository import present
from steps import each_notebook, layer, packages, run_notebook, site_packages


@each_notebook
def test_a_notebook_runs_where_hmmlib_is_missing(notebook, repository, colab, tmp_path):
    python = layer(tmp_path / "python", colab)
    fake = site_packages(python) / "google/colab"
    fake.mkdir(parents=True)
    (fake / "__init__.py").touch()
    shutil.copy(repository / notebook, tmp_path)
    # whoever fetches the book's address gets the files of today
    redirected = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": present(),
    }
    here = tmp_path / notebook.name
    assert run_notebook(python, here, COLAB_RELEASE_TAG="none", **redirected) == ""

    installed = packages(python)
    assert "hmmlib" in installed
    replaced = installed.keys() & packages(colab).keys()
    assert not replaced, f"replaced what Colab ships: {', '.join(sorted(replaced))}"
    print("installed", *installed)
