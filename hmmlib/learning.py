"""Learning the parameters: Baum-Welch, gradient ascent, restarts, and which state is which.

Letters and axes as in `hmmlib.recursion`. Every function takes one sequence (T, ...) or a
batch (N, T, ...) with `lengths`; NaN and `observed=False` are missing observations.
"""

import warnings
from collections.abc import Callable, Collection, Iterable
from functools import singledispatch
from typing import NamedTuple

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.optimize import linear_sum_assignment, minimize
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    Multinomial,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    transform_to,
)
from tqdm.auto import tqdm

from hmmlib.checks import (
    MOST,
    WHOLE,
    as_count,
    as_kind,
    as_number,
    as_seed,
    as_tensor,
    told,
)
from hmmlib.emissions import Part, innermost, of_valid, parameters, parts, rebuilt
from hmmlib.hmm import HMM
from hmmlib.inference import expected_counts, log_likelihood, total_counts
from hmmlib.kernels import fit_gaussians, normalise

PARTS = ("initial_probs", "transition_matrix", "emission")
# No state may shrink onto one value: of the spread of its neighbours, in each dimension.
SMALLEST_SCALE = 1e-4
NEIGHBOURS = 0.05  # of all distinct values, side by side ...
WIDTH = 0.157  # ... and the median width they take up in Normal(0, 1)
FAR_OFF = 10  # times the distance between the quartiles
SYMBOLS = Categorical | OneHotCategorical | Multinomial  # probs that sum to one
MOST_STATES = 10_000  # of two paths that are compared


class Fit(NamedTuple):
    """A fitted model, and how the fit went."""

    model: HMM  #: the last model; of gradient ascent, the best
    log_likelihoods: Tensor  #: (num_iters + 1,)  log p(x) from the start to the model
    converged: bool  #: did the last step gain less than the tolerance?
    num_iters: int  #: steps from the start to the model


def em_step(
    hmm: HMM,
    observations,
    lengths=None,
    observed=None,
    learn: Collection[str] = PARTS,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
) -> tuple[HMM, Tensor]:
    """One step of Baum-Welch: the new model, and log p(x) of the old one, shape ().

    initial_probs and transition_matrix become the expected starts and moves, normalised;
    emission the maximum-likelihood fit in which observation t counts p(z_t | x) times.
    `learn` names the parts that move. `pseudo_count` is added to each possible start, move
    and symbol, which is a Dirichlet(1 + pseudo_count) prior. What has probability 0 keeps
    it, and a state that is never visited keeps its parameters. No Gaussian is narrower
    than `min_scale`, a standard deviation in the unit of the observations. log p(x), plus
    the log prior, never falls, if the scales of `hmm` are at least `min_scale`. Raises
    ValueError for impossible observations, and for a family without a weighted fit.
    Rabiner 1989, eqs. 40a-c and 109-111. Taught in chapter 5.
    """
    pseudo_count = _check_options(hmm, learn, pseudo_count)
    min_scale = _min_scale(min_scale)
    folded = type(hmm.emission) in (Categorical, Normal)  # `uses` may be all it takes
    if folded:
        potentials = hmm.potentials(observations, lengths, observed)
    else:
        values, seen = hmm.observed_values(observations, lengths, observed)
        potentials = hmm.potentials_of(values, seen, lengths)
    counts = total_counts(potentials)
    initial_probs, transition_matrix, emission = (
        hmm.initial_probs,
        hmm.transition_matrix,
        None if "emission" in learn else hmm.emission,
    )
    if "initial_probs" in learn:
        initial_probs = _normalised(counts.initial, initial_probs, pseudo_count)
    if "transition_matrix" in learn:
        transition_matrix = _normalised(
            counts.transitions, transition_matrix, pseudo_count
        )
    if emission is None and folded:
        emission = _fit_to_uses(hmm.emission, counts.uses, pseudo_count, min_scale)
    if emission is None:  # the posterior of every step is needed
        states = counts.uses
        if folded:
            values, seen = hmm.observed_values(observations, lengths, observed)
            states = expected_counts(potentials).states
        weights = states[seen] if len(values) < seen.numel() else states.flatten(0, -2)
        emission = weighted_fit(hmm.emission, values, weights, pseudo_count, min_scale)
    model = HMM.of_checked(initial_probs, transition_matrix, emission)
    return model, counts.log_likelihood


