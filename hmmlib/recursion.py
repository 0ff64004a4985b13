"""One recursion over log-potentials, read forwards, backwards and traced back.

Letters:  T steps, t a step, N sequences, M chains, K states;
          S = (K,) for one chain, (K_1, ..., K_M) for several.
Axes:     of a transition, -2 is the state left and -1 the state entered;
          time before states, sequences before time: (T, *S) or (N, T, *S).
Numbers:  natural logarithms; -inf is an honest log 0.
          z_1 ~ initial_probs, and z_1 emits x_1.

This is the readable form. `forward` takes a way to reduce the paths that meet in a state
(`torch.logsumexp` adds them up, `torch.amax` keeps the best), `backward` is the same with
time reversed, and `trace_back` takes a way to choose a state; filtering, smoothing, Viterbi
and posterior samples are made of these. For one chain on the CPU `hmmlib.inference` answers
from a compiled twin, `hmmlib.engines.chain`; `hmmlib.factorial` uses loops for several
chains, `hmmlib.engines.chains`. The tests compare them with this page.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Potentials(NamedTuple):
    """All that inference needs of a model and its observations, as logarithms."""

    log_initial: Tensor  #: (*S,)  log p(z_1)
    #: M of ([T-1,] K_m, K_m)  log p(z_{t+1} | z_t); of one chain, (N, T-1, K, K) as well
    log_transitions: tuple[Tensor, ...]
    log_likelihoods: Tensor  #: (T, *S) or (N, T, *S)  log p(x_t | z_t)
    lengths: Tensor | None = None  #: (N,)  steps that count, in a ragged batch


def forward(potentials: Potentials, reduce: Callable = torch.logsumexp) -> Tensor:
    """log_alpha[t] = log p(x_{1:t}, z_t) for every state; (T, *S) or (N, T, *S).

        log_alpha[0]   = log_initial + log_likelihoods[0]
        entered        = reduce(log_alpha[t] + log_transitions)
        log_alpha[t+1] = entered + log_likelihoods[t+1]

    With `reduce=torch.amax`: the log joint of the best path that ends in each state.
    After the end of a shorter sequence the last value is repeated. Cost T · M ·
    K^(M+1). Rabiner 1989, eqs. 19-20 and 32-33. Taught in chapters 2 and 4.
    """
    log_likelihoods, log_transitions, running = by_step(potentials)
    log_alpha = [potentials.log_initial + log_likelihoods[0]]
    steps = zip(log_transitions, log_likelihoods[1:], running[1:], strict=True)
    for matrices, log_likelihood, going_on in steps:
        entered = move(log_alpha[-1], matrices, reduce) + log_likelihood
        log_alpha.append(torch.where(going_on, entered, log_alpha[-1]))
    return torch.stack(log_alpha, dim=-1 - potentials.log_initial.ndim)


def backward(potentials: Potentials, reduce: Callable = torch.logsumexp) -> Tensor:
    """log_beta[t] = log p(x_{t+1:T} | z_t) for every state; (T, *S) or (N, T, *S).

        log_beta[T-1] = 0
        later         = log_likelihoods[t+1] + log_beta[t+1]
        log_beta[t]   = reduce(log_transitions + later)

    The recursion of `forward` with time and the transitions turned round. From the end
    of a shorter sequence on, it is 0. Cost T · M · K^(M+1). Rabiner 1989, eqs. 24-25.
    Taught in chapter 3.
    """
    log_likelihoods, log_transitions, running = by_step(potentials)
    log_beta = [torch.zeros_like(log_likelihoods[-1])]
    steps = zip(log_transitions, log_likelihoods[1:], running[1:], strict=True)
    for matrices, log_likelihood, going_on in reversed(list(steps)):
        turned = [matrix.mT for matrix in matrices]
        later = move(log_beta[-1] + log_likelihood, turned, reduce)
        log_beta.append(torch.where(going_on, later, log_beta[-1]))
    return torch.stack(log_beta[::-1], dim=-1 - potentials.log_initial.ndim)


def trace_back(potentials: Potentials, messages: Tensor, choose: Callable) -> Tensor:
    """A path of states, chosen from the last step back to the first; (T,) or (T, M).

    `messages` come from `forward`; `choose(scores, dim)` picks an index along `dim`.
    `torch.argmax`, with the messages of `torch.amax`, gives the best path; a random
    draw, with the messages of `torch.logsumexp`, a posterior sample. No back-pointers
    are kept: scores are computed again, along the path alone. After the end of a
    shorter sequence the state is -1. Rabiner 1989, eq. 35. Taught in chapters 3 and 4.
    """
    # A joint state is one flat number; its digits are the states of the M chains.
    sizes = torch.tensor(potentials.log_initial.shape, device=messages.device)
    strides = sizes.flip(0).cumprod(0).flip(0) // sizes
    _, log_transitions, running = by_step(potentials)
    path = []
    for t, scores in reversed(list(enumerate(messages.unbind(-1 - len(sizes))))):
        if path:  # t + 1 is chosen: add the log probability of moving there
            onward = leading_to(path[-1], log_transitions[t])
            scores = scores + torch.where(running[t + 1], onward, 0.0)
        chosen = choose(scores.flatten(-len(sizes)), -1)
        path.append(chosen[..., None] // strides % sizes)  # (..., M)
    states = torch.stack(path[::-1], dim=-2)  # (..., T, M)
    if potentials.lengths is not None:
        steps = torch.arange(len(path), device=states.device)
        states = states.where((steps < potentials.lengths[:, None])[..., None], -1)
    return states if len(sizes) > 1 else states.squeeze(-1)


def move(message: Tensor, matrices: list[Tensor], reduce: Callable) -> Tensor:
    """Reduce over the state moved from, one chain at a time: (..., *S) -> (..., *S)."""
    for m, matrix in enumerate(matrices):
        axis = m - len(matrices)
        message = message.movedim(axis, -1).unsqueeze(-1)  # (..., K_m, 1)
        message = reduce(message + matrix, -2).movedim(-1, axis)
    return message


def leading_to(state: Tensor, matrices: list[Tensor]) -> Tensor:
    """log p(state | z) for every z it may come from: (..., M) -> (..., *S)."""
    onward = 0.0
    for m, matrix in enumerate(matrices):
        shape = [1] * len(matrices)
        shape[m] = matrix.shape[-1]
        entering = matrix.mT.expand(*state.shape[:-1], *matrix.shape[-2:])
        chosen = entering.take_along_dim(state[..., m, None, None], -2)
        onward = onward + chosen.reshape(*state.shape[:-1], *shape)
    return onward


def by_step(potentials: Potentials) -> tuple:
    """Over time: T log-likelihoods, T-1 lists of matrices, T masks (True: running)."""
    log_initial, log_transitions, log_likelihoods, lengths = potentials
    log_likelihoods = log_likelihoods.unbind(-1 - log_initial.ndim)
    num_steps = len(log_likelihoods)
    matrices = [
        a.unbind(-3) if a.ndim > 2 else [a] * (num_steps - 1) for a in log_transitions
    ]
    running = [torch.ones((), dtype=torch.bool, device=log_initial.device)] * num_steps
    if lengths is not None:
        shape = (-1, *[1] * log_initial.ndim)
        running = [(t < lengths).reshape(shape) for t in range(num_steps)]
    return log_likelihoods, list(zip(*matrices, strict=True)), running
