"""The model: what it accepts, what it refuses and in which words, and that its samples
follow it.
"""

import math
import operator

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    Uniform,
)
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.hmm import HMM, READINGS, SYMBOLS, parameters, rebuilt
from hmmlib.inference import log_likelihood, smooth_states, viterbi

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
        (weather.hmm, {"observations": [[0, 1], [0]]}, "pad them and pass lengths"),
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


def test_log_likelihoods_are_the_emissions_log_prob():
    p = weather.hmm.potentials([2, 0])
    assert_close(
        p.log_likelihoods.exp(), torch.tensor([[0.5, 0.1], [0.1, 0.6]]).double()
    )
    pair = Independent(
        Categorical(torch.tensor([[B[0], B[1]], [B[1], B[1]]]).double()), 1
    )
    p = HMM(PI, A, pair).potentials([[2, 0], [0, 1]])
    told = torch.tensor([[0.5 * 0.6, 0.1 * 0.6], [0.1 * 0.3, 0.6 * 0.3]]).double()
    assert_close(p.log_likelihoods.exp(), told)
    p = VECTOR.potentials(torch.ones(4, 3))
    assert_close(
        p.log_likelihoods, VECTOR.emission.log_prob(torch.ones(4, 1, 3).double())
    )


@pytest.mark.parametrize(
    "emission",
    [
        Categorical(probs=torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double()),
        Categorical(logits=torch.tensor([[0.0, -torch.inf], [1.0, 1.0]]).double()),
        Bernoulli(probs=torch.tensor([0.0, 0.5]).double()),
        Bernoulli(logits=torch.tensor([-torch.inf, 0.0]).double()),
    ],
)
def test_what_a_state_cannot_emit_has_log_probability_minus_infinity(emission):
    """torch floors probabilities at 2e-16, and its log 0 is -36."""
    p = HMM(PI, A, emission).potentials([0, 1])
    assert_close(
        p.log_likelihoods.exp(),
        torch.tensor([[1.0, 0.5], [0.0, 0.5]]).double(),
        rtol=1e-15,
        atol=0.0,
    )
    assert p.log_likelihoods[1, 0] == -torch.inf


def test_logits_below_what_exp_can_hold_are_kept():
    emission = Categorical(logits=torch.tensor([[0.0, -900.0], [1.0, 1.0]]).double())
    assert HMM(PI, A, emission).potentials([1]).log_likelihoods[0, 0] == -900.0


def test_other_families_are_honest_about_zero_too():
    one_hot = OneHotCategorical(torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double())
    p = HMM(PI, A, one_hot).potentials([[0.0, 1.0]])
    assert p.log_likelihoods[0, 0] == -torch.inf and p.log_likelihoods[0, 1] == np.log(
        0.5
    )
    uniform = Uniform(
        torch.tensor([0.0, 5.0]).double(), torch.tensor([6.0, 10.0]).double()
    )
    p = HMM(PI, A, uniform).potentials([1.0, 5.5])
    assert_close(
        p.log_likelihoods.exp(), torch.tensor([[1 / 6, 0], [1 / 6, 1 / 5]]).double()
    )
    with pytest.raises(ValueError, match="observations: 11 at step 0"):
        HMM(PI, A, uniform).potentials([11.0])
    trivial = Independent(Normal(torch.tensor([0.0, 9.0]).double(), 1.0), 0)
    p = HMM(PI, A, trivial).potentials([0.0, 9.0])
    alone = trivial.base_dist.log_prob(torch.tensor([[0.0], [9.0]]).double())
    assert_close(p.log_likelihoods, alone)


