"""What the questions of inference are answered with.

Letters and axes as in `hmmlib.recursion`. Shapes are given for one sequence; a batch puts
N in front.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Filtered(NamedTuple):
    """What is known of each state at its own step."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    filtered_probs: Tensor  #: (T, *S)  p(z_t | x_{1:t})
    predicted_probs: Tensor  #: (T, *S)  p(z_t | x_{1:t-1}); the first row is p(z_1)


class Smoothed(NamedTuple):
    """What is known of each state from all observations."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    smoothed_probs: Tensor
    """(T, *S)  p(z_t | x_{1:T}); of `FactorialHMM.smooth`, M tensors (T, K_m)"""


class Counts(NamedTuple):
    """How often each start, move and state is used, on average over the posterior."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    initial: Tensor  #: (K,)  p(z_1 | x_{1:T})
    transitions: Tensor  #: (K, K)  expected number of moves from one state to another
    states: Tensor  #: (T, K)  p(z_t | x_{1:T})


class Totals(NamedTuple):
    """Expected counts of all sequences together, in the form that learning needs."""

    log_likelihood: Tensor  #: ()  log p(x), summed over sequences
    initial: Tensor  #: (K,)  expected starts
    transitions: Tensor  #: (K, K)  expected moves
    uses: Tensor  #: (T, K) p(z_t | x), or the statistics of a `Lookup`: see `total_counts`


class StayCounts(NamedTuple):
    """How often each move and each duration is used, on average over the posterior."""

    log_likelihood: Tensor  #: ()  log p(x_{1:T})
    states: Tensor  #: (T, K)  p(z_t | x_{1:T})
    transitions: Tensor  #: (K, K)  expected number of moves from one state to another
    durations: Tensor  #: (K, D)  expected number of stays in each state, by duration


class BestPath(NamedTuple):
    """The single most probable path."""

    log_joint: (
        Tensor  #: ()  log p(x_{1:T}, z_{1:T}) of that path; -inf if none is possible
    )
    states: Tensor  #: (T,), or (T, M) for M chains; -1 where no path is possible


def possible(evidence: Tensor) -> Tensor:
    """The log-likelihood. Raises ValueError where it is -inf: no posterior exists."""
    lowest = evidence.amin() if evidence.ndim else evidence
    if not lowest.item() > -torch.inf:
        impossible = evidence.isneginf().nonzero().flatten().tolist()
        which = f" {impossible}" if evidence.ndim else ""
        raise ValueError(
            f"observations: sequence{which} has probability 0 under this model, no posterior"
            " exists"
        )
    return evidence
