"""What the library must not do: evaluate text, read pickles, start programs, use the network."""

import ast
import importlib
import pkgutil
import socket

import pytest

import hmmlib
from chapters import ROOT

SOURCES = sorted((ROOT / "hmmlib").rglob("*.py"))
FORBIDDEN = {"eval", "exec", "compile", "__import__", "system", "popen", "urlopen",
             "urlretrieve", "read_pickle", "loads", "load", "Popen"}  # fmt: skip
MODULES = {"pickle", "marshal", "shelve", "subprocess", "requests", "urllib", "socket",
           "http", "ctypes", "dill", "joblib"}  # fmt: skip
ALLOWED = {  # with its reason
    "json.loads": "makes numbers, strings, lists and dicts, nothing else",
    "re.compile": "a pattern of text, no code",
    "load": "`hmmlib.storage.load`, which reads JSON",
    "show.py exec": "runs the library's own source, to see that a block is complete",
    "show.py compile": "the same",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_evaluated_unpickled_or_fetched(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            allowed = {name, f"{path.name} {name}"} & ALLOWED.keys()
            assert allowed or name.rpartition(".")[2] not in FORBIDDEN, (
                f"{path.name}:{node.lineno} calls {name}"
            )
        names = [
            alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")
        ]
        names += [getattr(node, "module", None) or ""]
        assert not {name.split(".")[0] for name in names} & MODULES, (
            f"{path.name}:{getattr(node, 'lineno', 0)} imports {names}"
        )


def test_no_module_and_no_loader_asks_the_network(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a socket")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    from hmmlib.datasets import household, series

    for module in pkgutil.walk_packages(hmmlib.__path__, "hmmlib."):
        importlib.reload(
            importlib.import_module(module.name)
        ) if module.name.startswith("hmmlib.datasets.") else importlib.import_module(
            module.name
        )
    loaders = (household.load_household, series.nile, series.seattle_rain)
    for load in (*loaders, series.federal_funds, series.factorial_cost, series.peers):
        assert len(load()) > 10
