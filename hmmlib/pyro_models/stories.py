"""Each model of the book as a Pyro program that samples it and conditions it on data.

A story returns two lists over time: the hidden states and the observations. Each state
site carries `infer={"enumerate": "parallel"}`, so that Pyro can sum it out. Without
observations the story samples them; an observation that is NaN is missing.

Example:
    >>> import torch
    >>> from hmmlib.datasets import weather
    >>> tables = (
    ...     weather.hmm.initial_probs,
    ...     weather.hmm.transition_matrix,
    ...     weather.hmm.emission.probs,
    ... )
    >>> states, activities = weather_story(*tables, num_days=3)
    >>> len(states), len(activities)
    (3, 3)
    >>> _, activities = weather_story(*tables, activities=torch.tensor([0, 2]))
    >>> torch.stack(activities)
    tensor([0, 2])
"""

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from pyro.ops.indexing import Vindex
from torch import Tensor

from hmmlib.pyro_models.missing import nan_is_missing


@nan_is_missing
def weather_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    emission_matrix: Tensor,
    num_days: int = 14,
    activities: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The friend and the weather: lists of T states z_t and T activities x_t.

    Parameters are (K,), (K, K) and (K, V), rows summing to one. With `activities` (T,)
    given the story is conditioned on them, and `num_days` is their number; with None it
    is a sampler. Bingham et al. 2019. Taught in chapter 1.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    log_emissions = emission_matrix.log()  # logits: given probs, Pyro's log 0 is -36
    states, seen, state = [], [], None
    num_days = num_days if activities is None else len(activities)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        doing = dist.Categorical(logits=Vindex(log_emissions)[..., state, :])
        heard = None if activities is None else activities[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", doing, obs=heard))
    return states, seen


@nan_is_missing
def signal_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    means: Tensor,
    scales: Tensor,
    num_days: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Hidden levels and a noisy signal: lists of T states z_t and T readings x_t.

    `weather_story` with numbers in the place of words: means and scales are (K,), one
    for each state. Taught in chapter 6.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    states, seen, state = [], [], None
    num_days = num_days if readings is None else len(readings)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        reading = dist.Normal(means[state], scales[state])
        heard = None if readings is None else readings[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


@nan_is_missing
def factorial_story(
    initial_probs: Sequence[Tensor],
    transition_matrices: Sequence[Tensor],
    means: Sequence[Tensor],
    scale: float,
    num_steps: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """M chains that move on their own, and one meter that shows the sum of their levels.

    Parameters are M tensors each, (K_m,), (K_m, K_m) and (K_m,). Returns lists over time,
    as the other stories do: M states at each step, and T readings. Taught in chapter 7.
    """
    chains = list(zip(initial_probs, transition_matrices, means, strict=True))
    states, seen, now = [], [], [None] * len(chains)
    num_steps = num_steps if readings is None else len(readings)
    for t in pyro.markov(range(num_steps)):
        total = 0.0
        for m, (initial, moves, levels) in enumerate(chains):
            logits = initial.log() if t == 0 else Vindex(moves.log())[..., now[m], :]
            here = dist.Categorical(logits=logits)
            now[m] = pyro.sample(f"z{m}_{t}", here, infer={"enumerate": "parallel"})
            total = total + levels[now[m]]
        heard = None if readings is None else readings[t]
        states.append(list(now))
        seen.append(pyro.sample(f"x_{t}", dist.Normal(total, scale), obs=heard))
    return states, seen


@nan_is_missing
def house_story(
    initial_probs: Sequence[Tensor],
    transition_matrices: Sequence[Tensor],
    means: Sequence[Tensor],
    scales: Sequence[Tensor],
    num_steps: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """M chains and one meter, each state with a scale of its own; lists of T, as above.

    The meter shows the sum of the levels with the sum of the variances. Parameters and
    answers are those of `factorial_story`, but `scales` are M tensors (K_m,). Taught in
    chapter 8.
    """
    chains = list(zip(initial_probs, transition_matrices, means, scales, strict=True))
    states, seen, now = [], [], [None] * len(chains)
    num_steps = num_steps if readings is None else len(readings)
    for t in pyro.markov(range(num_steps)):
        total, variance = 0.0, 0.0
        for m, (initial, moves, levels, spread) in enumerate(chains):
            logits = initial.log() if t == 0 else Vindex(moves.log())[..., now[m], :]
            here = dist.Categorical(logits=logits)
            now[m] = pyro.sample(f"z{m}_{t}", here, infer={"enumerate": "parallel"})
            total = total + levels[now[m]]
            variance = variance + spread[now[m]].square()
        heard = None if readings is None else readings[t]
        states.append(list(now))
        reading = dist.Normal(total, variance.sqrt())
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen
