"""A batch answers as its sequences do alone, whatever lies behind their ends."""

import numpy as np
import pytest
import torch
from random_models import one_sequence, random_potentials, rows
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.engines.threads import MOST, WORK, in_parallel, num_parts
from hmmlib.hmm import HMM
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    pairwise_probs,
    sample_states,
    smooth_states,
    viterbi,
)

EXACT = {"rtol": 1e-10, "atol": 1e-12}


@pytest.mark.parametrize("sizes", [(3,), (2, 2)])
@pytest.mark.parametrize("padding", [0.0, -torch.inf, torch.nan])
@pytest.mark.parametrize("forbidden", [0.0, 0.2])
def test_a_ragged_batch_answers_as_its_sequences_do_alone(sizes, padding, forbidden):
    """Whatever lies behind the end of a sequence."""
    lengths = torch.tensor([5, 1, 3])
    p = random_potentials(6, sizes, 5, batch=(3,), forbidden=forbidden, lengths=lengths)
    for n, length in enumerate(lengths):
        p.log_likelihoods[n, length:] = padding
    evidence, filtered, smoothed, best = (
        log_likelihood(p),
        filter_states(p),
        smooth_states(p),
        viterbi(p),
    )
    samples = sample_states(p, 7, seed=0)
    assert samples.shape[:3] == (7, 3, 5)
    for n, length in enumerate(lengths):
        alone = one_sequence(p, n)
        assert_close(evidence[n], log_likelihood(alone), **EXACT)
        assert_close(
            filtered.predicted_probs[n, :length],
            filter_states(alone).predicted_probs,
            **EXACT,
        )
        assert_close(
            smoothed.smoothed_probs[n, :length],
            smooth_states(alone).smoothed_probs,
            **EXACT,
        )
        assert (smoothed.smoothed_probs[n, length:] == 0).all()
        assert_close(best.log_joint[n], viterbi(alone).log_joint, **EXACT)
        assert (best.states[n, :length] == viterbi(alone).states).all() and (
            best.states[n, length:] == -1
        ).all()
        assert (samples[:, n, :length] >= 0).all() and (
            samples[:, n, length:] == -1
        ).all()
        if len(sizes) == 1:
            counts, pairs = expected_counts(p), pairwise_probs(p)
            moves = expected_counts(alone).transitions
            assert_close(counts.transitions[n], moves, **EXACT)
            assert_close(
                counts.states[n, :length], expected_counts(alone).states, **EXACT
            )
            assert_close(pairs[n, : length - 1], pairwise_probs(alone), **EXACT)
            assert (pairs[n, length - 1 :] == 0).all()


@pytest.mark.parametrize("sizes", [(2,), (2, 2)])
def test_padding_is_not_read_when_every_sequence_is_longer_than_all_else(sizes):
    """More steps than states and sequences, and none as long as the batch."""
    lengths = torch.tensor([5, 4])
    p = random_potentials(6, sizes, 7, batch=(2,), lengths=lengths)
    for n, length in enumerate(lengths):
        p.log_likelihoods[n, length:] = torch.nan
    evidence = log_likelihood(p)
    for n in range(2):
        assert_close(evidence[n], log_likelihood(one_sequence(p, n)), **EXACT)
    for other in (lengths.int(), lengths.tolist()):
        assert_close(log_likelihood(p._replace(lengths=other)), evidence, **EXACT)
        assert_close(smooth_states(p._replace(lengths=other)), smooth_states(p))


def test_which_sequence_of_a_batch_is_impossible():
    p = HMM([1.0], [[1.0]], [[1.0, 0.0]]).potentials([[0, 0], [0, 1]])
    assert log_likelihood(p).tolist() == [0.0, -torch.inf]
    with pytest.raises(ValueError, match=r"sequence \[1\] has probability 0"):
        smooth_states(p)


def test_threads_count_as_one_does():
    symbols = torch.randint(30, (70, 300), generator=torch.Generator().manual_seed(0))
    shapes, g = [(12,), (12, 12), (12, 30)], torch.Generator().manual_seed(1)
    hmm = HMM(*(rows(g, *shape) for shape in shapes))
    before = torch.get_num_threads()
    for p in (hmm.compact(symbols), hmm.potentials(symbols)):
        try:
            torch.set_num_threads(1)
            alone = engines.compiled.total_counts(p)
            torch.set_num_threads(3)
            together = engines.compiled.total_counts(p)
        finally:
            torch.set_num_threads(before)
        assert_close(together, alone, rtol=0, atol=0)


QUESTIONS = (log_likelihood, filter_states, smooth_states, expected_counts, viterbi)


def test_threads_share_the_sequences():
    p = random_potentials(3, (12,), 300, batch=(70,))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [question(p) for question in QUESTIONS]
        torch.set_num_threads(4)
        together = [question(p) for question in QUESTIONS]
    finally:
        torch.set_num_threads(before)
    for one, four in zip(alone, together, strict=True):
        assert_close(one, four, rtol=0, atol=0)


@pytest.mark.parametrize(
    "lengths, cut",
    [
        ([5] * 10, [(0, 3, 0), (3, 7, 1), (7, 10, 2)]),
        ([1, 1, 1, 1, 1, 1, 6, 6], [(0, 6, 0), (6, 7, 1), (7, 8, 2)]),
        ([100, 1, 1], [(0, 0, 0), (0, 1, 1), (1, 3, 2)]),
    ],
)
def test_threads_share_the_steps_evenly(lengths, cut):
    done = []
    in_parallel(lambda *each: done.append(each), np.array(lengths), 3)
    assert sorted(done) == cut


def test_a_thread_has_to_be_worth_it():
    """No more parts than sequences, than the work fills, or than a fixed number."""
    assert num_parts(10, 0.0) == 1
    assert num_parts(10, 2 * WORK) == 2
    assert num_parts(100, 1e15) == MOST
    assert num_parts(3, 1e15) == 3
    done = []
    in_parallel(lambda *each: done.append(each), np.ones(7), 1)
    assert done == [(0, 7, 0)]


def test_impossible_sequences_are_told_beside_possible_ones():
    hmm = HMM([1.0, 0.0], torch.eye(2).double(), [[1.0, 0.0], [0.5, 0.5]])
    p = hmm.potentials([[0, 0], [0, 1], [0, 0]])
    assert engines.compiled.each(p) is not None
    assert log_likelihood(p).tolist() == [0.0, -torch.inf, 0.0]
    best = viterbi(p)
    assert best.log_joint.tolist() == [0.0, -torch.inf, 0.0]
    assert best.states.tolist() == [[0, 0], [-1, -1], [0, 0]]