def fit_em(
    hmm: HMM,
    observations,
    lengths=None,
    num_iters: int = 100,
    tolerance: float = 1e-6,
    *,
    observed=None,
    learn: Collection[str] = PARTS,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
    progress: bool = False,
) -> Fit:
    """Baum-Welch from `hmm` until a step gains less than `tolerance` nats.

    A model, its log-likelihoods from the start on, and whether it converged; if `num_iters`
    steps were not enough, a warning says by how much the last one still moved, and another
    one names states that no step has told apart. Options as in `em_step`; a start that is
    narrower than `min_scale` is widened first. `progress` shows a bar. Taught in chapter 5.
    """
    num_iters = as_count("num_iters", num_iters, least=0)
    tolerance, min_scale = _tolerance(tolerance), _min_scale(min_scale)
    pseudo_count = _check_options(hmm, learn, pseudo_count)
    dtype, model = hmm.initial_probs.dtype, _cast(hmm, torch.float64)
    if "emission" in learn and min_scale:
        model = HMM.of_checked(
            model.initial_probs,
            model.transition_matrix,
            _widened(model.emission, min_scale),
        )
    observations = model.steps_of(observations, lengths)
    scores, gain = [], torch.inf
    for _ in tqdm(range(num_iters), disable=not progress):
        step, score = em_step(
            model, observations, lengths, observed, learn, pseudo_count, min_scale
        )
        scores.append((score, score + log_prior(model, learn, pseudo_count)))
        if len(scores) > 1:
            gain = (scores[-1][1] - scores[-2][1]).item()
            if gain < tolerance:
                break
        model = step
    else:
        score = log_likelihood(model.potentials(observations, lengths, observed)).sum()
        scores.append((score, score + log_prior(model, learn, pseudo_count)))
        gain = (scores[-1][1] - scores[-2][1]).item() if num_iters else torch.inf
    _warn_of_equal_states("fit_em", hmm, model, learn)
    return _told("fit_em", _cast(model, dtype), scores, gain, tolerance)


def fit_gradient(
    hmm: HMM,
    observations,
    lengths=None,
    num_steps: int = 200,
    learning_rate: float = 0.05,
    *,
    method: str = "adam",
    observed=None,
    learn: Collection[str] = PARTS,
    pseudo_count: float = 0.0,
    tolerance: float = 1e-6,
    progress: bool = False,
) -> Fit:
    """Gradient ascent on log p(x) from `hmm`, in unconstrained parameters.

    For any differentiable emission whose parameters can be freed. Probabilities are
    squares of free numbers, divided by their sum, and what has probability 0 keeps it;
    locations in the unit of the observations are free in units of their spread; other
    parameters go through the transform that their constraint names, and whole numbers,
    such as a number of trials, stay.

    `method` "adam" takes `num_steps` steps of size `learning_rate`; "lbfgs" learns the
    curvature on the way, stops by itself, and needs no learning rate (Liu & Nocedal
    1989). The model is the best one on the way, and its log-likelihood the last in
    `log_likelihoods`: later steps are left out. `converged` says that the last step
    gained less than `tolerance`, which on a plateau it also does: compare restarts. Options
    as in `em_step`. Raises ValueError for another method, and for parameters that cannot be
    freed.
    """
    pseudo_count = _check_options(hmm, learn, pseudo_count)
    if not isinstance(method, str) or method not in ("adam", "lbfgs"):
        raise ValueError(f"method: got {told(method)}, needs 'adam' or 'lbfgs'")
    num_steps, tolerance = (
        as_count("num_steps", num_steps, least=0),
        _tolerance(tolerance),
    )
    needs = "a number above 0, and at most 1000"
    learning_rate = as_number(
        "learning_rate", learning_rate, needs, lambda x: 0 < x <= 1000
    )
    dtype, hmm = hmm.initial_probs.dtype, _cast(hmm, torch.float64)
    observations = hmm.steps_of(observations, lengths)
    values, _ = hmm.observed_values(observations, lengths, observed)
    build, leaves = _unconstrained(hmm, learn, values)

    def climb() -> _Seen:
        """Where we stand; the gradient of the objective goes to the leaves."""
        model = build()
        score = log_likelihood(model.potentials(observations, lengths, observed)).sum()
        objective = score + log_prior(model, learn, pseudo_count)
        for leaf in leaves:
            leaf.grad = None
        if leaves:
            (-objective).backward()
        here = [leaf.detach().clone() for leaf in leaves]
        return _Seen(score.detach(), objective.detach(), here)

    with tqdm(total=num_steps, disable=not progress) as bar:
        optimize = _adam if method == "adam" else _lbfgs
        seen = optimize(climb, leaves, num_steps, learning_rate, tolerance, bar)
    gain = torch.inf
    if len(seen) > 1:
        gain = abs(seen[-1].objective - seen[-2].objective).item()
    best = max(range(len(seen)), key=lambda step: (seen[step].objective.item(), step))
    scores = [(each.score, each.objective) for each in seen[: best + 1]]
    with torch.no_grad():
        for leaf, value in zip(leaves, seen[best].leaves, strict=True):
            leaf.copy_(value)
        model = _cast(build(), dtype)
    _warn_of_equal_states("fit_gradient", hmm, model, learn)
    return _told("fit_gradient", model, scores, gain, tolerance, len(seen) - 1)


