"""Two approximations that take one chain at a time: mean field, and coordinate ascent.

Given the other chains, the rest of an additive reading belongs to one chain, and is a plain
hidden Markov model. A sweep costs sum_m K_m^2 a step, linear in the number of chains.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from hmmlib.checks import as_count, as_number
from hmmlib.factorial.additive import total
from hmmlib.factorial.model import FactorialHMM
from hmmlib.factorial.paths import as_path, one_series, path_log_joint
from hmmlib.inference import BestPath, smooth_states, viterbi
from hmmlib.logs import log
from hmmlib.recursion import Potentials


def mean_field(
    model: FactorialHMM,
    observations,
    num_sweeps: int = 50,
    tolerance: float = 1e-6,
    start: Tensor | None = None,
    engine=None,
) -> tuple[Tensor, ...]:
    """Structured mean field: p(z_t^m | x) as if chains were independent; M of (T, K_m).

    Each chain is smoothed in turn against what the others leave over on average. It is an
    approximation, and may end in a local optimum. Ghahramani & Jordan 1997, sec. 3.5.
    Taught in chapter 7.

    Args:
        model: with an `additive_gaussian` emission of one scale.
        observations: one series, (T,).
        num_sweeps: how often each chain is smoothed, at most.
        tolerance: a sweep that moves no probability by as much is the last one.
        start: (T, M) states to begin from; by default every state is equally probable.
        engine: as for `inference.smooth_states`.

    Raises:
        ValueError: for another emission, and for states that the chains do not have.
    """
    x, means, scale, chains = _parts(model, observations)
    tolerance = as_number("tolerance", tolerance, "a number", lambda x: x == x)
    sizes = model.sizes
    if start is None:
        probs = [x.new_full((len(x), size), 1 / size) for size in sizes]
    else:
        columns = zip(as_path(model, x, start).T, sizes, strict=True)
        probs = [torch.nn.functional.one_hot(z, k).to(x.dtype) for z, k in columns]
    expected = sum(p @ mu for p, mu in zip(probs, means, strict=True))
    for _ in range(as_count("num_sweeps", num_sweeps)):
        moved = 0.0
        for m, chain in enumerate(chains):
            others = expected - probs[m] @ means[m]
            scores = _scores_of_rest(x - others, means[m], scale)
            chain = chain._replace(log_likelihoods=scores)
            new = smooth_states(chain, engine).smoothed_probs
            moved = max(moved, float((new - probs[m]).abs().max()))
            probs[m], expected = new, others + new @ means[m]
        if moved < tolerance:
            break
    return tuple(probs)


def coordinate_ascent(
    model: FactorialHMM,
    observations,
    num_sweeps: int = 50,
    start: Tensor | None = None,
    engine=None,
) -> BestPath:
    """Iterated conditional modes, a chain at a time: a local optimum of the joint path.

    Each chain takes its best path given those of the others, until none changes; the log
    joint never falls. Besag 1986. Taught in chapter 7.

    Args:
        model: with an `additive_gaussian` emission of one scale.
        observations: one series, (T,).
        num_sweeps: how often each chain takes its best path, at most.
        start: (T, M) states to begin from; by default state 0 throughout.
        engine: as for `inference.viterbi`.

    Raises:
        ValueError: for another emission, and for states that the chains do not have.
    """
    x, means, scale, chains = _parts(model, observations)
    states = torch.zeros(len(x), len(means), dtype=torch.long)
    if start is not None:
        states = as_path(model, x, start).clone()
    explained = sum(mu[z] for mu, z in zip(means, states.T, strict=True))
    for _ in range(as_count("num_sweeps", num_sweeps)):
        before = states.clone()
        for m, chain in enumerate(chains):
            others = explained - means[m][states[:, m]]
            scores = _scores_of_rest(x - others, means[m], scale)
            chain = chain._replace(log_likelihoods=scores)
            states[:, m] = viterbi(chain, engine).states
            explained = others + means[m][states[:, m]]
        if (states == before).all():
            break
    return BestPath(path_log_joint(model, x, states), states)


class _Parts(NamedTuple):
    """What both approximations need."""

    x: Tensor  # (T,)
    means: tuple[Tensor, ...]  # M of (K_m,)
    scale: Tensor  # ()
    chains: list[Potentials]  # M chains without any observations


def _parts(model: FactorialHMM, observations) -> _Parts:
    """A model and its series, taken apart. Raises ValueError for another emission."""
    x = one_series(model, observations)
    emission = model.emission
    means = getattr(emission, "chain_means", None)
    if means is None or len(emission.scale.unique()) > 1:
        raise ValueError(
            f"model: got emission {type(emission).__name__}, needs additive_gaussian with"
            " one scale"
        )
    if not torch.equal(total(means), emission.loc):
        raise ValueError(
            "model: got an emission whose loc was changed, which its chain_means no longer"
            " add up to; needs additive_gaussian of the new levels"
        )
    chains = [
        Potentials(log(initial), (log(moves),), x.new_zeros(len(x), len(initial)))
        for initial, moves in zip(
            model.initial_probs, model.transition_matrices, strict=True
        )
    ]
    return _Parts(x, means, emission.scale.flatten()[0], chains)


def _scores_of_rest(rest: Tensor, means: Tensor, scale: Tensor) -> Tensor:
    """log p of what is left over, for each state of one chain; (T, K), 0 where missing."""
    scores = Normal(means, scale, validate_args=False).log_prob(rest[:, None])
    return torch.where(rest.isnan()[:, None], 0.0, scores)
