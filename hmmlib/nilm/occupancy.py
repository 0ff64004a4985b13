"""How often an appliance is in each of its states."""

from torch import Tensor

from hmmlib.checks import as_probs
from hmmlib.stationary import stationary_probs


def long_run(transition_matrix) -> Tensor:
    """The stationary distribution, pi = pi A; shape (K,).

    Args:
        transition_matrix: (K, K), rows sum to one.

    Raises:
        ValueError: it is not a transition matrix, or its chain has more than one
            stationary distribution.

    Example:
        >>> long_run([[0.75, 0.25], [0.25, 0.75]])
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    moves = as_probs("transition_matrix", transition_matrix, "(K, K)")
    if moves.shape[0] != moves.shape[1]:
        raise ValueError(
            f"transition_matrix: got shape {tuple(moves.shape)}, needs (K, K)"
        )
    return stationary_probs(moves)
