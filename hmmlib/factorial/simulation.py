"""States and observations of several chains, drawn step by step."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.sampling import Sample


def simulated(
    initial_probs: tuple[Tensor, ...],
    matrices: tuple[Tensor, ...],
    emission: Distribution,
    num_steps: int,
    num_copies: int,
    seed: int | None,
) -> Sample:
    """States (N, T, M) and observations (N, T, *event_shape) of N independent sequences.

    With a seed, torch's own random stream is left as it was.
    """
    states, observations = [], []
    with torch.random.fork_rng(enabled=seed is not None), torch.no_grad():
        if seed is not None:
            torch.manual_seed(seed)
        rows = [probs.expand(num_copies, -1) for probs in initial_probs]
        for _ in range(num_steps):
            state = [torch.multinomial(row, 1).squeeze(1) for row in rows]
            states.append(torch.stack(state, -1))  # (N, M)
            observations.append(emissions.draw(emission, tuple(state)))
            rows = [a[left] for a, left in zip(matrices, state, strict=True)]
    return Sample(torch.stack(states, 1), torch.stack(observations, 1))
