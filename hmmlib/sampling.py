"""Ancestral sampling: a hidden path and what it emits, in the order z_1, x_1, z_2, x_2, ..."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions import draw, given
from hmmlib.transitions import SoftmaxTransitions


class Sample(NamedTuple):
    """A hidden path and what it emitted."""

    states: Tensor  #: (T,) or (N, T)  integers 0 ... K-1
    observations: Tensor  #: the same, and then *event_shape


@torch.no_grad()
def ancestral(
    initial_probs: Tensor,
    transitions: Tensor | SoftmaxTransitions,
    emission: Distribution,
    steps: tuple[int, int],
    inputs: Tensor | None = None,
) -> Sample:
    """N sequences of T steps from torch's own random stream; `steps` is (N, T).

    `inputs` are (N, T, P), where they drive the moves or the readings.
    """
    num_sequences, num_steps = steps
    every = torch.arange(num_sequences, device=initial_probs.device)
    states, observations = [], []
    probs = initial_probs.expand(num_sequences, -1)
    for t in range(num_steps):
        state = torch.multinomial(probs, 1).squeeze(1)  # (N,)
        states.append(state)
        if hasattr(emission, "num_inputs"):
            drawn = given(emission, inputs[:, t]).sample()[every, state]
        else:
            drawn = draw(emission, state)
        observations.append(drawn)
        if isinstance(transitions, Tensor):
            probs = transitions[state]
        else:
            probs = transitions.log_probs(inputs[:, t]).exp()[every, state]
    return Sample(torch.stack(states, 1), torch.stack(observations, 1))
