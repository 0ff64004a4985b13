"""The recursion over one block of steps: compiled where it can be, else in PyTorch.

The compiled loops of `hmmlib.engines.chains` serve on the CPU, where no gradient is wanted.
Everything else goes through `hmmlib.recursion`.

Letters: B steps of a block, S = (K_1, ..., K_M), R samples.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib import engines
from hmmlib.engines.moves import Moves, moves_of
from hmmlib.logs import log, logs, logsumexp
from hmmlib.recursion import Potentials, backward, forward, leading_to, move


class Chains(NamedTuple):
    """How M independent chains start and move; computed once for each call.

    Where inputs drive the moves: in one block, whose steps are of some kinds. Its moves are
    those that lead from a step of the block to the next one.
    """

    log_initial: Tensor  #: (*S,)
    log_matrices: tuple[Tensor, ...]  #: M of (K_m, K_m), or (B, K_m, K_m)
    arrays: Moves | None  #: None where the compiled loops do not serve
    log_entering: tuple[
        Tensor, ...
    ]  #: M of (K_m, K_m), into the first step of the block
    kinds: np.ndarray | None = None  #: (B + 1,), of the step before, and of each step

    def kinds_of(self, num_steps: int) -> np.ndarray:
        """The kinds of the step before a block and of its steps, (B + 1,)."""
        return np.zeros(num_steps + 1, np.int64) if self.kinds is None else self.kinds

    def leaving(self, t: int) -> tuple[Tensor, ...]:
        """The moves from step t of the block to the next one, M of (K_m, K_m)."""
        return tuple(a if a.ndim == 2 else a[t] for a in self.log_matrices)

    def within(self) -> tuple[Tensor, ...]:
        """The moves between steps of the block, M of (K_m, K_m) or (B - 1, K_m, K_m)."""
        return tuple(a if a.ndim == 2 else a[:-1] for a in self.log_matrices)


def chains_of(
    initial_probs: tuple[Tensor, ...], matrices: tuple[Tensor, ...], engine=None
) -> Chains:
    """The chains in logarithms, from M of (K_m,) and M of (K_m, K_m) probabilities.

    With `engine=engines.recursion` the compiled loops are left out.
    """
    arrays = None if engine is engines.recursion else arrays_of(matrices)
    log_matrices = logs(*matrices)
    return Chains(log_starts(initial_probs), log_matrices, arrays, log_matrices)


def log_starts(initial_probs: tuple[Tensor, ...]) -> Tensor:
    """log p(z_1) of each joint state, (*S,), from M of (K_m,)."""
    log_initial = initial_probs[0].new_zeros(())
    for probs in initial_probs:
        log_initial = log_initial[..., None] + log(probs)
    return log_initial


def arrays_of(matrices: tuple[Tensor, ...]) -> Moves | None:
    """The transition matrices for the compiled loops, if these can read them."""
    tables = [as_array(matrix) for matrix in matrices]
    return None if any(table is None for table in tables) else moves_of(tables)


def forward_block(
    chains: Chains, start: Tensor, scores: Tensor, reduce: Callable
) -> tuple[Tensor, Tensor]:
    """alpha of a block, (B, *S), and its last message moved one step on, (*S).

    Args:
        start: (*S,), what enters the first step.
        scores: (B, *S), log p(x_t | z_t).
        reduce: `logsumexp`, or `torch.amax` for the best path, which is not compiled here.
    """
    arrays = None if reduce is torch.amax else chains.arrays
    entering, said = flat(start[None]), flat(scores)
    if arrays is None or entering is None or said is None:
        alpha = forward(Potentials(start, chains.within(), scores), reduce)
        _refuse_forward_mode(alpha)
        return alpha, move(alpha[-1], chains.leaving(-1), reduce)
    alpha, onward = np.empty_like(said), np.empty_like(entering[0])
    given = arrays.moves, chains.kinds_of(len(said)), arrays.apart, arrays.sizes
    engines.chains.joint_forward(entering[0], *given, said, alpha, onward)
    return shaped(alpha, scores), shaped(onward, start)


def backward_block(chains: Chains, known: Tensor) -> tuple[Tensor, Tensor]:
    """beta of a block, (B, *S), 0 at its end, and that of the step before it, (*S).

    `known` (B, *S) is log p(x_t | z_t), to whose last row beta of that step was added.
    """
    arrays, said = chains.arrays, flat(known)
    if arrays is None or said is None:
        beta = backward(Potentials(known[0], chains.within(), known))
        turned = [matrix.mT for matrix in chains.log_entering]
        return beta, move(known[0] + beta[0], turned, logsumexp)
    beta, onward = np.empty_like(said), np.empty(said.shape[1])
    given = arrays.turned, chains.kinds_of(len(said)), arrays.apart, arrays.sizes
    engines.chains.joint_backward(*given, said, beta, onward)
    return shaped(beta, known), shaped(onward, known[0])


def best_states(chains: Chains, alpha: Tensor, following: Tensor | None) -> Tensor:
    """The best joint path through a block, (B, M), from the messages of `torch.amax`.

    `following` (M,) are the states of the step after the block, None if there is none.
    """
    arrays, scores = chains.arrays, flat(alpha.detach())
    if arrays is None or scores is None:
        return chosen_states(chains, alpha, following, torch.argmax)
    after = np.full(len(arrays.sizes), -1)
    if following is not None:
        after = following.numpy()
    states = np.empty((len(scores), len(arrays.sizes)), dtype=np.int64)
    given = arrays.moves, chains.kinds_of(len(scores)), arrays.sizes
    engines.joint_best.joint_path(scores, *given, after, states)
    return torch.from_numpy(states)


def drawn_states(
    chains: Chains,
    alpha: Tensor,
    following: Tensor | None,
    num_samples: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Joint paths through a block, (R, B, M), drawn from the messages of `logsumexp`.

    `following` (R, M) are the states of the step after the block, None if there is none.
    """
    arrays, scores = chains.arrays, flat(alpha.detach())
    shape = num_samples, len(alpha)
    uniforms = torch.rand(shape, dtype=torch.float64, generator=generator)
    if arrays is None or scores is None:
        expanded = alpha.unsqueeze(1).expand(len(alpha), num_samples, *alpha.shape[1:])
        steps = reversed(uniforms.unbind(-1))
        return chosen_states(
            chains,
            expanded,
            following,
            lambda x, dim: engines.recursion.fallen(x, next(steps)),
        )
    after = np.full((num_samples, len(arrays.sizes)), -1)
    if following is not None:
        after = following.numpy()
    states = np.empty((*shape, len(arrays.sizes)), dtype=np.int64)
    given = arrays.moves, chains.kinds_of(len(scores)), arrays.sizes
    engines.draws.joint_draws(scores, *given, after, uniforms.numpy(), states)
    return torch.from_numpy(states)


