"""The recursion of a chain whose stays last for explicit durations, in PyTorch.

A stay, or sojourn, is a run of steps in one state. A state is entered, a duration is drawn,
the stay emits one observation a step, and then another state is entered. The first stay
starts at the first step. The last one ends with the sequence, or is censored: it may go on,
and only the least that it lasts is known. The survivor is p(a stay lasts d steps or more).

Letters:  T steps, t a step, K states, D the longest stay, d a duration.
Axes:     (T, K) and (K, D); duration d is column d - 1. One sequence, not a batch.
Numbers:  natural logarithms; -inf is an honest log 0.

A window (K, D) holds one number for each state and each time since its stay began. A step
adds a column for the stays that begin and drops the last one, so that T steps cost
T · K (K + D). The compiled twin is `hmmlib.engines.stays`; the tests compare them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.engines.answers import BestPath, Filtered, StayCounts, possible
from hmmlib.engines.recursion import fallen
from hmmlib.logs import logsumexp


class Stays(NamedTuple):
    """All that inference needs of an `HSMM` and one sequence, as logarithms."""

    log_initial: Tensor  #: (K,)  log p(z_1)
    log_transitions: Tensor  #: (K, K)  log p(state entered | state left)
    log_durations: Tensor  #: (K, D)  log p(a stay lasts d)
    log_survivor: Tensor  #: (K, D)  log p(a stay lasts d or more)
    log_likelihoods: Tensor  #: (T, K)  log p(x_t | z_t)
    censored: bool = True  #: may the last stay go on?


class Messages(NamedTuple):
    """What the forward recursion knows of each state at each step; (T, K) each."""

    entering: Tensor  #: log p(x_{1:t-1}, a stay begins at t)
    leaving: Tensor  #: log p(x_{1:t}, a stay ends at t)
    predicted: Tensor  #: log p(x_{1:t-1}, z_t)


def forward(stays: Stays, reduce: Callable = logsumexp) -> Messages:
    """The messages of all steps, from the window of stays that began 0 ... D-1 steps ago.

        window[d]     = entering[t-d] + log_likelihoods[t-d] + ... + log_likelihoods[t]
        leaving[t]    = reduce(window + log_durations)
        entering[t+1] = reduce(leaving[t] + log_transitions)

    With `reduce=torch.amax`: the log joints of the best paths. Cost T · K (K + D).
    Ferguson 1980; Rabiner 1989, eqs. 68-70; Yu 2010; censoring: Guédon 2003.
    """
    entering, leaving, predicted = [stays.log_initial], [], []
    window = torch.full_like(stays.log_durations, -torch.inf)
    for here in stays.log_likelihoods:
        window = torch.cat([entering[-1][:, None], window[:, :-1]], 1)
        predicted.append(reduce(window + stays.log_survivor, 1))
        window = window + here[:, None]
        leaving.append(reduce(window + stays.log_durations, 1))
        entering.append(reduce(leaving[-1][:, None] + stays.log_transitions, 0))
    return Messages(*map(torch.stack, (entering[:-1], leaving, predicted)))


def backward(stays: Stays) -> Tensor:
    """log p(x_{t:T} | a stay in k begins at t and lasts d), (T, K, D).

        window[d] = log_likelihoods[t] + ... + log_likelihoods[t+d-1] + onward[t+d-1]
        onward[t] = log p(x_{t+1:T} | a stay ends at t)
                  = logsumexp(log_transitions + logsumexp(window at t+1 + log_durations))

    At the end onward is 0. A censored stay may go past it, where nothing is observed.
    """
    beyond = 0.0 if stays.censored else -torch.inf
    window = torch.full_like(stays.log_durations, beyond)
    onward, lasting = torch.zeros_like(stays.log_initial), []
    for here in stays.log_likelihoods.flip(0):
        window = torch.cat([onward[:, None], window[:, :-1]], 1) + here[:, None]
        lasting.append(window)
        beginning = logsumexp(window + stays.log_durations, 1)
        onward = logsumexp(stays.log_transitions + beginning, 1)
    return torch.stack(lasting[::-1])


def trace_back(stays: Stays, messages: Messages, choose: Callable) -> Tensor:
    """A path of states, stay by stay from the last to the first; (T,).

    `choose(scores)` picks an index: first of the state whose stay ends at t, then of the
    duration of that stay. `torch.argmax`, with the messages of `torch.amax`, gives the best
    path; a random draw, with those of `logsumexp`, a posterior sample.
    """
    end, path = len(messages.entering), []
    state = choose(last(stays, messages))
    durations = stays.log_survivor if stays.censored else stays.log_durations
    while True:
        first = max(0, end - durations.shape[1])
        entered = messages.entering[first:end, state].flip(0)  # lasting 1, 2, ... steps
        emitted = stays.log_likelihoods[first:end, state].flip(0).cumsum(0)
        scores = entered + emitted + durations[state, : end - first]
        lasted = int(choose(scores)) + 1
        path.append(state.repeat(lasted))
        end -= lasted
        if not end:
            return torch.cat(path[::-1])
        state = choose(messages.leaving[end - 1] + stays.log_transitions[:, state])
        durations = stays.log_durations


def last(stays: Stays, messages: Messages) -> Tensor:
    """log p(x_{1:T}, z_T), (K,), where the last stay ends, or may go on if censored."""
    if stays.censored:
        return messages.predicted[-1] + stays.log_likelihoods[-1]
    return messages.leaving[-1]


def log_likelihood(stays: Stays) -> Tensor:
    """log p(x_{1:T}), ()."""
    return logsumexp(last(stays, forward(stays)), 0)


def filter_states(stays: Stays) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1}), (T, K), where each stay may go on."""
    messages = forward(stays)
    total = possible(logsumexp(last(stays, messages), 0))
    filtered = messages.predicted + stays.log_likelihoods
    return Filtered(total, filtered.softmax(-1), messages.predicted.softmax(-1))