@pytest.mark.parametrize(
    "emission",
    [
        Independent(Normal(torch.zeros(2, 3).double(), 1.0), 1),
        MultivariateNormal(torch.zeros(2, 3).double(), torch.eye(3).double()),
        Independent(Bernoulli(torch.ones(2, 3).double() / 2), 1),
    ],
)
def test_a_sequence_of_which_nothing_was_seen(emission):
    model = HMM(PI, A, emission)
    for p in (
        model.potentials(torch.full((4, 3), torch.nan)),
        model.potentials(torch.zeros(4, 3), observed=[False] * 4),
    ):
        assert (p.log_likelihoods == 0).all() and p.log_likelihoods.shape == (4, 2)


def test_missing_observations_say_nothing():
    x = torch.tensor([1.0, torch.nan, 4.0]).double()
    p = GAUSS.potentials(x)
    assert (p.log_likelihoods[1] == 0).all() and (p.log_likelihoods[[0, 2]] != 0).all()
    both = GAUSS.potentials(x, observed=[True, True, False])
    assert (both.log_likelihoods[1:] == 0).all()
    masked = GAUSS.potentials(x.nan_to_num(99.0), observed=[True, False, True])
    assert_close(masked.log_likelihoods, p.log_likelihoods)
    # by hand: the sum over what might have been seen
    whole = sum(
        log_likelihood(weather.hmm.potentials([0, symbol, 1])).exp() for symbol in range(3)
    )  # fmt: skip
    missing = weather.hmm.potentials(
        [0, 0, 1], observed=torch.tensor([True, False, True])
    )
    assert_close(log_likelihood(missing).exp(), whole)
    nothing = weather.hmm.potentials(torch.full((3,), torch.nan))
    assert_close(log_likelihood(nothing).item(), 0.0)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_step_is_missing_if_any_component_is(batch):
    pictures = Independent(Normal(torch.arange(12.0).reshape(2, 2, 3).double(), 1.0), 2)
    for hmm, event in ((VECTOR, (3,)), (HMM(PI, A, pictures), (2, 3))):
        x = torch.ones(*batch, 4, *event)
        expected = hmm.emission.log_prob(x.double().unsqueeze(len(batch) + 1))
        assert_close(hmm.potentials(x).log_likelihoods, expected)
        x.movedim(len(batch), 0)[1, ..., -1] = torch.nan
        expected[..., 1, :] = 0.0
        assert_close(hmm.potentials(x).log_likelihoods, expected)


def test_what_lies_behind_a_sequences_end_is_not_read():
    p = weather.hmm.potentials([[0, 1, 2], [2, -7, 99]], lengths=[3, 1])
    assert_close(log_likelihood(p)[1], log_likelihood(weather.hmm.potentials([2])))


def test_sampling_is_repeatable_and_leaves_the_stream_alone():
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    one, two = GAUSS.sample(20, seed=5), GAUSS.sample(20, seed=5)
    assert torch.rand(1) == before
    assert (one.states == two.states).all() and (
        one.observations == two.observations
    ).all()
    assert (GAUSS.sample(20, seed=6).observations != one.observations).any()
    with pytest.raises(ValueError, match="num_steps"):
        GAUSS.sample(0)


def test_without_a_seed_each_sample_is_another_and_torchs_seed_decides():
    one, two = GAUSS.sample(20), GAUSS.sample(20)
    assert (one.observations != two.observations).all()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = GAUSS.sample(20)
        torch.manual_seed(3)
        assert torch.equal(one.observations, GAUSS.sample(20).observations)


