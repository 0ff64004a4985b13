"""The explorer that draws days: matrix powers by torch, draws by numpy, and each control."""

import numpy as np
import pytest
import torch
from browser import PHONE
from explorers import weather_sampler

from hmmlib.book import explore
from hmmlib.datasets import weather
from hmmlib.hmm import HMM

PI, A = weather.hmm.initial_probs, weather.hmm.transition_matrix
B = weather.hmm.emission.probs
TABLES = {"pi": PI.tolist(), "A": A.tolist(), "B": B.tolist()}


def told(page):
    """The numbers below the figure."""
    return page.locator(".hmm-facts b").all_inner_texts()


def days(page):
    """What the strip says of each day: state and word."""
    said = page.locator(".hmm-days").get_attribute("aria-label").split("; ")
    return [tuple(day.split(": ")[1].split(", ")) for day in said]


def set_slider(page, state, value):
    slider = page.get_by_role("slider", name=f"Probability that {state} follows")
    slider.evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }",
        value,
    )


@pytest.mark.parametrize("stay", [(0.7, 0.6), (1, 0.2), (0, 0), (0.97, 0.99)])
def test_the_curves_are_powers_of_the_matrix(opened, stay):
    page = opened(weather_sampler()).page
    a, b = stay
    matrix = torch.tensor([[a, 1 - a], [1 - b, b]], dtype=torch.float64)
    for start in (PI, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])):
        found = page.evaluate(
            "given => hmmExplore.chances(...given, 15)",
            [start.tolist(), matrix.tolist()],
        )
        powers = [torch.linalg.matrix_power(matrix, t) for t in range(15)]
        wanted = [(start.double() @ power)[0].item() for power in powers]
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    share = page.evaluate("stay => hmmExplore.stationary(stay)", list(stay))
    mu = torch.tensor([share, 1 - share], dtype=torch.float64)
    assert torch.allclose(mu @ matrix, mu)


def test_without_a_move_every_distribution_is_stationary(opened):
    page = opened(weather_sampler()).page
    assert page.evaluate("hmmExplore.stationary([1, 1])") is None
    for state in weather.states:
        set_slider(page, state, 1)
    assert "every distribution is stationary" in page.locator(".hmm-facts").inner_text()
    assert "NaN" not in page.locator(".hmm-explore").inner_html()


def test_days_are_drawn_from_the_tables(opened):
    """By numpy's search in the cumulated rows, with the same uniform numbers."""
    page = opened(weather_sampler()).page
    us = np.array(page.evaluate("hmmExplore.uniforms(3, 20000)"))
    drawn = page.evaluate(
        "([{pi, A, B}, us]) => hmmExplore.ancestral(pi, A, B, us)", [TABLES, list(us)]
    )
    row, wanted = PI.numpy(), []
    for u, v in us.reshape(-1, 2):
        state = int(np.searchsorted(row.cumsum(), u, side="right"))
        word = int(np.searchsorted(B[state].numpy().cumsum(), v, side="right"))
        wanted.append([state, word])
        row = A[state].numpy()
    assert drawn == wanted
    states = np.array(drawn)[:, 0]
    assert abs((states == 0).mean() - 4 / 7) < 0.03


def test_buttons_draw_days_that_stay(opened):
    tab = opened(weather_sampler())
    page = tab.page
    first = days(page)
    assert len(first) == 7
    assert {state for state, _ in first} <= set(weather.states)
    assert {word for _, word in first} <= set(weather.activities)
    page.get_by_role("button", name="Next day").click()
    page.get_by_role("button", name="Next week").click()
    assert days(page)[:7] == first and len(days(page)) == 15
    rainy = sum(state == "Rainy" for state, _ in days(page))
    assert told(page)[0] == f"{rainy} of 15 days"
    for _ in range(7):
        button = page.get_by_role("button", name="Next week")
        if button.is_enabled():
            button.click()
    assert len(days(page)) == 56 and button.is_disabled()
    page.get_by_role("button", name="New sequence").click()
    assert len(days(page)) == 1
    page.get_by_role("button", name="Reset").click()
    assert days(page) == first and not tab.errors


def test_the_facts_are_those_of_the_chain(opened):
    page = opened(weather_sampler()).page
    assert told(page)[1:] == ["57.1%", "0.30", "0.0002"]  # 4/7, .7 + .6 - 1, .3^7
    set_slider(page, "Rainy", 0.1)
    set_slider(page, "Sunny", 0.2)
    assert told(page)[1:] == ["47.1%", "−0.70", f"−{0.7**7:.4f}"]


def test_a_link_holds_sliders_days_and_seed(opened):
    tab = opened(weather_sampler())
    set_slider(tab.page, "Rainy", 0.25)
    tab.page.get_by_role("button", name="Next day").click()
    wanted, facts = days(tab.page), told(tab.page)
    tab.page.get_by_role("button", name="Share").click()
    fragment = tab.page.evaluate("location.hash")
    again = opened(weather_sampler(), fragment=fragment).page
    assert days(again) == wanted and told(again) == facts
    broken = opened(weather_sampler(), fragment=fragment.replace("0.25", "1.25")).page
    assert len(days(broken)) == 7


@pytest.mark.parametrize("size", [PHONE, (768, 1024), (1280, 800)])
def test_it_fits(opened, size):
    page = opened(weather_sampler(), size=size).page
    for _ in range(7):
        page.get_by_role("button", name="Next week").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    cells = "[...document.querySelectorAll('.hmm-days span')]"
    cut = f"{cells}.some(s => s.scrollWidth > s.clientWidth)"
    assert not page.evaluate(cut)


def test_other_models_are_refused():
    three = HMM([0.2, 0.3, 0.5], torch.eye(3), torch.ones(3, 2) / 2)
    with pytest.raises(ValueError, match="hmm: got 3 states, needs 2"):
        explore.sampler(three)
    with pytest.raises(ValueError, match=r"symbols: got .* needs 3 different names"):
        explore.sampler(weather.hmm, symbols=("a", "b"))
    normal = HMM(PI, A, torch.distributions.Normal(torch.zeros(2), torch.ones(2)))
    with pytest.raises(ValueError, match="got a Normal emission, needs a table"):
        explore.sampler(normal)
    assert explore.sampler(weather.hmm).picture().startswith(b"\x89PNG")
