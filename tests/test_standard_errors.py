"""Standard errors: as Stata and statsmodels print them, by hand, and by finite differences."""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from random_models import rows
from torch.distributions import (
    Bernoulli,
    Categorical,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    StudentT,
)
from torch.testing import assert_close

from hmmlib import HMM, fit
from hmmlib.datasets import series
from hmmlib.emissions import LinearEmission, Product, SphericalNormal, TiedNormal
from hmmlib.learning import (
    PARTS,
    confidence_intervals,
    fit_em,
    fit_gradient,
    num_params,
    profile,
    profile_interval,
    standard_errors,
)
from hmmlib.learning.coordinates import Coordinates, coordinates, entries_of
from hmmlib.learning.information import (
    by_halving,
    covariance_of,
    derivatives,
)
from hmmlib.learning.result import as_options
from hmmlib.transitions import SoftmaxTransitions

G = torch.Generator().manual_seed(3)


def f8(*values):
    return torch.tensor(*values, dtype=torch.float64)


def two_regimes(v, shared):
    """Two means, a start of the long run, and one variance or two; as statsmodels has it."""
    stay, back = v[0], v[1]
    matrix = torch.stack([torch.stack([stay, 1 - stay]), torch.stack([back, 1 - back])])
    start = torch.stack([back, 1 - stay]) / (back + 1 - stay)
    variance = v[4:5].expand(2) if shared else v[4:6]
    return HMM.of_checked(start, matrix, Normal(v[2:4], variance.sqrt()))


def errors_at(v, build, x):
    """Standard errors of v itself."""
    entries = entries_of(build(v))
    where = Coordinates(v, build, entries, entries[: len(v)], [])
    gradient, curvature = derivatives(where, build(v).read(x))
    return covariance_of(where, gradient, curvature).diagonal().sqrt()


def test_stata_prints_the_same():
    """`mswitch dr fedfunds`, as quoted in statsmodels' `test_markov_regression.py`."""
    v = f8([0.9820939, 0.0503587, 3.70877, 9.556793, 2.107562**2])
    found = errors_at(v, lambda v: two_regimes(v, True), series.federal_funds())
    printed = f8([0.0104002, 0.0268434, 0.1767083, 0.2999889])
    assert_close(found[:-1], printed, atol=2e-7, rtol=0)


def test_statsmodels_finds_the_same():
    regression = pytest.importorskip("statsmodels.api").tsa.MarkovRegression
    rate = series.federal_funds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = regression(rate.to_numpy(), k_regimes=2, switching_variance=True).fit(
            gtol=1e-9
        )
    found = errors_at(
        f8(theirs.params), lambda v: two_regimes(v, False), rate.to_numpy()
    )
    assert_close(found, f8(theirs.bse), rtol=2e-4, atol=0)


def test_numbers_and_symbols_by_hand():
    x = Normal(f8(3.0), 2.0).sample((500,))
    one = fit(Normal, 1, x).model
    found = standard_errors(one, x)
    scale = one.emission.scale
    assert_close(found.emission["loc"], scale / math.sqrt(500))
    assert_close(found.emission["scale"], scale / math.sqrt(1000))
    die = HMM([1.0], [[1.0]], [[0.2, 0.3, 0.5]])
    rolls = [0] * 20 + [1] * 30 + [2] * 50
    p = die.emission.probs
    expected = (p * (1 - p) / 100).sqrt()
    assert_close(standard_errors(die, rolls).emission["probs"], expected)
    covariance = standard_errors(die, rolls).covariance[2:, 2:]
    assert_close(covariance, (torch.diag(p[0]) - p.mT @ p) / 100)
    two = Independent(Poisson(f8([[4.0, 9.0]])), 1)
    counts = torch.tensor([[3.0, 8.0], [5.0, 10.0], [math.nan, 9.0]])
    found = standard_errors(HMM([1.0], [[1.0]], two), counts)
    assert_close(found.emission["rate"], f8([[math.sqrt(4 / 2), math.sqrt(9 / 3)]]))