@pytest.mark.parametrize(
    "emission",
    [
        Categorical(torch.tensor(B).double()),
        Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()),
        Poisson(torch.tensor([1.0, 7.0]).double()),
        Independent(Normal(torch.zeros(2, 3).double(), 1.0), 1),
        Independent(Bernoulli(torch.tensor([[0.1, 0.9], [0.8, 1.0]]).double()), 1),
    ],
)
def test_samples_follow_the_model(emission):
    """Visits and moves within five standard errors of the stationary chain, emissions
    of their own mean.
    """
    model = HMM(PI, A, emission)
    states, x = model.sample(4000, seed=0)
    assert x.shape == (4000, *emission.event_shape)
    rainy = (states == 0).double().mean().item()
    # an autocorrelated share: variance pi0 pi1 (1 + rho) / (1 - rho) / T, rho = .7 + .6 - 1
    assert abs(rainy - 4 / 7) <= 5 * (4 / 7 * 3 / 7 * 1.3 / 0.7 / 4000) ** 0.5
    stays = (states[1:][states[:-1] == 0] == 0).double()
    assert abs(stays.mean() - 0.7) <= 5 * (0.7 * 0.3 / len(stays)) ** 0.5
    expected = (
        emission.probs @ torch.arange(3).double()
        if isinstance(emission, Categorical)
        else emission.mean
    )
    for k in range(2):
        mine = x[states == k].double()
        assert (
            (mine.mean(0) - expected[k]).abs() <= 5 * mine.std(0) / len(mine) ** 0.5
        ).all()
    assert smooth_states(model.potentials(x)).smoothed_probs.isfinite().all()


def test_many_sequences_at_once():
    """Independent copies, whose first is nothing special; one alone as ever."""
    states, words = weather.hmm.sample(50, seed=0, num_sequences=2000)
    assert states.shape == words.shape == (2000, 50)
    later = states[:, -1].double().mean()  # stationary: 3/7 Sunny
    assert abs(later - 3 / 7) < 5 * (12 / 49 / 2000) ** 0.5
    moves = (states[:, 1:][states[:, :-1] == 0] == 0).double()
    assert abs(moves.mean() - 0.7) < 0.01
    said = words[states == 1]
    frequencies = torch.bincount(said, minlength=3) / len(said)
    assert (frequencies - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 0.01
    with pytest.raises(ValueError, match="num_sequences: got 0"):
        weather.hmm.sample(5, num_sequences=0)


def test_many_signals_at_once():
    emission = MultivariateNormal(
        torch.tensor([[0.0, 0], [9, 9]]).double(), torch.eye(2).double()
    )
    hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission)
    states, x = hmm.sample(7, seed=0, num_sequences=5)
    assert states.shape == (5, 7) and x.shape == (5, 7, 2)
    assert ((x.mean(-1) > 4.5).long() == states).all()


def test_logarithms_are_kept_until_a_table_changes():
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    before = hmm.potentials(torch.tensor([0, 1, 1]))
    assert hmm.potentials(torch.tensor([0])).log_initial is before.log_initial
    hmm.emission.probs[0] = torch.tensor([0.5, 0.5], dtype=torch.float64)
    after = hmm.potentials(torch.tensor([0, 1, 1]))
    assert torch.allclose(after.log_likelihoods[:, 0].exp(), torch.tensor(0.5).double())
    assert (after.log_likelihoods[:, 1] == before.log_likelihoods[:, 1]).all()


@pytest.mark.parametrize(
    "name", ["initial_probs", "transition_matrix", "emission.loc", "emission.scale"]
)
def test_a_gaussian_model_changed_in_place_is_read_as_it_is(name):
    loc, scale = torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()
    hmm, x = HMM(PI, A, Normal(loc, scale)), torch.tensor([0.0, 4.0])
    before = log_likelihood(hmm.potentials(x))
    changed = operator.attrgetter(name)(hmm)
    changed.copy_(changed.flip(0).clone())
    fresh = HMM(hmm.initial_probs, hmm.transition_matrix, hmm.emission)
    found = log_likelihood(hmm.potentials(x))
    assert found == log_likelihood(fresh.potentials(x)) != before


@pytest.mark.parametrize("change", [lambda x: x.mul_(2.0), lambda x: x[0].zero_()])
def test_scores_changed_in_place_are_read_as_they_are(change):
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    p = hmm.potentials(torch.tensor([0, 1, 1, 0]))
    change(p.log_likelihoods)
    plain = p._replace(log_likelihoods=p.log_likelihoods.clone())
    for question in (log_likelihood, viterbi, smooth_states):
        torch.testing.assert_close(question(p), question(plain))
    assert log_likelihood(p) != log_likelihood(
        hmm.potentials(torch.tensor([0, 1, 1, 0]))
    )


