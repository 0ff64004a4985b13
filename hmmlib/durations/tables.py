"""Tables of durations, (K, D): p(a stay in k lasts d steps) in column d - 1.

A distribution without end is cut off at D and normalised. What is cut off is at most a
hundredth; more is refused, since it would be another distribution than the one named.
"""

import torch
from torch import Tensor
from torch.distributions import NegativeBinomial, Poisson

from hmmlib.checks import as_count, as_tensor

MOST_CUT_OFF = 0.01


def poisson_durations(rate, max_duration: int) -> Tensor:
    """d - 1 ~ Poisson(rate[k]), (K, D): a stay lasts 1 + rate[k] steps on average.

    Raises:
        ValueError: for rates below 0, and where D cuts off more than a hundredth.

    Example:
        >>> poisson_durations([0.5], max_duration=4)
        tensor([[0.6076, 0.3038, 0.0759, 0.0127]], dtype=torch.float64)
    """
    (rate,) = _each_state(rate=rate)
    _check("rate", rate, rate >= 0, "numbers of at least 0")
    further = _steps(max_duration, rate)
    return _cut_off(Poisson(rate[:, None], validate_args=False).log_prob(further))


def negative_binomial_durations(mean, dispersion, max_duration: int) -> Tensor:
    """d - 1 ~ negative binomial, (K, D): a stay lasts mean[k] steps on average.

    With m = mean - 1, the variance is m + dispersion · m²: near 0 the distribution is a
    Poisson one, and with 1 it is geometric.

    Raises:
        ValueError: for means of 1 or less, dispersions of 0 or less, and where D cuts off
            more than a hundredth.

    Example:
        >>> negative_binomial_durations([1.5], [1.0], max_duration=5)
        tensor([[0.6694, 0.2231, 0.0744, 0.0248, 0.0083]], dtype=torch.float64)
    """
    mean, dispersion = _each_state(mean=mean, dispersion=dispersion)
    _check("mean", mean, mean > 1, "numbers above 1")
    _check("dispersion", dispersion, dispersion > 0, "numbers above 0")
    further, odds = _steps(max_duration, mean), (dispersion * (mean - 1))[:, None]
    family = NegativeBinomial(1 / dispersion[:, None], logits=odds.log())
    return _cut_off(family.log_prob(further))


def geometric_after(least, stay, max_duration: int) -> Tensor:
    """At least `least[k]` steps, and then each step goes on with probability stay[k].

    p(d) = (1 - stay) · stay^(d - least) from d = least on, (K, D). With least 1 this is the
    duration of an ordinary hidden Markov model.

    Raises:
        ValueError: for a least that is no integer from 1 on, a `stay` outside of [0, 1),
            and where D cuts off more than a hundredth.

    Example:
        >>> geometric_after([1, 3], [0.5, 0.0], max_duration=8)[:, :5]
        tensor([[0.5020, 0.2510, 0.1255, 0.0627, 0.0314],
                [0.0000, 0.0000, 1.0000, 0.0000, 0.0000]], dtype=torch.float64)
    """
    least, stay = _each_state(least=least, stay=stay)
    whole = (least >= 1) & (least == least.floor())
    _check("least", least, whole, "integers of at least 1")
    _check("stay", stay, (stay >= 0) & (stay < 1), "probabilities below 1")
    further = _steps(max_duration, stay) + 1 - least[:, None]
    log_probs = torch.xlogy(further, stay[:, None]) + (1 - stay[:, None]).log()
    return _cut_off(log_probs.masked_fill(further < 0, -torch.inf))


def _each_state(**values) -> list[Tensor]:
    """Parameters as (K,) floats, all of one length."""
    tensors = {name: as_tensor(name, x) for name, x in values.items()}
    size = next(iter(tensors.values())).shape
    for name, x in tensors.items():
        if x.ndim != 1 or x.shape != size or not len(x):
            needs = "(K,)" if len(size) != 1 or not len(x) else f"{tuple(size)}"
            raise ValueError(f"{name}: got shape {tuple(x.shape)}, needs {needs}")
    return [x if x.is_floating_point() else x.double() for x in tensors.values()]


def _check(name: str, values: Tensor, right: Tensor, needs: str) -> None:
    if not (right & values.isfinite()).all():
        raise ValueError(f"{name}: got {values.tolist()}, needs {needs}")


def _steps(max_duration: int, like: Tensor) -> Tensor:
    """0 ... D - 1: the steps of a stay after its first."""
    return torch.arange(as_count("max_duration", max_duration)).to(like)


def _cut_off(log_probs: Tensor) -> Tensor:
    """Rows of probabilities. Raises ValueError where too much of one is missing."""
    beyond = 1 - log_probs.detach().exp().sum(1)
    if beyond.max() > MOST_CUT_OFF:
        raise ValueError(
            f"max_duration: got {log_probs.shape[1]}, beyond which are {beyond.max():.1%} of"
            f" the stays in state {beyond.argmax()}; needs a longer table, with at most"
            f" {MOST_CUT_OFF:.0%} beyond it"
        )
    return log_probs.softmax(1)
