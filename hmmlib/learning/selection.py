"""How many states: models compared by what their parameters cost, and on unseen data."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from hmmlib.checks import as_count, as_instance, told
from hmmlib.durations import HSMM
from hmmlib.emissions import num_free, seen_steps
from hmmlib.hmm import HMM
from hmmlib.learning.from_data import fit, read_for
from hmmlib.learning.result import Fit
from hmmlib.learning.validation import cross_validate

if TYPE_CHECKING:
    import pandas


def num_params(hmm: HMM | HSMM) -> int:
    """The number of free parameters: K - 1 of the start, K (K - 1) of the moves, and those
    of the emission.

    Of an `HSMM` K (K - 2) of the moves, since none leads back, and K (D - 1) of the table of
    durations; one that a family gave, such as `poisson_durations`, has fewer. A probability
    of 0 counts as any other; of moves that inputs drive, P for each that is possible, but one
    a row.

    Example:
        >>> num_params(HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[0.5, 0.5], [0.2, 0.8]]))
        5
    """
    size = _as_model(hmm).num_states
    moves = getattr(hmm.transition_matrix, "num_free", size * (size - 1))
    if isinstance(hmm, HSMM):
        moves = size * (max(size - 2, 0) + hmm.durations.shape[1] - 1)
    return size - 1 + moves + num_free(hmm.emission)


def aic(
    hmm: HMM | HSMM, observations, lengths=None, observed=None, *, inputs=None
) -> float:
    """2 num_params - 2 log p(x): smaller is better. Akaike 1974.

    The last stay of an `HSMM` may go on.
    """
    seen = _as_model(hmm).read(observations, lengths, observed, inputs)
    score = hmm.log_likelihood(seen).sum().item()
    return 2 * num_params(hmm) - 2 * score


def bic(
    hmm: HMM | HSMM, observations, lengths=None, observed=None, *, inputs=None
) -> float:
    """num_params log n - 2 log p(x), n observations that are not missing; smaller is better.

    The last stay of an `HSMM` may go on. Schwarz 1978.
    """
    seen = _as_model(hmm).read(observations, lengths, observed, inputs)
    score = hmm.log_likelihood(seen).sum().item()
    there = seen_steps(hmm.emission, seen.values)
    num = int(there.sum()) if seen.lengths is None else _num_seen(there, seen.lengths)
    return num_params(hmm) * math.log(num) - 2 * score


class Choice(NamedTuple):
    """Models of different numbers of states, side by side. Prints as a table and a sentence."""

    table: "pandas.DataFrame"
    """A row for each K; columns parameters, log_likelihood, aic, bic, converged, and
    cross_validated and its standard_error, nats for an observation, unless left out."""
    preferred: dict[str, int]  #: K, by criterion
    fits: dict[int, Fit]  #: by K, learned from all data

    def __str__(self) -> str:
        """The table, and what each criterion prefers."""
        return f"{self.table.round(4).to_string()}\n{self._verdict()}"

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        return f"{self.table.round(4).to_html()}<p>{self._verdict()}</p>"

    def _verdict(self) -> str:
        votes = ", ".join(f"{k} by {name}" for name, k in self.preferred.items())
        same = len(set(self.preferred.values())) == 1
        return f"Preferred K: {votes}. {'They agree.' if same else 'They disagree.'}"


def choose_num_states(
    family,
    candidates: Iterable[int],
    observations,
    lengths=None,
    *,
    observed=None,
    inputs=None,
    symbols=None,
    num_folds: int | None = 5,
    block: int | None = None,
    **options,
) -> Choice:
    """A fit for each number of states, and what each criterion prefers; it picks none.

    The criteria answer different questions. BIC looks for the true number, if there is one;
    AIC and cross-validation for the model that predicts best, and with real data often find
    more states than can be interpreted (Pohle et al. 2017).

    Args:
        family, observations, lengths, observed, inputs, symbols: as for `fit`.
        candidates: numbers of states, such as range(1, 6).
        num_folds, block: as for `cross_validate`; None to do without.
        options: go to `fit`, such as num_starts, seed and num_iters.

    Raises ValueError as `fit`, and without a candidate.

    Example:
        >>> from torch.distributions import Poisson
        >>> choice = choose_num_states(Poisson, [1], [1, 0, 2, 0, 0, 2, 1, 1, 0, 3])
        >>> print(choice.table.loc[1, ["aic", "bic"]].round(1).tolist(), choice.preferred)
        [28.4, 28.7] {'AIC': 1, 'BIC': 1, 'cross-validation': 1}
    """
    import pandas as pd  # takes a while to load

    sizes = [as_count("candidates", k) for k in candidates]
    if not sizes or len(set(sizes)) < len(sizes):
        raise ValueError(f"candidates: got {told(sizes)}, needs different numbers")
    given = {"observed": observed, "inputs": inputs, "symbols": symbols, **options}
    data = observations, lengths
    scores = [{}] * len(sizes)
    if num_folds is not None:  # first, since the folds may not fit the data
        folds = {"num_folds": num_folds, "block": block}
        scores = [_score(family, k, *data, **folds, **given) for k in sizes]
    fits = {k: fit(family, k, *data, **given) for k in sizes}
    rows = [_row(found, *data, observed, inputs) for found in fits.values()]
    table = pd.DataFrame(rows, index=sizes).join(pd.DataFrame(scores, index=sizes))
    table = table.rename_axis("K")
    return Choice(table, _preferred(table), fits)


def _score(*data, **options) -> dict:
    """What the table of `choose_num_states` says of models that saw a part of the data."""
    scored = cross_validate(*data, **options)
    return {"cross_validated": scored.per_step, "standard_error": scored.standard_error}


def _preferred(table: "pandas.DataFrame") -> dict[str, int]:
    """The K of each criterion."""
    best = {"AIC": table["aic"].idxmin(), "BIC": table["bic"].idxmin()}
    if "cross_validated" in table:
        best["cross-validation"] = table["cross_validated"].idxmax()
    return {name: int(k) for name, k in best.items()}


def _row(found: Fit, observations, lengths, observed, inputs) -> dict:
    """What the table of `choose_num_states` says of one fit to all data."""
    emission, names = found.model.emission, found.model.symbols
    seen, _ = read_for(emission, observations, lengths, observed, names, inputs)
    return {
        "parameters": num_params(found.model),
        "log_likelihood": found.log_likelihoods[-1].item(),
        "aic": aic(found.model, seen),
        "bic": bic(found.model, seen),
        "converged": found.converged,
    }


def _as_model(hmm) -> HMM | HSMM:
    """Raises TypeError for anything else."""
    return hmm if isinstance(hmm, HSMM) else as_instance("hmm", hmm, HMM)


def _num_seen(there, lengths) -> int:
    return sum(int(row[:end].sum()) for row, end in zip(there, lengths, strict=True))
