"""The page that writes one model in six ways: the names exist, and the sixth runs too."""

import ast
import importlib.util
import re
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from chapters import APPENDIX, cells
from hmmlib import hmm, inference, learning
from hmmlib.datasets import weather

(PAGE,) = [path for path in APPENDIX if path.stem == "rosetta"]
PROSE = "\n".join(cell["source"] for cell in cells(PAGE, "markdown"))
TABLES = next(c["source"] for c in cells(PAGE, "code") if "pi = [" in c["source"])
needs_dynamax = pytest.mark.skipif(
    not importlib.util.find_spec("dynamax"),
    reason="dynamax (with JAX, 600 MB) is not installed; to run it: "
    ".venv/bin/pip install -r benchmarks/requirements.txt"
    " && .venv/bin/python -m pytest tests/test_rosetta.py",
)


def names(library):
    """What the table of names has in the column of a library, in backticks."""
    section = PROSE.split("## A table of names")[1].split("##")[0]
    tables = re.findall(r"(?:^\|.*\|$\n)+", section, re.M)
    (table,) = [each for each in tables if library in each.splitlines()[0]]
    head, _, *rows = [row.split("|") for row in table.splitlines()]
    (column,) = [n for n, title in enumerate(head) if library in title]
    return re.findall(r"`(\w+)`", " ".join(row[column] for row in rows))


def run(code):
    """What code prints, in a Python of its own."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_page_has_the_model_of_the_book():
    said = run(f"{TABLES}\nprint(pi, A, B, x, sep='\\n')").splitlines()
    model = weather.hmm
    for lists, value in zip(
        said,
        (
            model.initial_probs,
            model.transition_matrix,
            model.emission.probs,
            weather.fortnight.observations,
        ),
        strict=True,
    ):
        found = torch.tensor(ast.literal_eval(lists), dtype=value.dtype)
        assert_close(found, value, rtol=1e-12, atol=0.0)


SNIPPETS = [c["source"] for c in cells(PAGE, "code") if "\nkeep(" in c["source"]]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda s: s.split('keep("')[1][:12])
def test_a_snippet_needs_only_the_tables(snippet):
    """Copied without its last line, as the page says."""
    if "hmmlearn" in snippet:
        pytest.importorskip("hmmlearn")
    copied = snippet[: snippet.index("\nkeep(")]
    assert run(f"{TABLES}\n{copied}\nprint(f'{{evidence:.6f}}')") == "-15.148962\n"


def test_there_are_six_ways():
    assert len(SNIPPETS) == 5  # and dynamax


def test_names_of_hmmlib():
    places = (hmm, weather.hmm, inference, learning)
    assert len(names("hmmlib")) >= 12
    for name in names("hmmlib"):
        assert any(hasattr(place, name) for place in places), name


def test_names_of_pyro():
    import pyro
    import pyro.distributions as dist

    places = (pyro, pyro.infer, pyro.infer.TraceEnum_ELBO, dist)
    words = set(names("enumeration")) - {"obs"}  # an argument of pyro.sample
    assert len(words) >= 5
    for name in words:
        assert any(hasattr(place, name) for place in places), name
    discrete_hmm = dist.DiscreteHMM(
        torch.zeros(2), torch.zeros(2, 2), dist.Categorical(torch.ones(2, 3))
    )
    places = (dist, discrete_hmm, pyro.infer)
    assert len(names("DiscreteHMM")) >= 6
    for name in names("DiscreteHMM"):
        assert any(hasattr(place, name) for place in places), name


def test_names_of_hmmlearn():
    peer = pytest.importorskip("hmmlearn.hmm")  # has no wheel for the newest Python
    assert len(names("hmmlearn")) >= 8
    for name in names("hmmlearn"):
        documented = f"    {name} : " in peer.CategoricalHMM.__doc__
        assert hasattr(peer, name) or hasattr(peer.CategoricalHMM, name) or documented


@needs_dynamax
def test_names_of_dynamax():
    found = run(f"""
import inspect
import dynamax.hidden_markov_model as peer
known = {{*dir(peer), *dir(peer.CategoricalHMM)}}
known |= set(inspect.signature(peer.CategoricalHMM.initialize).parameters)
print([name for name in {names("dynamax")} if name not in known])
""")
    assert len(names("dynamax")) >= 10 and found.strip() == "[]"


@needs_dynamax
def test_dynamax_says_the_same():
    """The very block of the page, after the tables of the page."""
    (block,) = re.findall(r"```python\n(import jax\n.*?)```", PROSE, re.S)
    said = run(f"{TABLES}\n{block}\nprint(evidence, filtered, smoothed, *path)")
    printed, answers = said.strip().splitlines()
    p = weather.hmm.potentials(weather.fortnight.observations)
    evidence, filtered, smoothed, *path = answers.split()
    assert printed == f"dynamax: {inference.log_likelihood(p):.6f}"
    for found, expected in (
        (evidence, inference.log_likelihood(p)),
        (filtered, inference.filter_states(p).filtered_probs[3, 0]),
        (smoothed, inference.smooth_states(p).smoothed_probs[3, 0]),
    ):
        assert abs(float(found) - expected.item()) < 1e-9
    assert [int(state) for state in path] == inference.viterbi(p).states.tolist()
