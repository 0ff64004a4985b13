"""How many states: models compared by what their parameters cost."""

import math

from hmmlib.checks import as_instance
from hmmlib.durations import HSMM
from hmmlib.emissions import num_free, seen_steps
from hmmlib.hmm import HMM


def num_params(hmm: HMM | HSMM) -> int:
    """The number of free parameters: K - 1 of the start, K (K - 1) of the moves, and those
    of the emission.

    Of an `HSMM` K (K - 2) of the moves, since none leads back, and K (D - 1) of the table of
    durations; one that a family gave, such as `poisson_durations`, has fewer. A probability
    of 0 counts as any other; of moves that inputs drive, P for each that is possible, but one
    a row.

    Example:
        >>> num_params(HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.2, 0.8]]))
        5
    """
    size = _as_model(hmm).num_states
    moves = getattr(hmm.transition_matrix, "num_free", size * (size - 1))
    if isinstance(hmm, HSMM):
        moves = size * (max(size - 2, 0) + hmm.durations.shape[1] - 1)
    return size - 1 + moves + num_free(hmm.emission)


def aic(
    hmm: HMM | HSMM, observations, lengths=None, observed=None, *, inputs=None
) -> float:
    """2 num_params - 2 log p(x): smaller is better. Akaike 1974.

    The last stay of an `HSMM` may go on.
    """
    seen = _as_model(hmm).read(observations, lengths, observed, inputs)
    score = hmm.log_likelihood(seen).sum().item()
    return 2 * num_params(hmm) - 2 * score


def bic(
    hmm: HMM | HSMM, observations, lengths=None, observed=None, *, inputs=None
) -> float:
    """num_params log n - 2 log p(x), n observations that are not missing; smaller is better.

    The last stay of an `HSMM` may go on. Schwarz 1978.
    """
    seen = _as_model(hmm).read(observations, lengths, observed, inputs)
    score = hmm.log_likelihood(seen).sum().item()
    there = seen_steps(hmm.emission, seen.values)
    num = int(there.sum()) if seen.lengths is None else _num_seen(there, seen.lengths)
    return num_params(hmm) * math.log(num) - 2 * score


def _as_model(hmm) -> HMM | HSMM:
    """Raises TypeError for anything else."""
    return hmm if isinstance(hmm, HSMM) else as_instance("hmm", hmm, HMM)


def _num_seen(there, lengths) -> int:
    return sum(int(row[:end].sum()) for row, end in zip(there, lengths, strict=True))