def fit_restarts(
    starts: Iterable[HMM], observations, lengths=None, fit: Callable = fit_em, **options
) -> list[Fit]:
    """One fit from each start, the best first; all of them, to show how much they differ.

    `options` go to `fit`; with a pseudo_count the prior counts for the order too. A run far
    below the best one is trapped, in a local maximum or on a plateau, or not yet done. Raises
    ValueError without a start. Taught in chapter 5.
    """
    try:
        starts = [as_kind("starts", start, HMM) for start in starts]
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"starts: got {told(starts)}, needs several HMMs") from error
    if not callable(fit):
        raise ValueError(f"fit: got {told(fit)}, needs a function such as fit_em")
    fits = [fit(start, observations, lengths, **options) for start in starts]
    if not fits:
        raise ValueError("starts: got none, needs at least one HMM")
    learn, pseudo_count = options.get("learn", PARTS), options.get("pseudo_count", 0.0)

    def objective(fit: Fit) -> float:
        prior = log_prior(fit.model, learn, pseudo_count)
        return (fit.log_likelihoods[-1] + prior).item()

    return sorted(fits, key=objective, reverse=True)


def random_starts(hmm: HMM, num_starts: int, seed: int) -> list[HMM]:
    """Models like `hmm` with random starts, moves and emissions.

    Probabilities of starts, moves and symbols are drawn evenly from all distributions over
    what is possible. Other emission parameters of a state are a random average over the
    states of `hmm`, so that they stay within their range. Raises ValueError for no start,
    and for states that are all alike, which no average tells apart.
    """
    as_kind("hmm", hmm, HMM)
    num_starts, seed = as_count("num_starts", num_starts), as_seed(seed)
    generator = torch.Generator()
    if seed is not None:
        generator.manual_seed(seed)

    def evenly(possible: Tensor) -> Tensor:
        draws = torch.empty_like(possible).exponential_(generator=generator) * (
            possible > 0
        )
        return draws / draws.sum(-1, keepdim=True)

    starts = []
    for _ in range(num_starts):
        initial, moves = evenly(hmm.initial_probs), evenly(hmm.transition_matrix)
        family = innermost(hmm.emission)
        if isinstance(family, SYMBOLS):
            emitted = {"probs": evenly(family.probs)}
        elif isinstance(family, Bernoulli):
            emitted = {"probs": torch.rand(family.probs.shape, generator=generator)}
            emitted["probs"] = emitted["probs"].to(family.probs.dtype)
        else:
            mix = evenly(torch.ones_like(hmm.transition_matrix))
            emitted = {
                part.name: torch.tensordot(mix.to(part.value.dtype), part.value, dims=1)
                for part in parts(hmm.emission)
                if not part.constraint.is_discrete
            }
            if not emitted:
                raise ValueError(
                    f"hmm: its emission, {type(family).__name__}, has no parameters that"
                    " could be drawn, needs a family of torch.distributions"
                )
            if all((value == value[:1]).all() for value in emitted.values()):
                raise ValueError(
                    "hmm: its states emit all alike, needs different ones, or guess_emission"
                )
        starts.append(HMM(initial, moves, rebuilt(hmm.emission, emitted)))
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
    points = values.reshape(len(values), -1).double()
    if len(points.unique(dim=0)) < num_states:
        raise ValueError(
            f"values: got too few different ones, needs {num_states}, one a state"
        )
    centres, labels = kmeans2(
        points.numpy(), num_states, minit="++", seed=as_seed(seed)
    )
    order = torch.as_tensor(np.lexsort(centres.T[::-1])).argsort()
    labels = order[torch.as_tensor(labels, dtype=torch.long)]
    return weighted_fit(
        emission,
        values,
        torch.nn.functional.one_hot(labels, num_states).to(values.dtype),
    )


