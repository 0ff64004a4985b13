"""A fitted model on one page: how well it fits, and each parameter with its interval."""

import warnings
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch

from hmmlib.emissions import seen_steps
from hmmlib.hmm import HMM
from hmmlib.learning.coordinates import entries_of, named_values
from hmmlib.learning.errors import as_level, as_table, wald
from hmmlib.learning.selection import aic, bic, num_params

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """What `summary` found; prints as text, and as a table in a notebook."""

    header: dict[str, str]
    """Model, observations, sequences, parameters, log-likelihood, AIC and BIC, as text."""
    table: "pandas.DataFrame"
    """Columns estimate, standard_error, low, high; a row for each number of the model."""
    level: float  #: of the intervals
    notes: tuple[str, ...] = ()  #: what standard errors could not say, and why

    def __str__(self) -> str:
        """The header in two columns, the table, and the notes."""
        cells = [f"{name + ':':<16}{value:>18}" for name, value in self.header.items()]
        half = -(-len(cells) // 2)
        pairs = zip(cells[:half], [*cells[half:], ""], strict=False)
        lines = [f"{left}    {right}".rstrip() for left, right in pairs]
        rule = "=" * max(map(len, lines))
        body = self._readable().to_string(index_names=False)
        notes = [f"Note: {note}" for note in self.notes]
        return "\n".join([rule, *lines, rule, body, rule, *notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same in a notebook."""
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self.header.items()
        )
        notes = "".join(f"<p>Note: {escape(note)}</p>" for note in self.notes)
        return f"<table>{cells}</table>{self._readable().to_html()}{notes}"

    def _readable(self) -> "pandas.DataFrame":
        """The table, four digits of each number, its ends named by their share."""
        below = (1 - self.level) / 2
        names = {"standard_error": "std. error"}
        names |= {"low": f"{below:.1%}", "high": f"{1 - below:.1%}"}
        words = self.table.map(lambda x: "" if x != x else f"{x:.4g}")
        return words.rename(columns=names)


def summary(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    *,
    level: float = 0.95,
    **options,
) -> Summary:
    """The likelihood, the criteria, and each parameter with its standard error and interval.

    Where the data do not tell parameters apart, the table holds the estimates alone, and a
    note says which.

    Args:
        hmm: the end of a fit.
        observations, lengths, observed: what it was fitted to.
        level: of the intervals.
        options: inputs, labels, learn and tied, as for `standard_errors`.

    Example:
        >>> coin = HMM([1.0], [[1.0]], [[0.25, 0.75]])
        >>> print(summary(coin, [0, 1, 1, 1] * 12).table.loc["probs[0, 1]"].round(3).tolist())
        [0.75, 0.062, 0.61, 0.852]
    """
    level, notes = as_level(level), []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            table = wald(hmm, observations, lengths, observed, level=level, **options)
        except ValueError as error:
            if not str(error).startswith("hmm: "):
                raise
            table, notes = _estimates(hmm), [str(error)]
    notes += [str(each.message) for each in said]
    if (
        hmm.num_states > 1
        and table["standard_error"].filter(like="initial").isna().all()
    ):
        notes.append(
            "initial_probs are held: one sequence tells next to nothing of them"
        )
    given = {name: options.get(name) for name in ("inputs", "labels")}
    seen = hmm.read(observations, lengths, observed, **given)
    header = _header(hmm, seen)
    return Summary(header, table, level, tuple(n.removeprefix("hmm: ") for n in notes))


def _header(hmm: HMM, seen) -> dict[str, str]:
    """The lines above the table."""
    there = seen_steps(hmm.emission, seen.values)
    rows = there if there.ndim == 2 else there[None]
    ends = (
        [rows.shape[1]] * len(rows) if seen.lengths is None else seen.lengths.tolist()
    )
    num_seen = sum(int(row[:end].sum()) for row, end in zip(rows, ends, strict=True))
    return {
        "Model": f"HMM, {hmm.num_states} states",
        "Emission": type(hmm.emission).__name__,
        "Observations": f"{num_seen:,}",
        "Missing": f"{sum(ends) - num_seen:,}",
        "Sequences": f"{len(rows):,}",
        "Parameters": str(num_params(hmm)),
        "Log-likelihood": f"{hmm.log_likelihood(seen).sum().item():.3f}",
        "AIC": f"{aic(hmm, seen):.3f}",
        "BIC": f"{bic(hmm, seen):.3f}",
    }


def _estimates(hmm: HMM) -> "pandas.DataFrame":
    """The table without what the data do not tell."""
    flat = torch.cat([x.flatten() for x in named_values(hmm).values()])
    unknown = torch.full_like(flat, torch.nan)
    columns = {"standard_error": unknown, "low": unknown, "high": unknown}
    return as_table(entries_of(hmm), {"estimate": flat} | columns)
