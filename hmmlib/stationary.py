"""How often a chain is in each state in the long run: its stationary distribution."""

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import told


def stationary_probs(transition_matrix: Tensor) -> Tensor:
    """pi = pi A with sum(pi) = 1; shape (K,), 0 for transient states.

    States are eliminated one by one without a subtraction (Grassmann, Taksar & Heyman
    1985), so rare moves keep their precision. Costs K^3.

    Args:
        transition_matrix: (K, K), rows sum to one; the caller has checked it.

    Raises:
        ValueError: the chain has more than one closed group of states, so the long-run
            proportions depend on where it starts.

    Example:
        >>> stationary_probs(torch.tensor([[0.5, 0.5], [0.25, 0.75]]).double())
        tensor([0.3333, 0.6667], dtype=torch.float64)
    """
    closed = _closed_groups(transition_matrix.detach().numpy(force=True) > 0)
    if len(closed) > 1:
        groups = told([group.tolist() for group in closed])
        raise ValueError(
            f"transition_matrix: never leaves any of the states {groups}, so the long run"
            " depends on the initial state; needs one such group"
        )
    inside = torch.as_tensor(closed[0])
    probs = _of_irreducible(transition_matrix[inside][:, inside].double())
    zeros = transition_matrix.new_zeros(len(transition_matrix))
    return zeros.index_copy(0, inside, probs.to(zeros.dtype))


def _closed_groups(possible: np.ndarray) -> list[np.ndarray]:
    """The groups of states that reach each other and that the chain never leaves.

    Args:
        possible: (K, K) booleans, True where the move has a positive probability.
    """
    from scipy.sparse.csgraph import connected_components

    group_of = connected_components(possible, connection="strong")[1]
    members = [group_of == group for group in np.unique(group_of)]
    return [np.flatnonzero(m) for m in members if not possible[m][:, ~m].any()]


def _of_irreducible(flow: Tensor) -> Tensor:
    """pi = pi A, shape (K,), for a chain that reaches every state from every other."""
    entered = []
    for k in range(len(flow) - 1, 0, -1):
        # Remove state k: a path through it becomes a move between the states before it.
        entered.append(flow[:k, k] / flow[k, :k].sum())
        flow = flow[:k, :k] + entered[-1][:, None] * flow[k, :k]
    probs = flow.new_ones(1)
    for weights in reversed(entered):
        probs = torch.cat([probs, (probs @ weights)[None]])
    return probs / probs.sum()
