"""One joint path of all chains: whether it fits a model, and its score."""

import torch
from torch import Tensor

from hmmlib import emissions
from hmmlib.checks import WHOLE, as_instance, as_tensor
from hmmlib.factorial.model import FactorialHMM
from hmmlib.logs import log


def path_log_joint(model: FactorialHMM, observations, states: Tensor) -> Tensor:
    """log p(x_{1:T}, z_{1:T}) of one joint path; shape ().

    Args:
        observations: one series, (T, *event_shape).
        states: (T, M) integers.

    Raises:
        ValueError: for states that the chains do not have.
    """
    x = one_series(model, observations)
    states = as_path(model, x, states)
    total = x.new_zeros(())
    for m, chain in enumerate(states.T):
        total = total + log(model.initial_probs[m])[chain[0]]
        total = total + log(model.transition_matrices[m])[chain[:-1], chain[1:]].sum()
    seen = emissions.seen_steps(model.emission, x)
    if seen.any():
        along = emissions.at(model.emission, tuple(states[seen].T))
        total = total + emissions.log_prob(along, x[seen]).sum()
    return total


def one_series(model: FactorialHMM, observations) -> Tensor:
    """The observations (T, *event_shape) of one series. Raises ValueError for a batch."""
    values = as_instance("model", model, FactorialHMM).read(observations).values
    event = tuple(model.emission.event_shape)
    if values.ndim != 1 + len(event):
        needs = "".join(f", {size}" for size in event)
        raise ValueError(
            f"observations: got shape {tuple(values.shape)}, needs one series (T{needs})"
        )
    return values


def as_path(model: FactorialHMM, x: Tensor, states) -> Tensor:
    """`states` as (T, M) integers that the chains have. Raises ValueError."""
    states, needs = as_tensor("states", states), (len(x), len(model.sizes))
    sizes = torch.tensor(model.sizes)
    if (
        states.dtype not in WHOLE
        or tuple(states.shape) != needs
        or not ((states >= 0) & (states < sizes)).all()
    ):
        found = f"{states.dtype} of shape {tuple(states.shape)}"
        raise ValueError(
            f"states: got {found}, needs integers {needs}, from 0 up to below {model.sizes}"
        )
    return states.long()
