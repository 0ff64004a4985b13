"""Break the library in small ways, one at a time, and see whether its tests notice.

    python scripts/mutate.py recursion inference --num 40 --seed 0

For each module a seeded sample of its mutants: an operator, a comparison, a constant, a
condition, a keyword or a statement is another one, or gone. Each runs in a process of its
own, forked when everything heavy is imported, against the tests of its module, which stop at
the first failure. Printed are those that survive, and how many of all were killed. Messages
of errors are left as they are.
"""

import argparse
import ast
import collections
import importlib.machinery
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
import numba
import pandas
import pyro
import pytest
import scipy.optimize
import torch

HEAVY = (
    hypothesis,
    pandas,
    pyro,
    scipy.optimize,
    torch,
)  # imported before processes fork
ROOT = Path(__file__).parents[1]
TESTS = {  # of each module, the quickest to notice first
    "recursion": ["recursion", "inference"],
    "inference": ["inference", "scores", "kernels", "learning", "hostile"],
    "kernels": ["kernels", "inference", "learning", "hmm", "scores", "factorial"],
    "hmm": ["hmm", "weather", "scores", "learning", "hostile"],
    "learning": ["learning", "hostile"],
    "factorial": ["factorial", "kernels", "hostile"],
}
# It starts processes, which would import the library as it is.
ELSEWHERE = "not share_a_cache"
MEMORY = 12 * 2**30

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
PAIRS = "min max, amin amax, any all, zeros ones, argmin argmax, zeros_like ones_like"
NAMES = {}
for pair in PAIRS.split(", "):
    one, other = pair.split()
    NAMES |= {one: other, other: one}
AXES = {"movedim", "transpose", "permute", "flatten", "select"}


class Mutant(collections.namedtuple("Mutant", "line old new source")):
    """One change: where, what it was, what it is, and all of the source with it."""


def mutants(source: str) -> list[Mutant]:
    """All small changes of a module, in the order of its lines."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, new in changes(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        stop = starts[node.end_lineno - 1] + node.end_col_offset
        text = source.encode()
        old = text[start:stop].decode()
        if isinstance(node, ast.expr):
            new = f"({new})"
        changed = (text[:start] + new.encode() + text[stop:]).decode()
        found.append(Mutant(node.lineno, old, new, changed))
    return found


def changes(node: ast.AST):
    """Pairs of a node and the text to put in its place."""
    if isinstance(node, ast.Raise):
        yield node, "pass"
        return
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    yield from of_node(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from changes(child)


def of_node(node: ast.AST):
    """The changes of one node, its children left alone."""

    def but(**fields) -> str:
        """The text of the node with other fields."""
        mine = {name: getattr(node, name, None) for name in node._fields}
        return ast.unparse(ast.copy_location(type(node)(**mine | fields), node))

    operator = getattr(node, "op", None)
    if swapped := SWAPS.get(type(operator)):
        yield node, but(op=swapped())
    if isinstance(node, ast.Compare):
        for i, each in enumerate(node.ops):
            swapped = [*node.ops[:i], SWAPS[type(each)](), *node.ops[i + 1 :]]
            yield node, but(ops=swapped)
    if isinstance(node, ast.UnaryOp):
        yield node, ast.unparse(node.operand)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield node.test, f"not ({ast.unparse(node.test)})"
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield node, str(not node.value)
        elif isinstance(node.value, int):
            yield node, str(node.value + 1)
            yield node, str(node.value - 1)
        elif isinstance(node.value, float):
            yield node, repr(node.value + 1)
            if node.value:
                yield node, repr(node.value * 10)
    if isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in NAMES and isinstance(node.ctx, ast.Load):
            field = "id" if isinstance(node, ast.Name) else "attr"
            yield node, but(**{field: NAMES[name]})
        if name in ("mT", "T") and isinstance(node, ast.Attribute):
            yield node, ast.unparse(node.value)
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            if node.keywords[i].arg == "strict":  # checks that nothing is wrong
                continue
            yield node, but(keywords=node.keywords[:i] + node.keywords[i + 1 :])
        if getattr(node.func, "attr", None) in AXES and len(node.args) == 2:
            yield node, but(args=node.args[::-1])
    gone = isinstance(node, ast.AugAssign | ast.Continue | ast.Break)
    if isinstance(node, ast.Expr):
        gone = isinstance(node.value, ast.Call)
    if isinstance(node, ast.Assign):  # of what has a value already
        gone = not isinstance(node.targets[0], ast.Name | ast.Tuple)
    if gone:
        yield node, "pass"


class Finder:
    """Imports one module from its mutated source."""

    def __init__(self, name: str, path: Path, source: str):
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        loader = importlib.machinery.SourceFileLoader(name, str(self.path))
        loader.get_code = lambda _: compile(self.source, str(self.path), "exec")
        return importlib.machinery.ModuleSpec(name, loader, origin=str(self.path))


def run(module: str, source: str | None, limit: float) -> str:
    """What the tests of a module say of it: "killed", "too long" or "survived"."""
    folder = tempfile.mkdtemp()
    child = os.fork()
    if child == 0:
        os.setsid()
        out = os.open(f"{folder}/out", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1), os.dup2(out, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        code = 1
        try:
            if source is not None:
                path = ROOT / "hmmlib" / f"{module}.py"
                sys.meta_path.insert(0, Finder(f"hmmlib.{module}", path, source))
                if module == "kernels":  # what is compiled depends on it
                    numba.config.CACHE_DIR = folder
            files = [ROOT / f"tests/test_{name}.py" for name in TESTS[module]]
            files = [str(each) for each in files if each.exists()]
            options = ["-x", "-q", "--tb=line", "-k", ELSEWHERE]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
            code = pytest.main([*files, *options, f"--rootdir={ROOT}"])
        finally:
            os._exit(int(code))
    deadline, status = time.monotonic() + limit, None
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        status = None
    said = Path(folder, "out").read_text(errors="replace") if source is None else ""
    shutil.rmtree(folder)
    if source is None and status != 0:
        raise SystemExit(f"{module}: its tests fail as it is\n{said}")
    return "too long" if status is None else "survived" if status == 0 else "killed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--num", type=int, default=40, help="mutants of each module")
    parser.add_argument("--skip", type=int, default=0, help="of the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lines", type=int, nargs="*", help="of the sample, only these"
    )
    parser.add_argument("--limit", type=float, default=240, help="seconds a mutant")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    for module in options.modules:
        source = (ROOT / "hmmlib" / f"{module}.py").read_text(encoding="utf-8")
        every = mutants(source)
        sample = random.Random(options.seed).sample(every, len(every))
        sample = sample[options.skip : options.skip + options.num]
        if options.lines:
            sample = [each for each in sample if each.line in options.lines]
        start = time.monotonic()
        run(module, None, 10 * options.limit)
        alone = time.monotonic() - start
        print(
            f"{module}: {len(every)} mutants, its tests take {alone:.0f} s", flush=True
        )
        counts = collections.Counter()
        for number, mutant in enumerate(sample, 1):
            verdict = run(module, mutant.source, options.limit)
            counts[verdict] += 1
            if verdict != "killed":
                old, new = " ".join(mutant.old.split()), " ".join(mutant.new.split())
                print(
                    f"  {number} {verdict}: line {mutant.line}\n    - {old}\n    + {new}"
                )
            sys.stdout.flush()
        killed = counts["killed"] + counts["too long"]
        print(f"{module}: killed {killed} of {len(sample)}, {killed / len(sample):.0%}")


if __name__ == "__main__":
    main()