def test_known_states_count_moves():
    """With every state known the chain is a table of counts."""
    z = torch.tensor([[0, 0, 1, 1, 0, 0, 0, 1], [1, 1, 1, 0, 0, 1, 1, 1]])
    moves = torch.zeros(2, 2).double()
    for row in z:
        for i, j in pairwise(row):
            moves[i, j] += 1
    total = moves.sum(1, keepdim=True)
    hmm = HMM([0.5, 0.5], moves / total, [[1.0], [1.0]])
    found = standard_errors(hmm, torch.zeros_like(z), labels=z, learn=PARTS[:2])
    p = moves / total
    assert_close(found.transition_matrix, (p * (1 - p) / total).sqrt())
    assert_close(found.initial_probs, f8([0.5, 0.5]) / math.sqrt(2))
    assert found.emission["probs"].isnan().all()  # held


SIZES = f8([[0.5, 4.0], [3.0, 1.0]])
FAMILIES = [
    (rows(G, 2, 3), None),
    (Categorical(logits=rows(G, 2, 3).log()), None),
    (Bernoulli(f8([0.3, 0.9])), None),
    (Normal(f8([0.0, 1.5]), f8([1.0, 0.5])), None),
    (Poisson(f8([1.0, 6.0])), None),
    (Gamma(f8([2.0, 9.0]), f8([1.0, 1.5])), None),
    (StudentT(f8([3.0, 6.0]), f8([0.0, 4.0]), f8([1.0, 0.5])), None),
    (MultivariateNormal(SIZES, torch.eye(2).double()), None),
    (MultivariateNormal(SIZES, scale_tril=f8([[1.0, 0.0], [0.4, 0.6]])), None),
    (TiedNormal(SIZES, f8([[1.0, 0.2], [0.2, 0.5]])), None),
    (SphericalNormal(SIZES, f8([0.7, 1.0])), None),
    (Independent(Normal(SIZES, SIZES), 1), None),
    (
        Product([Normal(f8([0.0, 2.0]), f8([1.0, 1.0])), Categorical(rows(G, 2, 3))]),
        None,
    ),
    (MixtureSameFamily(Categorical(rows(G, 2, 2)), Normal(SIZES, 1 + SIZES)), None),
    (LinearEmission(SIZES, f8([0.4, 0.9])), 2),
]


@pytest.mark.parametrize(
    ("emission", "num_inputs"), FAMILIES, ids=lambda x: type(x).__name__
)
@pytest.mark.parametrize("kind", ["one", "ragged", "known", "driven"])
def test_derivatives_are_those_of_differences(emission, num_inputs, kind):
    """Of the library's own log-likelihood, and as many coordinates as free parameters."""
    moves, g = [[0.8, 0.2], [0.3, 0.7]], torch.Generator().manual_seed(0)
    if kind == "driven":
        moves = SoftmaxTransitions(torch.randn(2, 2, 2, generator=g).double())
    hmm = HMM([0.4, 0.6], moves, emission)
    inputs = None
    if hmm.num_inputs:
        inputs = torch.randn(3, 6, hmm.num_inputs, generator=g).double()
    sample = hmm.sample(6, 1, 3, inputs=inputs)
    x, given = sample.observations, {"inputs": inputs}
    if kind == "one":
        x, given = x[0], {"inputs": None if inputs is None else inputs[0]}
        given["observed"] = [True, True, False, True, True, True]
    if kind == "ragged":
        given["lengths"] = [6, 1, 4]
    if kind == "known":
        given["labels"] = sample.states.where(sample.states == 1, -1)
    seen = hmm.read(x, **given)
    where = coordinates(hmm, as_options(hmm, PARTS, 0.0).learn)
    assert len(where.start) == num_params(hmm)
    assert_close(where.natural(where.start), where.natural(where.start.clone()))
    gradient, curvature = derivatives(where, seen)

    def score(v):
        return where.build(v).log_likelihood(seen).sum()

    assert_close(by_halving(hmm.potentials(seen)).sum(), hmm.log_likelihood(seen).sum())
    steps = 1e-4 * torch.eye(len(gradient)).double()
    at = where.start
    slopes = [(score(at + s) - score(at - s)) / 2e-4 for s in steps]
    assert_close(gradient, torch.stack(slopes), rtol=1e-5, atol=1e-6)

    def slope(v):
        v = v.clone().requires_grad_()
        return torch.autograd.grad(score(v), v)[0]

    bends = [(slope(at + s) - slope(at - s)) / 2e-4 for s in steps]
    assert_close(curvature, torch.stack(bends), rtol=1e-4, atol=1e-5)


