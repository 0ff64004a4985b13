"""The same observations in whatever form: one answer, or a refusal that names a cure."""

import array
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, viterbi
from hmmlib.learning import em_step, fit_em, fit_gradient

NAN = float("nan")
PI, MOVES = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]
LOC = torch.tensor([0.0, 5.0]).double()
GAUSSIAN = HMM(PI, MOVES, Normal(LOC, torch.tensor([1.0, 2.0]).double()))
PLANE = HMM(
    PI, MOVES, MultivariateNormal(LOC[:, None].expand(2, 2), torch.eye(2).double())
)
CHAINS = FactorialHMM((PI, PI), (MOVES, MOVES), additive_gaussian((LOC, LOC), 1.0))

READINGS = [0.25, NAN, 5.5, 4.75, NAN, 0.5]  # of which nothing is lost in float32
SYMBOLS = [0, NAN, 2, 1, NAN, 0]
POINTS = [[0.25, 1.0], [NAN, 2.0], [5.5, 4.0], [4.75, NAN], [0.5, 0.5], [NAN, NAN]]
IN_WHOLE = [0.25, 1.0, 5.5, 4.75, 3.0, 0.5]


def masked(x):
    x = np.array(x)
    return np.ma.masked_array(np.nan_to_num(x, nan=-999.0), np.isnan(x))


def read_only(x):
    x = np.array(x)
    x.setflags(write=False)
    return x


def nullable(x):
    whole = np.array(x)
    if whole.ndim == 2:
        table = pd.DataFrame(whole)
        return table.astype("Float64").mask(table.isna(), pd.NA)
    missing = np.isnan(whole)
    dtype = "Int64" if set(whole[~missing] % 1) <= {0.0} else "Float64"
    return pd.Series(whole).astype(object).where(~missing, pd.NA).astype(dtype)


def with_none(x, nothing=None):
    if isinstance(x, list):
        return [with_none(each, nothing) for each in x]
    return nothing if x != x else x


def twice(x, axis):
    """Every other entry of an array that holds something else between them."""
    x = np.array(x)
    return np.repeat(x, 2, axis)[tuple([slice(None)] * axis + [slice(None, None, 2)])]


FORMS = {
    "list": lambda x: x,
    "tuple": tuple,
    "list with None": with_none,
    "list with NA": lambda x: with_none(x, pd.NA),
    "list with masked": lambda x: with_none(x, np.ma.masked),
    "array": np.array,
    "array with None": lambda x: np.array(with_none(x), dtype=object),
    "read-only": read_only,
    "strided": lambda x: twice(x, 0),
    "reversed twice": lambda x: np.array(x[::-1])[::-1],
    "Fortran": lambda x: np.asfortranarray(x),
    "big-endian": lambda x: np.array(x, dtype=">f8"),
    "float32": lambda x: np.array(x, dtype=np.float32),
    "long double": lambda x: np.array(x, dtype=np.longdouble),
    "masked": masked,
    "list of masked": lambda x: list(masked(x)),
    "table": lambda x: pd.DataFrame(x),
    "table, other index": lambda x: pd.DataFrame(x).set_index(pd.RangeIndex(7, 1, -1)),
    "nullable": nullable,
    "tensor": lambda x: torch.tensor(x).double(),
    "float tensor": lambda x: torch.tensor(x).float(),
    "strided tensor": lambda x: torch.as_tensor(np.repeat(x, 2, 0))[::2],
    "list of tensors": lambda x: [torch.tensor(each).double() for each in x],
}
ONE_AXIS = {
    "Series": pd.Series,
    "Series of objects": lambda x: pd.Series(with_none(x), dtype=object),
    "Series, other index": lambda x: pd.Series(x, index=list("fedcba")),
    "column": lambda x: pd.DataFrame({"power": x}),
    "machine array": lambda x: array.array("d", x),
    "memory": lambda x: memoryview(np.array(x)),
    "Index": pd.Index,
}


@pytest.mark.parametrize("form", FORMS | ONE_AXIS)
@pytest.mark.parametrize(
    ("hmm", "x"),
    [(GAUSSIAN, READINGS), (weather.hmm, SYMBOLS), (CHAINS, READINGS)],
    ids=["numbers", "symbols", "chains"],
)
def test_one_sequence_in_any_form_is_the_same(hmm, x, form):
    given = (FORMS | ONE_AXIS)[form](x)
    expected = hmm.potentials(torch.tensor(x).double()).log_likelihoods
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hmm.potentials(given).log_likelihoods
    assert found.shape[0] == 6
    assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_vectors_in_any_form_are_the_same(form):
    """A component that is missing is left out; a step of which all are, says nothing."""
    expected = PLANE.potentials(torch.tensor(POINTS).double()).log_likelihoods
    assert (expected == 0).all(1).tolist() == [False] * 5 + [True]
    second = GAUSSIAN.emission.loc, 1.0
    assert_close(expected[1], Normal(*second).log_prob(torch.tensor(2.0).double()))
    found = PLANE.potentials(FORMS[form](POINTS)).log_likelihoods
    assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "form", [name for name in FORMS if name != "nullable" and "table" not in name]
)
def test_a_batch_in_any_form_is_the_same(form):
    batch = [READINGS, IN_WHOLE]
    expected = GAUSSIAN.potentials(torch.tensor(batch).double()).log_likelihoods
    if form == "strided tensor" or form == "strided":
        given = torch.as_tensor(np.repeat(batch, 2, 1))[:, ::2]
    else:
        given = FORMS[form](batch)
    found = GAUSSIAN.potentials(given).log_likelihoods
    assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "whole", ["int8", "uint8", "int16", "int32", "int64", "uint64"]
)
@pytest.mark.parametrize("kind", [np.array, torch.tensor, pd.Series])
def test_symbols_of_any_width_are_the_same(whole, kind):
    dtype = getattr(torch, whole) if kind is torch.tensor else whole
    p = weather.hmm.potentials(kind([0, 2, 1], dtype=dtype))
    expected = weather.hmm.potentials([0, 2, 1])
    assert torch.equal(p.log_likelihoods, expected.log_likelihoods)


