"""Inference of the hidden states of a conditioned story, each of them enumerated.

Example:
    >>> from hmmlib.datasets import weather
    >>> from hmmlib.pyro_models.stories import weather_story
    >>> tables = (
    ...     weather.hmm.initial_probs,
    ...     weather.hmm.transition_matrix,
    ...     weather.hmm.emission.probs,
    ... )
    >>> activities = torch.tensor([0, 2, 2])  # walk, clean, clean
    >>> print(f"{evidence(weather_story, *tables, activities=activities):.4f}")
    -3.4923
    >>> best_path(weather_story, *tables, activities=activities)
    tensor([1, 0, 0])
    >>> posterior_paths(weather_story, 5, *tables, activities=activities).shape
    torch.Size([5, 3])
    >>> smoothed_probs(weather_story, *tables, activities=activities)["z_2"]
    tensor([0.9000, 0.1000], dtype=torch.float64)
"""

from collections.abc import Callable

import pyro
import torch
from pyro.infer import TraceEnum_ELBO, infer_discrete
from torch import Tensor


def evidence(story: Callable, *args, **kwargs) -> float:
    """log p(x_{1:T}) of a conditioned story, every state summed out exactly.

    The guide is empty: with nothing left to approximate, the ELBO is the
    log-likelihood. Obermeyer et al. 2019. Taught in chapter 2.
    """

    def empty_guide(*args, **kwargs):
        """Nothing to approximate."""

    return -TraceEnum_ELBO(max_plate_nesting=0).loss(
        story, empty_guide, *args, **kwargs
    )


def smoothed_probs(story: Callable, *args, **kwargs) -> dict[str, Tensor]:
    """p(z_t | x_{1:T}) of a conditioned story, exactly: (K,) by the name of its site, `z_t`.

    Of steps from which on every observation is NaN, they are the forecast. One elimination
    for each site, so the time grows with T²: for short series. Taught in chapter 9.
    """

    def empty_guide(*args, **kwargs):
        """Nothing to approximate."""

    marginals = TraceEnum_ELBO(max_plate_nesting=0).compute_marginals(
        story, empty_guide, *args, **kwargs
    )
    return {site: state.probs.flatten() for site, state in marginals.items()}


def best_path(story: Callable, *args, **kwargs) -> Tensor:
    """argmax of p(z_{1:T} | x_{1:T}) of a conditioned story; (T,), or (T, M) integers.

    `infer_discrete` at temperature 0 runs the enumeration with max in the place of sum.
    Taught in chapter 4.
    """
    states, _ = infer_discrete(story, first_available_dim=-1, temperature=0)(
        *args, **kwargs
    )
    several = isinstance(states[0], list)  # M states at each step
    steps = states if several else [[state] for state in states]
    path = torch.stack([torch.stack([z.reshape(()) for z in step]) for step in steps])
    return path if several else path[:, 0]


def posterior_paths(story: Callable, num_samples: int, *args, **kwargs) -> Tensor:
    """Draws from p(z_{1:T} | x_{1:T}) of a conditioned story; (num_samples, T), or
    (num_samples, T, M).

    `infer_discrete` at temperature 1, for `num_samples` copies of the story in one
    plate. Raises ValueError for fewer than one. Taught in chapter 3.
    """

    def copies(*args, **kwargs):
        """The story, told `num_samples` times at once."""
        with pyro.plate("samples", num_samples, dim=-1):
            return story(*args, **kwargs)

    if num_samples < 1:
        raise ValueError(f"num_samples: got {num_samples}, needs at least 1")
    states, _ = infer_discrete(copies, first_available_dim=-2, temperature=1)(
        *args, **kwargs
    )
    several = isinstance(states[0], list)  # M states at each step
    steps = states if several else [[state] for state in states]
    steps = [[z.reshape(-1).expand(num_samples) for z in step] for step in steps]
    paths = torch.stack([torch.stack(step, dim=-1) for step in steps], dim=1)
    return paths if several else paths[..., 0]
