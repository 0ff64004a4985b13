"""A file in any other state than the one `save` left it in is the same model, or refused.

With a checksum that fits, too: whoever can write a file can write its checksum.
"""

import copy
import json
import math
import re
import tracemalloc

import pandas as pd
import pytest
import random_models  # noqa: F401  (the profiles of hypothesis)
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
)

from hmmlib import storage
from hmmlib.durations import HSMM
from hmmlib.emissions import LinearEmission, Product, SphericalNormal
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.nilm import House
from hmmlib.nilm.network import NetworkHouse
from hmmlib.nilm.state_network import StateNetwork
from hmmlib.transitions import SoftmaxTransitions

HALF, STAY = [0.5, 0.5], [[0.75, 0.25], [0.125, 0.875]]
LEVELS = torch.tensor([0.0, 60.5]).double()
FAN = HMM(HALF, STAY, Normal(LEVELS, torch.ones(2).double()))
PAIR = Categorical(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StateNetwork((2,), channels=2, layers=1)


MODELS = {
    "symbols": HMM(HALF, STAY, [[0.5, 0.5], [0.25, 0.75]], symbols=["a", "b"]),
    "levels": FAN,
    "vectors": HMM(HALF, STAY, MultivariateNormal(torch.eye(2), torch.eye(2).expand(2, 2, 2))),
    "spheres": HMM(HALF, STAY, SphericalNormal(torch.eye(2), torch.ones(2))),
    "pairs": HMM(HALF, STAY, Product([Normal(LEVELS, 1.0), Poisson(torch.ones(2))])),
    "diagonal": HMM(HALF, STAY, Independent(Normal(torch.eye(2), torch.ones(2, 2)), 1)),
    "mixture": HMM(HALF, STAY, MixtureSameFamily(PAIR, Normal(torch.eye(2), torch.ones(2, 2)))),
    "driven": HMM(
        HALF, SoftmaxTransitions(torch.zeros(2, 2, 1)), LinearEmission([[1.0], [2.0]], 1.0)),
    "chains": FactorialHMM((HALF, HALF), (STAY, STAY), additive_gaussian([LEVELS, LEVELS], 2.0)),
    "joint": FactorialHMM((HALF, HALF), (STAY, STAY), Normal(torch.eye(2), torch.ones(2, 2))),
    "stays": HSMM(HALF, [[0.0, 1.0], [1.0, 0.0]], PAIR, [[0.5, 0.5], [0.25, 0.75]]),
    "house": House({"fan": FAN, "family": FAN}, pd.Timedelta("1min")),
    "network": NetworkHouse(
        {"fan": FAN, "rest": FAN}, pd.Timedelta("1min"), network(),
        (torch.tensor(HALF).log(),), {"fan": 0.05}, 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzed")


def whole(model, folder) -> dict:
    model.save(folder / "whole.json")
    return json.loads((folder / "whole.json").read_text())


def told(model, folder) -> str:
    """Everything about a model, as its file says it."""
    model.save(folder / "again.json")
    return (folder / "again.json").read_text()


def signed(text: str) -> str:
    """The text with the checksum that it needs."""
    try:
        checksum = storage._checksum(storage._parsed(text, as_text=True))
    except (ValueError, RecursionError, AttributeError):
        return text
    return re.sub(r'("sha256": )"\w*"', rf'\1"{checksum}"', text)


def loaded(model, text: str | bytes, folder):
    """The model of the text, or None where it is refused in words."""
    path = folder / "model.json"
    path.write_bytes(
        text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    )
    try:
        return type(model).load(path)
    except ValueError as error:
        assert str(error).startswith("path: ") and "needs " in str(error)
        assert len(str(error)) < 700 and "\n" not in str(error)
        return None


def places(value, path=()):
    """The path to each value in nested lists and dicts."""
    yield path
    if isinstance(value, list | dict):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def most_memory(ask) -> int:
    """The most bytes that are in use at a time while `ask()` runs."""
    tracemalloc.start()
    try:
        ask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


ODD = st.sampled_from(
    [None, True, False, 0, -1, 3, 10**9, 10**19, 0.5, -0.5, 1e308, "", "a", "nan", "inf", "-inf",
     "0.5", [], {}, [[]], [0.5], [0.5, 0.5], [[0.5, 0.5]], [1, "a"], {"a": 1},
     {"tensor": [], "dtype": "float64"}, {"tensor": 0.5, "dtype": "float64"},
     {"tensor": [0.5, 0.5], "dtype": "float64"}, {"tensor": ["nan", "inf"], "dtype": "float32"},
     {"tensor": [1, 0], "dtype": "int64"}, {"tensor": [1, 0], "dtype": "bool"},
     {"tensor": {"a": 1}, "dtype": "float64"}, {"tensor": [0.5], "dtype": "save"},
     {"tensor": [0.5], "dtype": "complex64"}, {"tensor": "a", "dtype": []},
     {"family": "Normal", "arguments": {}}, {"family": "Distribution", "arguments": {}},
     {"family": "Distribution", "arguments": {"batch_shape": [2]}},
     {"family": "kl_divergence", "arguments": {"p": 1, "q": 2}},
     {"family": "constraints", "arguments": {}}, {"family": "__builtins__", "arguments": {}},
     {"family": "HMM", "arguments": {}}, {"family": [], "arguments": []},
     {"family": "TransformedDistribution", "arguments": {"base_distribution": 1, "transforms": []}},
     {"family": "Poisson", "arguments": {"rate": {"tensor": [1.0, 2.0], "dtype": "float64"}}},
     {"family": "Normal", "arguments": {"loc": 0, "scale": 1, "__class__": "x"}}]
).map(copy.deepcopy)  # fmt: skip
KEYS = [
    "__proto__",
    "__class__",
    "constructor",
    "tensor",
    "dtype",
    "family",
    "arguments",
    "\ud800",
    "",
]


@st.composite
def changed(draw, body):
    """The body with one to three values put, swapped, removed, added or renamed."""
    body = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(body) if p]))
        *above, key = path
        parent = body
        for each in above:
            parent = parent[each]
        do = draw(st.integers(0, 5))
        if do == 0:
            del parent[key]
        elif do == 1 and isinstance(parent, list):
            parent.insert(key, draw(ODD))
        elif do == 1:
            parent[draw(st.sampled_from(KEYS))] = draw(ODD)
        elif do == 2 and isinstance(parent, dict):
            parent[draw(st.sampled_from(KEYS))] = parent.pop(key)
        elif do == 3:  # another value of the same file
            other = draw(st.sampled_from(list(places(body))))
            found = body
            for each in other:
                found = found[each]
            parent[key] = copy.deepcopy(found)
        else:
            parent[key] = draw(ODD)
    return body


