"""Gradient ascent on log p(x), in unconstrained parameters.

The optimisers are Adam and L-BFGS; how a parameter becomes a free number, and back, is told in
`hmmlib.learning.free`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hmmlib.checks import as_count, as_number, told
from hmmlib.emissions import seen_steps
from hmmlib.hmm import HMM
from hmmlib.learning.free import unconstrained
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
from hmmlib.observations import Observed, in_double


def fit_gradient(
    hmm: HMM,
    observations,
    lengths=None,
    num_steps: int = 200,
    learning_rate: float = 0.05,
    *,
    method: str = "adam",
    observed=None,
    inputs=None,
    labels=None,
    learn: Learn = PARTS,
    tied=None,
    pseudo_count: float = 0.0,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> Fit:
    """Gradient ascent on log p(x) from `hmm`, in unconstrained parameters.

    The model is the best on the way, its log-likelihood the last in `log_likelihoods`.

    Args:
        learn: as in `em_step`, or with a dict of parameters for the emission, such as
            {"emission": {"loc": True}}. What is not named here is as in `em_step`, too.
        num_steps, learning_rate: at most so many steps; of Adam, of that size.
        method: "adam", or "lbfgs", which learns the curvature, stops by itself, and needs
            no learning rate (Liu & Nocedal 1989).
        tolerance: nats, of which the last step gained less if `converged`, on a plateau too.
        progress: whether to show a bar.

    Raises ValueError for another method, and parameters that cannot be freed.
    """
    learn, pseudo_count = as_options(hmm, learn, pseudo_count)
    optimize = _optimizer(method)
    num_steps = as_count("num_steps", num_steps, least=0)
    tolerance, rate = as_tolerance(tolerance), _as_rate(learning_rate)
    dtype, start = hmm.initial_probs.dtype, cast(hmm, torch.float64)
    seen = start.read(observations, lengths, observed, inputs, labels)
    build, leaves = unconstrained(start, learn, _said(start, seen), tied)

    def objective() -> tuple[Tensor, Tensor]:
        """log p(x), and with the log prior."""
        model = build()
        score = model.log_likelihood(seen).sum()
        return score, score + log_prior(model, learn, pseudo_count)

    climb, bar = partial(_climb, objective, leaves), _bar(num_steps, progress)
    with bar:
        steps = optimize(climb, leaves, num_steps, rate, tolerance, bar)
    return _best(start, build, leaves, steps, tolerance, dtype, learn, tied)


def _bar(num_steps: int, progress: bool):
    """A bar of so many steps, which shows if `progress`."""
    from tqdm.auto import tqdm  # takes a while to load

    return tqdm(total=num_steps, disable=not progress)


def _optimizer(method: str) -> Callable:
    """Raises ValueError for one that there is not."""
    if not isinstance(method, str) or method not in ("adam", "lbfgs"):
        raise ValueError(f"method: got {told(method)}, needs 'adam' or 'lbfgs'")
    return _adam if method == "adam" else _lbfgs


def _climb(objective: Callable, leaves: list[Tensor]) -> "_Seen":
    """The objective where the leaves are; its gradient goes to them."""
    score, value = objective()
    for leaf in leaves:
        leaf.grad = None
    if leaves:
        (-value).backward()
    here = [leaf.detach().clone() for leaf in leaves]
    return _Seen(score.detach(), value.detach(), here)


def _best(start, build, leaves, steps, tolerance, dtype, learn, tied) -> Fit:
    """The fit that ends with the best of the steps."""
    gain = torch.inf
    if len(steps) > 1:
        gain = abs(steps[-1].objective - steps[-2].objective).item()
    best = max(range(len(steps)), key=lambda i: (steps[i].objective.item(), i))
    scores = [(each.score, each.objective) for each in steps[: best + 1]]
    with torch.no_grad():
        for leaf, value in zip(leaves, steps[best].leaves, strict=True):
            leaf.copy_(value)
        model = cast(build(), dtype)
    warn_of_equal_states("fit_gradient", start, model, learn, tied)
    return report("fit_gradient", model, scores, gain, tolerance, len(steps) - 1)


def _said(hmm: HMM, seen: Observed) -> Tensor:
    """All observations that are not missing, (n, *event_shape)."""
    values = in_double(seen).values.to(hmm.initial_probs.dtype)
    return values[seen_steps(hmm.emission, values)]


def _as_rate(learning_rate: float) -> float:
    needs = "a number above 0, and at most 1000"
    return as_number("learning_rate", learning_rate, needs, lambda x: 0 < x <= 1000)


def _adam(climb, leaves, num_steps, learning_rate, tolerance, bar) -> list:
    """`num_steps` steps of Adam; what `climb` returned, from the start on."""
    optimizer = torch.optim.Adam(leaves, lr=learning_rate) if leaves else None
    seen = [climb()]
    for _ in range(num_steps if leaves else 0):
        optimizer.step()
        try:
            seen.append(climb())
        except ValueError as error:
            raise ValueError(
                "learning_rate: a step led to parameters that no model has, needs a smaller"
                f" one than {learning_rate:g}, or observations in other units"
            ) from error
        bar.update()
    return seen


def _lbfgs(climb, leaves, num_steps, learning_rate, tolerance, bar) -> list:
    """At most `num_steps` iterations of L-BFGS, until even a fresh start of it gains less
    than `tolerance`: what it has learned of the curvature can be wrong.
    """
    from scipy.optimize import minimize  # takes a while to load

    descent = _Descent(climb, leaves, tolerance, bar)
    point = torch.cat([leaf.detach().flatten() for leaf in leaves] or [torch.empty(0)])
    point, seen = point.numpy(force=True), descent.seen
    while len(point) and len(seen) <= num_steps:
        before = len(seen)
        left = num_steps + 1 - before
        limits = {"maxiter": left, "maxfun": 20 * left, "ftol": 0, "gtol": 1e-10}
        best = minimize(
            descent, point, jac=True, method="L-BFGS-B", callback=descent.accepted,
            options=limits | {"maxcor": 20},
        )  # fmt: skip
        point = best.x
        if len(seen) == before:  # no step was found, or none is needed
            if best.success:
                seen.append(seen[-1])
            break
        if seen[-1].objective - seen[before - 1].objective < tolerance:
            break
    return seen


class _Descent:
    """The objective, turned round, as scipy asks for it; and the points it accepted."""

    def __init__(self, climb: Callable, leaves: list[Tensor], tolerance: float, bar):
        self.climb, self.leaves = climb, leaves
        self.tolerance, self.bar = tolerance, bar
        self.latest = climb()
        self.seen = [self.latest]

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at a point."""
        sizes = [leaf.numel() for leaf in self.leaves]
        parts = torch.as_tensor(point).split(sizes)
        with torch.no_grad():
            for leaf, part in zip(self.leaves, parts, strict=True):
                leaf.copy_(part.reshape(leaf.shape))
        try:
            self.latest = self.climb()
        except ValueError:  # parameters that no model has: step back
            return np.inf, np.zeros_like(point)
        gradients = [
            torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            for leaf in self.leaves
        ]
        gradient = torch.cat([each.flatten() for each in gradients])
        return -self.latest.objective.item(), gradient.numpy(force=True)

    def accepted(self, intermediate_result) -> None:
        """Note the latest point, and stop where it gains too little."""
        self.seen.append(self.latest)
        self.bar.update()
        if self.seen[-1].objective - self.seen[-2].objective < self.tolerance:
            raise StopIteration


class _Seen(NamedTuple):
    """A point on the way of gradient ascent."""

    score: Tensor  # log p(x)
    objective: Tensor  # with the log prior
    leaves: list[Tensor]  # copies
