"""The explorers: the numbers of the library, in a browser."""

import re

import pytest
import torch
from explorers import RUN, lamps, machine, weather_trellis
from random_models import rows
from torch.distributions import LogNormal, Normal

from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood, smooth_states, viterbi
from hmmlib.recursion import backward, forward


def random_hmm(seed):
    """A model of 1 to 4 states and 1 to 4 symbols with some exact zeros, and 1 to 7 words."""
    g = torch.Generator().manual_seed(seed)
    num_states, num_symbols, num_steps = torch.randint(1, 5, (3,), generator=g).tolist()

    def table(*shape):
        probs = rows(g, *shape) * (torch.rand(*shape, generator=g) > 0.25)
        probs[..., 0] += 1 - probs.sum(-1)
        return probs

    hmm = HMM(
        table(num_states), table(num_states, num_states), table(num_states, num_symbols)
    )
    return hmm, torch.randint(num_symbols, (2 * num_steps - 1,), generator=g)


def assert_same(found, wanted, rtol=0.0):
    """The browser's numbers are the library's, to 1e-9."""
    found = torch.tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=1e-9)


def test_the_browser_computes_what_the_library_computes(opened):
    """Random models with exact zeros, impossible words and missing ones; to 1e-9."""
    models = [random_hmm(seed) for seed in range(150)]
    given = [explore.trellis(*each).model for each in models]
    missing = [
        (hmm, torch.where(torch.arange(len(x)) == 1, torch.nan, x.double()))
        for hmm, x in models[:30]
    ]
    given += [explore.trellis(*each).model for each in missing]
    page = opened(weather_trellis()).page
    answers = page.evaluate(
        """models => models.map(model => {
            const b = hmmExplore.ofSymbols(model);
            const paths = hmmExplore.allPaths(model, b).map(path => path.score);
            return { ...hmmExplore.compute(model, b), paths };
        })""",
        given,
    )
    impossible = 0
    for (hmm, x), found in zip([*models, *missing], answers, strict=True):
        p = hmm.potentials(x)
        for name, wanted in (
            ("alpha", forward(p)),
            ("beta", backward(p)),
            ("delta", forward(p, torch.amax)),
            ("evidence", log_likelihood(p)),
            ("best", viterbi(p).log_joint),
        ):
            assert_same(found[name], wanted, rtol=1e-9)
        listed = path_log_joints(p, all_paths(hmm.num_states, len(x)))
        assert_same(found["paths"], listed.sort(descending=True).values, rtol=1e-9)
        if log_likelihood(p) == -torch.inf:
            impossible += 1
            assert found["gamma"] is None and found["path"] is None
        else:
            assert_same(found["gamma"], smooth_states(p).smoothed_probs)
            score = path_log_joints(p, torch.tensor([found["path"]]))
            assert_same(score.item(), viterbi(p).log_joint, rtol=1e-9)
    assert 5 < impossible < 120, "both kinds are among them"


def test_readings_in_the_browser_are_the_librarys(opened):
    page = opened(explore.signal(machine(), RUN)).page
    for seed in range(10):
        g = torch.Generator().manual_seed(seed)
        means = 10 * torch.rand(3, generator=g, dtype=torch.float64)
        scales = 0.05 + 3 * torch.rand(3, generator=g, dtype=torch.float64)
        hmm = machine(means, scales)
        given = explore.signal(hmm, RUN).model
        found = page.evaluate(
            "model => hmmExplore.compute(model, hmmExplore.ofReadings(model))", given
        )
        p = hmm.potentials(RUN)
        assert found["evidence"] == pytest.approx(float(log_likelihood(p)), rel=1e-9)
        assert_same(found["gamma"], smooth_states(p).smoothed_probs)