def answers(model):
    """A model that has been loaded can be asked and saved: it is no broken one."""
    if hasattr(model, "disaggregate") or hasattr(model, "appliances"):
        return
    repr(model)
    assert (model.initial_probs[0] >= 0).all()


FUZZED = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", MODELS)
@settings(FUZZED)
@given(data=st.data(), signs=st.booleans())
def test_a_changed_value_is_the_same_model_or_refused(name, folder, data, signs):
    """Without a new checksum any change is seen; with one, what is loaded is a model."""
    model = MODELS[name]
    body = whole(model, folder)
    text = json.dumps(data.draw(changed(body)))
    found = loaded(model, signed(text) if signs else text, folder)
    if found is not None and not signs:
        assert told(found, folder) == told(model, folder)
    elif found is not None:
        answers(found)
        again = loaded(found, told(found, folder), folder)
        assert told(again, folder) == told(found, folder)


@pytest.mark.parametrize("name", MODELS)
@settings(FUZZED)
@given(data=st.data())
def test_changed_bytes_are_the_same_model_or_refused(name, folder, data):
    """Cut out, put in, doubled, or flipped."""
    model = MODELS[name]
    text = json.dumps(whole(model, folder)).encode()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    middle = data.draw(
        st.sampled_from(
            [b"", text[start:end] * 2, b"\xff", b"[", b"}", b'"', b"0", b"NaN"]
        )
        | st.binary(max_size=4)
    )
    found = loaded(model, text[:start] + middle + text[end:], folder)
    assert found is None or told(found, folder) == told(model, folder)


