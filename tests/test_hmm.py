"""The model: what it accepts, and what it refuses and in which words."""

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
)
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.emissions import parameters, rebuilt
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood

PI, A = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]


B = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.6, 0.5], A, B), "initial_probs: sums to 1.1, needs 1"),
        (([1.2, -0.2], A, B), r"initial_probs: -0.2 at \[1\], needs probabilities"),
        (([float("nan"), 1.0], A, B), "initial_probs: nan"),
        (([], A, B), "initial_probs: got shape"),
        ((A, A, B), r"initial_probs: got shape \(2, 2\), needs \(K,\)"),
        (
            (PI, [[0.7, 0.3], [0.5, 0.6]], B),
            "transition_matrix: row 1 sums to 1.1, needs 1",
        ),
        (
            (PI, [[0.7, 0.4], [0.3, 0.6]], B),
            "transition_matrix: row 0 sums to 1.1, needs 1; its columns do",
        ),
        ((PI, np.eye(3), B), r"transition_matrix: got shape \(3, 3\), needs \(2, 2\)"),
        ((PI, PI, B), r"transition_matrix: got shape \(2,\), needs \(K, K\)"),
        ((PI, A, [[0.1, 0.4, 0.6], B[1]]), "emission: row 0 sums to 1.1, needs 1"),
        (
            (PI, A, np.transpose(B)),
            "emission: row 0 sums to 0.7, needs 1; its columns do, is it transposed",
        ),
        (
            (PI, A, Categorical(torch.tensor(B).T)),
            r"emission: got batch_shape \(3,\), needs \(2,\).*transposed",
        ),
        ((PI, A, Normal(0.0, 1.0)), r"emission: got batch_shape \(\), needs \(2,\)"),
        (
            (PI, A, Categorical(torch.ones(3, 4))),
            r"batch_shape \(3,\), needs \(2,\), one a state$",
        ),
        (
            (PI, A, Categorical(torch.ones(3, 3, 2))),
            r"batch_shape \(3, 3\), needs \(2,\), one a state$",
        ),
        ((PI, A, [[0.5] * 4] * 2), "emission: row 0 sums to 2, needs 1"),
        ((PI, A, "Categorical"), "emission: got str"),
        ((None, A, B), "initial_probs: got NoneType"),
        (([0.5, 0.501], A, B), "initial_probs: sums to 1.001"),
        (([0.5, 0.500005], A, B), "initial_probs: sums to 1.00000?"),
        (
            (torch.ones(1, dtype=torch.complex64), A, B),
            "initial_probs: got torch.complex64",
        ),
    ],
)
def test_a_wrong_model_is_refused_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        HMM(*arguments)


@pytest.mark.parametrize("columns", [(1.2, 0.9), (1.0, 0.9), (1.1, 1.1)])
def test_only_what_may_be_transposed_is_asked_about(columns):
    """Columns that do not all sum to one."""
    first, second = columns
    matrix = [[0.7, 0.4], [first - 0.7, second - 0.4]]
    with pytest.raises(ValueError, match=r"row 0 sums to 1\.1, needs 1$"):
        HMM(PI, matrix, B)


def test_rounding_is_no_fault():
    """A third to seven digits; in single precision, to four; in half, what it can hold."""
    thirds = torch.tensor([1 / 3] * 3).double()
    for decimals, dtype in ((7, torch.float64), (4, torch.float32)):
        probs = thirds.round(decimals=decimals).to(dtype)
        assert probs.sum() != 1
        hmm = HMM(probs, torch.eye(3, dtype=dtype), probs.repeat(3, 1))
        assert torch.equal(hmm.initial_probs, probs)
        with pytest.raises(ValueError, match="initial_probs: sums to"):
            HMM(probs + 10.0 ** (1 - decimals), torch.eye(3), torch.ones(3, 1))
    probs = thirds.bfloat16()
    assert probs.double().sum() != 1
    hmm = HMM(probs, probs.repeat(3, 1), probs.repeat(3, 1))
    for probs in (hmm.initial_probs, hmm.transition_matrix, hmm.emission.probs):
        assert_close(probs, thirds.float().expand_as(probs))


GAUSS = HMM(PI, A, Normal(torch.tensor([0.0, 5.0]).double(), 1.0))


