"""Threads that ask at once, and any number of them inside: the answers are those of one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, Poisson

from hmmlib import emissions
from hmmlib.datasets import weather
from hmmlib.durations import HSMM
from hmmlib.engines.threads import one_thread
from hmmlib.estimators import GaussianHMM
from hmmlib.factorial import FactorialHMM
from hmmlib.hmm import HMM
from hmmlib.inference import sample_states
from hmmlib.learning import fit as fit_model
from hmmlib.learning import fit_em
from hmmlib.nilm.state_network import new_network

F8 = {"dtype": torch.float64}
PI, A = [0.6, 0.4], [[0.9, 0.1], [0.2, 0.8]]
GAUSS = HMM(PI, A, Normal(torch.tensor([0.0, 5.0], **F8), 1.0))
STAYS = HSMM(PI, [[0, 1], [1, 0]], GAUSS.emission, [[0.2, 0.3, 0.5]] * 2)
BOTH = FactorialHMM(
    [PI, PI], [A, A], Normal(torch.tensor([[0.0, 5.0], [2.0, 7.0]], **F8), 1.0)
)


def flat(answer):
    """All numbers of an answer, one behind the other."""
    if isinstance(answer, torch.Tensor):
        return answer.detach().double().flatten()
    if isinstance(answer, HMM | HSMM | FactorialHMM):
        answer = list(vars(answer).values())
    if isinstance(answer, torch.distributions.Distribution):
        answer = list(emissions.parameters(answer).values())
    if isinstance(answer, float | int):
        return torch.tensor([answer], **F8)
    parts = [flat(x) for x in answer if x is not None and not isinstance(x, str)]
    return torch.cat([torch.zeros(0, **F8), *parts])


@pytest.mark.parametrize("model", [GAUSS, STAYS, BOTH], ids=["chain", "stays", "both"])
def test_a_seed_draws_the_same_in_threads_that_draw_at_once(model):
    alone = [flat(model.sample(50, seed=seed)) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        at_once = pool.map(lambda seed: flat(model.sample(50, seed=seed)), range(40))
        assert all(torch.equal(x, y) for x, y in zip(alone, at_once, strict=True))


def test_a_seed_makes_the_same_network_in_threads_that_make_one_at_once():
    def weights(seed):
        return flat(p for p in new_network((2, 3), seed).parameters())

    alone = [weights(seed) for seed in range(20)]
    with ThreadPoolExecutor(8) as pool:
        at_once = pool.map(weights, range(20))
        assert all(torch.equal(x, y) for x, y in zip(alone, at_once, strict=True))


@pytest.mark.filterwarnings("ignore:.*not converged")
def test_a_model_answers_threads_that_ask_at_once():
    """One model and its first questions, which fill whatever it keeps."""
    batch = weather.hmm.sample(60, num_sequences=30, seed=0).observations
    asked = [
        lambda hmm: hmm.log_likelihood(batch),
        lambda hmm: hmm.smooth(batch),
        lambda hmm: hmm.viterbi(batch),
        lambda hmm: fit_em(hmm, batch, num_iters=5).model,
    ]
    alone = [flat(question(weather.hmm)) for question in asked]
    shared = HMM(
        weather.hmm.initial_probs, weather.hmm.transition_matrix, weather.hmm.emission
    )
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda i: flat(asked[i % 4](shared)), range(80)))
    for i, found in enumerate(at_once):
        assert torch.equal(found, alone[i % 4])


def test_torch_keeps_its_threads_when_blocks_of_one_thread_overlap():
    before = torch.get_num_threads()
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first():
        with one_thread():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with one_thread():
            assert torch.get_num_threads() == 1
            second_is_in.set()
            first_is_out.wait(10)

    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(first), pool.submit(second)]
        assert [each.result() for each in done] == [None, None]
        with ThreadPoolExecutor(1) as pool:  # what a thread that begins now gets
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


SERIES = GAUSS.sample(1500, num_sequences=120, seed=1).observations
PAIRS = torch.stack([SERIES, SERIES.roll(1, 1)], -1)
COUNTS = SERIES.abs().round()
LONG = GAUSS.sample(100_000, seed=2).observations
FLAT = MultivariateNormal(torch.eye(2, **F8), torch.eye(2, **F8).expand(2, 2, 2))
SEEDED = {
    "a step of EM, Gaussians": lambda: fit_em(GAUSS, SERIES, num_iters=2),
    "a step of EM, vectors": lambda: fit_em(HMM(PI, A, FLAT), PAIRS, num_iters=2),
    "a step of EM, counts": lambda: fit_em(
        HMM(PI, A, Poisson(torch.tensor([1.0, 5.0], **F8))), COUNTS, num_iters=2
    ),
    "a step of EM, a long series": lambda: fit_em(GAUSS, LONG, num_iters=2),
    "starts of a fit": lambda: fit_model(
        Normal, 3, SERIES, num_starts=2, seed=4, num_iters=3
    ),
    "stays": lambda: STAYS.smooth(SERIES[:4, :200]),
    "both": lambda: BOTH.smooth(SERIES[0]),
    "paths": lambda: sample_states(GAUSS.potentials(SERIES[0]), 400, seed=3),
    "an estimator": lambda: torch.from_numpy(
        GaussianHMM(2, random_state=0, n_iter=4)
        .fit(SERIES.flatten()[:, None].numpy(), [1500] * 120)
        .means_.copy()
    ),
}


@pytest.mark.filterwarnings("ignore:.*not converged")
@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_gives_the_same_to_the_last_bit_on_any_number_of_threads(name):
    before, found = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3, 8):
            torch.set_num_threads(num_threads)
            found.append(flat(SEEDED[name]()))
    finally:
        torch.set_num_threads(before)
    for each in found[1:]:
        assert torch.equal(each, found[0])