@pytest.mark.parametrize("name", MODELS)
def test_no_name_may_be_missing_or_given_twice(name, folder):
    model = MODELS[name]
    body = whole(model, folder)
    content = body["content"]
    for key in content:
        less = {k: v for k, v in content.items() if k != key}
        found = loaded(model, signed(json.dumps(body | {"content": less})), folder)
        assert found is None or key in ("symbols", "chain_means", "num_batches")
    for key in body:
        text = json.dumps(body)
        twice = text.replace("{", f"{{{json.dumps(key)}: {json.dumps(body[key])}, ", 1)
        assert loaded(model, signed(twice), folder) is None


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e999", "9" * 1_000_000, "0." + "9" * 1_000_000 + "e999",
     "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "0" + "}" * 100_000, "-" + "1" * 30,
     '{"tensor": [9e18], "dtype": "int8"}', '{"tensor": [3e38, 1e39], "dtype": "float16"}',
     '"\\ud800"', '"\\u0000"'],
    ids=lambda text: text[:9],
)  # fmt: skip
def test_monstrous_values_are_refused(text, folder):
    body = json.dumps(whole(FAN, folder))
    assert '"initial_probs": {"tensor": [0.5, 0.5], "dtype": "float64"}' in body
    for part in (
        '{"tensor": [0.5, 0.5], "dtype": "float64"}',
        "0.5",
        "1",
        "null",
        '"HMM"',
    ):
        hostile = body.replace(part, text, 1)
        assert loaded(FAN, hostile, folder) is None
        assert loaded(FAN, signed(hostile), folder) is None


def test_probabilities_that_do_not_sum_to_one_are_refused_with_any_checksum(folder):
    text = json.dumps(whole(FAN, folder))
    for before, after in (
        ("0.75", "0.76"),
        ("0.125", "-0.125"),
    ):
        assert before in text
        assert loaded(FAN, signed(text.replace(before, after)), folder) is None


def test_a_file_of_gigabytes_is_refused_unread(folder):
    """Sparse: it claims four gigabytes and takes none; and one that never ends."""
    with (folder / "huge.json").open("wb") as file:
        file.truncate(2**32)

    def refused():
        with pytest.raises(ValueError, match=r"path: .* more than 134,217,728 bytes"):
            HMM.load(folder / "huge.json")

    assert most_memory(refused) < 1e6


def test_a_model_beyond_the_limit_is_not_written(folder, monkeypatch):
    monkeypatch.setattr(storage, "MOST_BYTES", 1000)
    with pytest.raises(
        ValueError, match=r"model: its file would have [\d,]+ bytes, needs at"
    ):
        MODELS["network"].save(folder / "large.json")
    assert not (folder / "large.json").exists()


@pytest.mark.parametrize(
    "content",
    ["[0" + ",0" * 200_000 + "]", "[10" + ",10" * 200_000 + "]", "[[]" + ",[]" * 200_000 + "]",
     "[{}" + ",{}" * 200_000 + "]", '{"tensor": [0' + ",0" * 200_000 + '], "dtype": "float64"}',
     '{"a":[' + '{"b":0},' * 200_000 + "0]}"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_memory_is_a_small_multiple_of_the_file(content, folder):
    text = json.dumps(whole(FAN, folder)).replace(
        '{"tensor": [0.5, 0.5], "dtype": "float64"}', content
    )
    text = signed(text)
    assert loaded(FAN, text, folder) is None
    assert most_memory(lambda: loaded(FAN, text, folder)) < 40 * len(text)


def test_a_network_that_claims_more_weights_than_it_has_is_refused(folder):
    body = whole(MODELS["network"], folder)
    for key, value in (("channels", 10**9), ("layers", 10**9), ("sizes", [10**9]), ("layers", 31),
                       ("weights", ""), ("weights", "?"), ("weights", "AADAfw==")):  # fmt: skip
        content = copy.deepcopy(body)
        content["content"]["network"][key] = value
        assert loaded(MODELS["network"], signed(json.dumps(content)), folder) is None
    for key, value in (
        ("log_priors", []),
        ("weights", {"fan": math.pi * -1}),
        ("num_batches", -1),
    ):
        content = copy.deepcopy(body)
        content["content"][key] = value
        assert loaded(MODELS["network"], signed(json.dumps(content)), folder) is None


def test_checksums_of_files_that_were_written_before_still_fit(folder):
    """As version 1 has always been computed: of the whole text, digits as they are."""
    import hashlib

    for model in MODELS.values():
        body = whole(model, folder)
        text = (folder / "whole.json").read_text()
        plain = json.loads(text, parse_float=str, parse_int=str)
        plain.pop("sha256")
        expected = hashlib.sha256(
            json.dumps(plain, sort_keys=True).encode()
        ).hexdigest()
        assert body["sha256"] == expected