@pytest.mark.parametrize("fit", [em_step, fit_em, fit_gradient])
def test_learning_reads_a_column_as_one_sequence(fit):
    """Of a table of 200 rows the moves between rows are seen."""
    rng = np.random.default_rng(0)
    x = 5.0 * (np.arange(200) // 20 % 2) + rng.normal(size=200)
    options = {} if fit is em_step else {"learn": ["transition_matrix"]}
    if fit is fit_gradient:
        options["num_steps"] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_column = fit(GAUSSIAN, pd.DataFrame({"x": x}), **options)
        by_array = fit(GAUSSIAN, x, **options)
    assert_close(by_column[0].transition_matrix, by_array[0].transition_matrix)
    assert (by_column[0].transition_matrix.diagonal() > 0.7).all()


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
@pytest.mark.parametrize("hmm", [GAUSSIAN, weather.hmm, CHAINS])
def test_a_column_is_not_read_as_many_sequences(hmm, kind):
    cures = r"shape \(5, 1\); .*\.reshape\(-1\), .*pass lengths=\[1\] \* 5"
    with pytest.raises(ValueError, match=cures):
        hmm.potentials(kind([[0.0], [1.0], [0.0], [2.0], [1.0]]))
    if hmm is not CHAINS:
        p = hmm.potentials(kind([[0.0], [1.0]]), lengths=[1, 1])
        assert p.log_likelihoods.shape == (2, 1, 2)
    assert hmm.potentials(kind([[0.0]])).log_likelihoods.shape[:2] == (1, 1)


def test_the_cures_for_a_column_work():
    column = np.array([[0.25], [5.5], [4.75]])
    one = log_likelihood(GAUSSIAN.potentials(column.reshape(-1)))
    many = log_likelihood(GAUSSIAN.potentials(column, lengths=[1] * 3))
    assert one.shape == () and many.shape == (3,)


def test_a_table_of_other_columns_is_refused():
    table = pd.DataFrame({"power": READINGS, "hour": READINGS})
    with pytest.raises(ValueError, match=r"2 columns, \['power', 'hour'\].*one column"):
        GAUSSIAN.potentials(table)
    with pytest.raises(ValueError, match="2 columns"):
        CHAINS.viterbi(table)
    with pytest.raises(ValueError, match=r"got shape \(6, 1\), needs \(T, 2\)"):
        PLANE.potentials(table[["power"]])


def test_a_column_of_booleans_says_what_was_observed():
    observed = pd.DataFrame({"seen": [True, False, True, True, False, True]})
    table = pd.DataFrame({"power": IN_WHOLE})
    found = GAUSSIAN.potentials(table, observed=observed).log_likelihoods
    expected = [
        x if seen else NAN for x, seen in zip(IN_WHOLE, observed["seen"], strict=True)
    ]
    assert_close(found, GAUSSIAN.potentials(expected).log_likelihoods)


def test_paths_of_masked_readings_are_those_of_missing_ones():
    """A sentinel behind a mask would drag the path into the state that is nearer."""
    x = np.ma.masked_values([0.1, 999.0, 0.2], 999.0)
    assert viterbi(GAUSSIAN.potentials(x)).states.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("initial_probs", lambda x: HMM(x, MOVES, GAUSSIAN.emission)),
        ("lengths", lambda x: GAUSSIAN.potentials([[0.0, 1.0]] * 2, lengths=x)),
        ("observed", lambda x: GAUSSIAN.potentials([0.0, 1.0], observed=x)),
    ],
)
def test_elsewhere_nothing_may_be_masked_or_missing(name, call):
    with pytest.raises(ValueError, match=f"{name}: got an array with 1 masked value"):
        call(np.ma.masked_array([1, 1], [True, False]))
    with pytest.raises(ValueError, match=f"{name}: "):
        call(pd.Series([1, None], dtype="Int64"))


@pytest.mark.parametrize(
    "words",
    [
        ["walk", "shop"],
        np.array(["walk", "shop"]),
        pd.Series(["walk", "shop"]),
        pd.Series(["walk", "shop"], dtype="category"),
        pd.Series(["walk", None], dtype="string"),
        [0, "shop"],
        [["walk", "shop"], ["shop", "walk"]],
    ],
)
def test_words_get_advice_on_words(words):
    with pytest.raises(
        ValueError, match=r"text such as '(walk|shop)'.*index\(word\)"
    ) as told:
        weather.hmm.potentials(words)
    assert "lengths" not in str(told.value)


def test_lengths_that_do_not_fit_are_refused_in_words():
    with pytest.raises(
        ValueError, match=r"one sequence, 5 steps, needs a batch \(N, T\)"
    ):
        weather.hmm.potentials([0, 1, 2, 1, 0], lengths=[3, 2])
    with pytest.raises(ValueError, match=r"got shape \(3,\), needs \(2,\)"):
        weather.hmm.potentials([[0, 1], [1, 2]], lengths=[2, 1, 1])


@pytest.mark.parametrize(
    "dates", [pd.Series(pd.date_range("2024", periods=3)), np.array(["2024"], "M8[Y]")]
)
def test_what_is_no_number_is_refused(dates):
    with pytest.raises(
        ValueError, match=r"observations: got .*, needs a tensor or a list"
    ):
        GAUSSIAN.potentials(dates)