def expected_counts(stays: Stays) -> StayCounts:
    """p(z_t | x), and how many moves and stays of each duration are expected.

    A state is occupied at t if a stay began i steps ago and lasts longer than i.
    """
    messages, lasting = forward(stays), backward(stays) + stays.log_durations
    total = possible(logsumexp(last(stays, messages), 0))
    probs = (messages.entering[..., None] + lasting - total).exp()  # of each stay
    longer = probs.flip(-1).cumsum(-1).flip(-1)  # (T, K, D): and those that last longer
    states = torch.zeros_like(messages.entering)
    for ago in range(min(lasting.shape[-1], len(states))):
        began = longer[: len(states) - ago, :, ago]
        states = states + torch.nn.functional.pad(began, (0, 0, ago, 0))
    left, entered = messages.leaving[:-1, :, None], logsumexp(lasting, -1)[1:, None]
    moves = (left + stays.log_transitions + entered - total).exp().sum(0)
    return StayCounts(total, states / states.sum(-1, True), moves, probs.sum(0))


def viterbi(stays: Stays) -> BestPath:
    """The most probable path and its log joint."""
    messages = forward(stays, torch.amax)
    log_joint = last(stays, messages).amax()
    if log_joint.isneginf():
        return BestPath(log_joint, torch.full((len(messages.entering),), -1))
    return BestPath(log_joint, trace_back(stays, messages, torch.argmax))


def sample_states(stays: Stays, uniforms: Tensor) -> Tensor:
    """Paths drawn from p(z | x), (R, T), from independent uniform numbers (R, 2 T)."""
    messages = forward(stays)
    possible(logsumexp(last(stays, messages), 0))
    paths = []
    for row in uniforms:
        numbers = iter(row)
        paths.append(
            trace_back(stays, messages, lambda x, u=numbers: fallen(x, next(u)))
        )
    return torch.stack(paths)
