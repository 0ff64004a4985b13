"""Two states of every distribution of torch, and readings of them."""

import warnings

import pytest
import torch
import torch.distributions as D

PI, MOVES = [0.6, 0.4], [[0.8, 0.2], [0.3, 0.7]]


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


LOW, HIGH = f8([0.5, 2.0]), f8([1.5, 3.0])
P = f8([0.2, 0.7])
ROWS = f8([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
EYE = torch.eye(2).double().expand(2, 2, 2)
PLANE = f8([[0.0, 1.0], [2.0, 3.0]])
TWO = D.Categorical(f8([[0.5, 0.5], [0.25, 0.75]]))
LEVELS = f8([[-1.0, 1.0], [4.0, 6.0]])

FAMILIES = {  # two states of each family; where it can be given logits, those too
    "Bernoulli": D.Bernoulli(P),
    "Bernoulli logits": D.Bernoulli(logits=LOW),
    "Beta": D.Beta(LOW, HIGH),
    "Binomial": D.Binomial(5, P),
    "Binomial logits": D.Binomial(5, logits=LOW),
    "Categorical": D.Categorical(ROWS),
    "Categorical logits": D.Categorical(logits=ROWS),
    "Cauchy": D.Cauchy(LOW, HIGH),
    "Chi2": D.Chi2(HIGH),
    "ContinuousBernoulli": D.ContinuousBernoulli(P),
    "Dirichlet": D.Dirichlet(1 + ROWS),
    "Exponential": D.Exponential(LOW),
    "FisherSnedecor": D.FisherSnedecor(HIGH, LOW),
    "Gamma": D.Gamma(HIGH, LOW),
    "Geometric": D.Geometric(P),
    "Geometric logits": D.Geometric(logits=LOW),
    "Gumbel": D.Gumbel(LOW, HIGH),
    "HalfCauchy": D.HalfCauchy(LOW),
    "HalfNormal": D.HalfNormal(LOW),
    "Independent": D.Independent(D.Normal(PLANE, 1.0), 1),
    "InverseGamma": D.InverseGamma(HIGH, LOW),
    "Kumaraswamy": D.Kumaraswamy(LOW, HIGH),
    "LKJCholesky": D.LKJCholesky(3, LOW),
    "Laplace": D.Laplace(LOW, HIGH),
    "LogNormal": D.LogNormal(LOW, HIGH),
    "LogisticNormal": D.LogisticNormal(PLANE, torch.ones(2, 2).double()),
    "LowRankMultivariateNormal": D.LowRankMultivariateNormal(
        PLANE, torch.ones(2, 2, 1).double(), torch.ones(2, 2).double()
    ),
    "MixtureSameFamily": D.MixtureSameFamily(
        TWO, D.Normal(LEVELS, torch.ones(2, 2).double())
    ),
    "MixtureSameFamily of counts": D.MixtureSameFamily(TWO, D.Poisson(LEVELS.abs())),
    "Multinomial": D.Multinomial(4, ROWS),
    "Multinomial logits": D.Multinomial(4, logits=ROWS),
    "MultivariateNormal": D.MultivariateNormal(PLANE, EYE),
    "NegativeBinomial": D.NegativeBinomial(LOW, P),
    "NegativeBinomial logits": D.NegativeBinomial(HIGH, logits=-LOW),
    "Normal": D.Normal(LOW, HIGH),
    "OneHotCategorical": D.OneHotCategorical(ROWS),
    "OneHotCategoricalStraightThrough": D.OneHotCategoricalStraightThrough(ROWS),
    "Pareto": D.Pareto(f8([1.0, 1.0]), HIGH),
    "Poisson": D.Poisson(HIGH),
    "RelaxedBernoulli": D.RelaxedBernoulli(f8(0.7), P),
    "RelaxedOneHotCategorical": D.RelaxedOneHotCategorical(f8(0.7), ROWS),
    "StudentT": D.StudentT(f8([4.0, 5.0]), LOW, HIGH),
    "TransformedDistribution": D.TransformedDistribution(
        D.Normal(LOW, HIGH), [D.ExpTransform(), D.AffineTransform(0.0, 2.0)]
    ),
    "Uniform": D.Uniform(-LOW, HIGH),
    "VonMises": D.VonMises(LOW, HIGH),
    "Weibull": D.Weibull(LOW, HIGH),
    "Wishart": D.Wishart(f8([4.0, 5.0]), EYE),
}
every_family = pytest.mark.parametrize("name", FAMILIES)


def readings(emission, n, seed=0):
    """n readings from either state, in turns of three."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Singular sample")  # of Wishart
        torch.manual_seed(seed)
        drawn = emission.sample((n,))
    return drawn[torch.arange(n), torch.arange(n) // 3 % 2]
