"""On a GPU every model answers as on the CPU; skipped where there is none."""

from functools import partial

import pytest
import torch
from torch.distributions import (
    Categorical,
    Gamma,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
)

from hmmlib import HMM, FactorialHMM
from hmmlib.emissions import LinearEmission
from hmmlib.factorial import additive_gaussian
from hmmlib.inference import expected_counts, pairwise_probs
from hmmlib.learning import fit_em, fit_gradient
from hmmlib.transitions import SoftmaxTransitions

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU that torch can use"
)
K, T, N = 3, 60, 4
PI = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
A = torch.tensor(
    [[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.0, 0.95]], dtype=torch.float64
)
LEVELS = torch.tensor([0.5, 3.0, 9.0], dtype=torch.float64)
ONES, EYE = torch.ones_like(LEVELS), torch.eye(2, dtype=torch.float64)
FAMILIES = {
    "categorical": (Categorical, 0.8 * A + 0.2 * PI),
    "normal": (Normal, LEVELS, ONES),
    "poisson": (Poisson, LEVELS),
    "gamma": (Gamma, LEVELS, ONES),
    "negative binomial": (NegativeBinomial, LEVELS, 0.5 * ONES),
    "multivariate normal": (
        MultivariateNormal,
        torch.stack([LEVELS, -LEVELS], -1),
        EYE.expand(K, 2, 2),
    ),
}


def cuda(x):
    return x.to("cuda")


def same(x):
    return x


def both(name: str) -> tuple[HMM, HMM]:
    family, *given = FAMILIES[name]
    return tuple(
        HMM(to(PI), to(A), family(*(to(each) for each in given))) for to in (same, cuda)
    )


def agree(found, expected, rtol=1e-9):
    """The answers on the GPU are those on the CPU, and stay on the GPU."""
    if isinstance(expected, torch.Tensor):
        assert found.device.type == "cuda"
        equal = torch.allclose(found.cpu(), expected, rtol=rtol, atol=1e-10)
        assert equal, (found, expected)
        return
    for each, other in zip(found, expected, strict=True):
        agree(each, other, rtol)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("given", ["one", "batch", "ragged", "missing"])
def test_every_verb_answers_as_on_the_cpu(name, given):
    slow, fast = both(name)
    x = slow.sample(T, seed=1, num_sequences=None if given == "one" else N).observations
    options = {"lengths": torch.tensor([60, 7, 1, 33])} if given == "ragged" else {}
    if given == "missing":
        options = {
            "observed": torch.rand(N, T, generator=torch.Generator().manual_seed(1))
            > 0.3
        }
    for verb in ("log_likelihood", "filter", "smooth", "viterbi"):
        expected = getattr(slow, verb)(x, **options)
        agree(getattr(fast, verb)(cuda(x), **options), expected)
    p, q = slow.potentials(x, **options), fast.potentials(cuda(x), **options)
    agree(expected_counts(q), expected_counts(p))
    agree(pairwise_probs(q), pairwise_probs(p))
    paths = fast.sample_states(cuda(x), 3, seed=1, **options)
    assert paths.device.type == "cuda" and paths.shape[0] == 3


@pytest.mark.parametrize("name", FAMILIES)
def test_learning_climbs_as_on_the_cpu(name):
    slow, fast = both(name)
    x = slow.sample(T, seed=2, num_sequences=N).observations
    for fit in (
        partial(fit_em, num_iters=4, tolerance=0.0),
        partial(fit_gradient, num_steps=4),
    ):
        with pytest.warns(UserWarning, match="not converged"):
            expected = fit(slow, x)
        with pytest.warns(UserWarning, match="not converged"):
            found = fit(fast, cuda(x))
        assert found.model.initial_probs.device.type == "cuda"
        found, expected = (
            torch.as_tensor(each.log_likelihoods).cpu() for each in (found, expected)
        )
        assert torch.allclose(found, expected, rtol=1e-6)


def test_gradients_and_second_derivatives_are_those_of_the_cpu():
    slow, _ = both("normal")
    x = slow.sample(T, seed=3).observations

    def evidence(levels, to):
        emission = Normal(levels, to(torch.ones(K, dtype=torch.float64)))
        return HMM(to(PI), to(A), emission).log_likelihood(to(x))

    for derivative in (
        torch.autograd.functional.jacobian,
        torch.autograd.functional.hessian,
    ):
        expected = derivative(partial(evidence, to=same), LEVELS)
        agree(derivative(partial(evidence, to=cuda), cuda(LEVELS)), expected, rtol=1e-7)


def test_inputs_and_labels_serve_as_on_the_cpu():
    random = torch.Generator().manual_seed(4)
    weights = torch.randn(K, K, 2, dtype=torch.float64, generator=random)
    slopes = torch.randn(K, 2, dtype=torch.float64, generator=random)
    inputs = torch.randn(T, 2, dtype=torch.float64, generator=random)
    x = torch.randn(T, dtype=torch.float64, generator=random)
    labels = torch.full((T,), -1)
    labels[::7] = 1
    answers = []
    for to in (same, cuda):
        hmm = HMM(
            to(PI),
            SoftmaxTransitions(to(weights)),
            LinearEmission(to(slopes), to(torch.ones(K, dtype=torch.float64))),
        )
        given = {"inputs": to(inputs), "labels": to(labels)}
        answers.append((hmm.smooth(to(x), **given), hmm.viterbi(to(x), **given)))
    agree(answers[1], answers[0])


def test_several_chains_answer_as_on_the_cpu():
    random = torch.Generator().manual_seed(5)
    evidence = [torch.randn(T, 2, dtype=torch.float64, generator=random), None]
    answers = []
    for to in (same, cuda):
        means = [to(torch.tensor([0.0, 60.0], dtype=torch.float64)), to(10 * LEVELS)]
        two = to(torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64))
        house = FactorialHMM(
            (two[0], to(PI)), (two, to(A)), additive_gaussian(means, 8.0)
        )
        if to is same:
            x = house.sample(T, seed=5).observations
        given = {"evidence": [to(evidence[0]), None]}
        answers.append(
            (
                house.log_likelihood(to(x), **given),
                house.filter(to(x), **given),
                house.smooth(to(x), **given),
                house.viterbi(to(x), **given),
            )
        )
    agree(answers[1], answers[0])


def test_a_belief_is_moved_on_the_gpu():
    slow, fast = both("normal")
    x = slow.sample(T, seed=6).observations
    beliefs = [slow.belief(), fast.belief()]
    for value in x:
        beliefs = [belief.observe(value) for belief in beliefs]
    agree(
        torch.as_tensor(beliefs[1].probs).to("cuda"), torch.as_tensor(beliefs[0].probs)
    )
    agree(
        torch.as_tensor(beliefs[1].log_likelihood).to("cuda"), beliefs[0].log_likelihood
    )
