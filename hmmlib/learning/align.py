"""Which state is which: states of two models, or of two paths, matched."""

import torch
from torch import Tensor

from hmmlib.checks import WHOLE, as_tensor
from hmmlib.emissions import rows
from hmmlib.hmm import HMM

MOST_STATES = 10_000  # of two paths that are compared


def align_states(reference, estimate) -> Tensor:
    """The order of the estimate's states that fits the reference best; (K,) permutation.

    `align_states(a, b)[k]` is the state of `b` that plays the part of state k of `a`. Both
    are HMMs of one emission family (compared by their emission parameters), (K, D) tables
    (compared row by row), or (T,) integer paths (compared day by day). Optimal assignment
    (Kuhn 1955), not a search over permutations. Raises ValueError when they do not match.
    """
    if isinstance(reference, HMM) and isinstance(estimate, HMM):
        reference, estimate = rows(reference.emission), rows(estimate.emission)
    reference = as_tensor("reference", reference)
    estimate = as_tensor("estimate", estimate)
    whole = reference.dtype in WHOLE and estimate.dtype in WHOLE
    if reference.shape != estimate.shape or reference.ndim != (1 if whole else 2):
        found = f"{tuple(reference.shape)} and {tuple(estimate.shape)}"
        raise ValueError(
            f"estimate: got shapes {found}, needs two equal ones: (K, D) tables, or (T,)"
            " integer paths"
        )
    if not reference.numel() or not (reference + estimate).isfinite().all():
        raise ValueError("reference, estimate: needs finite numbers, at least one")
    if whole:
        reference, estimate = reference.long(), estimate.long()
        num_states = int(max(reference.max(), estimate.max())) + 1
        if min(reference.min(), estimate.min()) < 0 or num_states > MOST_STATES:
            raise ValueError(
                f"estimate: got states up to {num_states - 1}, needs 0 to {MOST_STATES - 1}"
            )
        cost = torch.zeros(num_states, num_states)
        ones = torch.ones(len(reference))
        cost = -cost.index_put((reference, estimate), ones, accumulate=True)
    else:
        cost = torch.cdist(reference.double(), estimate.double())
    from scipy.optimize import linear_sum_assignment  # takes a while to load

    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])