def align_states(reference, estimate) -> Tensor:
    """The order of the estimate's states that fits the reference best; (K,) permutation.

    `align_states(a, b)[k]` is the state of `b` that plays the part of state k of `a`. Both
    are HMMs of one emission family (compared by their emission parameters), (K, D) tables
    (compared row by row), or (T,) integer paths (compared day by day). Optimal assignment
    (Kuhn 1955), not a search over permutations. Raises ValueError when they do not match.
    """
    if isinstance(reference, HMM) and isinstance(estimate, HMM):
        reference, estimate = _table(reference), _table(estimate)
    reference = as_tensor("reference", reference)
    estimate = as_tensor("estimate", estimate)
    whole = reference.dtype in WHOLE and estimate.dtype in WHOLE
    if reference.shape != estimate.shape or reference.ndim != (1 if whole else 2):
        found = f"{tuple(reference.shape)} and {tuple(estimate.shape)}"
        raise ValueError(
            f"estimate: got shapes {found}, needs two equal ones: (K, D) tables, or (T,)"
            " integer paths"
        )
    if not reference.numel() or not (reference + estimate).isfinite().all():
        raise ValueError("reference, estimate: needs finite numbers, at least one")
    if whole:
        reference, estimate = reference.long(), estimate.long()
        num_states = int(max(reference.max(), estimate.max())) + 1
        if min(reference.min(), estimate.min()) < 0 or num_states > MOST_STATES:
            raise ValueError(
                f"estimate: got states up to {num_states - 1}, needs 0 to {MOST_STATES - 1}"
            )
        cost = torch.zeros(num_states, num_states)
        ones = torch.ones(len(reference))
        cost = -cost.index_put((reference, estimate), ones, accumulate=True)
    else:
        cost = torch.cdist(reference.double(), estimate.double())
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])


def _fit_to_uses(
    emission: Distribution, uses: Tensor, pseudo_count: float, min_scale: float
) -> Distribution | None:
    """The fit of `weighted_fit`, from what `total_counts` made of the weights on the way.

    (V, K) uses of each symbol, or (3, K) moments about each mean; None where these are not
    all that is needed.
    """
    if type(emission) is Categorical:
        num_symbols = emission._param.shape[-1]
        counts = uses[:num_symbols].mT  # the row behind the last counts missing ones
        probs = _normalised(counts, emission.probs, pseudo_count)
        return of_valid(Categorical, probs=probs)
    given = (uses, emission.loc, emission.scale) if type(emission) is Normal else ()
    if given and all(_is_plain(each) for each in given):
        loc, scale = (x.contiguous().numpy() for x in given[1:])
        new = np.empty_like(loc), np.empty_like(scale)
        if fit_gaussians(uses.numpy(), loc, scale, SMALLEST_SCALE, min_scale, *new):
            loc, scale = map(torch.from_numpy, new)
            return of_valid(Normal, loc=loc, scale=scale)
    return None


@singledispatch
def weighted_fit(
    emission: Distribution,
    values: Tensor,
    weights: Tensor,
    pseudo_count: float = 0.0,
    min_scale: float = 0.0,
) -> Distribution:
    """argmax over parameters of sum_n weights[n, k] log p(values[n] | k); the same family.

    `values` is (n, *event_shape), `weights` (n, K). A state without weight keeps its
    parameters. A Gaussian that shrinks onto one value, where the likelihood has no maximum,
    is stopped with a warning: at a ten-thousandth of the spread of neighbouring values, or
    at the scale of `emission` if that is smaller still, so that the likelihood never falls.
    `min_scale` is a floor of the caller's own, without a warning. `pseudo_count` is for
    categorical emissions. Raises ValueError for a family without such a fit.
    """
    name = type(emission).__name__
    raise ValueError(
        f"emission: no weighted fit for {name}, needs fit_gradient or learn without it"
    )


