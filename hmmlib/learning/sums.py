"""What Baum-Welch has to know of data that it does not keep: sums that add up over sequences.

The E-step of a part of the data, wherever that part is read, gives `Sums` of a few numbers;
those of all parts together make the M-step. Letters and axes as in `hmmlib.recursion`.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib import emissions
from hmmlib.checks import as_instance
from hmmlib.emissions import Limits, condensed, restated
from hmmlib.engines import pick
from hmmlib.engines.compact import Compact
from hmmlib.hmm import HMM
from hmmlib.learning.em import as_scale, counted_steps
from hmmlib.learning.moving import Learn, as_tied, kept, moved
from hmmlib.learning.result import PARTS, as_options

SOME = 1000


class Sums(NamedTuple):
    """Expected counts of a part of the data, and a few values in the place of its own."""

    log_likelihood: Tensor  #: ()  log p(x), summed over sequences
    num_sequences: float  #: how many there were
    initial: Tensor  #: (K,)  expected starts
    transitions: Tensor  #: (K, K)  expected moves
    values: Tensor  #: (m, *event_shape)  their weighted fit is that of all observations
    weights: Tensor  #: (m, K)
    some: Tensor
    """(n, *event_shape)  up to 1,000 of the observations, which tell how narrow a scale may
    become"""


@torch.no_grad()
def expected_sums(hmm: HMM, observations) -> Sums:
    """The E-step of one sequence, or of a batch: what `em_step_from` needs of it.

    `observations` are what the verbs of `hmm` take, or what `hmm.read` made of them, with
    masks, labels and inputs.

    Raises:
        ValueError: for observations that cannot be read or are impossible, for moves that
            inputs drive, and for a family whose fit has to see all observations at once.

    Example:
        >>> from torch.distributions import Normal
        >>> hmm = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], Normal(torch.tensor([0.0, 5.0]), 1.0))
        >>> both = added(hmm, [expected_sums(hmm, [0.1, 5.2]), expected_sums(hmm, [4.9])])
        >>> both.initial
        tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    as_instance("hmm", hmm, HMM)
    if not isinstance(hmm.transition_matrix, Tensor):
        raise ValueError(
            "hmm: inputs drive its moves, which are a regression on all steps together; needs"
            " a transition matrix, or fit_em"
        )
    seen = hmm.read(observations)
    short = hmm.compact(seen)
    counts = pick(short).total_counts(short)
    values, there = seen.values, counted_steps(hmm.emission, seen)
    known = values[there].to(counts.initial)
    few = None
    if isinstance(short, Compact):
        few = restated(hmm.emission, counts.uses)
    if few is None:
        states = counts.uses
        if isinstance(short, Compact):
            states = pick(short).expected_counts(short).states
        few = _condensed(hmm, known, states[there])
    num = 1 if there.ndim == 1 else len(there)
    every = max(1, -(-len(known) // SOME))
    some = known[::every].clone()  # not a view, which would keep all
    return Sums(
        counts.log_likelihood, num, counts.initial, counts.transitions, *few, some
    )


@torch.no_grad()
def added(hmm: HMM, parts: Iterable[Sums]) -> Sums:
    """The sums of all parts; those of one part after the other, in their order.

    `hmm` is the model that they were computed with. Raises ValueError for no part.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("parts: got none, needs at least one")
    scores, nums, initial, transitions, values, weights, some = zip(*parts, strict=True)
    values, weights = torch.cat(values), torch.cat(weights)
    if len(parts) > 1:
        values, weights = _condensed(hmm, values, weights)
    return Sums(
        sum(scores), sum(nums), sum(initial), sum(transitions), values, weights,
        torch.cat(some)[:SOME],
    )  # fmt: skip


def weighing(sums: Sums, factor: float) -> Sums:
    """The sums, as if every sequence had been there `factor` times."""
    scaled = {
        name: getattr(sums, name) * factor
        for name in (
            "log_likelihood",
            "num_sequences",
            "initial",
            "transitions",
            "weights",
        )
    }
    return sums._replace(**scaled)


@torch.no_grad()
def em_step_from(
    hmm: HMM,
    sums: Sums,
    learn: Learn = PARTS,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    *,
    tied=None,
) -> HMM:
    """The M-step: the model that `em_step` makes of all the data that the sums are of.

    Options as in `em_step`. The least scale of a Gaussian or Gamma family follows from a
    sample of the observations, of up to 1,000, in the place of all of them. Raises ValueError
    as `em_step` does.
    """
    learn, pseudo_count = as_options(hmm, learn, pseudo_count)
    limits, same = Limits(pseudo_count, as_scale(min_scale)), as_tied(tied, hmm)
    tables = {"initial_probs": sums.initial, "transition_matrix": sums.transitions}
    new = {name: getattr(hmm, name) for name in PARTS}
    for name, counts in tables.items():
        if name in learn:
            new[name] = moved(counts, new[name], learn[name], pseudo_count)
    if "emission" in learn:
        weights = sums.weights if same is None else sums.weights @ same.to(sums.weights)
        nothing = weights.new_zeros(len(sums.some), weights.shape[1])
        values = torch.cat([sums.values, sums.some])
        weights = torch.cat([weights, nothing])
        fitted = emissions.fit(hmm.emission, values, weights, limits)
        new["emission"] = kept(fitted, hmm.emission, learn["emission"])
    return HMM.of_checked(**new, symbols=hmm.symbols)


def _condensed(hmm: HMM, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A few values in the place of all. Raises ValueError for a family that needs all."""
    few = condensed(hmm.emission, values, weights)
    if few is None:
        families = sorted(each.__name__ for each in condensed.registry)
        able = ", ".join(name for name in families if name not in ("object", "Chi2"))
        raise ValueError(
            f"emission: a fit of {type(hmm.emission).__name__} has to see all observations at"
            f" once, needs fit_em, or a family whose sums add up: {able}"
        )
    return few
