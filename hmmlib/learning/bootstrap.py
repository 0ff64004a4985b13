"""The bootstrap: the same fit, again and again, to data that might have been seen instead.

parametric  data are simulated from the model, with the lengths, the inputs and the gaps of the
            observations: right if the model is
block       data are pieces of the observations themselves, drawn with replacement until there
            are as many steps: right even if the model is not, for dependence that is much
            shorter than a piece

Each piece counts as a sequence of its own, so that no move between two pieces is learned; the
initial_probs of a single sequence are then not drawn. Of several sequences whole ones may be
drawn. Efron & Tibshirani 1993, secs. 6.5 and 8.6; Künsch 1989.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hmmlib.checks import as_count, as_instance, as_seed, told, warn
from hmmlib.emissions import at
from hmmlib.hmm import HMM
from hmmlib.learning.align import align_states
from hmmlib.learning.coordinates import entries_of, named_values
from hmmlib.learning.em import fit_em
from hmmlib.learning.errors import as_level, as_table
from hmmlib.learning.result import Fit, cast
from hmmlib.observations import Observed, in_double

if TYPE_CHECKING:
    import pandas

NUM_ITERS = 1000  # of a fit that stops by itself
AT_ONCE = 2_000_000  # steps that are simulated together


class Bootstrap(NamedTuple):
    """Fits to data that might have been seen instead, their states in the order of the model's."""

    draws: dict[str, Tensor]  #: by parameter, (B, ...); NaN where it was not drawn
    num_converged: int  #: how many of the B fits did
    table: "pandas.DataFrame"
    """Columns estimate, standard_error, low, high: the standard deviation of the draws, and
    the quantiles that hold `level` of them."""


def bootstrap(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    inputs=None,
    level: float = 0.95,
    num_draws: int = 200,
    block: int | None = None,
    seed: int | None = 0,
    fit: Callable = fit_em,
    **options,
) -> Bootstrap:
    """What the fit gives for other data of the same kind; see the module.

    Each fit starts from `hmm`, and its states are matched with those of `hmm` by
    `align_states`.

    Args:
        hmm: the end of a fit.
        observations, lengths, observed, inputs: what it was fitted to.
        level: of the intervals.
        num_draws: B, fits; 200 for standard errors, a thousand or more for intervals.
        block: None to simulate, the steps of a piece, or 0 for whole sequences.
        seed: the same seed gives the same draws.
        fit: such as `fit_em` or `fit_gradient`, with its `options`.

    Raises ValueError for a block longer than the shortest sequence.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> bootstrap(coin, [0, 1, 1, 1] * 12, seed=0).draws["probs"].shape
        torch.Size([200, 1, 2])
    """
    as_instance("hmm", hmm, HMM)
    level, num_draws = as_level(level), as_count("num_draws", num_draws)
    hmm = cast(hmm, torch.float64)
    seen = hmm.read(observations, lengths, observed, inputs)
    generator = _generator(seed)
    if block is None:
        drawn = _simulated(hmm, seen, generator, num_draws)
    else:
        draw = _pieces(hmm, seen, block)
        drawn = (draw(generator) for _ in range(num_draws))
    start = _begun_anywhere(hmm, seen) if block else hmm
    fits = [_refitted(start, each, fit, options) for each in drawn]
    several = seen.values.ndim - len(hmm.emission.event_shape) > 1
    return _gathered(hmm, fits, level, block is None or several)


def bootstrap_intervals(
    hmm: HMM, observations, lengths=None, observed=None, **options
) -> "pandas.DataFrame":
    """The table of `bootstrap`; see `confidence_intervals`."""
    return bootstrap(hmm, observations, lengths, observed, **options).table


def reordered(hmm: HMM, order: Tensor) -> HMM:
    """The same model, its states in another order: state k is now `order[k]` of before.

    Example:
        >>> hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        >>> reordered(hmm, torch.tensor([1, 0])).initial_probs
        tensor([0.4000, 0.6000], dtype=torch.float64)
    """
    moves = hmm.transition_matrix
    if isinstance(moves, Tensor):
        moves = moves[order][:, order]
    else:
        moves = type(moves)(moves.weights[order][:, order])
    emission = at(hmm.emission, (order,))
    return HMM(hmm.initial_probs[order], moves, emission, hmm.symbols)


def _generator(seed: int | None) -> torch.Generator:
    generator, seed = torch.Generator(), as_seed(seed)
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)


def _refitted(start: HMM, drawn: Observed, fit: Callable, options: dict) -> Fit:
    """The fit, quiet about an end that `Bootstrap.num_converged` tells of."""
    options = {"num_iters": NUM_ITERS} | options if fit is fit_em else options
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not converged.*")
        return fit(start, drawn, **options)