VECTOR = HMM(
    PI, A, MultivariateNormal(torch.zeros(2, 3).double(), torch.eye(3).double())
)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (
            weather.hmm,
            {"observations": [0, 3, 1]},
            "observations: 3 at step 1, needs an integer from 0 to 2",
        ),
        (
            weather.hmm,
            {"observations": [[0, 1], [0, -1]]},
            "-1 at step 1 of sequence 1",
        ),
        (weather.hmm, {"observations": [0.5]}, "observations: 0.5 at step 0"),
        (weather.hmm, {"observations": [1, 0.5]}, "observations: 0.5 at step 1"),
        (weather.hmm, {"observations": []}, "observations: got shape"),
        (weather.hmm, {"observations": 1}, r"observations: got shape \(\)"),
        (
            weather.hmm,
            {"observations": [[0, 1], [0]], "lengths": [2, 1]},
            r"lengths: got \[2, 1\] for a list of sequences of different lengths",
        ),
        (
            weather.hmm,
            {"observations": [[0, 1], [3]]},
            "observations: 3 at step 0 of sequence 1, needs an integer from 0 to 2",
        ),
        (
            weather.hmm,
            {"observations": [[0, 1], []]},
            r"observations, sequence 1: got shape \(0,\), needs at least one step",
        ),
        (
            weather.hmm,
            {"observations": ["walk", "shop"]},
            "observations: got list, needs a tensor or a list of numbers",
        ),
        (
            weather.hmm,
            {"observations": [0, 1], "lengths": [2]},
            r"lengths: given for observations of one sequence, 2 steps, needs a batch \(N, T\)",
        ),
        (
            weather.hmm,
            {"observations": [[0, 1]], "lengths": [3]},
            r"lengths: got \[3\], needs integers from 1 to 2",
        ),
        (
            weather.hmm,
            {"observations": [0, 1], "observed": [True]},
            "observed: got torch.bool of shape",
        ),
        (
            weather.hmm,
            {"observations": [0, 1], "observed": [1, 0]},
            "observed: got torch.int64",
        ),
        (
            GAUSS,
            {"observations": [0.0, float("inf")]},
            "observations: inf at step 1, needs a finite value",
        ),
        (
            VECTOR,
            {"observations": torch.zeros(5)},
            r"observations: got shape \(5,\), needs \(T, 3\)",
        ),
        (
            weather.hmm,
            {"observations": [[0, 1]], "lengths": [0]},
            r"lengths: got \[0\]",
        ),
        (weather.hmm, {"observations": [[0, 1]], "lengths": [2.0]}, "lengths: got"),
        (weather.hmm, {"observations": [[0, 1]], "lengths": "2"}, "lengths: got str"),
        (
            weather.hmm,
            {"observations": [0, 1], "observed": [None, True]},
            "observed: got",
        ),
    ],
)
def test_wrong_observations_are_refused_in_words(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.potentials(**arguments)


def test_lists_arrays_and_tensors_mean_the_same_and_tensors_keep_their_dtype():
    as_lists = HMM(PI, A, B)
    assert as_lists.initial_probs.dtype == torch.float64
    assert_close(
        HMM(*(np.array(x) for x in (PI, A, B))).transition_matrix,
        as_lists.transition_matrix,
    )
    single = HMM(*(torch.tensor(x) for x in (PI, A, B)))
    p = single.potentials(weather.fortnight.observations)
    assert {
        x.dtype for x in (p.log_initial, *p.log_transitions, p.log_likelihoods)
    } == {torch.float32}
    assert_close(
        log_likelihood(p).item(), -15.148962, rtol=0.0, atol=1e-4
    )  # FACTS: float32 is about 6e-6 off


def test_arrays_of_any_layout_are_taken_and_copied():
    reversed_pi, x = np.array(PI[::-1])[::-1], np.array([2, 1, 0])[::-1]
    for array in (reversed_pi, reversed_pi.astype(">f8")):
        model = HMM(array, A, B)
        assert_close(model.initial_probs, torch.tensor(PI).double())
        array[0] = 5.0
        assert_close(model.initial_probs, torch.tensor(PI).double())
    p = weather.hmm.potentials(x, observed=np.array([True, False, True])[::-1])
    assert (p.log_likelihoods[1] == 0).all() and p.log_likelihoods[2, 0] == np.log(0.5)
    given = torch.tensor(PI)
    model = HMM(given, A, B)
    given[0] = 5.0
    assert model.initial_probs[0] != 5.0
    assert HMM(torch.tensor([1, 0]), A, B).initial_probs.dtype == torch.float64


def test_a_list_of_tensors_keeps_its_gradient():
    share = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    model = HMM([share, 1 - share], A, B)
    log_likelihood(model.potentials([0])).backward()
    assert_close(share.grad.item(), (0.1 - 0.6) / (0.3 * 0.1 + 0.7 * 0.6))


def test_a_model_is_frozen():
    with pytest.raises(AttributeError):
        weather.hmm.initial_probs = torch.ones(2) / 2


@pytest.mark.parametrize(
    "hmm", [weather.hmm, HMM(PI, A, Normal(torch.zeros(2).double(), 1.0))]
)
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_a_tensor_of_too_many_axes_is_refused(hmm, dtype):
    with pytest.raises(ValueError, match=r"observations: got shape \(2, 3, 2\)"):
        hmm.potentials(torch.zeros(2, 3, 2, dtype=dtype))
    with pytest.raises(ValueError, match=r"observations: got shape \(\)"):
        hmm.potentials(torch.zeros((), dtype=dtype))


def test_a_vector_with_one_infinite_component_is_refused_at_its_step():
    x = torch.zeros(4, 3)
    x[2, 0] = torch.inf
    with pytest.raises(ValueError, match="at step 2, needs a finite value"):
        VECTOR.potentials(x)


SHARES = torch.tensor([[0.2, 0.8], [0.5, 0.5]]).double()


@pytest.mark.parametrize(
    ("emission", "names"),
    [
        (Categorical(probs=SHARES), {"probs"}),
        (Categorical(logits=SHARES), {"logits"}),
        (Independent(Bernoulli(probs=SHARES), 1), {"probs"}),
        (Independent(Bernoulli(logits=SHARES), 1), {"logits"}),
        (Normal(SHARES[0], 1.0), {"loc", "scale"}),
        (MultivariateNormal(SHARES, torch.eye(2).double()), {"loc", "scale_tril"}),
    ],
)
def test_a_distribution_is_rebuilt_from_the_parameters_it_was_given(emission, names):
    given = parameters(emission)
    assert given.keys() == names
    twin = rebuilt(emission, {name: value.clone() for name, value in given.items()})
    assert type(twin) is type(emission) and twin.event_shape == emission.event_shape
    values = torch.ones(3, 1, *emission.event_shape).double()
    assert_close(twin.log_prob(values), emission.log_prob(values))
