"""How many states: models compared by what their parameters cost."""

import math

from hmmlib.checks import as_instance
from hmmlib.emissions import num_free, seen_steps
from hmmlib.hmm import HMM


def num_params(hmm: HMM) -> int:
    """The number of free parameters: K - 1 of the start, K (K - 1) of the moves, and those
    of the emission.

    Example:
        >>> num_params(HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.2, 0.8]]))
        5
    """
    size = as_instance("hmm", hmm, HMM).num_states
    return size - 1 + size * (size - 1) + num_free(hmm.emission)


def aic(hmm: HMM, observations, lengths=None, observed=None) -> float:
    """2 num_params - 2 log p(x): smaller is better. Akaike 1974."""
    as_instance("hmm", hmm, HMM)
    score = hmm.log_likelihood(observations, lengths, observed).sum().item()
    return 2 * num_params(hmm) - 2 * score


def bic(hmm: HMM, observations, lengths=None, observed=None) -> float:
    """num_params log n - 2 log p(x), n observations that are not missing; smaller is better.

    Schwarz 1978.
    """
    seen = as_instance("hmm", hmm, HMM).read(observations, lengths, observed)
    score = hmm.log_likelihood(seen).sum().item()
    there = seen_steps(hmm.emission, seen.values)
    num = int(there.sum()) if seen.lengths is None else _num_seen(there, seen.lengths)
    return num_params(hmm) * math.log(num) - 2 * score


def _num_seen(there, lengths) -> int:
    return sum(int(row[:end].sum()) for row, end in zip(there, lengths, strict=True))
