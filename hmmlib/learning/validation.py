"""How well a model tells what it has not seen: held-out steps, and cross-validation."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import as_count, as_instance, as_tensor
from hmmlib.emissions import seen_steps
from hmmlib.hmm import HMM
from hmmlib.learning.from_data import blank_for, fit, read_for, words_in
from hmmlib.observations import Observed

if TYPE_CHECKING:
    import pandas


@torch.no_grad()
def held_out_log_likelihood(
    hmm: HMM,
    observations,
    held_out,
    lengths=None,
    observed=None,
    *,
    inputs=None,
) -> Tensor:
    """log p(x held out | x of all other steps), shape () or (N,): exact.

    The log-likelihood of all steps, less that of the steps that are not held out, with the
    others missing. Of a sequence that is held out as a whole it is log p(x).

    Args:
        hmm: learned without the steps that are held out.
        observations, lengths, observed, inputs: as for `HMM`.
        held_out: (T,) or (N, T) booleans.

    Raises:
        ValueError: held_out is of another type or shape.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> held_out_log_likelihood(coin, [0, 1, 1], [True, False, False]).exp()
        tensor(0.2500, dtype=torch.float64)
    """
    seen = as_instance("hmm", hmm, HMM).read(observations, lengths, observed, inputs)
    steps = _steps(hmm.emission, seen)
    held_out = as_tensor("held_out", held_out)
    if held_out.dtype != torch.bool or held_out.shape != steps.shape:
        raise ValueError(
            f"held_out: got {held_out.dtype} of shape {tuple(held_out.shape)}, needs booleans"
            f" of shape {tuple(steps.shape)}"
        )
    rest = without(seen, held_out, len(hmm.emission.event_shape))
    return hmm.log_likelihood(seen) - hmm.log_likelihood(hmm.read(rest))


class CrossValidated(NamedTuple):
    """What models say of observations that they have not learned from."""

    per_step: float  #: nats, of an observation on average
    standard_error: float  #: of per_step, from the spread of the folds
    folds: "pandas.DataFrame"  #: columns num_steps, log_likelihood, converged; a row for each fold


def cross_validate(
    family,
    num_states: int,
    observations,
    lengths=None,
    num_folds: int = 5,
    *,
    observed=None,
    inputs=None,
    symbols=None,
    block: int | None = None,
    **options,
) -> CrossValidated:
    """The log-likelihood of each part of the data, given the rest, by a model of the rest.

    What is held out is missing while the model is learned, and each held-out observation is
    scored once. Several sequences are held out as a whole, one after the other in turn;
    pieces of one sequence are scored given the steps before and after them.

    Args:
        family, num_states, observations, lengths, observed, inputs, symbols: as for `fit`.
        num_folds: how many models are learned.
        block: steps in a piece of one sequence; the pieces go to the folds in turn. By
            default there is one piece for each fold.
        options: go to `fit`, such as num_starts, seed and pseudo_count. Without a
            pseudo_count one symbol that is seen in one fold only makes the answer -inf.

    Raises ValueError as `fit`, and for fewer sequences or pieces than folds. Celeux & Durand
    2008.

    Example:
        >>> from torch.distributions import Poisson
        >>> round(cross_validate(Poisson, 1, [1, 0, 2, 0, 0, 2, 1, 1, 0, 3]).per_step, 2)
        -1.35
    """
    num_folds = as_count("num_folds", num_folds, least=2)
    symbols = symbols or words_in(observations)
    found, event = read_for(family, observations, lengths, observed, symbols, inputs)
    blank = blank_for(family, num_states, event, found)
    steps = _steps(blank, found)
    found = found._replace(index=None)
    fold_of = _folds(steps, num_folds, block)
    rows = []
    for fold in range(num_folds):
        held_out = fold_of == fold
        rest = without(found, held_out, len(blank.event_shape))
        learned = fit(blank, num_states, rest, symbols=symbols, **options)
        score = held_out_log_likelihood(learned.model, found, held_out).sum().item()
        rows.append((int((held_out & steps).sum()), score, learned.converged))
    return _summed(rows)


def without(seen: Observed, held_out: Tensor, event: int) -> Observed:
    """The observations, missing where they are held out; `event` axes of each."""
    values = seen.values.double()
    mask = held_out.reshape(*held_out.shape, *[1] * event).to(values.device)
    return seen._replace(values=values.masked_fill(mask, torch.nan), checked=False)


def _steps(emission, seen: Observed) -> Tensor:
    """Which steps were observed, (T,) or (N, T)."""
    there = seen_steps(emission, seen.values)
    if seen.lengths is None:
        return there
    return there & (torch.arange(there.shape[1]) < seen.lengths[:, None])


def _folds(steps: Tensor, num_folds: int, block: int | None) -> Tensor:
    """The fold of each step, (T,) or (N, T)."""
    if steps.ndim == 2 and len(steps) > 1:
        if len(steps) < num_folds or block is not None:
            raise ValueError(
                f"num_folds: got {num_folds} for {len(steps)} sequences, needs at most"
                f" {len(steps)}" + (", and no block" if block is not None else "")
            )
        return (torch.arange(len(steps)) % num_folds)[:, None].expand(steps.shape)
    num = steps.shape[-1]
    size = -(-num // num_folds) if block is None else as_count("block", block)
    pieces = torch.arange(num) // size
    if pieces[-1] + 1 < num_folds:
        raise ValueError(
            f"num_folds: got {num_folds}, needs at most {int(pieces[-1]) + 1}, the pieces of"
            f" {size} steps"
        )
    return (pieces % num_folds).expand(steps.shape)


def _summed(rows: list[tuple]) -> CrossValidated:
    import pandas as pd  # takes a while to load

    names = ["num_steps", "log_likelihood", "converged"]
    folds = pd.DataFrame(rows, columns=names).rename_axis("fold")
    total = folds["num_steps"].sum()
    mean = folds["log_likelihood"].sum() / total
    apart = folds["log_likelihood"] - mean * folds["num_steps"]
    num = len(folds)
    spread = np.sqrt((apart**2).sum() * num / (num - 1)) / total
    return CrossValidated(float(mean), float(spread), folds)
