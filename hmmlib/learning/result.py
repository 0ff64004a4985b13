"""What a fit returns, and the options that all of them share."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.checks import MOST, as_instance, as_number, warn
from hmmlib.emissions import counted_probs, parameters, rebuilt, rows
from hmmlib.hmm import HMM
from hmmlib.learning.moving import Learn, as_moving

PARTS = ("initial_probs", "transition_matrix", "emission")


class Fit(NamedTuple):
    """A fitted model, and how the fit went."""

    model: HMM  #: the last model; of gradient ascent, the best
    log_likelihoods: Tensor  #: (num_iters + 1,)  log p(x) from the start to the model
    converged: bool  #: did the last step gain less than the tolerance?
    num_iters: int  #: steps from the start to the model
    runs: tuple = ()  #: of `fit`: all its runs, the best first

    def __repr__(self) -> str:
        """How the fit went, in a line or two, and the model."""
        how = "converged" if self.converged else "not converged"
        lines = [
            f"Fit: log p(x) {self.log_likelihoods[-1]:.4f}, {how}, steps: {self.num_iters}"
        ]
        if self.runs:
            ends = ", ".join(f"{run.log_likelihoods[-1]:.4f}" for run in self.runs)
            lines.append(f"{len(self.runs)} starts: {ends}")
        return "\n".join([*lines, repr(self.model)])


class Options(NamedTuple):
    """What may move, and what pulls at it."""

    learn: dict  #: by part, see `hmmlib.learning.moving.as_moving`
    pseudo_count: float = 0.0


def as_options(
    hmm: HMM,
    learn: Learn,
    pseudo_count: float,
    kind: type = HMM,
    parts: tuple[str, ...] = PARTS,
) -> Options:
    """Raises TypeError for what is no `kind`, ValueError for parts that there are not."""
    as_instance(kind.__name__.lower(), hmm, kind)
    learn = as_moving(learn, hmm, parts)
    needs = f"a number of at least 0, and at most {MOST:,}"
    fits = as_number("pseudo_count", pseudo_count, needs, lambda x: 0 <= x <= MOST)
    return Options(learn, fits)


def as_tolerance(tolerance: float) -> float:
    """Any number. Raises ValueError."""
    return as_number("tolerance", tolerance, "a number", lambda x: x == x)


def log_prior(hmm: HMM, learn: Collection[str], pseudo_count: float) -> Tensor:
    """pseudo_count times the sum of the logs of all possible starts, moves and symbols; ().

    The log density of Dirichlet(1 + pseudo_count) priors, up to a constant; only over the
    parts in `learn`. Moves that inputs drive have no prior.
    """
    tables = [getattr(hmm, part) for part in learn if part != "emission"]
    tables = [table for table in tables if isinstance(table, Tensor)]
    if "emission" in learn:
        tables += counted_probs(hmm.emission)
    total = hmm.initial_probs.new_zeros(())
    if pseudo_count:
        for table in tables:
            total = total + pseudo_count * table[table > 0].log().sum()
    return total


def cast(hmm: HMM, dtype: torch.dtype) -> HMM:
    """The model with every parameter in another precision."""
    emitted = parameters(hmm.emission)
    tables = {name: x for name, x in vars(hmm).items() if hasattr(x, "dtype")}
    if all(x.dtype == dtype for x in (*tables.values(), *emitted.values())):
        return hmm
    emitted = {name: x.to(dtype) for name, x in emitted.items()}
    tables = {name: x.to(dtype) for name, x in tables.items()}
    return replace(hmm, emission=rebuilt(hmm.emission, emitted), **tables)


def report(
    name: str,
    model: HMM,
    scores: list,
    gain: float,
    tolerance: float,
    num_tried: int | None = None,
) -> Fit:
    """The fit, with a warning if it stopped while still moving, or went down."""
    num_tried = len(scores) - 1 if num_tried is None else num_tried
    history = torch.tensor([float(score) for score, _ in scores], dtype=torch.float64)
    rounding = 1e-12 * history[-1].abs().item()
    converged = -max(tolerance, rounding) < gain < tolerance
    if not converged:
        warn(
            f"{name}: not converged, the last of {num_tried} steps moved log p(x) by"
            f" {gain:.2g}, needs less than {tolerance:.2g}"
        )
    return Fit(model, history, converged, len(scores) - 1)


def warn_of_equal_states(name: str, start: HMM, end: HMM, learn, tied=None) -> None:
    """Warn if states that began with the same emission ended with the same one.

    Not of those that are `tied`, which is what they should do.
    """
    if "emission" not in learn or start.num_states == 1 or tied is not None:
        return
    before, after = rows(start.emission), rows(end.emission)
    ranks, groups = before.unique(dim=0, return_inverse=True)
    if len(ranks) == len(before):
        return
    for group in range(len(ranks)):
        states = (groups == group).nonzero().flatten()
        if len(states) > 1 and torch.isclose(after[states], after[states[:1]]).all():
            warn(
                f"{name}: states {states.tolist()} started with the same emission, and no"
                " step told them apart; needs different starts, such as those of"
                " guess_emission or random_starts"
            )
