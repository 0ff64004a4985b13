"""The weather of chapter 1, small random models to try functions on, and their oracle."""

import torch
from torch import Tensor

from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.recursion import Potentials

pi = weather.hmm.initial_probs
A = weather.hmm.transition_matrix
B = weather.hmm.emission.probs
RAIN = 0


def without(day: int) -> Potentials:
    """Potentials of the fortnight without the word of one day, 1 to 14; 0 keeps all words."""
    x = weather.fortnight.observations
    return weather.hmm.potentials(x, observed=torch.arange(1, len(x) + 1) != day)


def tables(
    seed: int, num_states: int, num_symbols: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Random pi (K,), A (K, K) and B (K, V), float64."""
    generator = torch.Generator().manual_seed(seed)

    def rows(*shape):
        values = torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.05
        return values / values.sum(dim=-1, keepdim=True)

    return rows(num_states), rows(num_states, num_states), rows(num_states, num_symbols)


def potentials(seed: int, num_states: int, num_steps: int) -> Potentials:
    """Potentials of a random model with three symbols, and of a sequence drawn from it."""
    hmm = HMM(*tables(seed, num_states, num_symbols=3))
    return hmm.potentials(hmm.sample(num_steps, seed).observations)


def listed(p: Potentials) -> tuple[Tensor, Tensor]:
    """All paths (P, T), and log p(x, path) of each, (P,)."""
    paths = all_paths(p.log_initial.numel(), len(p.log_likelihoods))
    return paths, path_log_joints(p, paths)
