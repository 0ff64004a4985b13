"""Whatever numbers come in, what comes out is a ValueError in words or the right answer.

Never another exception, a hang, a crash, or NaN where the data are possible. `make fuzz` draws
other input for the same properties, again and again.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from odd import CHAINS, GAUSSIAN, HALF, WORDS, judged
from random_models import rows
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

from hmmlib import factorial, inference, learning
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.recursion import Potentials, backward, forward

pytestmark = pytest.mark.filterwarnings("ignore")

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
