"""Richer stories: inputs, autoregression, explicit durations, and known states.

Each is a story of `stories` with a few lines changed, and is asked the same questions.
Letters: T steps, K states, P inputs, D the longest stay, in steps.

Example:
    >>> import torch
    >>> from hmmlib.pyro_models.decoding import evidence
    >>> start, moves = torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> levels, scales = torch.tensor([0.0, 5.0]), torch.tensor([1.0, 1.0])
    >>> lasts = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])  # 3 steps; 1 or 2
    >>> tables, x = (start, moves, levels, scales, lasts), torch.tensor([0.3, -0.2, 0.1])
    >>> print(f"{evidence(durations_story, *tables, readings=x):.4f}")
    -2.8268
    >>> on_at_once = labelled(durations_story, torch.tensor([1, -1, -1]))
    >>> evidence(on_at_once, *tables, readings=x)  # impossible: the first state is 0
    -inf
"""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor

from hmmlib.pyro_models.missing import nan_is_missing


@nan_is_missing
def driven_story(
    initial_probs: Tensor,
    weights: Tensor,
    emission_matrix: Tensor,
    inputs: Tensor,
    activities: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """`weather_story` whose moves are driven by inputs (T, P), such as the season.

    The logit of a move from i on day t to j on the next is weights[i, j] · inputs[t], with
    weights (K, K, P); the inputs of the last day drive nothing. Bengio & Frasconi 1995.
    Taught in chapter 9.
    """
    log_initial = initial_probs.log()
    log_moves = torch.einsum("ijp,tp->tij", weights, inputs)  # not yet normalised
    log_emissions = emission_matrix.log()  # logits: given probs, Pyro's log 0 is -36
    states, seen, state = [], [], None
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(len(inputs))):
        logits = log_initial if t == 0 else Vindex(log_moves[t - 1])[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        doing = dist.Categorical(logits=Vindex(log_emissions)[..., state, :])
        heard = None if activities is None else activities[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", doing, obs=heard))
    return states, seen


@nan_is_missing
def regression_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    weights: Tensor,
    scales: Tensor,
    inputs: Tensor,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """`signal_story` whose levels are linear in inputs (T, P): weights[k] · inputs[t].

    Weights are (K, P), one regression for each state; a column of ones in `inputs` gives
    each a constant. Goldfeld & Quandt 1973. Taught in chapter 9.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    states, seen, state = [], [], None
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(len(inputs))):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        reading = dist.Normal(weights[state] @ inputs[t], scales[state])
        heard = None if readings is None else readings[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


def autoregressive_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    levels: Tensor,
    slopes: Tensor,
    scales: Tensor,
    before: Tensor,
    num_days: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """`signal_story` whose readings depend on the one before, x_{t-1}.

    Their mean is levels[k] + slopes[k] · x_{t-1}, each (K,); `before` is x_0. A reading
    must not be missing, since the next one needs it: Pyro refuses NaN. Hamilton 1989.
    Taught in chapter 9.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    states, seen, state = [], [], None
    num_days = num_days if readings is None else len(readings)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        mean = levels[state] + slopes[state] * (before if t == 0 else seen[-1])
        reading = dist.Normal(mean, scales[state])
        heard = None if readings is None else readings[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


@nan_is_missing
def durations_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    means: Tensor,
    scales: Tensor,
    durations: Tensor,
    num_days: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """`signal_story` whose states last for days drawn from durations (K, D).

    durations[k, d-1] is the probability of d days in state k, of K >= 2. Enumerated with
    each state are the days left of its stay. The last stay may go on after day T; condition
    `left_{T-1}` on 0 for one that ends there. `best_path` is the best path together with
    the days left at its end, which need not be the best path alone. Ferguson 1980. Taught
    in chapter 9.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    log_durations = durations.log()
    same = torch.eye(len(means)).log()  # a stay that goes on keeps its state,
    one_less = torch.eye(durations.shape[1]).roll(1, 0).log()  # with one day less to go
    states, seen, state, left = [], [], torch.tensor(0), torch.tensor(0)
    num_days = num_days if readings is None else len(readings)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        goes_on = (left > 0)[..., None]  # else a move, and a new duration
        today = dist.Categorical(logits=torch.where(goes_on, same[state], logits))
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        logits = torch.where(goes_on, one_less[left], log_durations[state])
        lasting = dist.Categorical(logits=logits)
        left = pyro.sample(f"left_{t}", lasting, infer={"enumerate": "parallel"})
        reading = dist.Normal(means[state], scales[state])
        heard = None if readings is None else readings[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


def labelled(story: Callable, labels: Tensor) -> Callable:
    """The story with known states: labels (T,), or (T, M); -1 where unknown.

    Their sites, `z_{t}`, or `z{m}_{t}` of M chains, are observed instead of
    enumerated; `evidence` is then log p(x, known z). Taught in chapter 9.
    """
    if labels.ndim == 1:
        sites = {f"z_{t}": z for t, z in enumerate(labels)}
    else:
        days = enumerate(labels)
        sites = {f"z{m}_{t}": z for t, day in days for m, z in enumerate(day)}
    known = {site: z for site, z in sites.items() if z >= 0}
    return pyro.condition(story, data=known)
