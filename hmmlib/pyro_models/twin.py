"""A model of `hmmlib` as the equivalent Pyro distribution."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions.constraints import boolean

from hmmlib.checks import as_count, as_instance
from hmmlib.emissions import by_logits, parts, rebuilt
from hmmlib.hmm import HMM
from hmmlib.logs import log


def to_discrete_hmm(hmm: HMM, num_steps: int) -> dist.DiscreteHMM:
    """The model as a `pyro.distributions.DiscreteHMM` with the same log-likelihoods.

    `DiscreteHMM` makes a transition before the first observation. To give z_1 the
    distribution initial_probs, it starts from the uniform distribution, and every row of
    its first transition is log initial_probs. Taught in chapter 2.

    Args:
        hmm: a model of one chain.
        num_steps: the length T of the observations to be scored.

    Raises:
        ValueError: if `num_steps` is less than 1, or Pyro has no equivalent emission.

    Example:
        >>> from hmmlib.datasets import weather
        >>> from hmmlib.inference import log_likelihood
        >>> x = weather.fortnight.observations
        >>> by_pyro = to_discrete_hmm(weather.hmm, num_steps=14).log_prob(x)
        >>> by_hmmlib = log_likelihood(weather.hmm.potentials(x))
        >>> torch.allclose(by_pyro, by_hmmlib)
        True
    """
    num_steps = as_count("num_steps", num_steps)
    num_states = as_instance("hmm", hmm, HMM).num_states
    first = log(hmm.initial_probs).expand(1, num_states, num_states)
    others = log(hmm.transition_matrix).expand(num_steps - 1, num_states, num_states)
    uniform = torch.zeros_like(hmm.initial_probs)
    # A support with a bound for each state, such as a number of trials, would be compared
    # with the observations step by step: the check is switched off.
    bounds = vars(hmm.emission.support).values()
    validate = None
    if any(isinstance(bound, Tensor) and bound.ndim for bound in bounds):
        validate = False
    return dist.DiscreteHMM(
        uniform,
        torch.cat([first, others]),
        _to_pyro(hmm.emission),
        validate_args=validate,
    )


def _to_pyro(emission: torch.distributions.Distribution):
    """The distribution of Pyro with the same family and parameters."""
    # torch and Pyro clamp probabilities away from 0 and 1; logits stay infinite.
    logits = by_logits(emission)
    for part in parts(emission):
        certain = (
            part.attribute == "probs" and ((part.value == 0) | (part.value == 1)).any()
        )
        if certain and not (part.on_simplex or part.owner.support is boolean):
            raise ValueError(
                f"emission: {type(part.owner).__name__} with a probability of 0 or 1, which Pyro"
                " moves into the interval; needs all strictly between 0 and 1"
            )
    try:
        return rebuilt(emission, logits, family_of=_namesake)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            f"emission: got {type(emission).__name__}, whose arguments are not those of its"
            " namesake in pyro.distributions; needs a family with the same arguments"
        ) from error


def _namesake(emission: torch.distributions.Distribution) -> type:
    """The family of Pyro with the same name. Raises ValueError if there is none."""
    family = getattr(dist, type(emission).__name__, None)
    if family is None:
        raise ValueError(
            f"emission: got {type(emission).__name__}, needs a family of pyro.distributions"
        )
    return family
