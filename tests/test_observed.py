"""What was observed is read once: names of symbols, ragged lists, masks, tables, types."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from hmmlib.hmm import HMM
from hmmlib.observations import Observed, read

NAN = float("nan")
NAMES = ("walk", "shop", "clean")
PI, MOVES = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]
FRIEND = HMM(PI, MOVES, [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]], symbols=NAMES)
LOC = torch.tensor([0.0, 5.0]).double()
NUMBERS = HMM(PI, MOVES, Normal(LOC, 1.0))
PLANE = HMM(
    PI, MOVES, MultivariateNormal(LOC[:, None].expand(2, 2), torch.eye(2).double())
)
WORDS, CODES = ["walk", "clean", "shop", "shop"], [0, 2, 1, 1]
GAPS, GAPPED = ["walk", None, "shop", "shop"], [0, NAN, 1, 1]


def assert_same(hmm, found, expected, **options):
    """Read as `expected` is."""
    found, expected = hmm.potentials(found, **options), hmm.potentials(expected)
    assert_close(found.log_likelihoods, expected.log_likelihoods)
    if expected.lengths is not None:
        assert torch.equal(found.lengths, expected.lengths)


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        np.array,
        lambda x: np.array(x, dtype=object),
        pd.Series,
        lambda x: pd.Series(x, dtype="string"),
        lambda x: pd.Series(x, dtype="category"),
        lambda x: pd.Series(x, index=pd.date_range("2024", periods=4)),
        lambda x: pd.DataFrame({"said": x}),
        lambda x: pd.DataFrame({"said": pd.Categorical(x)}),
    ],
)
def test_symbols_are_read_by_name(form):
    assert_same(FRIEND, form(WORDS), CODES)
    assert FRIEND.viterbi(form(WORDS)).states.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("nothing", [None, NAN, pd.NA])
@pytest.mark.parametrize(
    "form",
    [
        list,
        lambda x: np.array(x, dtype=object),
        lambda x: pd.Series(x, dtype=object),
        lambda x: pd.DataFrame({"said": pd.Series(x, dtype=object)}),
    ],
)
def test_names_may_be_missing(form, nothing):
    said = form([nothing if x is None else x for x in GAPS])
    assert_same(FRIEND, said, GAPPED)


def test_names_may_be_masked():
    masked = np.ma.masked_array(WORDS, [False, True, False, False])
    assert_same(FRIEND, masked, GAPPED)
    assert_same(FRIEND, list(masked), GAPPED)


@pytest.mark.parametrize("dtype", ["string", "category"])
def test_names_may_be_missing_in_columns_of_pandas(dtype):
    assert_same(FRIEND, pd.Series(GAPS, dtype=dtype), GAPPED)
    assert_same(FRIEND, pd.DataFrame({"said": pd.Series(GAPS, dtype=dtype)}), GAPPED)


def test_batches_of_names_and_numbers_of_symbols():
    assert_same(FRIEND, [WORDS, GAPS], [CODES, GAPPED])
    assert_same(FRIEND, np.array([WORDS, WORDS]), [CODES, CODES])
    assert_same(FRIEND, [WORDS, GAPS[:2], ["clean"]], [CODES, GAPPED[:2], [2]])
    assert_same(FRIEND, [pd.Series(WORDS), pd.Series(GAPS[:2])], [CODES, GAPPED[:2]])
    assert_same(FRIEND, CODES, torch.tensor(CODES))  # numbers still do
    mask = [True, False, True, True]
    assert_same(FRIEND, WORDS, GAPPED, observed=mask)


@pytest.mark.parametrize(
    "said",
    [
        ["walk", "swim"],
        [["walk", "walk"], ["shop", "swim"]],
        [["walk"], ["shop", "swim"]],
        np.array(["walk", "swim"]),
        pd.Series(["walk", "swim"], dtype="category"),
        pd.DataFrame({"said": ["walk", "swim"]}),
        [pd.Series(["walk", "swim"]), pd.Series(["shop"])],
    ],
)
def test_an_unknown_name_is_refused_with_those_that_are_known(said):
    message = r"observations: got 'swim', needs one of the symbols \['walk', 'shop'"
    with pytest.raises(ValueError, match=message):
        FRIEND.viterbi(said)


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (("walk", "shop"), "symbols: got 2 names, needs 3, one a symbol"),
        (("walk", "walk", "shop"), "symbols: got .* needs V different names"),
        ("abc", "symbols: got 'abc', needs V different names"),
        ((1, 2, 3), "symbols: got .* needs V different names"),
        (3, "symbols: got 3, needs V different names"),
    ],
)
def test_symbols_that_do_not_fit_are_refused(symbols, message):
    with pytest.raises(ValueError, match=message):
        HMM(PI, MOVES, FRIEND.emission, symbols=symbols)


READINGS = [[0.25, 5.5, NAN], [4.75], [0.5, NAN]]
SEQUENCES = {
    "lists": lambda x: x,
    "tuple of tuples": lambda x: tuple(map(tuple, x)),
    "arrays": lambda x: [np.array(each) for each in x],
    "array of lists": lambda x: [np.array(x[0]), x[1], tuple(x[2])],
    "tensors": lambda x: [torch.tensor(each).double() for each in x],
    "Series": lambda x: [pd.Series(each) for each in x],
    "tables": lambda x: [pd.DataFrame({"x": each}) for each in x],
    "masked": lambda x: [np.ma.masked_invalid(each) for each in x],
    "nullable": lambda x: [pd.Series(each, dtype="Float64") for each in x],
}


@pytest.mark.parametrize("form", SEQUENCES)
def test_sequences_of_different_lengths_are_a_ragged_batch(form):
    found = NUMBERS.potentials(SEQUENCES[form](READINGS))
    padded = torch.tensor([[0.25, 5.5, NAN], [4.75, 9, 9], [0.5, NAN, 9]]).double()
    expected = NUMBERS.potentials(padded, lengths=[3, 1, 2])
    assert_close(found, expected)
    assert found.lengths.tolist() == [3, 1, 2]
    for n, each in enumerate(READINGS):
        alone = NUMBERS.viterbi(each)
        best = NUMBERS.viterbi(SEQUENCES[form](READINGS))
        assert_close(best.log_joint[n], alone.log_joint)
        assert best.states[n, : len(each)].tolist() == alone.states.tolist()


def test_tables_of_one_length_are_a_batch_too():
    """Of vectors as of single values: a table is one sequence, several are several."""
    tables = [pd.DataFrame({"x": [0.25, 5.5]}), pd.DataFrame({"x": [4.75, NAN]})]
    assert_same(NUMBERS, tables, [[0.25, 5.5], [4.75, NAN]], lengths=None)
    points = [[[0.0, 1.0], [5.0, NAN]], [[5.0, 5.0]]]
    tables = [pd.DataFrame(each, columns=["x", "y"]) for each in points]
    padded = torch.tensor([points[0], [[5.0, 5.0], [0.0, 0.0]]]).double()
    expected = PLANE.potentials(padded, lengths=[2, 1])
    assert_close(PLANE.potentials(tables), expected)
    assert_close(PLANE.potentials(points), expected)


def test_a_ragged_list_takes_a_mask_for_each_sequence():
    masks = [[True, False, True], [False], [True, True]]
    hidden = [[0.25, NAN, NAN], [NAN], [0.5, NAN]]
    for form in (lambda x: x, np.array, pd.Series, torch.tensor):
        given = [form(each) for each in masks]
        assert_same(NUMBERS, READINGS, hidden, observed=given)
    symbols = [[0, 1, 2], [1]]
    seen = [[True, False, True], [True]]
    assert_same(FRIEND, symbols, [[0, NAN, 2], [1]], observed=seen)
    with pytest.raises(ValueError, match="observed: got 2 masks, needs 3, one a seq"):
        NUMBERS.potentials(READINGS, observed=masks[:2])
    with pytest.raises(
        ValueError, match=r"observed, sequence 1: got .* needs booleans"
    ):
        NUMBERS.potentials(READINGS, observed=[masks[0], [True, True], masks[2]])


@pytest.mark.parametrize(
    ("hmm", "sequences", "message"),
    [
        (NUMBERS, [[0.0, 1.0], []], r"observations, sequence 1: got shape \(0,\)"),
        (
            NUMBERS,
            [[[0.0], [1.0]], [0.0, 1.0, 2.0]],
            r"observations, sequence 0: got shape \(2, 1\)",
        ),
        (
            NUMBERS,
            [[[0.0, 1.0]], [0.0, 1.0]],
            r"observations, sequence 0: got shape \(1, 2\), needs \('T',\)",
        ),
        (PLANE, [[[0.0, 1.0]], [[0.0], [1.0]]], "observations, sequence 1: got shape"),
        (NUMBERS, [["a", "b"], ["c"]], "observations, sequence 0: got list, needs"),
    ],
)
def test_a_sequence_that_cannot_be_read_is_named(hmm, sequences, message):
    with pytest.raises(ValueError, match=message):
        hmm.potentials(sequences)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, pd.Series])
def test_unsigned_numbers_and_booleans_are_read(kind):
    for name in ("uint8", "uint16", "uint32", "uint64"):
        dtype = getattr(torch, name) if kind is torch.tensor else name
        assert_same(FRIEND, kind([0, 2, 1], dtype=dtype), [0, 2, 1])
        assert_same(NUMBERS, kind([0, 2, 1], dtype=dtype), [0.0, 2.0, 1.0])
    coins = HMM(PI, MOVES, [[0.1, 0.9], [0.6, 0.4]])
    assert_same(coins, kind([True, False, True]), [1, 0, 1])
    found = coins.potentials(kind([True, False]), observed=[False, True])
    assert_close(found, coins.potentials([NAN, 0]))


def test_the_index_of_a_series_is_remembered():
    days = pd.date_range("2024", periods=3)
    series = pd.Series([0.0, 1.0, 5.0], index=days)
    assert read(series).index is series.index
    assert (read(series.to_frame()).index == days).all()
    named = pd.Series(["walk", "shop", None], index=days, dtype="string")
    assert NUMBERS.read(series).index is series.index
    for other in ([0.0, 1.0], np.zeros(2), torch.zeros(2), pd.Index([0.0, 1.0])):
        assert read(other).index is None
    # of names that were coded first
    assert FRIEND.read(pd.Series(WORDS, index=list("abcd"))).values.tolist() == CODES
    assert (read(named, symbols=NAMES).index == days).all()


def test_what_is_read_is_values_lengths_and_an_index():
    seen = read([[1, 2, 3], [4]])
    assert isinstance(seen, Observed) and not seen.checked
    assert_close(seen.values, torch.tensor([[1.0, 2, 3], [4, NAN, NAN]]).double(),
                 equal_nan=True)  # fmt: skip
    assert seen.lengths.tolist() == [3, 1] and seen.index is None
    whole = read([[1, 2], [3, 4]])
    assert whole.values.dtype == torch.int64 and whole.lengths is None
    assert NUMBERS.read(seen).checked and NUMBERS.read(seen).lengths.tolist() == [3, 1]
