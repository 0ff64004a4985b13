"""Small counts looked up in a table: the same answers as computed step by step."""

import numpy as np
import pytest
import torch
from rules import (
    MOVES,
    check_climbs,
    check_components,
    check_maximum,
    check_saved,
    check_states,
    drawn,
    f8,
)
from torch.distributions import (
    Bernoulli,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from torch.testing import assert_close

import hmmlib
from hmmlib import HMM, emissions
from hmmlib.emissions import Lookup, lookup, num_free
from hmmlib.emissions.symbols import MOST_ROWS
from hmmlib.inference import expected_counts
from hmmlib.learning import em_step

COUNTS = {  # each with its number of free parameters
    "Bernoulli": (Bernoulli(f8([0.2, 0.7])), 2),
    "Bernoulli logits": (Bernoulli(logits=f8([-1.0, 0.5])), 2),
    "Binomial": (Binomial(5, f8([0.2, 0.7])), 2),
    "Binomial of two totals": (Binomial(f8([4.0, 6.0]), f8([0.2, 0.7])), 2),
    "Geometric": (Geometric(f8([0.2, 0.7])), 2),
    "NegativeBinomial": (NegativeBinomial(f8([2.0, 9.0]), f8([0.4, 0.6])), 4),
    "Poisson": (Poisson(f8([1.5, 6.0])), 2),
}
every_count = pytest.mark.parametrize("name", COUNTS)
PI = [0.6, 0.4]


def step_by_step(hmm, x):
    """The emission after one EM step, and log p(x), from the (T, K) log-likelihoods."""
    p = hmm.potentials(x)
    counts = expected_counts(p)
    values = torch.as_tensor(x).double()
    seen = ~values.isnan()
    fitted = emissions.fit(hmm.emission, values[seen], counts.states[seen])
    return fitted, counts.log_likelihood.sum()


@every_count
@pytest.mark.filterwarnings("ignore:emission. the counts of state")
@pytest.mark.parametrize("gaps", [False, True])
def test_the_table_gives_the_same_answers(name, gaps):
    emission, _ = COUNTS[name]
    hmm, x = HMM(PI, MOVES, emission), drawn(emission, 60, 3)
    if gaps:
        x[4:60:9] = torch.nan
    assert isinstance(lookup(emission, x), Lookup)
    dense = hmm.potentials(x)
    seen = ~x.isnan()
    told = emissions.log_prob(emission, x.nan_to_num(0.0)[:, None]) * seen[:, None]
    assert_close(dense.log_likelihoods, told, rtol=1e-12, atol=1e-12)
    model, score = em_step(hmm, x)
    expected, total = step_by_step(hmm, x)
    assert_close(score, total, rtol=1e-9, atol=0)
    for key, value in emissions.parameters(expected).items():
        own = emissions.parameters(model.emission)[key]
        assert_close(
            own, value, rtol=1e-6 if key == "total_count" else 1e-9, atol=1e-12
        )


@every_count
@pytest.mark.filterwarnings("ignore:emission. the counts of state")
def test_a_ragged_batch_and_whole_numbers_agree(name):
    emission, _ = COUNTS[name]
    hmm = HMM(PI, MOVES, emission)
    long, short = drawn(emission, 30, 1), drawn(emission, 17, 2)
    _, score = em_step(hmm, [long, short])
    one, other = (hmm.log_likelihood(x.long().tolist()) for x in (long, short))
    assert_close(score, one + other, rtol=1e-12, atol=0)
    padded = torch.stack([long, torch.cat([short, torch.full((13,), torch.nan)])])
    _, again = em_step(hmm, padded, lengths=[30, 17])
    assert_close(again, score, rtol=1e-12, atol=0)


def test_large_few_and_several_chains_are_scored_in_full():
    poisson = Poisson(f8([1.5, 6.0]))
    assert lookup(poisson, f8([3.0] * 2000 + [MOST_ROWS])) is None
    assert lookup(poisson, f8([3.0, 1.0])) is None
    assert lookup(Poisson(f8([[1.5], [6.0]])), f8([0.0] * 9)) is None
    x = f8([1.0] * 2000 + [5000.0])
    assert HMM(PI, MOVES, poisson).log_likelihood(x).isfinite()


@every_count
@pytest.mark.filterwarnings("ignore:emission. the counts of state")
def test_the_rules_of_a_weighted_fit(name, tmp_path):
    emission, free = COUNTS[name]
    check_maximum(emission, n=120)
    check_states(emission)
    check_components(emission, n=120)
    assert num_free(emission) == free
    check_saved(HMM(PI, MOVES, emission), tmp_path / "model.json")


def test_em_climbs():
    check_climbs(COUNTS["Poisson"][0], Poisson(f8([1.0, 3.0])))
    check_climbs(COUNTS["Geometric"][0], Geometric(f8([0.4, 0.5])))
    check_climbs(COUNTS["Bernoulli"][0], Bernoulli(f8([0.4, 0.6])))
    check_climbs(COUNTS["Binomial"][0], Binomial(5, f8([0.4, 0.6])))


def test_they_are_learned_from_data_alone():
    for family in (Poisson, Geometric, Bernoulli):
        emission, _ = COUNTS[family.__name__]
        sticky = HMM([0.5, 0.5], [[0.95, 0.05], [0.05, 0.95]], emission)
        x = sticky.sample(600, seed=1).observations
        found = hmmlib.fit(family, 2, x, num_iters=500, tolerance=1e-4)
        assert found.log_likelihoods[-1] >= sticky.log_likelihood(x) - 0.5
    with pytest.raises(ValueError, match="Binomial has no start from data alone"):
        hmmlib.fit(Binomial, 2, x)
    trials, _ = COUNTS["Binomial"]
    x = HMM([0.5, 0.5], [[0.95, 0.05], [0.05, 0.95]], trials).sample(400, seed=1)
    found = hmmlib.fit(trials, 2, x.observations, num_iters=500, tolerance=1e-4)
    assert (np.diff(found.log_likelihoods) > -1e-9).all()
    assert found.model.emission.total_count.tolist() == [5.0, 5.0]


def test_a_zero_rate_stays_an_honest_zero():
    hmm = HMM(PI, MOVES, Poisson(f8([0.0, 5.0])))
    model, score = em_step(hmm, f8([0.0, 4.0, 0.0, 6.0, 0.0, 2.0, 1.0, 0.0, 9.0, 0.0]))
    assert score.isfinite() and model.emission.rate[0] == 0.0
    smoothed = hmm.smooth([0.0, 3.0] * 5).smoothed_probs
    assert (smoothed[1::2, 0] == 0).all()
