"""What a page offers for taking, run as a reader runs it: in an empty folder, without hmmlib.

    python tests/runs_alone.py SITE

runs every block of the built site and writes `chapters/runs_alone.json`, from which the site
marks the blocks. `tests/test_copied.py` runs them again, and compares.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from bs4 import BeautifulSoup

from chapters import CHAPTERS, ROOT

RECORD = ROOT / "chapters/runs_alone.json"
# What is asked of each function that a block defines; `answer` must be what the library answers.
GIVEN = """
import pyro
import pyro.distributions as dist
import torch

torch.set_default_dtype(torch.float64)
pi, A = torch.tensor([0.6, 0.4]), torch.tensor([[0.7, 0.3], [0.4, 0.6]])
B = torch.tensor([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
x = torch.tensor([0, 0, 0, 1, 1, 0, 2, 1, 1, 1, 0, 1, 0, 0])
readings = torch.tensor([0.2, 1.1, 0.9])
means, scales = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.7])
chains = [pi, pi], [A, A], [means, 2 * means]
scores = B.log()[:, x].T
inputs, jumps = torch.tensor([[1.0, 0.3], [1.0, -0.2], [1.0, 0.8]]), 1 - torch.eye(2)
weights = torch.tensor([[[0.0, 1.0], [0.5, 0.2]], [[0.1, -1.0], [0.3, 0.4]]])


def rain(probs, words):
    states = []
    for t in pyro.markov(range(len(words))):
        z = pyro.sample(f"z_{t}", dist.Categorical(pi), infer={"enumerate": "parallel"})
        pyro.sample(f"x_{t}", dist.Categorical(probs[z]), obs=words[t])
        states.append(z)
    return states, words


def log_joint(story, *args, **kwargs):
    pyro.set_rng_seed(0)
    return pyro.poutine.trace(story).get_trace(*args, **kwargs).log_prob_sum()
"""
ASK = {
    "Potentials": "Potentials(pi.log(), (A.log(),), scores)._asdict()['log_likelihoods']",
    "by_step": "torch.stack(by_step(Potentials(pi.log(), (A.log(),), scores))[0])",
    "move": "move(pi.log(), [A.log()], torch.logsumexp)",
    "leading_to": "leading_to(torch.tensor([1]), [A.log()])",
    "forward": "forward(Potentials(pi.log(), (A.log(),), scores))",
    "backward": "backward(Potentials(pi.log(), (A.log(),), scores))",
    "trace_back": "trace_back(Potentials(pi.log(), (A.log(),), scores), scores, torch.argmax)",
    "weather_story": "log_joint(weather_story, pi, A, B, activities=x)",
    "signal_story": "log_joint(signal_story, pi, A, means, scales, readings=readings)",
    "factorial_story": "log_joint(factorial_story, *chains, 0.5, readings=readings)",
    "driven_story": "log_joint(driven_story, pi, weights, B, inputs, x[:3])",
    "regression_story": "log_joint(regression_story, pi, A, B[:, :2], scales, inputs, readings)",
    "autoregressive_story": """log_joint(autoregressive_story, pi, A, means, scales, scales,
        readings[0], readings=readings)""",
    "durations_story": "log_joint(durations_story, pi, jumps, means, scales, B, 3, readings)",
    "labelled": "log_joint(labelled(rain, 1 - x), B, x)",
    "smoothed_probs": "smoothed_probs(rain, B, x)['z_0']",
    "evidence": "torch.tensor(evidence(rain, B, x))",
    "best_path": "best_path(rain, B, x)",
    "posterior_paths": "(pyro.set_rng_seed(0), posterior_paths(rain, 5, B, x))[1]",
    "unknown_tables": "(pyro.set_rng_seed(0), torch.cat(unknown_tables(2, 3)[1:], 1))[1]",
    "learnable_story": "log_joint(learnable_story, x[None].double())",
    "fit_svi": "fit_svi(rain, lambda *args: None, B, x, num_steps=2)",
}
# The kernel of chapter 11 has its own `forward` and `move`, told apart by their arguments.
ASK_KERNEL = {
    "max_finite": "max_finite(-ones)",
    "to_probs": "to_probs(A.log().numpy(), square)[0], square",
    "move": "move(pi.numpy(), A.numpy().T.copy(), ones), ones",
    "may_be_lost": "may_be_lost(1e-150, 0.0, True)",
    "nothing_lost": "nothing_lost(ones, 0 * ones, 0.0, table, 0, False)",
    "exponentiate": "exponentiate(below), below",
    "densities": "densities(ones * np.array([[1.0], [2.0]]))",
    "score": "score(table, none, 0, 0, 3, said), said",
    "evaluate": "evaluate(table, none, 0, 0, 3, likelihoods, shifts), likelihoods",
    "forward": """forward(pi.log().numpy(), A.log().numpy()[None], table, x.numpy()[None],
        none, 0, 0, 14, square, np.empty((2, 2)),
        np.ascontiguousarray(B.numpy().T).T, 0 * table[:, 0], False, table)[0]""",
}
GIVEN_KERNEL = """
import numpy as np

