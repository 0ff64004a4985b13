"""LogNormal: positive numbers whose logarithms are Gaussian; fitted as `Normal` on the logs.

`scale`, and with it the smallest scale of a fit, is a standard deviation of the logarithms.
"""

from torch.distributions import LogNormal, Normal

from hmmlib.emissions.condensed import condensed
from hmmlib.emissions.protocol import (
    NO_LIMITS,
    blank,
    blank_of,
    fit,
    needed,
    widened,
)


@needed.register
def _(emission: LogNormal):
    return "a finite value above 0"


@fit.register
def _(emission: LogNormal, values, weights, limits=NO_LIMITS):
    return _exp(fit(_log(emission), values.log(), weights, limits))


@condensed.register
def _(emission: LogNormal, values, weights):
    logs, weights = condensed(_log(emission), values.log(), weights)
    return logs.exp(), weights


@blank.register
def _(emission: LogNormal, num_states, values):
    return _exp(blank_of(Normal, num_states, values.log()))


@widened.register
def _(emission: LogNormal, min_scale):
    return _exp(widened(_log(emission), min_scale))


def _log(emission: LogNormal) -> Normal:
    """The distribution of log x."""
    return Normal(emission.loc, emission.scale)


def _exp(logs: Normal) -> LogNormal:
    """The distribution of x, given that of log x."""
    return LogNormal(logs.loc, logs.scale)