def test_symbols_that_are_gathered_are_those_that_are_looked_up():
    """Integers, floats, a gap, lengths: one answer, whichever way they go."""
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    x = torch.tensor([[0, 1, 1], [1, 1, 0]])
    ways = [x, x.int(), x.byte(), x.double(), x.tolist()]
    for each in ways:
        assert torch.equal(hmm.potentials(each)[2], hmm.potentials(x)[2])
    gap = x.double().index_put(
        (torch.tensor(0), torch.tensor(1)), torch.tensor(torch.nan).double()
    )
    scores = hmm.potentials(gap).log_likelihoods
    assert (scores[0, 1] == 0).all()
    assert torch.equal(scores[1], hmm.potentials(x)[2][1])
    with pytest.raises(ValueError, match="observations: 2 at step 1 of sequence 0"):
        hmm.potentials(torch.tensor([[0, 2, 1]]))


def test_inference_mode_is_no_obstacle():
    """Its tensors do not say when they change."""
    with torch.inference_mode():
        hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        first = log_likelihood(hmm.potentials(torch.tensor([0, 1, 1])))
        again = log_likelihood(hmm.potentials(torch.tensor([0, 1, 1])))
    assert first == again and first < 0
    outside = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    with torch.inference_mode():
        x = torch.tensor([0, 1, 1])
        assert log_likelihood(outside.potentials(x)) == first
        assert (viterbi(outside.potentials(x)).states >= 0).all()


def test_an_emission_from_outside_of_inference_mode_may_change():
    emission = Categorical(torch.tensor(B).double())
    with torch.inference_mode():
        hmm = HMM(PI, A, emission)
    assert hmm.potentials([0]).log_likelihoods[0, 0].isfinite()
    emission.probs[0] = torch.tensor([0.0, 0.5, 0.5]).double()
    assert hmm.potentials([0]).log_likelihoods[0, 0] == -torch.inf


@pytest.mark.parametrize("shape", [(1,), (4,), (1, 1), (2, 3)])
@pytest.mark.parametrize("dtype", [*SYMBOLS, *READINGS])
def test_a_tensor_without_gaps_and_faults_is_read_once(dtype, shape, monkeypatch):
    hmm = GAUSS if dtype.is_floating_point else weather.hmm
    x = torch.arange(math.prod(shape)).reshape(shape) % 3
    expected = hmm.potentials(x.tolist()).log_likelihoods + 0
    monkeypatch.setattr(HMM, "observed_values", None)  # calling it would fail
    assert torch.equal(hmm.potentials(x.to(dtype)).log_likelihoods + 0, expected)


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


def test_a_model_whose_gradient_is_wanted_answers_again():
    """What a gradient went through is not kept: it is used up."""
    probs = torch.tensor(PI, dtype=torch.float64, requires_grad=True)
    hmm = HMM(probs, A, B)
    once, again = (
        torch.autograd.grad(log_likelihood(hmm.potentials([0, 1])), probs)[0]
        for _ in range(2)
    )
    assert_close(once, again, rtol=0, atol=0)


def test_where_a_probability_is_zero_its_gradient_is_that_of_what_it_allows():
    """One path is possible, 0 1 1: it starts once, moves from 0 to 1 and stays in 1."""
    given = [1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.5, 0.5]]
    leaves = [torch.tensor(x).double().requires_grad_() for x in given]
    evidence = log_likelihood(HMM(*leaves).potentials([1, 0, 1]))
    assert_close(evidence.exp().item(), 0.5 * 0.5 * 0.5)
    initial, moves, said = torch.autograd.grad(evidence, leaves)
    assert_close(initial, torch.tensor([1.0, 0.0]).double())
    assert_close(moves, torch.tensor([[0.0, 1 / 0.5], [0.0, 1 / 1.0]]).double())
    assert said.isfinite().all()


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
