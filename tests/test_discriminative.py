"""A house trained for the question that it is asked: its gradient, and what it gains."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from houses import a_house
from torch.distributions import Normal
from torch.testing import assert_close

from hmmlib import engines, nilm
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.nilm import REST, House, discriminative


def metered(house, num_days, seed, step="1h"):
    """Whole days of the mains and of the appliances that have a sub-meter."""
    house = dataclasses.replace(house, step=pd.Timedelta(step))
    steps = num_days * int(pd.Timedelta("1D") / house.step)
    table = nilm.simulate(house, steps, seed, "2026-02-02")
    table.insert(0, "mains", table.sum(axis=1))
    return house, table.drop(columns=REST).clip(lower=0.0)


def parameters(house):
    """Leaves for each chain: logits of moves, levels over scales, logarithms of scales."""
    found = []
    for hmm in house.appliances.values():
        logits, scale = hmm.transition_matrix.log(), hmm.emission.scale
        levels = hmm.emission.loc / scale
        found.append(
            [x.clone().requires_grad_() for x in (logits, levels, scale.log())]
        )
    return found


def of_parameters(house, leaves):
    """The factorial model, with a gradient."""
    scales = [hmm.emission.scale for hmm in house.appliances.values()]
    variance = torch.zeros(())
    for _, _, log_scales in leaves:
        variance = variance[..., None] + (2 * log_scales).exp()
    levels = [x * scale for (_, x, _), scale in zip(leaves, scales, strict=True)]
    return FactorialHMM(
        house.model.initial_probs,
        tuple(logits.softmax(-1) for logits, *_ in leaves),
        additive_gaussian(levels, variance.sqrt()),
    )


def test_the_gradient_is_that_of_the_recursion():
    """Backwards through log p(sub-meters, mains) - log p(mains), day by day."""
    house, table = metered(a_house(300.0), 3, seed=1)
    table.iloc[5, 0], table.iloc[9, 1] = np.nan, np.nan
    days, leaves = discriminative.read_days(house, table, "mains"), parameters(house)
    model, total = of_parameters(house, leaves), 0.0
    evidence = discriminative.evidence_of(house, days, 500.0)
    for n, day in enumerate(days):
        told = [None if each is None else each[n] for each in evidence]
        for sign, more in ((1, told), (-1, None)):
            given = {"evidence": more, "engine": engines.recursion}
            total = total + sign * model.log_likelihood(day.mains, **given)
    expected = torch.autograd.grad(total, [x for each in leaves for x in each])
    clamped, free = discriminative.clamped_and_free(house, days, evidence)
    assert_close(clamped.log_likelihood - free.log_likelihood, total.detach())
    found = [discriminative.gradient(house, clamped, free, m) for m in range(3)]
    found = [x for each in found for x in each]
    assert_close(found, list(expected), rtol=1e-6, atol=1e-7)


def worse(house):
    """The same house with a kettle that is on too often, at levels of 300 W too many."""
    chains = dict(house.appliances)
    kettle = chains["kettle"]
    chains["kettle"] = HMM(
        kettle.initial_probs,
        [[0.7, 0.3], [0.5, 0.5]],
        Normal(kettle.emission.loc + 300.0, kettle.emission.scale),
    )
    return House(chains, house.step)


def error(house, table):
    """sum |estimate - truth| of the appliances, in watts."""
    truth = table.drop(columns="mains")
    estimate = nilm.disaggregate(house, table["mains"])[truth.columns]
    return (estimate - truth).abs().to_numpy().sum()


def test_a_house_that_is_wrong_gets_better_on_days_it_has_not_seen():
    true, table = metered(a_house(100.0), 8, seed=1, step="15min")
    _, unseen = metered(a_house(100.0), 8, seed=2, step="15min")
    start = worse(true)
    trained = nilm.train_discriminatively(start, table)
    assert error(trained, unseen) < 0.75 * error(start, unseen)
    assert trained.names == start.names and trained.step == start.step


def test_each_step_makes_the_sub_meters_more_probable():
    house, table = metered(a_house(300.0), 4, seed=1, step="15min")
    days = discriminative.read_days(house, table, "mains")
    evidence = discriminative.evidence_of(house, days, 500.0)
    climbed = discriminative.climb(worse(house), days, 8, 0.1, 500.0)
    counts = [discriminative.clamped_and_free(each, days, evidence) for each in climbed]
    reached = [float(a.log_likelihood - b.log_likelihood) for a, b in counts]
    assert np.diff(reached).min() > 0


def test_it_stops_where_held_out_days_say_so():
    """The last step that keeps half of the largest gain on the last third of the days."""
    house, table = metered(a_house(300.0), 6, seed=1, step="15min")
    days = discriminative.read_days(house, table, "mains")
    climbed = discriminative.climb(house, days[:4], 5, 0.5, 2000.0)
    errors = [discriminative.absolute_error(each, days[4:]) for each in climbed]
    last = table[table.index.normalize() >= table.index[0] + pd.Timedelta("4D")]
    assert errors[0] == pytest.approx(error(house, last))
    trained = nilm.train_discriminatively(house, table, num_steps=5, rate=0.5)
    gains = errors[0] - np.array(errors)
    stop = np.flatnonzero(gains >= gains.max() / 2).max()
    best = discriminative.climb(house, days, 5, 0.5, 2000.0, stop)
    assert_close(trained.levels, best[-1].levels, rtol=0, atol=0)


def test_no_step_is_the_house_itself():
    house, table = metered(a_house(), 2, seed=1)
    assert nilm.train_discriminatively(house, table, num_steps=0) is house


def test_the_rest_may_be_left_out_and_moves_may_be_forbidden():
    chains = {k: v for k, v in a_house(300.0).appliances.items() if k != REST}
    heater, forbidden = chains["heater"], [[1.0, 0.0], [0.02, 0.98]]
    chains["heater"] = HMM(heater.initial_probs, forbidden, heater.emission)
    house = House(chains, pd.Timedelta("1h"))
    table = nilm.simulate(house, 72, 0, "2026-02-02")
    table["mains"] = table.sum(axis=1)
    trained = nilm.train_discriminatively(house, table.clip(lower=0.0))
    moves = trained.appliances["heater"].transition_matrix
    assert moves[0].tolist() == [1.0, 0.0] and moves.isfinite().all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"mains": "gate"}, r"table: no column for \['gate'\]"),
        ({"num_steps": -1}, "num_steps"),
        ({"rate": 0.0}, "rate"),
        ({"lenient": float("inf")}, "lenient"),
        ({"held_out": 1.0}, "held_out"),
    ],
)
def test_refused(change, message):
    house, table = metered(a_house(), 2, seed=1)
    with pytest.raises(ValueError, match=message):
        nilm.train_discriminatively(house, table, **change)


def test_one_day_is_too_few():
    house, table = metered(a_house(), 1, seed=1)
    with pytest.raises(ValueError, match="needs two or more"):
        nilm.train_discriminatively(house, table)
    with pytest.raises(ValueError, match="no column for an appliance"):
        rest = House({REST: house.appliances[REST]}, house.step)
        nilm.train_discriminatively(rest, table)