none, ones, square = np.empty((0, 1)), np.ones(2), np.empty((2, 2))
table, below = B.log().T.contiguous().numpy(), -np.array([0.0, 0.3, 7.0, 600.0])
likelihoods, said, shifts = np.empty((2, 3)), np.empty((2, 3)), np.empty(3)
"""
ASK_TABLES = {
    "aligned": "aligned(guess, truth)[0].to_numpy()",
    "house_metrics": "house_metrics(guess, truth).to_numpy()",
    "energy_scores": "energy_scores(guess, truth).to_numpy()",
}
GIVEN_TABLES = """
import pandas as pd

truth = pd.DataFrame({"a": [1.0, 2, 3], "b": [0.0, 5, 1]})
guess = pd.DataFrame({"b": [0.0, 4, None], "a": [1.0, 1, 3]})
"""


class Block(NamedTuple):
    """Code that a page offers, and what its cell printed when the book was made."""

    page: str
    code: str
    printed: str | None  # None for a block of functions

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.code.encode()).hexdigest()[:16]


def blocks(site: Path) -> list[Block]:
    """Everything that the chapters of the built site offer, in order."""
    found = []
    for path in CHAPTERS:
        page = BeautifulSoup(
            (site / f"chapters/{path.stem}.html").read_text(encoding="utf-8"),
            "html.parser",
        )
        for cell in page.select("article .cell"):
            asked = cell.select_one(".cell_input pre").get_text()
            if re.search(r"^(show_source|take)\(", asked, flags=re.M):
                code = cell.select_one(".cell_output .highlight-python pre").get_text()
                found.append(Block(path.stem, code, None))
        section = next(
            h2.parent
            for h2 in page.select("article h2")
            if h2.get_text().startswith("By hand")
        )
        cell = section.select_one(".cell")
        printed = cell.select_one(".cell_output .stream pre")
        code = cell.select_one(".cell_input pre").get_text()
        found.append(Block(path.stem, code, printed.get_text()))
    return found


def questions(code: str) -> tuple[str, dict[str, str]]:
    """What is given to the functions of a block, and what is asked of each."""
    names = re.findall(r"^(?:def|class) ([a-z]\w*|[A-Z]\w*)", code, flags=re.M)
    given, ask = GIVEN, ASK
    if "max_finite" in names:
        given, ask = GIVEN + GIVEN_KERNEL, ASK_KERNEL
    elif "aligned" in names:
        given, ask = GIVEN + GIVEN_TABLES, ASK_TABLES
    return given, {name: ask[name] for name in names}


RUNNER = """
import contextlib, importlib.abc, io, json, os, sys

class NoLibrary(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *args):
        if name.partition(".")[0] == "hmmlib":
            raise ModuleNotFoundError("hmmlib is not here")

sys.meta_path.insert(0, NoLibrary())
import pandas, pyro, torch  # once for all blocks; each runs in a process of its own
import pyro.infer, numba

torch.set_num_threads(1)
for n, (code, given, asked) in enumerate(json.load(open("blocks.json"))):
    if os.fork() == 0:
        said, answers, error = io.StringIO(), {}, None
        try:
            with contextlib.redirect_stdout(said):
                names = {"__name__": "__main__"}
                exec(compile(code, "block", "exec"), names)
                if asked:
                    exec(given, names)
                for name, question in asked.items():
                    answers[name] = eval(question, names)
        except BaseException as problem:
            error = repr(problem)
        torch.save((error, said.getvalue(), answers), f"{n}.pt")
        os._exit(0)
    os.wait()
"""


def run(found: list[Block]) -> list[tuple[str | None, str, dict]]:
    """Of each block: the error if any, what it printed, and the answers of its functions."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [
            (b.code, *(questions(b.code) if b.printed is None else ("", {})))
            for b in found
        ]
        (Path(folder) / "blocks.json").write_text(json.dumps(asked))
        subprocess.run([sys.executable, "-I", "-c", RUNNER], cwd=folder, check=True)
        return [
            torch.load(Path(folder) / f"{n}.pt", weights_only=False)
            for n in range(len(found))
        ]


def record(found: list[Block]) -> dict:
    """What the site marks: the blocks that ran, and with which torch."""
    major = ".".join(version("torch").split(".")[:2])
    return {"torch": major, "blocks": sorted({block.digest for block in found})}


if __name__ == "__main__":
    found = blocks(Path(sys.argv[1]))
    failures = [
        (block.page, error)
        for block, (error, *_) in zip(found, run(found), strict=True)
        if error
    ]
    if failures:
        sys.exit("\n".join(f"{page}: {error}" for page, error in failures))
    RECORD.write_text(json.dumps(record(found), indent=1) + "\n")
    print(f"{len(found)} blocks run alone")
