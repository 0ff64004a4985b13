"""The questions one asks of a hidden Markov model, of one sequence or of a batch.

Letters and axes as in `hmmlib.recursion`. Shapes are given for one sequence; a batch puts
N in front. Behind the end of a shorter sequence, probabilities are 0 and states are -1.
Observations that the model holds impossible have log-likelihood -inf and no best path; a
posterior does not exist for them, and asking for one raises ValueError.

`engine` says who answers: `hmmlib.engines.recursion` runs the algorithm of the chapters,
`hmmlib.engines.compiled` its compiled twin. By default, one chain on the CPU goes through
the compiled loops, in float64; several chains and other devices go through the recursion.
The answers are the same, except that in float32 the recursion loses digits of posteriors
from ten thousand steps on.
"""

from torch import Tensor, no_grad

from hmmlib.checks import as_count, as_seed
from hmmlib.engines import pick
from hmmlib.engines.answers import BestPath, Counts, Filtered, Smoothed, Totals
from hmmlib.engines.checked import checked
from hmmlib.recursion import Potentials

__all__ = [
    "BestPath",
    "Counts",
    "Filtered",
    "Smoothed",
    "Totals",
    "checked",
    "expected_counts",
    "filter_states",
    "log_likelihood",
    "pairwise_probs",
    "sample_states",
    "smooth_states",
    "total_counts",
    "viterbi",
]


def log_likelihood(potentials: Potentials, engine=None) -> Tensor:
    """log p(x_{1:T}) = logsumexp of log_alpha[T-1]; shape () or (N,). -inf if impossible.

    Differentiable in every potential: the gradients are the expected counts (Fisher's
    identity), and 0 where a potential is -inf. Higher derivatives exist too; they go through
    the recursion, which is slower, as all derivatives of several chains do. One chain has no
    forward-mode derivatives and no `torch.func.vmap`. Cost T · M · K^(M+1). Rabiner 1989,
    eq. 21. Taught in chapter 2.

    Example:
        >>> from hmmlib import HMM
        >>> hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        >>> print(f"{log_likelihood(hmm.potentials([1, 0, 1])):.4f}")
        -2.0712
    """
    potentials = checked(potentials)
    return (engine or pick(potentials)).log_likelihood(potentials)


def filter_states(potentials: Potentials, engine=None) -> Filtered:
    """p(z_t | x_{1:t}) and p(z_t | x_{1:t-1}) at every step, (T, *S): alpha, normalised.

    Raises ValueError for impossible observations. Rabiner 1989, eqs. 19-20, normalised.
    Taught in chapter 3.
    """
    potentials = checked(potentials)
    return (engine or pick(potentials)).filter_states(potentials)


def smooth_states(potentials: Potentials, engine=None) -> Smoothed:
    """p(z_t | x_{1:T}) at every step, (T, *S): exp(log_alpha[t] + log_beta[t]), normalised.

    Raises ValueError for impossible observations. Rabiner 1989, eq. 27. Taught in
    chapter 3.
    """
    potentials = checked(potentials)
    return (engine or pick(potentials)).smooth_states(potentials)


def pairwise_probs(potentials: Potentials) -> Tensor:
    """p(z_t, z_{t+1} | x_{1:T}) for each move of one chain; shape (T-1, K, K).

    exp(alpha[t] + log_transitions + log_likelihoods[t+1] + beta[t+1]), normalised over
    both states. Raises ValueError for impossible observations, and for several chains.
    Rabiner 1989, eq. 37. Taught in chapter 3.
    """
    potentials = checked(potentials, num_chains=1)
    return pick(potentials).pairwise_probs(potentials)


def expected_counts(potentials: Potentials, engine=None) -> Counts:
    """Expected starts (K,), moves (K, K) and visits (T, K) of one chain.

    What Baum-Welch learns from. Raises ValueError for impossible observations, and for
    several chains. Rabiner 1989, eqs. 27, 37 and 40. Taught in chapter 3.
    """
    potentials = checked(potentials, num_chains=1)
    return (engine or pick(potentials)).expected_counts(potentials)


def total_counts(potentials: Potentials, engine=None) -> Totals:
    """Expected counts of one chain, summed over all sequences; `uses` is p(z_t | x), (T, K).

    Learning asks the same of a model and its observations, whose table of symbols, or whose
    Gaussians, are read as they are: `uses` is then summed up along the way, to (V, K) uses
    of each symbol, or to (3, K) moments about each mean. Raises ValueError for impossible
    observations, and for several chains. Rabiner 1989, eq. 40.
    """
    potentials = checked(potentials, num_chains=1)
    return (engine or pick(potentials)).total_counts(potentials)


def viterbi(potentials: Potentials, engine=None) -> BestPath:
    """argmax of log p(x_{1:T}, z_{1:T}), and its value; states (T,), or (T, M).

    Of equally good paths, one. Where no path is possible the log joint is -inf and
    every state is -1. Cost T · M · K^(M+1). Viterbi 1967; Rabiner 1989, eqs. 32-35.
    Taught in chapter 4.
    """
    potentials = checked(potentials)
    return (engine or pick(potentials)).viterbi(potentials)


@no_grad()
def sample_states(
    potentials: Potentials, num_samples: int, seed: int | None = None, engine=None
) -> Tensor:
    """Draws from p(z_{1:T} | x_{1:T}); (num_samples, T), or (num_samples, T, M).

    Forward filtering, backward sampling: the last state from alpha[T-1], each earlier one
    given its successor. A batch gives (num_samples, N, T). The same seed gives the same
    draws. Raises ValueError for impossible observations, and for fewer than one sample.
    Scott 2002, sec. 2.1.3. Taught in chapter 3.
    """
    potentials = checked(potentials)
    num_samples, seed = as_count("num_samples", num_samples), as_seed(seed)
    return (engine or pick(potentials)).sample_states(potentials, num_samples, seed)
