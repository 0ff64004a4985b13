"""Where a fit starts: random models, clusters of the data, and one fit from each."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib import emissions
from hmmlib.checks import as_count, as_instance, as_kind, as_seed, as_tensor, told
from hmmlib.hmm import HMM
from hmmlib.learning.em import fit_em
from hmmlib.learning.result import PARTS, Fit, log_prior


def fit_restarts(
    starts: Iterable[HMM], observations, lengths=None, fit: Callable = fit_em, **options
) -> list[Fit]:
    """One fit from each start, the best first; all of them, to show how much they differ.

    `options` go to `fit`; with a pseudo_count the prior counts for the order too. A run far
    below the best one is trapped, in a local maximum or on a plateau, or not yet done. Raises
    ValueError without a start. Taught in chapter 5.
    """
    try:
        starts = list(starts)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"starts: got {told(starts)}, needs several HMMs") from error
    for start in starts:
        as_instance("starts", start, HMM)
    if not callable(fit):
        raise ValueError(f"fit: got {told(fit)}, needs a function such as fit_em")
    if not starts:
        raise ValueError("starts: got none, needs at least one HMM")
    fits = [fit(start, observations, lengths, **options) for start in starts]
    learn, pseudo_count = options.get("learn", PARTS), options.get("pseudo_count", 0.0)

    def objective(fit: Fit) -> float:
        prior = log_prior(fit.model, learn, pseudo_count)
        return (fit.log_likelihoods[-1] + prior).item()

    return sorted(fits, key=objective, reverse=True)


def random_starts(hmm: HMM, num_starts: int, seed: int) -> list[HMM]:
    """Models like `hmm` with random starts, moves and emissions.

    Probabilities of starts, moves and symbols are drawn evenly from all distributions over
    what is possible. Other emission parameters of a state are a random average over the
    states of `hmm`, so that they stay within their range. Moves that inputs drive start as
    those of `hmm`. Raises ValueError for no start,
    and for states that are all alike, which no average tells apart.
    """
    as_instance("hmm", hmm, HMM)
    num_starts, seed = as_count("num_starts", num_starts), as_seed(seed)
    generator = torch.Generator()
    if seed is not None:
        generator.manual_seed(seed)

    def evenly(possible: Tensor) -> Tensor:
        draws = torch.empty_like(possible).exponential_(generator=generator)
        draws = draws * (possible > 0)
        return draws / draws.sum(-1, keepdim=True)

    starts = []
    for _ in range(num_starts):
        initial, moves = evenly(hmm.initial_probs), hmm.transition_matrix
        if isinstance(moves, Tensor):
            moves = evenly(moves)
        emission = emissions.randomised(hmm.emission, evenly, generator)
        starts.append(HMM(initial, moves, emission, hmm.symbols))
    return starts


def guess_emission(
    emission: Distribution, values: Tensor, seed: int = 0
) -> Distribution:
    """A data-driven start: k-means of the values (n, *event_shape), each cluster a state.

    The same family and number of states as `emission`, each fitted to its cluster; clusters
    in the order of their means. Categorical and Bernoulli data have no clusters to find:
    use `random_starts`. Raises ValueError for fewer values than states. Arthur &
    Vassilvitskii 2007.
    """
    as_kind("emission", emission, Distribution)
    values, event = as_tensor("values", values), tuple(emission.event_shape)
    if (
        len(emission.batch_shape) != 1
        or 0 in (values.ndim, values.numel())
        or tuple(values.shape) != (*values.shape[:1], *event)
    ):
        raise ValueError(
            f"values: got shape {tuple(values.shape)}, needs {('n', *event)}, for an"
            f" emission of batch_shape {tuple(emission.batch_shape)}, which needs to be (K,)"
        )
    if not values.isfinite().all():
        raise ValueError("values: got NaN or infinity, needs finite ones")
    values = values if values.is_floating_point() else values.double()
    num_states = emission.batch_shape[0]
    labels = _clusters(values, num_states, seed)
    weights = torch.nn.functional.one_hot(labels, num_states).to(values.dtype)
    return emissions.fit(emission, values, weights)


def _clusters(values: Tensor, num_states: int, seed: int) -> Tensor:
    """The cluster of each value (n, ...), by k-means, in the order of their means; (n,)."""
    from scipy.cluster.vq import kmeans2  # takes a while to load

    points = values.reshape(len(values), -1).double()
    if len(points.unique(dim=0)) < num_states:
        raise ValueError(
            f"values: got too few different ones, needs {num_states}, one a state"
        )
    centres, labels = kmeans2(
        points.numpy(), num_states, minit="++", seed=as_seed(seed)
    )
    order = torch.as_tensor(np.lexsort(centres.T[::-1])).argsort()
    return order[torch.as_tensor(labels, dtype=torch.long)]
