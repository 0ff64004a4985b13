"""How long the trellis explorer takes for one change, in the system's Chromium.

python benchmarks/explorer.py prints milliseconds for T = 30, K = 4: the recursions alone, and
the whole change, with every circle, line and number written anew.
"""

import shutil

import torch
from playwright.sync_api import sync_playwright

from hmmlib.book import explore
from hmmlib.hmm import HMM

MEASURE = """() => {
    const root = document.querySelector(".hmm-explore");
    const model = JSON.parse(root.dataset.model);
    const word = root.querySelectorAll(".hmm-word")[15];
    const median = (run) => {
        const times = [];
        for (let n = 0; n < 60; n++) {
            const start = performance.now();
            run();
            times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[30];
    };
    return {
        "recursions": median(() => hmmExplore.compute(model, hmmExplore.ofSymbols(model))),
        "whole change": median(() => word.click()),
        "with layout": median(() => { word.click(); root.getBoundingClientRect(); }),
    };
}"""


def measure(num_states: int = 4, num_steps: int = 30) -> dict[str, float]:
    """Milliseconds, the median of 60 changes."""
    probs = torch.full((num_states, num_states), 1 / num_states, dtype=torch.float64)
    hmm = HMM(probs[0], probs, probs)
    figure = explore.trellis(hmm, [t % num_states for t in range(num_steps)])
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.set_content(f"<!doctype html><body>{figure._repr_html_()}")
        told = page.evaluate(MEASURE)
        browser.close()
    return told


if __name__ == "__main__":
    for name, milliseconds in measure().items():
        print(f"{name:<14}{milliseconds:6.2f} ms")
