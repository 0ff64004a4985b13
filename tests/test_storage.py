"""A model comes back from its file to the last bit, or the file is refused in words."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    constraints,
)

from hmmlib import storage
from hmmlib.emissions import Product, SphericalNormal, TiedNormal, parameters
from hmmlib.hmm import HMM

G = torch.Generator().manual_seed(0)


def positive(*shape, dtype=torch.float64):
    """Numbers whose decimals go on to the last bit."""
    return 0.1 + torch.rand(*shape, generator=G, dtype=dtype) / 3


def shares(*shape, dtype=torch.float64):
    values = positive(*shape, dtype=dtype)
    return values / values.sum(-1, keepdim=True)


EMISSIONS = {
    "matrix": shares(2, 3),
    "symbols by logits": Categorical(logits=positive(2, 3).log()),
    "with log 0": Categorical(logits=torch.tensor([[0.0, -torch.inf], [0.1, 0.7]])),
    "normal": Normal(positive(2), positive(2)),
    "shared scale": Normal(positive(2), 0.1),
    "poisson": Poisson(positive(2)),
    "gamma": Gamma(positive(2), positive(2)),
    "beta": Beta(positive(2), positive(2)),
    "bernoulli": Bernoulli(logits=positive(2)),
    "full": MultivariateNormal(positive(2, 2), torch.eye(2) + positive(2, 1, 1) / 2),
    "tied": TiedNormal(positive(2, 2), torch.eye(2).double() + positive(1) / 2),
    "spherical": SphericalNormal(positive(2, 3), positive(2)),
    "diagonal": Independent(Normal(positive(2, 3), positive(2, 3)), 1),
    "one-hot": OneHotCategorical(shares(2, 3)),
    "product": Product([Normal(positive(2), positive(2)), Categorical(shares(2, 3))]),
    "mixture": MixtureSameFamily(
        Categorical(shares(2, 2)), Normal(positive(2, 2), positive(2, 2))
    ),
}


def tables(hmm: HMM) -> list:
    return [
        hmm.initial_probs,
        hmm.transition_matrix,
        *parameters(hmm.emission).values(),
    ]


@pytest.mark.parametrize("name", EMISSIONS)
def test_a_model_comes_back_to_the_last_bit(name, tmp_path):
    model = HMM(shares(2), shares(2, 2), EMISSIONS[name])
    model.save(tmp_path / "model.json")
    twin = HMM.load(tmp_path / "model.json")
    assert type(twin.emission) is type(model.emission) and twin.symbols is None
    for found, expected in zip(tables(twin), tables(model), strict=True):
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    x = model.sample(20, seed=0).observations
    assert torch.equal(twin.sample(20, seed=0).observations, x)
    assert twin.log_likelihood(x) == model.log_likelihood(x)
    twin.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (
        tmp_path / "model.json"
    ).read_text()


def test_precision_names_and_a_path_as_text_are_kept(tmp_path):
    tables = shares(2, dtype=torch.float32), shares(2, 2, dtype=torch.float32)
    model = HMM(*tables, shares(2, 2, dtype=torch.float32), symbols=["père", "mère"])
    model.save(str(tmp_path / "model.json"))
    twin = HMM.load(str(tmp_path / "model.json"))
    assert twin.symbols == ("père", "mère") and twin.viterbi(["mère"]).states.ndim == 1
    assert twin.initial_probs.dtype == torch.float32
    assert torch.equal(twin.emission.probs, model.emission.probs)
    assert repr(twin) == repr(model)


def test_gradients_are_left_behind(tmp_path):
    leaf = shares(2).requires_grad_()
    HMM(leaf, shares(2, 2), shares(2, 2)).save(tmp_path / "model.json")
    twin = HMM.load(tmp_path / "model.json")
    assert (
        torch.equal(twin.initial_probs, leaf) and not twin.initial_probs.requires_grad
    )


MODEL = HMM([0.25, 0.75], [[0.7, 0.3], [0.4, 0.6]], Normal(positive(2), positive(2)))


@pytest.fixture
def path(tmp_path) -> Path:
    MODEL.save(tmp_path / "model.json")
    return tmp_path / "model.json"


def test_any_changed_digit_is_refused(path):
    """The last one of a number too, and one that would be read as the same number."""
    text = path.read_text()
    places = [found.start() for found in re.finditer(r"\d", text)]
    assert len(places) > 120
    for place in places:
        digit = str((int(text[place]) + 1) % 10)
        path.write_text(text[:place] + digit + text[place + 1 :])
        with pytest.raises(ValueError, match=r"path: .*(was changed|version|no whole)"):
            HMM.load(path)
    for before, after in (("0.25", "0.250"), ("0.25", "25e-2"), ("0.7", "0.70")):
        assert before in text
        path.write_text(text.replace(before, after))
        with pytest.raises(ValueError, match="was changed after it was written"):
            HMM.load(path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Normal", "Cauchy"),
        ("float64", "float32"),
        ('"loc"', '"scale"'),
        ('"symbols": null', '"symbols": ["a"]'),
    ],
)
def test_other_words_are_refused_too(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(
        ValueError, match=r"was changed after it was written|given twice"
    ):
        HMM.load(path)


def test_what_json_does_not_distinguish_is_no_change(path):
    """Spaces, line ends and the order of names."""
    body = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(body.items()))))
    assert repr(HMM.load(path)) == repr(MODEL)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"hmmlib"', "{}", "not JSON", '{"format": "hmmlib"}',
     '{"format": "hmmlib", "version": 1, "kind": "HMM", "content": {}}'],
)  # fmt: skip
def test_what_is_no_file_of_hmmlib_is_refused(text, path):
    path.write_text(text)
    with pytest.raises(ValueError, match=r"path: .*model.json is no whole file of hmm"):
        HMM.load(path)


def test_a_truncated_file_is_refused(path):
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no whole file of hmmlib"):
            HMM.load(path)
    path.write_bytes(b"\xff\xfe" + whole)
    with pytest.raises(ValueError, match="is no whole file of hmmlib"):
        HMM.load(path)


def test_a_later_version_is_refused(path, monkeypatch):
    later = storage.VERSION + 1
    with monkeypatch.context() as patch:
        patch.setattr(storage, "VERSION", later)
        MODEL.save(path)
        assert repr(HMM.load(path)) == repr(MODEL)
    message = (
        f"format version {later}, this hmmlib reads up to {later - 1}; needs a newer"
    )
    with pytest.raises(ValueError, match=message):
        HMM.load(path)


def test_another_kind_and_another_format_are_refused(path):
    storage.save(path, "House", {"step": "1min"})
    assert storage.load(path, "House") == {"step": "1min"}
    with pytest.raises(ValueError, match=r"holds a House, needs an? HMM"):
        HMM.load(path)
    path.write_text(path.read_text().replace('"hmmlib"', '"other"'))
    with pytest.raises(
        ValueError, match="has format 'other', version '1', needs 'hmmlib'"
    ):
        HMM.load(path)


def test_a_file_that_is_not_there_is_told_by_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        HMM.load(tmp_path / "none.json")


class Own(Distribution):
    """A family that no library knows."""

    arg_constraints = {"rate": constraints.positive}  # noqa: RUF012
    support = constraints.real

    def __init__(self, rate):
        self.rate = rate
        super().__init__(rate.shape, validate_args=False)


def test_a_family_of_ones_own_is_not_written(tmp_path):
    model = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Own(positive(2)))
    with pytest.raises(
        ValueError, match=r"emission: got .*Own.*, which cannot be saved"
    ):
        model.save(tmp_path / "model.json")
    assert not (tmp_path / "model.json").exists()
