"""First and second derivatives of the log-likelihood, against those of the listed paths."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoLaplaceApproximation
from random_models import rows
from torch.autograd.functional import hessian, jacobian
from torch.distributions import Categorical as Symbols
from torch.distributions import Gamma, MixtureSameFamily, Normal
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.pyro_models import fit_svi
from hmmlib.recursion import Potentials

WORDS = torch.tensor([0, 0, 1, 2, 2])


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def weather_of(logits):
    """The weather whose two stay-probabilities are sigmoid(logits)."""
    stay = logits.sigmoid()
    moves = torch.stack([stay, 1 - stay], 1)
    moves = torch.stack([moves[0], moves[1].flip(0)])
    return HMM(weather.hmm.initial_probs, moves, weather.hmm.emission)


def listed(p: Potentials):
    """log p(x), every path listed."""
    paths = all_paths(p.log_initial.numel(), len(p.log_likelihoods))
    return path_log_joints(p, paths).logsumexp(0)


def test_the_curvature_of_two_stay_probabilities():
    """Computed apart from this library, by listing 32 paths."""
    x, at = WORDS, f8([0.3, -0.2])
    expected = f8([[-0.0952, 0.0121], [0.0121, -0.2722]])

    def evidence(logits):
        return log_likelihood(weather_of(logits).potentials(x))

    assert_close(hessian(evidence, at), expected, rtol=0, atol=5e-5)
    by_listing = hessian(lambda v: listed(weather_of(v).potentials(x)), at)
    assert_close(hessian(evidence, at), by_listing, rtol=1e-10, atol=1e-12)
    third = jacobian(lambda v: hessian(evidence, v, create_graph=True), at)
    expected = jacobian(
        lambda v: hessian(
            lambda w: listed(weather_of(w).potentials(x)), v, create_graph=True
        ),
        at,
    )
    assert_close(third, expected, rtol=1e-9, atol=1e-11)


def models(kind):
    """(free numbers, model of them, observations) for each way to make scores."""
    g = torch.Generator().manual_seed(kind)
    free = torch.randn(4, generator=g, dtype=torch.float64)
    shares = rows(g, 2, 3)

    def model(v):
        moves = torch.stack([v[:2].softmax(0), v[2:].softmax(0)])
        emission = {
            0: lambda: (
                shares * v.exp()[:2, None] / (shares * v.exp()[:2, None]).sum(1, True)
            ),
            1: lambda: Normal(v[:2], v[2:].exp()),
            2: lambda: Gamma(v[:2].exp(), v[2:].exp()),
            3: lambda: MixtureSameFamily(
                Symbols(probs=v.reshape(2, 2).softmax(1)),
                Normal(torch.stack([v[:2], v[2:]]), 1.0),
            ),
        }[kind]()
        return HMM(moves[0], moves, emission)

    x = WORDS if kind == 0 else 1 + torch.rand(5, generator=g, dtype=torch.float64)
    return free, model, x


WAYS = (  # by potentials, by the verb, and by the verb of an engine that is named
    lambda hmm, *x: log_likelihood(hmm.potentials(*x)),
    lambda hmm, *x: hmm.log_likelihood(*x),
    lambda hmm, *x: hmm.log_likelihood(*x, engine=engines.recursion),
)


@pytest.mark.parametrize("kind", range(4))
def test_second_derivatives_of_every_kind_of_scores(kind):
    free, model, x = models(kind)
    expected = hessian(lambda v: listed(model(v).potentials(x)), free)
    for answer in WAYS:
        found = hessian(lambda v, answer=answer: answer(model(v), x), free)
        assert_close(found, expected, rtol=1e-9, atol=1e-10)
    # and of a batch, ragged and with gaps
    batch = torch.stack([x, x.flip(0)]).double()
    batch[0, 1] = torch.nan
    lengths = torch.tensor([4, 5])

    def each(v):
        parts = [batch[n, :length] for n, length in enumerate(lengths)]
        return sum(listed(model(v).potentials(part)) for part in parts)

    exact = {"rtol": 1e-9, "atol": 1e-10}
    for answer in WAYS:

        def together(v, answer=answer):
            return answer(model(v), batch, lengths).sum()

        assert_close(hessian(together, free), hessian(each, free), **exact)
        assert_close(jacobian(together, free), jacobian(each, free), **exact)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_second_derivatives_in_the_potentials_themselves(seed, changing):
    """Also where moves are forbidden, and where all of them into a state are."""
    g = torch.Generator().manual_seed(seed)
    moves = rows(g, *([3] if changing else []), 3, 3).log()
    moves[..., 0, 2] = -torch.inf
    if seed == 2:
        moves[..., :, 2] = -torch.inf
    initial, scores = rows(g, 3).log(), rows(g, 4, 3).log()
    scores[1, 0] = -torch.inf

    def of(flat, answer):
        # tilted, so that -inf stays and everything else is free
        a, b, c = flat.split([3, moves.numel(), 12])
        tilted = Potentials(
            initial + a, (moves + b.reshape(moves.shape),), scores + c.reshape(4, 3)
        )
        return answer(tilted)

    at = torch.zeros(3 + moves.numel() + 12, dtype=torch.float64)
    found = hessian(lambda v: of(v, log_likelihood), at)
    expected = hessian(lambda v: of(v, listed), at)
    assert found.isfinite().all()
    assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_of_impossible_observations_every_derivative_is_zero():
    tables = [f8([1.0, 0.0]), torch.eye(2).double(), f8([[1.0, 0.0], [0.5, 0.5]])]

    def evidence(tilt):
        p = HMM(*tables).potentials([0, 1])
        return log_likelihood(p._replace(log_initial=p.log_initial + tilt))

    assert evidence(f8([0.0, 0.0])) == -torch.inf
    assert (jacobian(evidence, f8([0.0, 0.0])) == 0).all()
    assert (hessian(evidence, f8([0.0, 0.0])) == 0).all()


def test_several_chains_are_twice_differentiable():
    """The house's own log-likelihood, also where a move is forbidden."""
    x = f8([0.2, 1.3, 2.8, 1.1])

    def house(v):
        stay = v[:2].sigmoid()
        one = torch.stack([stay, 1 - stay], 1)
        up = torch.cat([v[2:].softmax(0)[None], f8([[0.0, 1.0]])])  # never back
        emission = additive_gaussian((f8([0.0, 1.0]), f8([0.0, 2.0])), 0.5)
        return FactorialHMM(([0.5, 0.5], [1.0, 0.0]), (one, up), emission)

    at = f8([0.3, -0.2, 0.5, -0.5])
    for answer in (
        lambda v: house(v).log_likelihood(x),
        lambda v: log_likelihood(house(v).potentials(x)),
    ):
        expected = hessian(lambda v: listed(house(v).flattened().potentials(x)), at)
        assert jacobian(answer, at).isfinite().all()
        assert_close(hessian(answer, at), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch itself
@pytest.mark.parametrize("answer", WAYS[:2])
def test_the_functions_of_torch_func_agree_or_refuse_in_words(answer):
    at = f8([0.3, -0.2])

    def evidence(logits):
        return answer(weather_of(logits), WORDS)

    gradient, curvature = jacobian(evidence, at), hessian(evidence, at)
    assert_close(torch.func.grad(evidence)(at), gradient)
    assert_close(torch.func.jacrev(evidence)(at), gradient)
    assert_close(torch.func.jacrev(torch.func.jacrev(evidence))(at), curvature)
    twice = torch.func.grad(lambda v: torch.func.grad(evidence)(v)[0])(at)
    assert_close(twice, curvature[0])
    with pytest.raises(NotImplementedError, match="needs reverse mode"):
        torch.func.hessian(evidence)(at)
    with pytest.raises(ValueError, match="needs a loop over models, or a batch"):
        torch.func.vmap(evidence)(torch.stack([at, at]))
    with pytest.raises(ValueError, match="needs a batch of sequences"):
        torch.func.jvp(evidence, (at,), (torch.ones_like(at),))


def test_the_width_of_a_laplace_approximation():
    """Two stay-probabilities under Normal(0, 1) priors: the curvature at the top, listed."""
    x = weather.fortnight.observations

    def story():
        logits = pyro.sample("logits", dist.Normal(f8([0.0, 0.0]), 1.0).to_event(1))
        pyro.factor("words", log_likelihood(weather_of(logits).potentials(x)))

    pyro.clear_param_store()
    guide = AutoLaplaceApproximation(story)
    fit_svi(story, guide, num_steps=300, learning_rate=0.05)
    top = guide.loc.detach()

    def objective(v):
        return listed(weather_of(v).potentials(x)) - v.square().sum() / 2

    posterior = guide.laplace_approximation().get_posterior()
    covariance = torch.linalg.inv(-hessian(objective, top))
    assert_close(posterior.covariance_matrix, covariance, rtol=1e-6, atol=1e-8)
    assert jacobian(objective, top).abs().max() < 0.05


@pytest.mark.parametrize("kind", range(4))
def test_posteriors_of_a_verb_are_differentiable(kind):
    """p(z_3 = 0 | x) and, of the first three observations alone, p(z_3 = 0 | x_{1:3})."""
    free, model, x = models(kind)
    paths = all_paths(2, len(x))

    def weighed(v):
        return path_log_joints(model(v).potentials(x), paths).softmax(0)

    expected = jacobian(lambda v: weighed(v)[paths[:, 2] == 0].sum(), free)
    assert expected.abs().max() > 1e-3
    found = jacobian(lambda v: model(v).smooth(x).smoothed_probs[2, 0], free)
    assert_close(found, expected, rtol=1e-9, atol=1e-10)
    filtered = jacobian(lambda v: model(v).filter(x).filtered_probs[2, 0], free)
    alone = jacobian(lambda v: model(v).smooth(x[:3]).smoothed_probs[2, 0], free)
    assert_close(filtered, alone, rtol=1e-9, atol=1e-10)
