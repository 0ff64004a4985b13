"""Baum-Welch over sequences that are never in memory together, and in small batches.

The E-step goes over the sequences one by one and keeps their sums, see `hmmlib.learning.sums`;
they may come from files, and be counted on several cores or machines. Arguments:

    sequences  a list, or anything that can be gone over again, such as the paths of files; or
               a function without arguments that starts a new pass, such as
               `lambda: (table[name] for name in names)`. Each is what the verbs of the model
               take: one sequence, or better a batch of short ones; or what `hmm.read` made of
               it, with masks, labels and inputs
    read       a function that is given each of them and returns observations, such as
               `numpy.load` for paths; it runs where the sequence is counted
    map        who counts: `map(function, sequences)` returns the answers in their order. The
               `map` of an executor takes several cores; with Dask,
               `lambda f, xs: dask.bag.from_sequence(xs, npartitions=n).map(f).compute()`

Families whose fit needs sums alone can learn so: `Normal`, `MultivariateNormal`,
`Categorical`, `Poisson`, `Gamma` and most others, but no mixtures.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.checks import as_count, as_number, told
from hmmlib.emissions import widened
from hmmlib.hmm import HMM
from hmmlib.learning.em import as_scale
from hmmlib.learning.moving import Learn
from hmmlib.learning.result import (
    PARTS,
    Fit,
    as_options,
    as_tolerance,
    cast,
    log_prior,
    report,
    warn_of_equal_states,
)
from hmmlib.learning.sums import Sums, added, em_step_from, expected_sums, weighing

TOGETHER = 32  # sequences that are held at once


class StepwiseFit(NamedTuple):
    """A model that learned batch by batch, and how well it foresaw each batch."""

    model: HMM  #: after the last batch
    log_likelihoods: Tensor
    """(num_batches,)  log p(x) of a sequence of each batch, on average, before the model has
    learned from it"""
    num_sequences: int  #: of one pass


def fit_em_streamed(
    hmm: HMM,
    sequences: Iterable | Callable,
    num_iters: int = 100,
    tolerance: float = 1e-6,
    *,
    read: Callable | None = None,
    map: Callable = map,
    num_at_once: int = TOGETHER,
    learn: Learn = PARTS,
    tied=None,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    progress: bool = False,
) -> Fit:
    """`fit_em` of all sequences together, of which only `num_at_once` are held at a time.

    It takes the same steps as `fit_em` of the sequences as one batch, up to rounding, with a
    pass over them for each. `sequences`, `read` and `map` are those of the module, the other
    options those of `fit_em`. Raises ValueError as `em_step` does, with the number of the
    sequence; and for sequences that end with the first pass, or change.

    Example:
        >>> from hmmlib.datasets import weather
        >>> fortnights = [weather.hmm.sample(14, seed=n).observations for n in range(9)]
        >>> fit_em_streamed(weather.hmm, fortnights, num_iters=500, tolerance=1e-4).converged
        True
    """
    num_iters, tolerance = as_count("num_iters", num_iters, 0), as_tolerance(tolerance)
    options = learn, pseudo_count, min_scale
    model, num_at_once = _start(hmm, *options), as_count("num_at_once", num_at_once)
    start = _passes(sequences, again=num_iters > 0)
    moving, scores, gain, before = (
        as_options(hmm, *options[:2]).learn,
        [],
        torch.inf,
        None,
    )
    for num in range(num_iters + 1):
        sums = _pass(model, _batches(start(), num_at_once, progress), read, map)
        before = _same_number(sums, before)
        score = sums.log_likelihood.item()
        scores.append((score, score + log_prior(model, moving, pseudo_count).item()))
        gain = scores[-1][1] - scores[-2][1] if num else torch.inf
        if num == num_iters or gain < tolerance:
            break
        model = em_step_from(model, sums, *options, tied=tied)
    warn_of_equal_states("fit_em_streamed", hmm, model, moving, tied)
    found = cast(model, hmm.initial_probs.dtype)
    return report("fit_em_streamed", found, scores, gain, tolerance)


def fit_em_stepwise(
    hmm: HMM,
    sequences: Iterable | Callable,
    num_passes: int = 1,
    batch_size: int = TOGETHER,
    power: float = 0.7,
    *,
    read: Callable | None = None,
    map: Callable = map,
    learn: Learn = PARTS,
    tied=None,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    progress: bool = False,
) -> StepwiseFit:
    """Stepwise EM: an M-step after each batch, so that one pass may be enough.

    The expected counts are averages in which batch k has a share of k^-power, above 0.5 and
    at most 1, and what came before it the rest: a small power forgets sooner. It comes near
    the maximum that `fit_em_streamed` reaches, not to it. The order of the sequences should
    have nothing to do with what they are like, and a `pseudo_count` keeps symbols possible
    that the first batch lacks. For one pass a generator will do. Options as in
    `fit_em_streamed`. Raises ValueError as it does. Cappé & Moulines 2009; Liang & Klein 2009.

    Example:
        >>> from hmmlib.datasets import weather
        >>> days = (weather.hmm.sample(14, seed=n).observations for n in range(64))
        >>> fit_em_stepwise(weather.hmm, days, batch_size=8).log_likelihoods.shape
        torch.Size([8])
    """
    num_passes = as_count("num_passes", num_passes)
    batch_size = as_count("batch_size", batch_size)
    fits = "a number above 0.5, and at most 1"
    power = as_number("power", power, fits, lambda x: 0.5 < x <= 1)
    options = learn, pseudo_count, min_scale
    model, start = _start(hmm, *options), _passes(sequences, again=num_passes > 1)
    scores, mean, most = [], None, 0
    for _ in range(num_passes):
        num = 0
        for batch in _batches(start(), batch_size, progress):
            part = _counted(model, batch, read, map)
            num += part.num_sequences
            most = max(most, num)
            scores.append(part.log_likelihood.item() / part.num_sequences)
            mean = _interpolated(model, mean, part, len(scores) ** -power)
            model = em_step_from(model, weighing(mean, most), *options, tied=tied)
    if not scores:
        raise ValueError("sequences: got none, needs at least one")
    found = cast(model, hmm.initial_probs.dtype)
    return StepwiseFit(found, torch.tensor(scores, dtype=torch.float64), most)


def _start(hmm: HMM, learn: Learn, pseudo_count: float, min_scale: float) -> HMM:
    """The model in float64, no scale below `min_scale`. Raises as `fit_em` does."""
    as_options(hmm, learn, pseudo_count)
    model, min_scale = cast(hmm, torch.float64), as_scale(min_scale)
    if "emission" in learn and min_scale:
        model = replace(model, emission=widened(model.emission, min_scale))
    return model


def _passes(sequences, again: bool) -> Callable[[], Iterator]:
    """What starts a pass over the sequences; if `again`, more than one.

    Raises:
        ValueError: for what has no sequences, and for what ends with its first pass.
    """
    cure = (
        "needs a list, or a function that starts a new pass, such as lambda: (read(path) for"
        " path in paths)"
    )

    def start() -> Iterator:
        given = sequences() if callable(sequences) else sequences
        try:
            return iter(given)
        except TypeError as error:
            raise ValueError(f"sequences: got {told(given)}, {cure}") from error

    if again and not callable(sequences) and start() is sequences:
        found = type(sequences).__name__
        raise ValueError(
            f"sequences: got a {found}, which is used up by the first pass; {cure}"
        )
    return start


def _batches(items: Iterator, size: int, progress: bool) -> Iterator[list]:
    """Lists of up to `size` pairs: the number of a sequence, and the sequence."""
    from tqdm.auto import tqdm  # takes a while to load

    numbered = enumerate(tqdm(items, disable=not progress))
    while batch := list(islice(numbered, size)):
        yield batch


def _pass(model: HMM, batches: Iterator, read, map: Callable) -> Sums | None:
    """The sums of all batches; None without one."""
    sums = None
    for batch in batches:
        part = _counted(model, batch, read, map)
        sums = part if sums is None else added(model, [sums, part])
    return sums


def _counted(model: HMM, batch: list, read: Callable | None, map: Callable) -> Sums:
    """The sums of a batch, whose sequences `map` counts."""
    parts = list(map(partial(_count, model, read), batch))
    if len(parts) != len(batch) or not all(isinstance(each, Sums) for each in parts):
        raise ValueError(
            f"map: got {told(parts)} for {len(batch)} sequences, needs the answer of the"
            " function for each, such as the map of an executor returns"
        )
    return added(model, parts)


def _count(model: HMM, read: Callable | None, numbered: tuple[int, object]) -> Sums:
    """The sums of one sequence. Raises ValueError that says which one was wrong."""
    num, sequence = numbered
    try:
        return expected_sums(model, sequence if read is None else read(sequence))
    except ValueError as error:
        raise ValueError(f"sequences: number {num}: {error}") from error


def _same_number(sums: Sums | None, before: int | None) -> int:
    """How many sequences a pass had. Raises ValueError unless it is as many as `before`."""
    num = 0 if sums is None else sums.num_sequences
    if before is None and not num:
        raise ValueError("sequences: got none, needs at least one")
    if before not in (None, num):
        raise ValueError(
            f"sequences: {before} in the first pass, and {num} in the next; needs a function"
            " that starts the same pass anew, such as lambda: (read(path) for path in paths)"
        )
    return num


def _interpolated(model: HMM, mean: Sums | None, part: Sums, share: float) -> Sums:
    """The counts of a sequence on average, in which those of `part` have a share."""
    new = weighing(part, 1 / part.num_sequences)
    if mean is None:
        return new
    return added(model, [weighing(mean, 1 - share), weighing(new, share)])
