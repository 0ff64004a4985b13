"""A friend walks, shops or cleans, depending on weather that is hidden.

The story and its numbers are those of Wikipedia's article on hidden Markov models.

Example:
    >>> hmm.num_states, len(fortnight.observations)
    (2, 14)
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

# hmm.sample(14, seed=18), written out because other versions of torch may draw others.
fortnight = Sample(
    states=torch.tensor([1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1]),
    observations=torch.tensor([0, 0, 0, 1, 1, 0, 2, 1, 1, 1, 0, 1, 0, 0]),
)


def sample(num_days: int, seed: int | None = None) -> Sample:
    """States and observations of `num_days` days, each (num_days,), integers.

    `sample(14, seed=18)` is the fortnight of the book, drawn with torch 2.13.

    Raises:
        ValueError: for less than one day.

    Example:
        >>> sample(3, seed=0).observations.shape
        torch.Size([3])
    """
    return hmm.sample(num_days, seed)


def sticky(stay: float) -> HMM:
    """The weather model with a symmetric chain, which stays in its state with probability `stay`.

    The emissions are those of `hmm`. Both states are equally probable at the start and in
    the long run; in `hmm`, it rains on 4/7 of the days. Used in chapter 4.

    Raises:
        ValueError: unless 0 <= stay <= 1.

    Example:
        >>> sticky(0.75).transition_matrix.tolist()
        [[0.75, 0.25], [0.25, 0.75]]
    """
    stay = as_number("stay", stay, "a probability, 0 to 1", lambda x: 0 <= x <= 1)
    return HMM([0.5, 0.5], [[stay, 1 - stay], [1 - stay, stay]], hmm.emission)
