"""Pseudo-residuals: how unusual each observation is, given the others, on the normal scale.

If the model is right they are standard normal, whatever the family: 2.5 % lie above 1.96. A
count has a segment in the place of a point, from the probability of less to that of at most
what was observed. Zucchini, MacDonald & Langrock 2016, ch. 6.

ordinary  given all observations but x_t itself: these show single outliers. They depend on each
          other a little, even if the model is right
ahead     given those before x_t (forecast residuals): independent if the model is right, so
          that an autocorrelation counts against it

Letters as in `hmmlib.recursion`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.checks import as_instance, as_seed
from hmmlib.emissions import below_and_above, given, seen_steps
from hmmlib.hmm import HMM
from hmmlib.inference import filter_states
from hmmlib.recursion import Potentials, backward, forward


class Residuals(NamedTuple):
    """Pseudo-residuals, (T,) or (N, T) each; NaN where an observation is missing.

    Of a density low, values and high are the same.
    """

    values: Tensor  #: in the middle of its segment in probability, or drawn from it
    low: Tensor  #: where the segment begins; -inf for the least count
    high: Tensor  #: where it ends; inf for the largest value, where there is one


@torch.no_grad()
def pseudo_residuals(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    inputs=None,
    labels=None,
    ahead: bool = False,
    seed: int | None = None,
) -> Residuals:
    """Phi^-1 of p(x_t or less | all others), (T,) or (N, T): standard normal if all is well.

    The distribution of x_t given the others is a mixture of the states' emissions, weighted by
    p(z_t | the others). Symbols have no order but that of their numbers.

    Args:
        hmm, observations, lengths, observed, inputs, labels: as for `HMM`.
        ahead: given the past alone.
        seed: of counts and symbols, values are drawn from their segments, so that they are
            exactly normal; by default they are the middles.

    Raises:
        ValueError: for vectors, for a family whose cdf is not known, and for impossible
            observations.

    Example:
        >>> from torch.distributions import Normal
        >>> one = HMM([1.0], [[1.0]], Normal(torch.tensor([5.0]), 2.0))
        >>> pseudo_residuals(one, [7.0, 3.0, None]).values
        tensor([ 1., -1., nan], dtype=torch.float64)
    """
    as_instance("hmm", hmm, HMM)
    seed = as_seed(seed)
    seen = hmm.read(observations, lengths, observed, inputs, labels)
    driven = hasattr(hmm.emission, "num_inputs")
    _refuse_vectors(hmm, driven)
    potentials, there = hmm.potentials(seen), seen_steps(hmm.emission, seen.values)
    values, emission = seen.values, hmm.emission
    if driven:
        values, emission = values[..., 0], given(emission, seen.inputs)
    if seen.lengths is not None:
        steps = torch.arange(there.shape[1], device=there.device)
        there = there & (steps < seen.lengths[:, None])
    known = values.masked_fill(~there, values[there][0] if there.any() else 1)
    weights = _all_weights(potentials, ahead)
    parts = below_and_above(emission, known[..., None])
    parts = [(weights * x.to(weights)).sum(-1) for x in parts]
    return _residuals(parts, there, seed)


def _refuse_vectors(hmm: HMM, driven: bool) -> None:
    """Raise ValueError unless an observation is a single number, or one beside inputs."""
    if hmm.emission.event_shape and not driven:
        size = tuple(hmm.emission.event_shape)
        raise ValueError(
            f"observations: got vectors {size}, needs single numbers; for a component of them"
            " the emission of that component alone"
        )


def _residuals(parts: list[Tensor], there: Tensor, seed: int | None) -> Residuals:
    """On the normal scale, from p(X < x), p(X <= x), p(X > x) and p(X >= x)."""
    below, up_to, above, beyond = parts
    share = 0.5
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        share = torch.rand(below.shape, generator=generator, dtype=below.dtype)
        share = share.to(below)
    inside = below + share * (up_to - below), above + (1 - share) * (beyond - above)
    found = _normal(*inside), _normal(below, beyond), _normal(up_to, above)
    return Residuals(*(x.masked_fill(~there, torch.nan) for x in found))


def _normal(below: Tensor, above: Tensor) -> Tensor:
    """Phi^-1, from the smaller of both tails, which keeps its digits."""
    from scipy.special import ndtri  # takes a while to load; torch's loses the tail

    least = torch.minimum(below, above).clamp(0, 1)
    found = torch.from_numpy(ndtri(least.double().cpu().numpy())).to(least)
    return torch.where(below <= above, found, -found)


def _sequence(potentials: Potentials, n: int) -> Potentials:
    """The potentials of one sequence of a batch, (T_n, K)."""
    initial, (moves,), scores, lengths = potentials
    end = scores.shape[1] if lengths is None else int(lengths[n])
    moves = moves[n] if moves.ndim == 4 else moves
    moves = moves[: end - 1] if moves.ndim == 3 else moves
    return Potentials(initial, (moves,), scores[n, :end])


def _all_weights(potentials: Potentials, ahead: bool) -> Tensor:
    """`_weights` of one sequence or of each of a batch, 0 behind its end."""
    scores = potentials.log_likelihoods
    if scores.ndim == 2:
        return _weights(potentials, ahead)
    weights = torch.zeros_like(scores)
    for n in range(len(weights)):
        one = _sequence(potentials, n)
        weights[n, : len(one.log_likelihoods)] = _weights(one, ahead)
    return weights


def _weights(potentials: Potentials, ahead: bool) -> Tensor:
    """p(z_t | x of all other steps), or of those before alone; (T, K)."""
    entered = filter_states(potentials).predicted_probs
    if ahead:
        return entered
    odds = entered * _onward(potentials)
    total = odds.sum(-1, keepdim=True)
    if not (total > 1e-200).all():  # a product too small for a float
        alpha, beta = forward(potentials), backward(potentials)
        initial, (moves,), scores, _ = potentials
        moves = moves.expand(len(scores) - 1, *moves.shape[-2:])
        before = (alpha[:-1, :, None] + moves).logsumexp(1)
        return (torch.cat([initial[None], before]) + beta).softmax(-1)
    return odds / total


def _onward(potentials: Potentials) -> Tensor:
    """p(x_{t+1:T} | z_t), (T, K), each row up to a factor.

    That is what the filter predicts of the same chain read from its end, with its moves turned
    round and an even start.
    """
    initial, (moves,), scores, _ = potentials
    turned = moves.flip(0) if moves.ndim == 3 else moves
    even = torch.full_like(initial, 1 / len(initial)).log()
    back = Potentials(even, (turned.mT,), scores.flip(0))
    return filter_states(back).predicted_probs.flip(0)
