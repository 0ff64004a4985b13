"""Small random models on which functions are tried, and the oracle that they face."""

import torch
from torch import Tensor

from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.recursion import Potentials


def tables(
    seed: int, num_states: int, num_symbols: int
) -> tuple[Tensor, Tensor, Tensor]:
    """pi (K,), A (K, K) and B (K, V), drawn at random, float64."""
    generator = torch.Generator().manual_seed(seed)

    def rows(*shape):
        values = torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.05
        return values / values.sum(dim=-1, keepdim=True)

    return rows(num_states), rows(num_states, num_states), rows(num_states, num_symbols)


def potentials(seed: int, num_states: int, num_steps: int) -> Potentials:
    """Those of a random model of three symbols and its words, float64."""
    hmm = HMM(*tables(seed, num_states, num_symbols=3))
    return hmm.potentials(hmm.sample(num_steps, seed).observations)


def listed(p: Potentials) -> tuple[Tensor, Tensor]:
    """All paths (P, T) and log p(x, path) of each, (P,)."""
    paths = all_paths(p.log_initial.numel(), len(p.log_likelihoods))
    return paths, path_log_joints(p, paths)