def fitted(num_steps=400, seed=0):
    true = HMM(
        [0.5, 0.5],
        [[0.9, 0.1], [0.2, 0.8]],
        Normal(f8([0.0, 4.0]), f8([1.0, 2.0])),
    )
    x = true.sample(num_steps, seed=seed).observations
    return fit_em(true, x, num_iters=500, tolerance=1e-9).model, x


def test_the_answer_does_not_depend_on_coordinates():
    """At a maximum, the curvature in the parameters themselves has the same inverse."""
    hmm, x = fitted()

    def build(v):
        matrix = torch.stack([v[:2], 1 - v[:2]], 1)
        return HMM.of_checked(hmm.initial_probs, matrix, Normal(v[2:4], v[4:]))

    v = torch.cat([hmm.transition_matrix[:, 0], hmm.emission.loc, hmm.emission.scale])
    found = standard_errors(hmm, x)
    shaped = [found.transition_matrix[:, 0], *found.emission.values()]
    assert_close(torch.cat(shaped), errors_at(v, build, x), rtol=1e-4, atol=0)
    table = found.table
    assert table.loc["loc[1]", "standard_error"] == found.emission["loc"][1]
    assert table.loc["transition_matrix[1, 0]", "estimate"] == v[1]
    assert (
        table["standard_error"][["initial_probs[0]", "initial_probs[1]"]].isna().all()
    )


def test_exact_zeros_and_what_is_known_stay():
    hmm = HMM(
        [1.0, 0.0, 0.0],
        [[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.3, 0.0, 0.7]],
        Normal(f8([0.0, 5.0, 10.0]), f8([1.0, 1.0, 1.0])),
    )
    x = hmm.sample(600, seed=0).observations
    learn = {"transition_matrix": True, "emission": [True, False, True]}
    model = fit_em(hmm, x, learn=learn, tolerance=1e-9).model
    found = standard_errors(model, x, learn=learn)
    zero = hmm.transition_matrix == 0
    assert (found.transition_matrix.isnan() == zero).all()
    assert found.emission["loc"].isnan().tolist() == [False, True, False]
    assert found.covariance.isfinite().all()


def test_tied_states_have_one_error():
    hmm, x = fitted()
    hmm = HMM(hmm.initial_probs, hmm.transition_matrix, Poisson(f8([3.0, 3.0])))
    x = torch.poisson(x.abs())
    hmm = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], Poisson(x.mean().repeat(2)))
    found = standard_errors(hmm, x, learn=PARTS[2:], tied=[0, 0])
    expected = (x.mean() / len(x)).sqrt().repeat(2)
    assert_close(found.emission["rate"], expected)


def test_a_boundary_is_named():
    # State 1 is never left in these data: its moves end on the boundary.
    start = HMM([1.0, 0.0], [[0.9, 0.1], [0.1, 0.9]], Normal(f8([0.0, 9.0]), 1.0))
    x = torch.cat([torch.linspace(-2, 2, 40), torch.linspace(7, 11, 40)]).double()
    model = fit_em(start, x, num_iters=500, tolerance=1e-9).model
    with pytest.warns(
        UserWarning, match=r"transition_matrix\[1, 0\].* on the boundary"
    ):
        found = standard_errors(model, x)
    assert found.transition_matrix.isnan().tolist() == [[False, False], [True, True]]