def chosen_states(
    chains: Chains, alpha: Tensor, following: Tensor | None, choose: Callable
) -> Tensor:
    """A joint path through a block, chosen from its last step back; (..., B, M).

    Args:
        alpha: (B, ..., *S).
        following: (..., M), as for `best_states`.
        choose: `choose(scores, dim)` picks an index along `dim`.
    """
    sizes = torch.tensor(chains.log_initial.shape)
    # A joint state is one flat number; its digits are the states of the M chains.
    strides = sizes.flip(0).cumprod(0).flip(0) // sizes
    path = []
    for t, scores in reversed(list(enumerate(alpha))):
        if following is not None:
            scores = scores + leading_to(following, chains.leaving(t))
        chosen = choose(scores.flatten(-len(sizes)), -1)
        following = chosen[..., None] // strides % sizes
        path.append(following)
    return torch.stack(path[::-1], dim=-2)


def as_array(values: Tensor) -> np.ndarray | None:
    """The numbers of a tensor; None for one on another device, or with a gradient."""
    if values.device.type != "cpu" or (
        torch.is_grad_enabled() and values.requires_grad
    ):
        return None
    try:
        return values.detach().numpy()
    except RuntimeError:  # inside of torch.func
        return None


def _refuse_forward_mode(values: Tensor) -> None:
    """Raise NotImplementedError in `torch.func.jvp`, whose derivative of log 0 is NaN."""
    on_cpu = values.device.type == "cpu"
    if on_cpu and not values.requires_grad and as_array(values) is None:
        raise NotImplementedError(
            "FactorialHMM: has no forward-mode derivative, needs reverse mode, such as"
            " torch.func.grad or torch.func.jacrev, in place of jvp and jacfwd"
        )


def flat(values: Tensor) -> np.ndarray | None:
    """(B, *S) as (B, prod(S)) in float64; None as for `as_array`."""
    array = as_array(values)
    if array is None:
        return None
    return np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float64)


def shaped(array: np.ndarray, like: Tensor) -> Tensor:
    """The numbers as a tensor of the shape and the dtype of `like`."""
    return torch.from_numpy(array).to(like.dtype).reshape(like.shape)
