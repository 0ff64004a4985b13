"""Whatever comes in, what comes out is a ValueError in words or the right answer.

Never another exception, a hang, a crash, or NaN where the data are possible. `make fuzz` draws
other input for the same properties, again and again.
"""

import ast
import datetime
import decimal
import importlib
import math
import pkgutil
import socket
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import rows
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

import hmmlib
from chapters import ROOT
from hmmlib import factorial, inference, learning, meter, nilm
from hmmlib.book import exercises
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.pyro_models import to_discrete_hmm
from hmmlib.recursion import Potentials, backward, forward

HALF, MANY = torch.float16, 10**20


class Odd:
    """Nothing that a model knows."""


ODD = [
    None, "abc", "", "3", b"x", Odd(), Odd, 3 + 4j, True, False, [], [[]], {}, {"a": 1},
    {1, 2}, [[1], [2, 3]], math.nan, math.inf, -math.inf, 10**400, MANY, -1, 0, 1.5, -0.5,
    1e308, 5e-324, [math.nan] * 2, [math.inf, 1.0], [-0.5, 1.5], [10**400, 1], [2**63, 1],
    [-1, -1], [1e308, 1e308], [5e-324, 1.0], range(3), (1, 2), len,
    torch.tensor([]), torch.tensor(0.5), torch.zeros(2, 3, 4), torch.tensor([1 + 2j, 3]),
    torch.tensor([True, False]), torch.empty(3, device="meta"), torch.eye(2).to_sparse(),
    torch.tensor([0.5, 0.5], dtype=HALF), torch.tensor([0.5, 0.5]).bfloat16(),
    torch.tensor([0.5, 0.5]).to(torch.float8_e4m3fn), [torch.zeros(2), torch.zeros(3)],
    torch.tensor([0.5, 0.5], requires_grad=True), torch.ones(()).expand(2),
    np.array([None, "a"], dtype=object), np.array(["a", "b"]), np.array([0.5, 0.5])[::-1],
    np.array([0.5, 0.5], dtype=">f8"), np.array([0.5, 0.5], dtype=np.longdouble),
    np.array(["2020-01-01"], dtype="M8[D]"), np.zeros(2, dtype=[("a", "f8")]),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.uint16(3), np.str_("a"),
    datetime.date(2020, 1, 1), pd.Timestamp("2020-01-01"), pd.NaT, decimal.Decimal("0.5"),
    pd.DataFrame({"a": [1, 2]}), pd.Series([0.5, 0.5]), pd.Series(["a", "b"]),
    Normal(0.0, 1.0), Categorical(torch.ones(2)), weather.hmm,
    weather.hmm.potentials([0, 1]), weather.hmm.potentials([0, 1]).log_likelihoods,
]  # fmt: skip