def _begun_anywhere(hmm: HMM, seen: Observed) -> HMM:
    """The model of a piece, which may begin in any state: as often as the series is in it."""
    probs = hmm.smooth(seen).smoothed_probs.reshape(-1, hmm.num_states).mean(0)
    return replace(hmm, initial_probs=probs / probs.sum())


def _aligned(hmm: HMM, model: HMM) -> HMM:
    """The model, its states in the order of `hmm`."""
    if hmm.num_states == 1:
        return model
    return reordered(model, align_states(hmm, model))


def _simulated(
    hmm: HMM, seen: Observed, generator: torch.Generator, num: int
) -> Iterator[Observed]:
    """Samples of the model, with the lengths and gaps of the observations."""
    event = len(hmm.emission.event_shape)
    driven = hasattr(hmm.emission, "num_inputs")  # reads inputs beside each reading
    steps = seen.values.shape[: seen.values.ndim - event]
    missing = seen.values.isnan() if seen.values.is_floating_point() else None
    inputs, rows = seen.inputs, steps[0] if len(steps) > 1 else 1
    at_once = min(
        max(AT_ONCE // (rows * steps[-1]), 1), num
    )  # a loop over the steps each
    for first in range(0, num, at_once):
        copies = min(at_once, num - first)
        repeated = None if inputs is None else inputs.view(rows, *inputs.shape[-2:])
        if inputs is not None:
            repeated = repeated.repeat(copies, 1, 1)
        key = int(torch.randint(2**62, (), generator=generator))
        found = hmm.sample(steps[-1], key, copies * rows, repeated).observations
        for values in found.double().split(rows):
            values = values.view(*steps, *values.shape[2:])
            if driven:
                values = torch.cat([values[..., None], inputs.to(values)], -1)
                gaps = missing & (torch.arange(values.shape[-1]) == 0)
            else:
                gaps = missing
            if gaps is not None:
                values = values.masked_fill(gaps, torch.nan)
            one = seen._replace(values=values, checked=False)
            yield hmm.read(in_double(one))


def _pieces(hmm: HMM, seen: Observed, block: int) -> Callable:
    """A function that draws pieces of the observations. Raises ValueError."""
    block = as_count("block", block, least=0)
    event = len(hmm.emission.event_shape)
    seen = in_double(seen)
    rows = seen.values if seen.values.ndim > event + 1 else seen.values[None]
    ends = torch.full((len(rows),), rows.shape[1])
    ends = ends if seen.lengths is None else seen.lengths
    if block > ends.min() or (block == 0 and len(rows) == 1):
        raise ValueError(
            f"block: got {block}, needs 1 to {int(ends.min())}, the steps of the shortest"
            f" sequence, or 0 for whole ones, of which there are {told(len(rows))}"
        )
    inputs = seen.inputs
    if inputs is not None:
        inputs = inputs if inputs.ndim == 3 else inputs[None]

    def draw(generator: torch.Generator) -> Observed:
        if block == 0:
            which = torch.randint(len(rows), (len(rows),), generator=generator)
            lengths = None if seen.lengths is None else seen.lengths[which]
            given = None if inputs is None else inputs[which]
            return hmm.read(Observed(rows[which], lengths, inputs=given))
        places = (ends - block + 1).cumsum(0)  # where a piece may begin, over all rows
        num = -(-int(ends.sum()) // block)
        chosen = torch.randint(int(places[-1]), (num,), generator=generator)
        which = torch.searchsorted(places, chosen, right=True)
        before = torch.where(which > 0, places[which - 1], 0)
        steps = (chosen - before)[:, None] + torch.arange(block)
        given = None if inputs is None else inputs[which[:, None], steps]
        return hmm.read(Observed(rows[which[:, None], steps], inputs=given))

    return draw


def _gathered(hmm: HMM, fits: list[Fit], level: float, with_start: bool) -> Bootstrap:
    """The draws by parameter, and their table."""
    num_converged = sum(fit.converged for fit in fits)
    if num_converged < len(fits):
        warn(
            f"bootstrap: {len(fits) - num_converged} of {len(fits)} fits did not converge,"
            " needs more steps"
        )
    each = [named_values(_aligned(hmm, fit.model)) for fit in fits]
    draws = {name: torch.stack([x[name] for x in each]) for name in each[0]}
    if not with_start:
        draws["initial_probs"] = torch.full_like(draws["initial_probs"], torch.nan)
    flat = torch.cat([x.flatten(1) for x in draws.values()], 1)  # (B, P)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=flat.dtype)
    low, high = flat.quantile(ends, 0)
    columns = {
        "estimate": torch.cat([x.flatten() for x in named_values(hmm).values()]),
        "standard_error": flat.std(0),
        "low": low,
        "high": high,
    }
    return Bootstrap(draws, num_converged, as_table(entries_of(hmm), columns))
