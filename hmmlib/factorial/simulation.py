"""States and observations of several chains, drawn step by step."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.factorial.driven import matrices_at
from hmmlib.sampling import Sample
from hmmlib.seeds import seeded
from hmmlib.transitions import SoftmaxTransitions


def simulated(
    initial_probs: tuple[Tensor, ...],
    matrices: tuple[Tensor | SoftmaxTransitions, ...],
    emission: Distribution,
    num_steps: int,
    num_copies: int,
    seed: int | None,
    inputs: Tensor | None = None,
) -> Sample:
    """States (N, T, M) and observations (N, T, *event_shape) of N independent sequences.

    With a seed, torch's own random stream is left as it was. `inputs` are (T, P), where they
    drive the moves.
    """
    states, observations = [], []
    with seeded(seed), torch.no_grad():
        rows = [probs.expand(num_copies, -1) for probs in initial_probs]
        moves = matrices
        for t in range(num_steps):
            state = [torch.multinomial(row, 1).squeeze(1) for row in rows]
            states.append(torch.stack(state, -1))  # (N, M)
            observations.append(emissions.draw(emission, tuple(state)))
            if inputs is not None:
                moves = matrices_at(matrices, inputs[t])
            rows = [a[left] for a, left in zip(moves, state, strict=True)]
    return Sample(torch.stack(states, 1), torch.stack(observations, 1))