@weighted_fit.register
def _(emission: Independent, values, weights, pseudo_count=0.0, min_scale=0.0):
    base = weighted_fit(emission.base_dist, values, weights, pseudo_count, min_scale)
    return Independent(base, emission.reinterpreted_batch_ndims)


@weighted_fit.register
def _(emission: Categorical, values, weights, pseudo_count=0.0, min_scale=0.0):
    if values.ndim == 1:
        counts = weights.new_zeros(emission.probs.shape[::-1])  # (V, K)
        counts = counts.index_add(0, values.long(), weights).mT
    else:  # several symbols at once
        symbols = torch.nn.functional.one_hot(values.long(), emission.probs.shape[-1])
        counts = torch.tensordot(weights, symbols.to(weights.dtype), dims=([0], [0]))
    return Categorical(probs=_normalised(counts, emission.probs, pseudo_count))


@weighted_fit.register
def _(emission: Bernoulli, values, weights, pseudo_count=0.0, min_scale=0.0):
    return Bernoulli(probs=_mean(values, weights, emission.probs).clamp(0.0, 1.0))


@weighted_fit.register
def _(emission: Poisson, values, weights, pseudo_count=0.0, min_scale=0.0):
    return Poisson(_mean(values, weights, emission.rate))


@weighted_fit.register
def _(emission: Normal, values, weights, pseudo_count=0.0, min_scale=0.0):
    mean = _mean(values, weights, emission.loc)
    squares = (values.unsqueeze(1) - mean).square()  # (n, K, ...)
    variance = (
        weights.reshape(*weights.shape, *[1] * (values.ndim - 1)) * squares
    ).sum(0)
    variance = variance / _total(weights, values.ndim)
    scale = torch.where(_visited(weights, values.ndim), variance.sqrt(), emission.scale)
    scale = scale.clamp(min=min_scale)
    return Normal(mean, _held_open(scale, _spread(values), emission.scale))


@weighted_fit.register
def _(emission: MultivariateNormal, values, weights, pseudo_count=0.0, min_scale=0.0):
    mean = _mean(values, weights, emission.loc)  # (K, D)
    apart = values.unsqueeze(1) - mean  # (n, K, D)
    covariance = torch.einsum("nk,nki,nkj->kij", weights, apart, apart) / _total(
        weights, 3
    )
    visited = _visited(weights, 3)
    covariance = torch.where(visited, covariance, emission.covariance_matrix)
    covariance = _widened_covariance(covariance, min_scale)
    # Each dimension in units of its own spread, so that one floor suits them all.
    spread = _spread(values)  # (D,)
    units = spread[:, None] * spread
    variances, axes = torch.linalg.eigh(covariance / units)
    before = torch.linalg.eigvalsh(emission.covariance_matrix / units)[:, :1]
    scales = _held_open(
        *(x.clamp(min=0).sqrt() for x in (variances, torch.ones_like(spread), before))
    )
    covariance = units * (axes @ torch.diag_embed(scales.square()) @ axes.mT)
    return MultivariateNormal(mean, covariance)


def log_prior(hmm: HMM, learn: Collection[str], pseudo_count: float) -> Tensor:
    """pseudo_count times the sum of the logs of all possible starts, moves and symbols; ().

    The log density of Dirichlet(1 + pseudo_count) priors, up to a constant; only over the
    parts in `learn`.
    """
    tables = [getattr(hmm, part) for part in learn if part != "emission"]
    if "emission" in learn and isinstance(innermost(hmm.emission), Categorical):
        tables.append(innermost(hmm.emission).probs)
    total = hmm.initial_probs.new_zeros(())
    if pseudo_count:
        for table in tables:
            total = total + pseudo_count * table[table > 0].log().sum()
    return total


def _check_options(hmm: HMM, learn: Collection[str], pseudo_count: float) -> float:
    """The pseudo_count as a float. Raises ValueError."""
    as_kind("hmm", hmm, HMM)
    among = isinstance(learn, list | tuple | set | frozenset | dict) and len(learn)
    if not among or not all(isinstance(part, str) and part in PARTS for part in learn):
        raise ValueError(f"learn: got {told(learn)}, needs some of {PARTS}")
    needs = f"a number of at least 0, and at most {MOST:,}"
    return as_number("pseudo_count", pseudo_count, needs, lambda x: 0 <= x <= MOST)


