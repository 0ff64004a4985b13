"""Moves that inputs drive: a softmax regression for each state left.

Letters and axes as in `hmmlib.recursion`; P inputs a step. The inputs of row t drive the
move from step t to step t + 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmmlib.checks import as_probs, as_tensor
from hmmlib.logs import logsumexp

NEWTON_STEPS, HALVINGS, TOLERANCE = 25, 30, 1e-8


@dataclass(frozen=True, eq=False)
class SoftmaxTransitions:
    """p(z_{t+1} = j | z_t = i) = softmax over j of weights[i, j] · inputs[t].

    Stands in the place of the transition matrix of an `HMM`, whose verbs then need `inputs`.
    With inputs that are 1 at every step it is a matrix. Adding the same vector to all
    weights[i, j] of one i changes nothing: K (K - 1) P of the weights are free. Bengio &
    Frasconi 1996.

    Args:
        weights: (K, K, P), in nats for one unit of the input; row: the state left. -inf for
            all P inputs of a move forbids it.

    Raises:
        ValueError: naming the argument, what was found and what is needed.

    Example:
        >>> rain = SoftmaxTransitions([[[0, 0], [-1, 2.0]], [[0, 0], [1, 0]]])
        >>> rain.log_probs([[1, 0.5], [1, 3]]).exp()[:, 0]
        tensor([[0.5000, 0.5000],
                [0.0067, 0.9933]], dtype=torch.float64)
    """

    weights: Tensor

    def __post_init__(self):
        weights = as_tensor("weights", self.weights).clone()
        weights = weights if weights.is_floating_point() else weights.double()
        if weights.ndim != 3 or len(weights) != weights.shape[1] or 0 in weights.shape:
            raise ValueError(
                f"weights: got shape {tuple(weights.shape)}, needs (K, K, P), K states and"
                " P inputs, at least one of each"
            )
        forbidden = weights.detach().isneginf().all(-1)
        numbers = weights.detach().isfinite().all(-1)
        if not (numbers | forbidden).all():
            i, j = (~(numbers | forbidden)).nonzero()[0].tolist()
            raise ValueError(
                f"weights: {weights[i, j].tolist()} at [{i}, {j}], needs finite numbers, or"
                " -inf for all inputs, to forbid the move"
            )
        if forbidden.all(-1).any():
            left = forbidden.all(-1).nonzero()[0].item()
            raise ValueError(
                f"weights: every move from state {left} is forbidden, needs one that is not"
            )
        self.__dict__.update(weights=weights)

    @property
    def num_inputs(self) -> int:
        """P."""
        return self.weights.shape[2]

    @property
    def forbidden(self) -> Tensor:
        """Which moves have probability 0 for any inputs, (K, K)."""
        return self.weights.detach().isneginf().all(-1)

    @property
    def num_free(self) -> int:
        """The number of free parameters: P for each move that is possible, but one a row."""
        possible = (~self.forbidden).sum(1) - 1
        return self.num_inputs * int(possible.sum())

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.weights.dtype

    def to(self, dtype: torch.dtype) -> "SoftmaxTransitions":
        """The same in another precision."""
        return SoftmaxTransitions(self.weights.to(dtype))

    def __len__(self) -> int:
        """K."""
        return len(self.weights)

    def log_probs(self, inputs) -> Tensor:
        """log p(z_{t+1} | z_t) given inputs (..., P); (..., K, K)."""
        inputs = as_tensor("inputs", inputs).to(self.weights)
        forbidden = self.forbidden
        weights = self.weights.masked_fill(forbidden[..., None], 0.0)
        scores = torch.einsum("...p,ijp->...ij", inputs, weights)
        scores = scores.masked_fill(forbidden, -torch.inf)
        return scores - logsumexp(scores, -1).unsqueeze(-1)

    def fitted(
        self, counts: Tensor, inputs: Tensor, free: Tensor
    ) -> "SoftmaxTransitions":
        """Weights under which sum_n counts[n] · log_probs(inputs[n]) is highest.

        The weighted maximum likelihood of a softmax regression for each state left, by
        Newton's method, which never takes a step down. A forbidden move stays forbidden.

        Args:
            counts: (n, K, K), expected moves, at least 0.
            inputs: (n, P).
            free: (K, K, P) booleans: which weights move.
        """
        weights = self.weights.clone()
        for i, possible in enumerate(~self.forbidden):
            row = (
                weights[i, possible],
                counts[:, i, possible],
                inputs,
                free[i, possible],
            )
            weights[i, possible] = _climbed(*row)
        return SoftmaxTransitions(weights)


def as_transitions(matrix, num_states: int) -> Tensor | SoftmaxTransitions:
    """A (K, K) matrix whose rows sum to one, or `SoftmaxTransitions`, of K states.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(matrix, SoftmaxTransitions):
        matrix = as_probs("transition_matrix", matrix, "(K, K)")
    found = (len(matrix), len(matrix)) if hasattr(matrix, "weights") else matrix.shape
    if tuple(found) != (num_states, num_states):
        raise ValueError(
            f"transition_matrix: got shape {tuple(found)}, needs {(num_states, num_states)}"
            " to go with initial_probs"
        )
    return matrix