def test_the_meter_in_the_browser_is_the_factorial_model(opened):
    """Marginals, evidence and the joint table; with a lamp looked at, by conditioning."""
    x = torch.tensor([2.0, 58.0, 63.0, 119.0, 61.0], dtype=torch.float64)
    page = opened(explore.meter(lamps(), x)).page
    for levels in ([(0.0, 60.0)] * 2, [(0.0, 60.0), (0.0, 75.0), (0.0, 20.0, 130.0)]):
        model = lamps(levels)
        given = explore.meter(model, x).model
        flat = model.flattened().potentials(x)
        ask = "([given, at]) => hmmExplore.attribute(given, at)"
        for t in range(5):
            at = {"x": x.tolist(), "t": t, "scale": 5.0, "seen": [-1] * len(levels)}
            found = page.evaluate(ask, [given, at])
            singles = model.smooth(x).smoothed_probs
            for got, wanted in zip(found["singles"], singles, strict=True):
                assert_same(got, wanted[t])
            wanted = smooth_states(flat).smoothed_probs[t]
            assert_same(found["joint"], wanted)
            assert found["evidence"] == pytest.approx(
                float(log_likelihood(flat)), rel=1e-9
            )
            at["seen"][0] = 1
            on = wanted * (torch.tensor(found["states"])[:, 0] == 1)
            assert_same(page.evaluate(ask, [given, at])["joint"], on / on.sum())


def test_a_row_still_sums_to_one_when_an_entry_changes(opened):
    page = opened(weather_trellis()).page
    rows = [[0.2, 0.3, 0.5], [1, 0, 0], [0, 0, 1], [1.0]]
    for row in rows:
        for k in range(len(row)):
            for value in (-1, 0, 0.25, 1, 7):
                new = page.evaluate(
                    "given => hmmExplore.normalise(...given)", [row, k, value]
                )
                assert sum(new) == pytest.approx(1, abs=1e-12) and min(new) >= 0
                if len(row) > 1:
                    assert new[k] == min(1, max(0, value))


def test_what_does_not_fit_is_refused_in_words():
    even, zeros, ones = torch.full((2, 2), 0.5), torch.zeros(2), torch.ones(2)
    two = HMM(even[0], even, Normal(zeros, ones))
    skewed = HMM(even[0], even, LogNormal(zeros, ones))
    many = HMM(torch.full((7,), 1 / 7), torch.full((7, 7), 1 / 7), torch.ones(7, 1))
    for make, message in (
        (lambda: explore.trellis(two, [0.0]), "got a Normal emission, needs a table"),
        (lambda: explore.signal(weather.hmm, [0]), "got a Categorical emission"),
        (lambda: explore.signal(skewed, [1.0]), "got a LogNormal emission"),
        (lambda: explore.trellis(weather.hmm, [0], question="x"), "question: got 'x'"),
        (lambda: explore.trellis(weather.hmm, [0], ("a",)), "needs 2 different names"),
        (lambda: explore.trellis(weather.hmm, [9]), "needs an integer from 0 to 2"),
        (lambda: explore.trellis(weather.hmm, [[0]]), "needs \\(T,\\)"),
        (lambda: explore.trellis(weather.hmm, [0] * 201), "T at most 200"),
        (lambda: explore.trellis(many, [0]), "got 7 states, needs at most 6"),
        (lambda: explore.signal(two, [float("nan")]), "needs a reading"),
        (lambda: explore.meter(lamps(), [1.0], step=1), "step: got 1, needs 0 to 0"),
        (lambda: explore.meter(lamps(), [float("nan")]), "readings: got NaN"),
        (lambda: explore.meter(lamps([(0.0, 1.0)] * 7), [1.0]), "128 joint states"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_the_name_of_an_explorer_is_stable():
    assert weather_trellis().identity == weather_trellis().identity
    assert weather_trellis().identity != weather_trellis("forward").identity


def test_the_scripts_are_small_and_ask_for_nothing():
    script = explore.script()
    sizes = {kind: len(explore.script(kind).encode()) for kind in explore.FILES}
    assert len(script.encode()) <= 118_000 and sizes.pop("own_meter") <= 58_000
    assert max(sizes.values()) <= 46_000
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|eval\(|innerHTML", script)
    addresses = set(re.findall(r"https?://[\w./]+", script))
    assert addresses == {"http://www.w3.org/2000/svg"}