def _tolerance(tolerance: float) -> float:
    return as_number("tolerance", tolerance, "a number", lambda x: x == x)


def _min_scale(min_scale: float) -> float:
    needs = "a standard deviation of at least 0"
    return as_number("min_scale", min_scale, needs, lambda x: 0 <= x < torch.inf)


def _normalised(counts: Tensor, old: Tensor, pseudo_count: float) -> Tensor:
    """Rows of counts as probabilities; zeros stay, and so do rows without any count."""
    if _is_plain(counts) and _is_plain(old):
        rows = -1, counts.shape[-1]
        probs = np.empty(old.shape)
        normalise(
            counts.contiguous().numpy().reshape(rows),
            old.contiguous().numpy().reshape(rows),
            float(pseudo_count),
            probs.reshape(rows),
        )
        return torch.from_numpy(probs)
    counts = counts + pseudo_count * (old > 0)
    total = counts.sum(-1, keepdim=True)
    return torch.where(total > 0, counts / total, old)


def _is_plain(x: Tensor) -> bool:
    """A tensor that the kernels take as it is?"""
    return x.dtype is torch.float64 and x.device.type == "cpu" and not x.requires_grad


def _told(
    name: str,
    model: HMM,
    scores: list,
    gain: float,
    tolerance: float,
    num_tried: int | None = None,
) -> Fit:
    """The fit, with a warning if it stopped while still moving, or went down."""
    num_tried = len(scores) - 1 if num_tried is None else num_tried
    history = torch.stack([score for score, _ in scores])
    rounding = 1e-12 * history[-1].abs().item()
    converged = -max(tolerance, rounding) < gain < tolerance
    if not converged:
        warnings.warn(
            f"{name}: not converged, the last of {num_tried} steps moved log p(x) by"
            f" {gain:.2g}, needs less than {tolerance:.2g}",
            stacklevel=3,
        )
    return Fit(model, history, converged, len(scores) - 1)


def _total(weights: Tensor, ndim: int) -> Tensor:
    """Weight of each state, shaped (K, 1, ...) to divide what has `ndim` axes; never 0."""
    total = weights.sum(0)
    return torch.where(total > 0, total, 1.0).reshape(-1, *[1] * (ndim - 1))


def _visited(weights: Tensor, ndim: int) -> Tensor:
    return (weights.sum(0) > 0).reshape(-1, *[1] * (ndim - 1))


def _mean(values: Tensor, weights: Tensor, old: Tensor) -> Tensor:
    """Weighted mean of (n, ...) values for each state, (K, ...); `old` where never visited."""
    mean = torch.tensordot(weights, values, dims=([0], [0])) / _total(
        weights, values.ndim
    )
    return torch.where(_visited(weights, values.ndim), mean, old)


def _spread(values: Tensor) -> Tensor:
    """The spread of neighbouring values among (n, ...), 1 where all are the same; (...).

    The width that a twentieth of all distinct values takes up, on median over where it
    lies, in units that give the standard deviation for Gaussian values; and at most the
    standard deviation. Neither a few readings that are far off nor levels that are far apart
    widen it. Raises ValueError where it is beyond all numbers.
    """
    if not len(values):
        return values.new_ones(values.shape[1:])
    spread = values.std(0, correction=0)
    if not spread.isfinite().all():
        raise ValueError(
            f"observations: got values of up to {values.abs().max():.3g}, too large to be"
            " squared; needs other units"
        )
    widths = [_width(column) for column in values.reshape(len(values), -1).T]
    widths = torch.tensor(widths).to(spread).reshape(spread.shape)
    spread = torch.minimum(spread, widths)
    return torch.where(spread > 0, spread, 1.0)


def _width(values: Tensor) -> float:
    """The median width of a window that holds a twentieth of the distinct values (n,)."""
    distinct = np.unique(values.numpy(force=True))
    if len(distinct) < 2:
        return 0.0
    apart = max(1, int(NEIGHBOURS * len(distinct)))
    return float(np.median(distinct[apart:] - distinct[:-apart])) / WIDTH


def _held_open(scale: Tensor, spread: Tensor, before: Tensor) -> Tensor:
    """Scales, none below a ten-thousandth of `spread` or its value `before`, whichever is
    smaller; warns when one is held.
    """
    smallest = torch.minimum(SMALLEST_SCALE * spread, before)
    held = scale < smallest
    if held.any():
        which = sorted(set(held.nonzero()[:, 0].tolist()))
        warnings.warn(
            f"emission: the scale of state {which} shrank onto a value, held at a ten-thousandth"
            " of the spread of neighbouring observations",
            stacklevel=4,
        )
    return torch.where(held, smallest.expand_as(scale), scale)