WORDS, READINGS = [0, 1, 2, 1], [0.1, 4.9, 5.2, 0.0]
BATCH = {"observations": [WORDS, WORDS], "lengths": [2, 4]}
GAUSSIAN = HMM(
    [0.6, 0.4],
    [[0.7, 0.3], [0.4, 0.6]],
    Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()),
)
CHAINS = factorial.FactorialHMM(
    ([0.5, 0.5], [0.3, 0.7]),
    ([[0.9, 0.1], [0.1, 0.9]],) * 2,
    factorial.additive_gaussian([[0.0, 1.0], [0.0, 3.0]], 1.0),
)
MINUTES = pd.date_range("2020-01-01", periods=40, freq="min")
POWER = pd.Series(np.where(np.arange(40) // 10 % 2, 500.0, 10.0), index=MINUTES)
POWER += np.arange(40) % 7
TABLE = pd.DataFrame({"mains": POWER, "a": POWER / 2, "b": POWER / 4})
HOUSE = nilm.House({"a": GAUSSIAN, "b": GAUSSIAN}, "1min")
P = weather.hmm.potentials(WORDS)
ZEROS = torch.zeros(4, 2, dtype=torch.long)
FITS = {"hmm": weather.hmm, **BATCH, "learn": ("emission",), "pseudo_count": 0.0}


def of_parts(initial, moves, likelihoods, lengths):
    return inference.viterbi(Potentials(initial, moves, likelihoods, lengths))


def of_move(matrix):
    return inference.viterbi(P._replace(log_transitions=(matrix,)))


# each with arguments that are right
CALLS = [
    (HMM, {"initial_probs": [0.6, 0.4], "transition_matrix": [[0.7, 0.3], [0.4, 0.6]],
           "emission": [[0.1, 0.9], [0.6, 0.4]]}),
    (weather.hmm.potentials, {**BATCH, "observed": [[True] * 4] * 2}),
    (weather.hmm.potentials, {"observations": WORDS, "observed": [True] * 4}),
    (GAUSSIAN.potentials, {"observations": READINGS}),
    (weather.hmm.sample, {"num_steps": 3, "seed": 1, "num_sequences": 2}),
    (weather.sample, {"num_days": 2, "seed": 0}),
    (weather.sticky, {"stay": 0.3}),
    (of_parts, {"initial": P[0], "moves": P[1], "likelihoods": P[2] + 0, "lengths": None}),
    (of_move, {"matrix": P[1][0]}),
    *[(question, {"potentials": P}) for question in (
        inference.log_likelihood, inference.filter_states, inference.smooth_states,
        inference.pairwise_probs, inference.expected_counts, inference.total_counts,
        inference.viterbi)],
    (inference.sample_states, {"potentials": P, "num_samples": 2, "seed": 1}),
    (all_paths, {"num_states": 2, "num_steps": 2}),
    (path_log_joints, {"potentials": P, "paths": torch.zeros(1, 4).long()}),
    (factorial.additive_gaussian, {"means": [[0.0, 1.0], [0.0, 2.0]], "scale": 1.0}),
    (factorial.FactorialHMM, {
        "initial_probs": ([0.5, 0.5], [0.3, 0.7]),
        "transition_matrices": ([[0.9, 0.1], [0.1, 0.9]],) * 2,
        "emission": CHAINS.emission}),
    (CHAINS.potentials, {"observations": READINGS}),
    (CHAINS.log_likelihood, {"observations": READINGS}),
    (CHAINS.viterbi, {"observations": READINGS}),
    (CHAINS.smooth, {"observations": READINGS}),
    (CHAINS.filter, {"observations": [READINGS] * 2, "lengths": [2, 4],
                     "observed": [[True] * 4] * 2}),
    (CHAINS.sample, {"num_steps": 3, "seed": 1, "num_sequences": 2}),
    (CHAINS.sample_states, {"observations": READINGS, "num_samples": 2, "seed": 0}),
    (factorial.mean_field, {"model": CHAINS, "observations": READINGS, "num_sweeps": 2,
                            "tolerance": 1e-6, "start": ZEROS}),
    (factorial.coordinate_ascent, {"model": CHAINS, "observations": READINGS,
                                   "num_sweeps": 2, "start": ZEROS}),
    (factorial.path_log_joint, {"model": CHAINS, "observations": READINGS,
                                "states": ZEROS}),
    (learning.em_step, FITS),
    (learning.fit_em, FITS | {"num_iters": 2, "tolerance": 1e-6}),
    (learning.fit_gradient, FITS | {"num_steps": 2, "learning_rate": 0.1,
                                    "method": "adam", "tolerance": 1e-6}),
    (learning.fit_restarts, {"starts": [weather.hmm], "observations": WORDS}),
    (learning.random_starts, {"hmm": weather.hmm, "num_starts": 2, "seed": 0}),
    (learning.guess_emission, {"emission": GAUSSIAN.emission, "seed": 0,
                               "values": torch.tensor(READINGS).double()}),
    (learning.align_states, {"reference": weather.hmm, "estimate": weather.hmm}),
    (learning.align_states, {"reference": [0, 1, 1], "estimate": [1, 0, 0]}),
    (learning.align_states, {"reference": [[0.0, 1]], "estimate": [[1.0, 0]]}),
    (nilm.House, {"appliances": {"a": GAUSSIAN}, "step": "1min"}),
    (nilm.learn_appliance, {"power": POWER, "num_states": 2, "resolution": 0.0,
                            "knee": 60.0, "num_iters": 3}),
    (nilm.learn_house, {"table": TABLE, "num_states": {"a": 2}, "mains": "mains",
                        "resolution": 0.0}),
    (nilm.disaggregate, {"house": HOUSE, "power": POWER}),
    (nilm.sample_energy, {"house": HOUSE, "power": POWER, "num_samples": 1, "seed": 0}),
    (nilm.simulate, {"house": HOUSE, "num_steps": 3, "seed": 0, "start": "2026-01-01"}),
    (nilm.long_run, {"transition_matrix": [[0.9, 0.1], [0.2, 0.8]]}),
    (nilm.energy_kwh, {"watts": TABLE}),
    (nilm.mean_baseline, {"training": TABLE, "power": POWER}),
    (nilm.combinatorial_optimisation, {"house": HOUSE, "power": POWER}),
    (nilm.appliance_metrics, {"estimate": TABLE, "truth": TABLE, "on_watts": 10.0}),
    (meter.check_power, {"power": POWER, "step": "1min"}),
    (to_discrete_hmm, {"hmm": weather.hmm, "num_steps": 3}),
    (exercises.check, {"name": "3.2", "answer": 1}),
    (exercises.hint, {"name": "2.2"}),
]  # fmt: skip
PLACES = [(call, good, name) for call, good in CALLS for name in good]
TOLD = ("need", "use ", "no posterior exists", "as it is")


@pytest.fixture(autouse=True)
def _warnings_are_no_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def judged(call, *args, **kwargs):
    """What a call gives, without NaN; None where it refuses in words."""
    try:
        answer = call(*args, **kwargs)
    except ValueError as error:
        assert any(word in str(error) for word in TOLD), repr(error)
        return None
    for each in answer if isinstance(answer, tuple) else [answer]:
        if isinstance(each, torch.Tensor):
            assert not each.isnan().any()
    return answer


@pytest.mark.parametrize(
    ("call", "good", "name"), PLACES, ids=lambda x: getattr(x, "__name__", None)
)
def test_odd_arguments_are_answered_or_refused(call, good, name):
    for value in ODD:
        judged(call, **good | {name: value})


@given(st.sampled_from(CALLS), st.data())
def test_several_odd_arguments_at_once(call, data):
    call, good = call
    names = data.draw(st.lists(st.sampled_from(list(good)), max_size=3, unique=True))
    judged(call, **good | {name: data.draw(st.sampled_from(ODD)) for name in names})


@pytest.mark.parametrize(("call", "good"), CALLS)
def test_what_is_right_is_not_refused(call, good):
    assert judged(call, **good) is not None


numbers = st.floats(width=64) | st.sampled_from(
    [0.0, 1.0, -1.0, 1e308, 5e-324, -1e-300]
)
arrays = st.lists(numbers, min_size=0, max_size=4)
tables = st.lists(arrays, min_size=0, max_size=4)


@given(arrays, tables, tables)
def test_any_numbers_make_a_model_or_are_refused(initial_probs, matrix, emission):
    model = judged(HMM, initial_probs, matrix, emission)
    if model is not None:
        assert_close(
            model.transition_matrix.sum(1), torch.ones(model.num_states).double()
        )


DTYPES = [torch.float64, torch.float32, HALF, torch.bfloat16]


@st.composite
def models(draw):
    """A small model with rows of any sharpness, some zeros, in any precision."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.integers(1, 3))
    power = draw(st.sampled_from([1.0, 30.0, 900.0]))

    def probs(*shape):
        values = (rows(g, *shape).log() * power).softmax(-1)
        return values / values.sum(-1, keepdim=True)

    tables = probs(size), probs(size, size)
    if draw(st.booleans()):
        return HMM(*tables, probs(size, 3)), draw(
            st.lists(st.sampled_from([0, 1, 2, math.nan]), min_size=1, max_size=5)
        )
    spread = 10 ** draw(st.sampled_from([-150.0, -3.0, 0.0, 150.0]))
    loc = torch.randn(size, generator=g, dtype=torch.float64) * spread
    emission = Normal(loc, spread * (0.1 + torch.rand(size, generator=g).double()))
    values = st.sampled_from([0.0, spread, -spread, 100 * spread, math.nan])
    return HMM(*tables, emission), draw(st.lists(values, min_size=1, max_size=5))


def listed(p):
    """log p(x), p(z_t | x), and the best score, by listing every path."""
    paths = all_paths(len(p.log_initial), p.log_likelihoods.shape[-2])
    scores = path_log_joints(p, paths)
    evidence = torch.logsumexp(scores, 0)
    states = torch.nn.functional.one_hot(paths, len(p.log_initial)).double()
    weights = (scores - scores.amax()).exp()
    probs = torch.tensordot(weights, states, dims=1) / weights.sum()
    return evidence, probs, scores.amax()


@given(models())
def test_extreme_models_are_answered_as_listing_does(drawn):
    model, observations = drawn
    p = judged(model.potentials, observations)
    evidence, probs, best = listed(p._replace(log_likelihoods=p.log_likelihoods + 0))
    exact = {"rtol": 1e-9, "atol": 1e-9}
    assert_close(inference.log_likelihood(p), evidence, **exact)
    assert_close(inference.viterbi(p).log_joint, best, **exact)
    smoothed = judged(inference.smooth_states, p)
    assert (smoothed is None) == bool(evidence.isneginf())
    if smoothed is not None:
        assert_close(smoothed.smoothed_probs, probs, **exact)


@given(models(), st.sampled_from(DTYPES), st.integers(0, 3))
def test_the_form_of_tensors_does_not_matter(drawn, dtype, form):
    """Half precision, expanded, turned and strided ones, and those that want gradients."""
    model, observations = drawn
    if isinstance(model.emission, Normal):
        model = HMM(*weather_tables(), GAUSSIAN.emission)
        observations = [x if abs(x) <= 1 or x != x else 1.0 for x in observations]
    x = torch.tensor(observations, dtype=torch.float64).to(dtype)
    given = [each.to(dtype) for each in (model.initial_probs, model.transition_matrix)]
    exact = [each.double() / each.double().sum(-1, keepdim=True) for each in given]
    expected = HMM(*exact, model.emission).potentials(x.double())
    expected = inference.log_likelihood(expected)
    if form == 1:
        given, x = [each.clone().requires_grad_() for each in given], x[:, None][:, 0]
    elif form == 2:
        given[1], x = given[1].mT.contiguous().mT, x.repeat_interleave(2)[::2]
    elif form == 3:
        given = [each.to(torch.promote_types(dtype, torch.float32)) for each in given]
        given, x = [each.numpy() for each in given], x.tolist()
    twin = judged(HMM, *given, model.emission)
    if twin is None:  # rows that no longer sum to one in so few digits
        assert dtype in DTYPES[2:]
        return
    found = inference.log_likelihood(twin.potentials(x)).double()
    loose = 1e-9 if dtype == torch.float64 else 1e-4
    if form == 3 and dtype in DTYPES[2:]:  # rows that were rounded
        loose = 0.05
    assert_close(found, expected, rtol=loose, atol=loose)


def weather_tables():
    return weather.hmm.initial_probs, weather.hmm.transition_matrix


def test_symbols_beyond_the_integers_of_half_precision():
    """2,049 is no number in half precision, and 257 none in bfloat16."""
    size = 3000
    probs = torch.arange(1.0, size + 1).double().repeat(2, 1)
    probs = probs / probs.sum(1, keepdim=True)
    for dtype in DTYPES:
        tables = [each.to(dtype) for each in weather_tables()]
        hmm = HMM(*tables, Categorical(probs))
        for x in ([2049], [2049, math.nan]):
            found = inference.log_likelihood(hmm.potentials(x)).double()
            assert_close(found, probs[0, 2049].log(), rtol=1e-4, atol=0)


@given(models(), st.lists(st.integers(-2, 7), min_size=0, max_size=3))
def test_lengths_that_lie_are_refused(drawn, lengths):
    """Those that are true give each sequence the answer that it has alone."""
    model, x = drawn
    p = judged(model.potentials, [x, x], lengths)
    true = len(lengths) == 2 and all(1 <= n <= len(x) for n in lengths)
    assert (p is not None) == true
    if true:
        for found, n in zip(inference.log_likelihood(p), lengths, strict=True):
            alone = inference.log_likelihood(model.potentials(x[:n]))
            assert_close(found, alone, rtol=1e-9, atol=1e-9)


@given(st.lists(numbers, min_size=1, max_size=4), st.integers(0, 3))
def test_chains_take_any_readings_or_refuse_them(readings, seed):
    """As the model of one flat chain does; squares of what is huge are log 0."""
    best = judged(CHAINS.viterbi, readings)
    flat = CHAINS.flattened()
    p = judged(flat.potentials, readings)
    assert (best is None) == (p is None)
    if best is not None:
        assert_close(
            best.log_joint, inference.viterbi(p).log_joint, rtol=1e-9, atol=1e-9
        )
        smooth = judged(CHAINS.smooth, readings)
        assert (smooth is None) == bool(CHAINS.log_likelihood(readings).isneginf())


def test_readings_in_a_list_keep_their_digits():
    x = [0.1, 1e-9, 123456.789]
    exact = torch.tensor(x, dtype=torch.float64)
    assert CHAINS.log_likelihood(x) == CHAINS.log_likelihood(exact)
    means = factorial.additive_gaussian([[0.1, 1.1]], 0.3)
    assert means.loc.dtype == torch.float64 and means.loc[0].item() == 0.1


@given(st.lists(numbers, min_size=2, max_size=6))
def test_learning_takes_any_readings_or_refuses_them(readings):
    for learn in (learning.em_step, learning.fit_gradient):
        options = {"num_steps": 2} if learn is learning.fit_gradient else {}
        answer = judged(learn, GAUSSIAN, readings, **options)
        if answer is not None:
            emission = answer[0].emission
            assert emission.loc.isfinite().all() and (emission.scale > 0).all()


@given(models(), st.integers(0, 2))
def test_the_definition_takes_what_the_questions_take(drawn, form):
    model, observations = drawn
    p = model.potentials(observations)
    p = p._replace(log_likelihoods=p.log_likelihoods + 0)
    expected = forward(p), backward(p)
    if form == 1:
        p = Potentials(*(x.clone().requires_grad_() for x in (p[0],)), *p[1:])
    elif form == 2:
        turned = p.log_likelihoods.mT.contiguous().mT
        p = Potentials(p[0], (p[1][0].mT.contiguous().mT,), turned)
    assert_close((forward(p), backward(p)), expected, rtol=0, atol=0)


def test_scores_are_tensors_to_code_that_looks_inside():
    """torch reads the memory of what calls itself a tensor; a pretender would crash it."""
    scores = weather.hmm.potentials(WORDS).log_likelihoods
    plain = scores + 0
    for copied in (torch.as_tensor, torch.tensor, torch.asarray, torch.clone):
        assert torch.equal(copied(scores), plain)
    summed = torch.func.vmap(lambda row: row.sum())(scores)
    assert torch.equal(summed, plain.sum(1))
    assert torch.equal(plain.new_tensor(scores), plain)


# --- what the library must not do -----------------------------------------------------

SOURCES = sorted((ROOT / "hmmlib").rglob("*.py"))
FORBIDDEN = {"eval", "exec", "compile", "__import__", "system", "popen", "urlopen",
             "urlretrieve", "read_pickle", "loads", "load", "Popen"}  # fmt: skip
MODULES = {"pickle", "marshal", "shelve", "subprocess", "requests", "urllib", "socket",
           "http", "ctypes", "dill", "joblib"}  # fmt: skip
KNOWN = {  # with its reason
    (
        "show.py",
        "exec",
    ): "runs the library's own source, to see that a block is complete",
    ("show.py", "compile"): "the same",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_evaluated_unpickled_or_fetched(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            assert name not in FORBIDDEN or (path.name, name) in KNOWN, (
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
    for load in (*loaders, series.factorial_cost, series.peers):
        assert len(load()) > 10