def test_what_the_data_do_not_tell_is_named():
    same = HMM([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], [[0.3, 0.7], [0.3, 0.7]])
    with pytest.raises(
        ValueError, match=r"hmm: .*transition_matrix\[0, 1\].*bootstrap"
    ):
        standard_errors(same, [0] * 3 + [1] * 7)
    hmm, x = fitted()
    saddle = HMM(
        hmm.initial_probs, hmm.transition_matrix, Normal(f8([1.0, 4.0]), f8([2.0, 2.0]))
    )
    with pytest.raises(
        ValueError, match=r"curves up in a direction of scale\[0\], loc"
    ):
        standard_errors(saddle, x)
    far = HMM(
        hmm.initial_probs, hmm.transition_matrix, Normal(f8([0.3, 4.0]), f8([1.0, 2.0]))
    )
    with pytest.warns(UserWarning, match="a Newton step would gain .* no maximum"):
        standard_errors(far, x)


def test_intervals_keep_within_bounds_and_hold_the_estimate():
    hmm, x = fitted(100)
    table = confidence_intervals(hmm, x, level=0.99)
    known = table.dropna()
    assert ((known.low < known.estimate) & (known.estimate < known.high)).all()
    inside = known.filter(like="transition", axis=0)
    assert ((inside.low > 0) & (inside.high < 1)).all()
    narrow = confidence_intervals(hmm, x, level=0.5).dropna()
    assert (narrow.low > known.low).all() and (narrow.high < known.high).all()
    for level in (0, 1, 95, "x"):
        with pytest.raises(ValueError, match="level"):
            confidence_intervals(hmm, x, level=level)


def test_the_profile_of_a_coin_by_hand():
    """The ends solve n1 log(p / p1) + n0 log((1 - p) / (1 - p1)) = -1.92."""
    hits, misses = 36, 12
    coin = HMM([1.0], [[1.0]], [[misses / 48, hits / 48]])
    x = [1] * hits + [0] * misses
    found = profile_interval(coin, x, "probs", (0, 1))
    for end in found.low, found.high:
        drop = hits * math.log(end / 0.75) + misses * math.log((1 - end) / 0.25)
        assert math.isclose(drop, -1.9207294, abs_tol=2e-4)
    by_table = confidence_intervals(coin, x, method=profile).loc["probs[0, 1]"]
    assert_close(f8(by_table[["low", "high"]].to_list()), f8(found[:2]))


@pytest.mark.parametrize(("name", "index"), [("loc", 1), ("transition_matrix", (0, 1))])
def test_a_profile_is_the_best_that_a_grid_finds(name, index):
    """At its ends, no model with that value is more probable than the drop allows."""
    hmm, x = fitted(200)
    peak = hmm.log_likelihood(x)
    for end in profile_interval(hmm, x, name, index)[:2]:
        value = {"loc": hmm.emission.loc, "transition_matrix": hmm.transition_matrix}
        new = value[name].clone()
        new[index] = end
        mask = torch.ones_like(new, dtype=torch.bool)
        mask[index] = False
        if name == "loc":
            start = HMM(
                hmm.initial_probs,
                hmm.transition_matrix,
                Normal(new, hmm.emission.scale),
            )
            learn = {
                "transition_matrix": True,
                "emission": {"loc": mask, "scale": True},
            }
        else:
            new[0, 0] = 1 - end
            start = HMM(hmm.initial_probs, new, hmm.emission)
            learn = {"transition_matrix": mask, "emission": True}
        best = fit_gradient(start, x, learn=learn, num_steps=600)
        drop = peak - best.log_likelihoods[-1]
        assert abs(drop - 1.9207) < 2e-3


def test_what_has_no_profile_is_refused():
    hmm, x = fitted(100)
    with pytest.raises(ValueError, match=r"parameter, index: got .*lock"):
        profile_interval(hmm, x, "lock", 0)
    with pytest.raises(ValueError, match="was held"):
        profile_interval(hmm, x, "initial_probs", 0)