def _widened(emission: Distribution, min_scale: float) -> Distribution:
    """The emission with no Gaussian in it narrower than `min_scale`, in any direction."""
    if isinstance(emission, Independent):
        base = _widened(emission.base_dist, min_scale)
        return Independent(base, emission.reinterpreted_batch_ndims)
    if isinstance(emission, Normal) and (emission.scale < min_scale).any():
        return Normal(emission.loc, emission.scale.clamp(min=min_scale))
    if isinstance(emission, MultivariateNormal):
        covariance = _widened_covariance(emission.covariance_matrix, min_scale)
        return MultivariateNormal(emission.loc, covariance)
    return emission


def _widened_covariance(covariance: Tensor, min_scale: float) -> Tensor:
    """Covariances (K, D, D) with no direction narrower than `min_scale`."""
    if not min_scale:
        return covariance
    variances, axes = torch.linalg.eigh(covariance)
    variances = torch.diag_embed(variances.clamp(min=min_scale**2))
    return axes @ variances @ axes.mT


def _warn_of_equal_states(name: str, start: HMM, end: HMM, learn) -> None:
    """Warn if states that began with the same emission ended with the same one."""
    if "emission" not in learn or start.num_states == 1:
        return
    before, after = _table(start), _table(end)
    ranks, groups = before.unique(dim=0, return_inverse=True)
    if len(ranks) == len(before):
        return
    for group in range(len(ranks)):
        states = (groups == group).nonzero().flatten()
        if len(states) > 1 and torch.isclose(after[states], after[states[:1]]).all():
            warnings.warn(
                f"{name}: states {states.tolist()} started with the same emission, and no"
                " step told them apart; needs different starts, such as those of"
                " guess_emission or random_starts",
                stacklevel=3,
            )


