"""A friend walks, shops or cleans; the weather that drives it is hidden.

The story and its numbers are those of Wikipedia's article on hidden Markov models.
"""

import torch

from hmmlib.checks import as_number
from hmmlib.hmm import HMM, Sample

states = ("Rainy", "Sunny")
activities = ("walk", "shop", "clean")

hmm = HMM(
    initial_probs=[0.6, 0.4],
    transition_matrix=[[0.7, 0.3], [0.4, 0.6]],  # from Rainy, from Sunny
    emission=[[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]],  # walk, shop, clean
)

# hmm.sample(14, seed=18), kept because another version of torch may draw other numbers.
fortnight = Sample(
    states=torch.tensor([1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1]),
    observations=torch.tensor([0, 0, 0, 1, 1, 0, 2, 1, 1, 1, 0, 1, 0, 0]),
)


def sample(num_days: int, seed: int | None = None) -> Sample:
    """States and observations of `num_days` days, each (num_days,), integers.

    `sample(14, seed=18)` is the fortnight of the book (drawn with torch 2.13). Raises
    ValueError for less than one day.
    """
    return hmm.sample(num_days, seed)


def sticky(stay: float) -> HMM:
    """The same emissions, and a symmetric chain that stays in its state with probability `stay`.

    It starts even, and in the long run it rains on half of the days (in `hmm`: on 4/7).
    Raises ValueError unless 0 <= stay <= 1. Used in chapter 4.
    """
    stay = as_number("stay", stay, "a probability, 0 to 1", lambda x: 0 <= x <= 1)
    return HMM([0.5, 0.5], [[stay, 1 - stay], [1 - stay, stay]], hmm.emission)