def stored(transitions: Tensor | SoftmaxTransitions) -> Tensor | dict:
    """What `hmmlib.storage` writes."""
    return transitions if isinstance(transitions, Tensor) else vars(transitions)


def restored(content: Tensor | dict) -> Tensor | SoftmaxTransitions:
    """The moves of what `stored` returned."""
    return content if isinstance(content, Tensor) else SoftmaxTransitions(**content)


def at_rest(transitions: Tensor | SoftmaxTransitions) -> Tensor:
    """The (K, K) matrix. Raises ValueError where inputs drive the moves."""
    if isinstance(transitions, SoftmaxTransitions):
        raise ValueError(
            "transition_matrix: inputs drive the moves, so there is no one long run; needs"
            " the inputs of one row: hmmlib.stationary.stationary_probs("
            "hmm.transition_matrix.log_probs(row).exp())"
        )
    return transitions


def check_inputs(transitions, emission) -> None:
    """Raise ValueError if inputs drive both, and not as many."""
    moves, readings = (getattr(x, "num_inputs", 0) for x in (transitions, emission))
    if moves and readings and moves != readings:
        raise ValueError(
            f"emission: is driven by {readings} inputs, and the moves by {moves}; needs the"
            " same inputs for both, with weights of 0, held by a mask in `learn`, where one"
            " has no use for an input"
        )


def _climbed(weights: Tensor, counts: Tensor, inputs: Tensor, free: Tensor) -> Tensor:
    """The weights (K, P) of one state left, at the maximum; `counts` (n, K)."""
    logs = (inputs @ weights.mT).log_softmax(-1)
    value = (counts * logs).sum()
    for _ in range(NEWTON_STEPS):
        step, expected = _newton(counts, logs.exp(), inputs, free)
        for _ in range(HALVINGS):
            tried = (inputs @ (weights + step).mT).log_softmax(-1)
            reached = (counts * tried).sum()
            if reached >= value:
                break
            step = step / 2
        else:
            break
        weights, logs, value = weights + step, tried, reached
        if expected <= TOLERANCE * (1 + value.abs()):
            break
    return weights


def _newton(
    counts: Tensor, probs: Tensor, inputs: Tensor, free: Tensor
) -> tuple[Tensor, Tensor]:
    """The step of Newton's method for one state left, (K, P), and what it should gain, ()."""
    left = counts.sum(1, keepdim=True)
    gradient = ((counts - left * probs).mT @ inputs).flatten()
    mixed = (probs[..., None] * inputs[:, None]).flatten(1)  # (n, K P)
    squares = (inputs[:, :, None] * inputs[:, None]).flatten(1)  # (n, P P)
    blocks = ((left * probs).mT @ squares).reshape(-1, *inputs.shape[1:] * 2)
    curvature = torch.block_diag(*blocks) - (left * mixed).mT @ mixed
    unit = curvature.diagonal().sqrt()
    unit = torch.where(unit > 0, 1 / unit, 0.0) * free.flatten()
    # Without curvature: the same added to all moves, and inputs that do not vary alone.
    scaled = unit[:, None] * curvature * unit
    inverse = torch.linalg.pinv(scaled, rtol=1e-10, hermitian=True)
    step = unit * (inverse @ (unit * gradient))
    return step.reshape(free.shape), gradient @ step / 2
