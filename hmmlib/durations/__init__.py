"""Chains whose states last for explicit durations: hidden semi-Markov models, exactly.

* `model`: `HSMM`, its parameters and the verbs of `hmmlib.hmm.HMM`.
* `tables`: durations of a Poisson, a negative binomial, or a geometric distribution.
* `recursion`: the algorithm, in PyTorch; its compiled twin is `hmmlib.engines.stays`.

They are learned by `hmmlib.learning.fit_hsmm`.
"""

from hmmlib.durations.model import HSMM
from hmmlib.durations.recursion import Messages, Stays, backward, forward, trace_back
from hmmlib.durations.tables import (
    geometric_after,
    negative_binomial_durations,
    poisson_durations,
)

__all__ = [
    "HSMM",
    "Messages",
    "Stays",
    "backward",
    "forward",
    "geometric_after",
    "negative_binomial_durations",
    "poisson_durations",
    "trace_back",
]
