"""What each state says of each observation: log p(x_t | z_t), with an honest log 0."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Uniform,
)
from torch.testing import assert_close

from hmmlib.datasets import weather
from hmmlib.durations import HSMM
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood

PI, A = [0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]]


B = [[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]


GAUSS = HMM(PI, A, Normal(torch.tensor([0.0, 5.0]).double(), 1.0))


VECTOR = HMM(
    PI, A, MultivariateNormal(torch.zeros(2, 3).double(), torch.eye(3).double())
)


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


def test_an_infinite_density_is_refused_by_every_model_and_verb():
    """A posterior would be NaN, and a log-likelihood infinity."""
    emission = Beta(*torch.tensor([[0.5, 2.0], [1.0, 1.0]]).double())
    stays = HSMM(PI, [[0, 1], [1, 0]], emission, [[0.5, 0.5]] * 2)
    for model in (HMM(PI, A, emission), stays):
        for ask in (
            lambda x, m=model: m.log_likelihood(x),
            lambda x, m=model: m.smooth(x),
            lambda x, m=model: m.viterbi(x),
            lambda x, m=model: m.belief().observe(x[0]).observe(x[1]),
        ):
            with pytest.raises(
                ValueError, match=r"0 at step . has an infinite density"
            ):
                ask([0.3, 0.0])
        with pytest.raises(
            ValueError, match="0 at step 1 of sequence 1 has an infinite"
        ):
            model.smooth([[0.2, 0.1, 0.4], [math.nan, 0.0, 0.3]])
        assert model.log_likelihood([0.3, 1.0, math.nan]).isfinite()


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
def test_a_missing_component_leaves_the_others_to_be_read(batch):
    """Of a product it is left out of the sum; of a Gaussian, the others are a marginal."""
    pictures = Independent(Normal(torch.arange(12.0).reshape(2, 2, 3).double(), 1.0), 2)
    mixed = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 1.5]]).double()
    vectors = MultivariateNormal(torch.arange(6.0).reshape(2, 3).double(), mixed)
    of_two = MultivariateNormal(vectors.loc[:, :2], mixed[:2, :2])
    for emission, event in ((vectors, (3,)), (pictures, (2, 3))):
        hmm = HMM(PI, A, emission)
        x = torch.ones(*batch, 4, *event).double()
        whole = emission.log_prob(x.unsqueeze(len(batch) + 1))
        assert_close(hmm.potentials(x).log_likelihoods, whole)
        x.movedim(len(batch), 0)[1, ..., -1] = torch.nan
        if emission is vectors:
            rest = of_two.log_prob(torch.ones(2).double())
        else:
            lost = emission.base_dist.log_prob(torch.ones(2, 3).double())[..., -1]
            rest = whole[..., 1, :] - lost.sum(-1)
        expected = whole.clone()
        expected[..., 1, :] = rest
        assert_close(hmm.potentials(x).log_likelihoods, expected)


def test_elsewhere_a_step_is_missing_if_any_component_is():
    """Shares that sum to one are no product: one of them tells of the others."""
    shares = Dirichlet(torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]]).double())
    x = torch.tensor([[0.2, 0.3, 0.5], [0.5, torch.nan, 0.2]]).double()
    scores = HMM(PI, A, shares).potentials(x).log_likelihoods
    assert_close(scores[0], shares.log_prob(x[0]))
    assert (scores[1] == 0).all()


def test_what_lies_behind_a_sequences_end_is_not_read():
    p = weather.hmm.potentials([[0, 1, 2], [2, -7, 99]], lengths=[3, 1])
    assert_close(log_likelihood(p)[1], log_likelihood(weather.hmm.potentials([2])))


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


SYMBOLS = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
READINGS = torch.float64, torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize("shape", [(1,), (4,), (1, 1), (2, 3)])
@pytest.mark.parametrize("dtype", [*SYMBOLS, *READINGS])
def test_tensors_of_any_type_say_what_lists_say(dtype, shape):
    hmm = GAUSS if dtype.is_floating_point else weather.hmm
    x = torch.arange(math.prod(shape)).reshape(shape) % 3
    expected = hmm.potentials(x.tolist())
    assert torch.equal(hmm.potentials(x.to(dtype))[2], expected[2])
    assert_close(hmm.log_likelihood(x.to(dtype)), log_likelihood(expected))


def test_what_was_read_is_not_looked_at_again():
    for hmm, x in ((weather.hmm, [0, 2, 1]), (GAUSS, [[0.5, torch.nan], [4.0, 1.0]])):
        seen = hmm.read(x)
        assert hmm.read(seen) is seen
        assert_close(hmm.potentials(seen), hmm.potentials(x))
        assert_close(hmm.viterbi(seen), hmm.viterbi(x))


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
