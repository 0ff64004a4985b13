"""`Potentials` that do not fit together are refused in words."""

import pytest
import torch
from random_models import random_potentials

from hmmlib.datasets import weather
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    pairwise_probs,
    sample_states,
    smooth_states,
    total_counts,
    viterbi,
)
from hmmlib.recursion import Potentials

QUESTIONS = (
    log_likelihood, filter_states, smooth_states, pairwise_probs, expected_counts,
    total_counts, viterbi, lambda p: sample_states(p, 1),
)  # fmt: skip


def broken(sizes=(2,), **fields):
    return random_potentials(10, sizes, 3)._replace(**fields)


FIXED = torch.zeros(2, 2).double()


BAD = torch.tensor([[0.0, torch.nan], [torch.inf, torch.inf]])


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (broken(log_initial=torch.tensor(0.0)), "log_initial: got shape"),
        (
            broken(log_likelihoods=torch.zeros(3, 5)),
            r"log_likelihoods: got shape \(3, 5\)",
        ),
        (broken(log_likelihoods=torch.zeros(0, 2)), "at least one step"),
        (broken(log_transitions=torch.zeros(2, 2)), "log_transitions: needs a tuple"),
        (broken(log_transitions=[FIXED]), "log_transitions: needs a tuple of 1"),
        (broken(log_transitions=(FIXED,) * 2), "log_transitions: needs a tuple of 1"),
        (broken((2, 2), log_transitions=(FIXED,)), "needs a tuple of 2"),
        (
            Potentials(torch.zeros(0), (torch.zeros(0, 0),), torch.zeros(3, 0)),
            r"log_initial: got shape \(0,\)",
        ),
        (broken(log_initial=[0.0, 0.0]), "log_initial: got list, needs a tensor"),
        (broken(log_transitions=("ab",)), r"log_transitions\[0\]: got str, needs a"),
        (broken(log_likelihoods=[[0.0, 0.0]]), "log_likelihoods: got list, needs a"),
        (
            broken(log_initial=torch.zeros(2).half()),
            "log_initial: got torch.float16, needs float64 or float32",
        ),
        (
            broken(log_transitions=(FIXED.long(),)),
            r"log_transitions\[0\]: got torch.int",
        ),
        (
            broken(log_likelihoods=torch.zeros(3, 2).int()),
            "log_likelihoods: got torch.i",
        ),
        (
            broken(log_initial=BAD[0] + BAD[1]),
            r"log_initial: inf at \[0\], needs numbers",
        ),
        (broken(log_transitions=(BAD,)), r"log_transitions\[0\]: nan at \[0, 1\]"),
        (broken(log_likelihoods=BAD), r"log_likelihoods: nan at \[0, 1\]"),
        (broken((2, 2), log_initial=BAD), r"log_initial: nan at \[0, 1\]"),
        (
            broken((2, 2), log_transitions=(FIXED, BAD)),
            r"log_transitions\[1\]: nan at \[0, 1\]",
        ),
        (
            broken((2, 2), log_likelihoods=BAD[None].expand(3, 2, 2)),
            r"log_likelihoods: nan at \[0, 0, 1\]",
        ),
        (
            broken(log_transitions=(torch.zeros(3, 3),)),
            r"log_transitions\[0\]: got shape \(3, 3\)",
        ),
        (
            broken(log_transitions=(torch.zeros(3, 2, 2),)),
            r"needs \(2, 2\) or \(2, 2, 2\)",
        ),
        (
            broken(log_initial=torch.tensor([0.0, torch.nan])),
            r"log_initial: nan at \[1\]",
        ),
        (
            broken(log_initial=torch.tensor([0.0, torch.inf])),
            r"log_initial: inf at \[1\]",
        ),
        (
            broken(lengths=torch.tensor([3])),
            "lengths: given for observations of one sequence",
        ),
        (
            broken(lengths=torch.tensor([1, 2, 1])),
            "lengths: given for observations of one sequence",
        ),
        (random_potentials(0, (2,), 3, (2,), lengths=[3, 0]), r"lengths: got \[3, 0\]"),
        (
            random_potentials(0, (2,), 3, (2,), lengths=[3.0, 1.0]),
            r"lengths: got \[3.0, 1.0\]",
        ),
        (
            random_potentials(0, (2,), 3, (2,), lengths=[True, True]),
            r"lengths: got \[True, True\]",
        ),
        (
            random_potentials(0, (2,), 3, (2,), lengths=torch.tensor([3, 4])),
            r"lengths: got \[3, 4\], needs integers from 1",
        ),
    ],
)
def test_potentials_that_do_not_fit_are_refused_in_words(p, message):
    with pytest.raises(ValueError, match=message):
        log_likelihood(p)


def test_pairs_and_counts_need_one_chain_and_samples_at_least_one():
    for question in (pairwise_probs, expected_counts, total_counts):
        with pytest.raises(ValueError, match=r"got 2 chains, shape \(2, 2\); needs 1"):
            question(random_potentials(0, (2, 2), 3))
    with pytest.raises(ValueError, match="num_samples"):
        sample_states(random_potentials(0, (2,), 3), 0)


@pytest.mark.parametrize("found", ["abc", None, (1, 2, 3), torch.zeros(2), weather.hmm])
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_no_potentials_at_all_is_a_type_error(question, found):
    name = type(found).__name__
    with pytest.raises(TypeError, match=f"potentials: got {name}, needs a Potentials"):
        question(found)
