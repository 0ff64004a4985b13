"""What the library asks of an emission: one generic function for each question.

An emission is a `torch.distributions` object with one entry for each state, batch_shape
(K,), or (K_1, ..., K_M) for several chains. A family answers in its own file, by registering
an implementation of the functions here; for all other distributions of torch the answers
below hold. `log_prob` alone is enough for learning by gradient, `fit` for Baum-Welch, and
`blank` for learning from data alone.

Letters: K states, n values, V symbols, D dimensions.
"""

import math
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.emissions.parts import at, parts, rebuilt, unchecked
from hmmlib.logs import log


class Limits(NamedTuple):
    """What a fit has to respect, beside the likelihood."""

    pseudo_count: float = 0.0  #: added to the count of each possible symbol
    #: the least scale, in the unit of the observations; of LogNormal, of their logarithms
    min_scale: float = 0.0


NO_LIMITS = Limits()
# No state may shrink onto one value: of the spread of its neighbours, in each dimension.
SMALLEST_SCALE = 1e-4


class Lookup(NamedTuple):
    """log p(x_t | z_t) of all steps: small tables, and what each step takes from them.

    Of `symbols`, `rows` and `values`, (T,) or (N, T), one is given, and says what `given` is:

    symbols  (probs,), (K, V): log probs[:, symbol]
    rows     (table,), (R, K) log-probabilities: table[row]
    values   (mean, scale), (K,) each: the Gaussian's density; 0 where a value is NaN

    Of several chains, K is the number of joint states.
    """

    given: tuple[Tensor, ...]
    symbols: Tensor | None = None
    rows: Tensor | None = None
    values: Tensor | None = None

    @property
    def table(self) -> Tensor:
        """Log-probabilities (V, K) or (R, K) of each row; mean and scale, (2, K)."""
        if self.symbols is not None:
            return log(self.given[0]).mT
        return self.given[0] if self.values is None else torch.stack(self.given)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, K) or (N, T, K): the shape of `dense()`."""
        steps = next(x for x in self[1:] if x is not None)
        size = self.given[0].shape[0 if self.rows is None else 1]
        return *steps.shape, size

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the scores."""
        return self.given[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the scores are."""
        return self.given[0].device

    def dense(self) -> Tensor:
        """All log-likelihoods, (T, K) or (N, T, K)."""
        if self.values is None:
            rows = self.symbols if self.rows is None else self.rows
            return self.table.index_select(0, rows.flatten()).reshape(self.shape)
        mean, scale = self.given
        missing = self.values.isnan().unsqueeze(-1)
        apart = self.values.unsqueeze(-1).masked_fill(missing, 0.0) - mean
        density = -scale.log() - math.log(2 * math.pi) / 2
        scores = density - (apart / scale).square() / 2
        return scores.masked_fill(missing, 0.0).to(self.dtype)

    def statistics(self, probs: Tensor) -> Tensor:
        """What p(z_t | x), (T, K) or (N, T, K), makes of the table, for `m_step`.

        The uses of each row, (R, K), or the sums of p(z_t | x) times 1, x_t - mean and
        (x_t - mean)^2, (3, K).
        """
        flat = probs.reshape(-1, probs.shape[-1])
        if self.values is None:
            rows = self.symbols if self.rows is None else self.rows
            uses = flat.new_zeros(self.table.shape)
            return uses.index_add(0, rows.flatten(), flat)
        values = self.values.reshape(-1, 1).to(flat.dtype)
        flat = flat.masked_fill(values.isnan(), 0.0)
        apart = values.nan_to_num(0.0) - self.given[0]
        return torch.stack([(flat * apart**power).sum(0) for power in (0, 1, 2)])


@singledispatch
def log_prob(emission: Distribution, values: Tensor) -> Tensor:
    """log p(values | state): (..., 1, *event_shape) -> (..., K). -inf if impossible.

    The same as `emission.log_prob`, with an honest log 0: torch keeps probabilities of
    symbols and of successes at least 2e-16 from 0 and 1 (in float64), so that its log 0 is
    -36 or a multiple of it, and it refuses a value that only some states can emit.

    Raises:
        ValueError: for observations of a type that the family cannot score.

    Example:
        >>> from torch.distributions import Categorical
        >>> log_prob(Categorical(torch.tensor([[1.0, 0.0], [0.5, 0.5]])), torch.tensor([1]))
        tensor([   -inf, -0.6931])
    """
    possible = in_support(emission, values)
    try:
        if possible.all():
            return emission.log_prob(values)
        return unchecked(emission).log_prob(values).masked_fill(~possible, -torch.inf)
    except RuntimeError as error:
        raise ValueError(
            f"emission: {type(emission).__name__} has no log_prob of {values.dtype}"
            f" observations: {' '.join(str(error).split())}"
        ) from error


@singledispatch
def in_support(emission: Distribution, values: Tensor) -> Tensor:
    """Which states can emit the values: (..., 1, *event_shape) -> (..., K), booleans.

    Where torch's own support is too wide or too narrow, the family says so in its file.
    """
    within = emission.support.check(values)
    return within.expand(torch.broadcast_shapes(within.shape, emission.batch_shape))


@singledispatch
def surely_in_support(emission: Distribution, values: Tensor) -> bool:
    """A quick look: True only if each state can emit each of the values."""
    return False


@singledispatch
def needed(emission: Distribution) -> str:
    """The values that the family can emit, in the words of an error message."""
    return f"a finite value in {emission.support}"


@singledispatch
def lookup(emission: Distribution, values: Tensor) -> Lookup | None:
    """How a compiled loop reads `values` (T,) or (N, T), NaN where missing.

    None where no loop reads the family: its log-likelihoods are then computed in full,
    (T, K).
    """
    return None


@singledispatch
def fit(
    emission: Distribution, values: Tensor, weights: Tensor, limits: Limits = NO_LIMITS
) -> Distribution:
    """argmax over parameters of sum_n weights[n, k] log p(values[n] | k); the same family.

    A state without any weight keeps its parameters. A family whose maximum has no closed
    form, such as a mixture, may return one step towards it that never lowers the sum.

    Args:
        emission: batch_shape (K,); where an iteration starts, and what it keeps.
        values: (n, *event_shape).
        weights: (n, K), at least 0.
        limits: pseudo-counts and the narrowest scale.

    Raises:
        ValueError: for a family without such a fit.
    """
    raise ValueError(
        f"emission: no weighted fit for {type(emission).__name__}, needs fit_gradient, or"
        " learn without 'emission'"
    )


@singledispatch
def m_step(
    emission: Distribution, statistics: Tensor, limits: Limits = NO_LIMITS
) -> Distribution | None:
    """`fit` from sufficient statistics, which a compiled loop sums up on its way.

    They are (R, K) expected uses of each row of the table in `lookup`, or (3, K) moments
    about each mean. None where they are not enough.
    """
    return None


@singledispatch
def table_of(emission: Distribution) -> Tensor | None:
    """All that there is to learn, where a compiled run can: see `hmmlib.engines.em`.

    (K, V) probabilities of symbols, or (2, K) mean and scale; None for other families.
    """
    return None


@singledispatch
def of_table(emission: Distribution, table: Tensor) -> Distribution:
    """The emission whose `table_of` is `table`; for families that have one."""
    raise NotImplementedError(type(emission).__name__)


@singledispatch
def blank(emission: Distribution, num_states: int, values: Tensor) -> Distribution:
    """`num_states` equal states of a family that can emit `values` (n, *event_shape).

    A start for `fit` and `guess_emission`. Called by `blank_of`, which has the class of the
    family and no distribution: `emission` is that class.

    Raises:
        ValueError: for a family that cannot be started from data alone.
    """
    family = emission if isinstance(emission, type) else type(emission)
    raise ValueError(
        f"family: {family.__name__} has no start from data alone, needs an HMM as the"
        " start of fit_gradient or fit_em"
    )


def blank_of(family: type, num_states: int, values: Tensor) -> Distribution:
    """`blank` of a family given as a class."""
    return blank.dispatch(family)(family, num_states, values)


@singledispatch
def has_clusters(emission: Distribution) -> bool:
    """Whether clusters of the values are a good start; they are not for symbols."""
    return True


@singledispatch
def given(emission: Distribution, inputs: Tensor) -> Distribution:
    """The emission under inputs (..., P), one entry a state; batch_shape (..., K).

    The same for a family that no inputs drive. One that is driven has `num_inputs`, P, and
    scores a reading and its inputs side by side.
    """
    return emission


@singledispatch
def draw(emission: Distribution, states: Tensor | tuple[Tensor, ...]) -> Tensor:
    """One observation for each of the states (N,), or M of (N,); (N, *event_shape)."""
    if isinstance(states, tuple):
        return at(emission, states).sample()
    emitted = emission.sample(states.shape)  # every state emits, one is chosen
    return emitted[torch.arange(len(states)), states]


@singledispatch
def randomised(
    emission: Distribution, evenly, generator: torch.Generator
) -> Distribution:
    """The same family with random parameters, each an average over the states.

    `evenly(possible)` draws rows of probabilities evenly from all with the same zeros.

    Raises:
        ValueError: where there is nothing to draw, or all states are alike.
    """
    size = emission.batch_shape[0]
    free = [part for part in parts(emission) if not part.constraint.is_discrete]
    if not free:
        raise ValueError(
            f"hmm: its emission, {type(emission).__name__}, has no parameters to draw,"
            " needs a family of torch.distributions"
        )
    mix = evenly(torch.ones(size, size, dtype=free[0].value.dtype))
    drawn = {
        part.name: torch.tensordot(mix.to(part.value.dtype), part.value, dims=1)
        for part in free
    }
    if all((value == value[:1]).all() for value in drawn.values()):
        raise ValueError(
            "hmm: all its states emit alike, needs different ones, such as those of"
            " guess_emission"
        )
    return rebuilt(emission, drawn)


@singledispatch
def widened(emission: Distribution, min_scale: float) -> Distribution:
    """The emission with no scale in it below `min_scale`, in any direction."""
    return emission


@singledispatch
def counted_probs(emission: Distribution) -> list[Tensor]:
    """Tables of probabilities that a pseudo-count is added to; each (K, ..., V)."""
    return []


@singledispatch
def num_free(emission: Distribution) -> int:
    """The number of free parameters of all states together."""
    return sum(
        part.value.numel() - (part.value[..., 0].numel() if part.on_simplex else 0)
        for part in parts(emission)
        if not part.constraint.is_discrete
    )


@singledispatch
def misses_parts(emission: Distribution) -> bool:
    """Whether NaN in one component of a vector leaves the others to be read."""
    return False


def fallback_for(values: Tensor) -> Tensor:
    """`values` (n, ...) with a value of the same component where one is NaN."""
    missing = values.isnan()
    if not missing.any():
        return values
    known = values.masked_fill(missing, -torch.inf).amax(0, keepdim=True)
    return torch.where(missing, known.masked_fill(known.isneginf(), 1.0), values)