def _cast(hmm: HMM, dtype: torch.dtype) -> HMM:
    """The model with every parameter in another precision."""
    if dtype == hmm.initial_probs.dtype:
        return hmm
    emitted = {name: x.to(dtype) for name, x in parameters(hmm.emission).items()}
    emission = rebuilt(hmm.emission, emitted)
    return HMM(hmm.initial_probs.to(dtype), hmm.transition_matrix.to(dtype), emission)


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
    latest = climb()
    seen = [latest]

    def put(point: np.ndarray) -> None:
        point, sizes = torch.as_tensor(point), [leaf.numel() for leaf in leaves]
        with torch.no_grad():
            for leaf, part in zip(leaves, point.split(sizes), strict=True):
                leaf.copy_(part.reshape(leaf.shape))

    def descend(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal latest
        put(point)
        try:
            latest = climb()
        except ValueError:  # parameters that no model has: step back
            return np.inf, np.zeros_like(point)
        gradients = [
            torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            for leaf in leaves
        ]
        gradient = torch.cat([each.flatten() for each in gradients])
        return -latest.objective.item(), gradient.numpy(force=True)

    def accepted(intermediate_result) -> None:
        seen.append(latest)
        bar.update()
        if seen[-1].objective - seen[-2].objective < tolerance:
            raise StopIteration

    point = torch.cat([leaf.detach().flatten() for leaf in leaves] or [torch.empty(0)])
    point = point.numpy(force=True)
    while len(point) and len(seen) <= num_steps:
        before = len(seen)
        left = num_steps + 1 - before
        options = {"maxiter": left, "maxfun": 20 * left, "ftol": 0}
        best = minimize(
            descend, point, jac=True, method="L-BFGS-B", callback=accepted,
            options=options | {"gtol": 1e-10, "maxcor": 20},
        )  # fmt: skip
        point = best.x
        if len(seen) == before:  # no step was found, or none is needed
            if best.success:
                seen.append(seen[-1])
            break
        if seen[-1].objective - seen[before - 1].objective < tolerance:
            break
    return seen


class _Seen(NamedTuple):
    """A point on the way of gradient ascent."""

    score: Tensor  # log p(x)
    objective: Tensor  # with the log prior
    leaves: list[Tensor]  # copies


def _unconstrained(
    hmm: HMM, learn: Collection[str], values: Tensor
) -> tuple[Callable[[], HMM], list[Tensor]]:
    """A function that builds the model from its leaves, and the leaves, which are free."""
    leaves: dict[str, Tensor] = {}
    back: dict[str, Callable] = {}

    def free(name: str, value: Tensor, forward: Callable, inverse: Callable) -> None:
        leaf = inverse(value).detach().clone()
        if not leaf.isfinite().all():
            raise ValueError(
                f"emission: {name} {value.tolist()} stands on the edge of what it may be,"
                " needs values inside, or learn without the emission"
            )
        leaves[name], back[name] = leaf.requires_grad_(), forward

    def free_probs(name: str, value: Tensor) -> None:
        # Not a softmax: there 0 is infinitely far away, and near it gradients vanish.
        def rows(x: Tensor) -> Tensor:
            return x.square() / x.square().sum(-1, keepdim=True)

        free(name, value, rows, torch.sqrt)

    for part in ("initial_probs", "transition_matrix"):
        if part in learn:
            free_probs(part, getattr(hmm, part))
    emitted = []
    if "emission" in learn:
        unit = _unit(values)
        for part in parts(hmm.emission):
            name = part.name
            if part.constraint.is_discrete:  # such as the number of trials
                continue
            if isinstance(part.owner, SYMBOLS):
                name = name.removesuffix(part.attribute) + "probs"
                free_probs(name, part.owner.probs)
            elif part.in_unit:
                free(name, part.value, lambda x: x * unit, lambda x: x / unit)
            else:
                transform = _transform(part)
                free(name, part.value, transform, transform.inv)
            emitted.append(name)
        if not emitted:
            raise ValueError(
                f"emission: got {type(hmm.emission).__name__}, which has no parameters that"
                " could be learned, needs learn without the emission"
            )

    def build() -> HMM:
        """The model of the leaves as they are."""
        now = {name: back[name](leaf) for name, leaf in leaves.items()}
        emission = hmm.emission
        if emitted:
            emission = rebuilt(emission, {name: now[name] for name in emitted})
        return HMM(
            now.get("initial_probs", hmm.initial_probs),
            now.get("transition_matrix", hmm.transition_matrix),
            emission,
        )

    if emitted:
        _refuse_edges(build().emission)
    return build, list(leaves.values())


def _refuse_edges(emission: Distribution) -> None:
    """Raise ValueError if parameters that are learned bound what a state can emit."""
    for part in parts(emission):
        bounds = vars(part.owner.support).values()
        if any(isinstance(x, Tensor) and x.requires_grad for x in bounds):
            raise ValueError(
                f"emission: got {type(part.owner).__name__}, whose parameters bound what it"
                " can emit: at the bound the likelihood jumps, and has no gradient; needs"
                " learn without the emission"
            )


def _transform(part: Part):
    """From free numbers to what the parameter may be. Raises ValueError if there is none."""
    try:
        return transform_to(part.constraint)
    except NotImplementedError as error:
        raise ValueError(
            f"emission: got {type(part.owner).__name__}, whose {part.name} cannot be freed,"
            " needs learn without the emission"
        ) from error


def _unit(values: Tensor) -> Tensor:
    """The standard deviation of values (n, ...), without those that are very far off; (...).

    Far off is beyond ten times the distance between the quartiles. 1 where all are the same.
    Raises ValueError where it is beyond all numbers.
    """
    spread = _spread(values)  # raises
    if not len(values):
        return spread
    array = values.numpy(force=True)
    low, middle, high = np.quantile(array, [0.25, 0.5, 0.75], axis=0)
    far = (high > low) & (abs(array - middle) > FAR_OFF * (high - low))
    near = np.ma.array(array, mask=far)
    unit = np.ma.filled(near.std(axis=0), 1.0) if far.any() else array.std(axis=0)
    unit = torch.as_tensor(unit).to(values)
    return torch.where(unit > 0, unit, 1.0)


def _table(hmm: HMM) -> Tensor:
    """The emission parameters of each state in one row; (K, D)."""
    values = [
        part.owner.probs if part.attribute == "logits" else part.value
        for part in parts(hmm.emission)
    ]
    columns = [value.reshape(hmm.num_states, -1) for value in values]
    return torch.cat(columns or [torch.arange(hmm.num_states).double()[:, None]], 1)
