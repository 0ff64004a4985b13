"""What is known of the state while observations arrive one by one: filter, lag, forecast.

`belief()` of an `HMM`, `FactorialHMM` or `HSMM` is the belief before the first observation. A
step costs the same however many came before, and nothing of them is kept, but for the last
few of a fixed lag. A belief never changes: `observe` returns the next one, so that several
may go on from one. It is of the model as it was when `belief()` was called, on the CPU and
in float64, without gradients.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from hmmlib import emissions
from hmmlib.checks import as_count, told
from hmmlib.engines.moves import moves_of
from hmmlib.inputs import as_evidence, as_inputs, beside, beside_inputs
from hmmlib.observations import read
from hmmlib.transitions import SoftmaxTransitions


class Live(NamedTuple):
    """What a belief needs of its model."""

    initial: np.ndarray  #: (S,), log p(z_1) of each joint state; (K · D,) of an HSMM
    shape: tuple[int, ...]  #: (K_1, ..., K_M)
    move: Callable  #: log p(z_{t+1}) from log p(z_t) and the inputs of step t
    turn: Callable  #: log p(what follows | z_t) from the same given z_{t+1}, and the inputs
    score: (
        Callable  #: log p(x_t | z_t), (S,), of x_t and the inputs; 0 if x_t is missing
    )
    emission: Distribution  #: batch_shape (K_1, ..., K_M)
    dtype: torch.dtype  #: of the answers
    lag: int  #: how many steps are kept for `Belief.lagged_probs`
    num_inputs: int = 0  #: P, where inputs drive the moves or the readings


@dataclass(frozen=True, eq=False, slots=True)
class Belief:
    """p(z_t | x_{1:t}), one step after the other.

    Example:
        >>> from hmmlib import HMM
        >>> hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
        >>> belief = hmm.belief().observe(1).observe(1)
        >>> print(belief.num_steps, f"{belief.log_likelihood.item():.4f}")
        2 -0.6911
        >>> belief.forecast(2).shape
        torch.Size([2, 2])
    """

    live: Live
    message: np.ndarray
    """(S,), log p(z_t | x_{1:t}); log p(z_1) before any observation. Of an HSMM (K · D,): of
    each state, the stay having lasted for 1, ..., D steps."""
    evidence: float = 0.0  #: log p(x_{1:t})
    num_steps: int = 0  #: t, missing observations counted
    recent: tuple = ()
    """Of the last `lag` steps before: message, inputs, and scores of the step after."""
    inputs: Tensor | None = None  #: (P,), of step t, which drive the move that follows

    def observe(self, x_t, inputs=None, evidence=None) -> "Belief":
        """The belief after one more observation: predict, then update.

        Args:
            x_t: one observation, of the event shape of the emission: a number, a vector, or
                a name where the model has symbols; NaN or None where it is missing.
            inputs: (P,), the row of this step, where inputs drive the model.
            evidence: what else tells the states of several chains, M of None or (K_m,); see
                `FactorialHMM`.

        Raises:
            ValueError: for what no state can emit, for several observations, and for inputs
                or evidence that are not as needed.
        """
        from hmmlib.engines.live import absorbed  # numba takes a while to load

        live, entered, recent = self.live, self.message, self.recent
        if live.num_inputs or inputs is not None:
            inputs = as_inputs([inputs], (1,), None, live.num_inputs)[0]
        scores = live.score(x_t, inputs)
        if evidence is not None:
            evidence = as_evidence(evidence, (), None, live.shape)
            joint = torch.from_numpy(scores).reshape(live.shape)
            scores = beside(joint, evidence).flatten().detach().numpy()
        if self.num_steps:
            entered = live.move(entered, self.inputs)
            if live.lag:
                recent = (*recent, (self.message, self.inputs, scores))[-live.lag :]
        message, gain = absorbed(entered, scores)
        evidence, num_steps = self.evidence + gain, self.num_steps + 1
        return Belief(live, message, evidence, num_steps, recent, inputs)

    @property
    def log_likelihood(self) -> Tensor:
        """log p(x_{1:t}), shape (); 0 before the first observation, -inf if impossible."""
        return torch.tensor(self.evidence, dtype=self.live.dtype)

    @property
    def probs(self) -> Tensor:
        """p(z_t | x_{1:t}), (*S); before the first observation p(z_1).

        Raises:
            ValueError: for impossible observations, since no posterior exists.
        """
        return self._shaped(np.exp(self._possible()))

    @property
    def lagged_probs(self) -> Tensor:
        """p(z_{t-lag} | x_{1:t}), (*S): what is known now of the state `lag` steps ago.

        Of the first step as long as there are not more. `probs`, if the lag is 0.

        Raises:
            ValueError: for impossible observations, since no posterior exists.
        """
        from hmmlib.engines.live import absorbed

        self._possible()
        if not self.recent:
            return self.probs
        onward = np.zeros_like(self.message)
        for _, inputs, scores in reversed(self.recent):
            each = np.repeat(scores, len(onward) // len(scores))
            onward = self.live.turn(onward + each, inputs)
        return self._shaped(np.exp(absorbed(self.recent[0][0], onward)[0]))

    def forecast(self, num_steps: int, inputs=None) -> Tensor:
        """p(z_{t+h} | x_{1:t}) for h = 1, ..., num_steps; (num_steps, *S).

        Before the first observation the first row is p(z_1). `inputs` are (num_steps, P),
        the rows of the steps to come, where inputs drive the model; the states of one step
        ahead follow from the row of the last observation, and need none.

        Raises:
            ValueError: for fewer than one step, for impossible observations, and for more
                steps than the one stay of an HSMM of one state can last.
        """
        num_steps = as_count("num_steps", num_steps)
        message, rows, here = self._possible(), [], self.inputs
        if num_steps > 1 or inputs is not None:
            inputs = as_inputs(inputs, (num_steps,), None, self.live.num_inputs)
        for h in range(num_steps):
            if h or self.num_steps:
                message = self.live.move(message, here)
            here = None if inputs is None else inputs[h]
            rows.append(np.exp(message))
        totals = np.sum(rows, 1, keepdims=True)
        if not totals.all():
            raise ValueError(
                f"num_steps: got {num_steps}, needs at most {np.count_nonzero(totals)}: the"
                " only state is never left, and no stay lasts longer"
            )
        return self._shaped(rows / totals)

    def predict(self, num_steps: int, inputs=None) -> MixtureSameFamily:
        """p(x_{t+h} | x_{1:t}) for h = 1, ..., num_steps, as a distribution.

        Its batch_shape is (num_steps,). It is a mixture: each state's emission, weighted by
        the probability of the state, and not the emission of the most probable one. `inputs`
        as in `forecast`.
        """
        weights = self.forecast(num_steps, inputs).flatten(1)
        emission, shape = self.live.emission, self.live.shape
        if hasattr(emission, "num_inputs"):
            num = self.live.num_inputs
            parts = emissions.given(
                emission, as_inputs(inputs, (num_steps,), None, num)
            )
        else:
            joint = torch.unravel_index(torch.arange(weights.shape[1]), shape)
            parts = emissions.at(emission, joint).expand(weights.shape)
        return MixtureSameFamily(Categorical(probs=weights), parts)

    def _possible(self) -> np.ndarray:
        """The message. Raises ValueError where the observations are impossible."""
        if self.evidence == -np.inf:
            raise ValueError(
                f"observations: the {self.num_steps} steps have probability 0 under this"
                " model, no posterior exists"
            )
        return self.message

    def _shaped(self, probs: np.ndarray) -> Tensor:
        shape = (*probs.shape[:-1], *self.live.shape)
        probs = probs.reshape(*shape, -1).sum(-1)  # however long the stay has lasted
        return torch.from_numpy(probs).to(self.live.dtype)


def belief_of(
    initial_probs: tuple[Tensor, ...],
    matrices: tuple[Tensor | SoftmaxTransitions, ...],
    emission: Distribution,
    symbols: Sequence[str] | None = None,
    lag: int = 0,
) -> Belief:
    """The belief before the first observation, from M of (K_m,) and M of (K_m, K_m).

    Or `SoftmaxTransitions` in the place of a matrix.
    """
    from hmmlib.engines.live import moved

    with np.errstate(divide="ignore"):
        initial = np.zeros(())
        for probs in map(as_array, initial_probs):
            initial = initial[..., None] + np.log(probs)
    driven = [x for x in matrices if isinstance(x, SoftmaxTransitions)]
    fixed = None if driven else moves_of([as_array(each) for each in matrices])

    def move(message: np.ndarray, inputs: Tensor | None, turned: bool = False):
        found = fixed or moves_of([_at(each, inputs) for each in matrices])
        each = (found.turned if turned else found.moves)[0]
        return moved(message, each, found.apart, found.sizes)

    turn = partial(move, turned=True)
    num, dtype = max((x.num_inputs for x in driven), default=0), initial_probs[0].dtype
    given = initial.reshape(-1), move, turn, emission, symbols, lag, dtype, num
    return first_belief(*given)


def _at(transitions: Tensor | SoftmaxTransitions, inputs: Tensor) -> np.ndarray:
    """The matrix (K, K) at one step."""
    if not isinstance(transitions, SoftmaxTransitions):
        return as_array(transitions)
    forbidden = transitions.forbidden.cpu().numpy()
    weights = np.where(forbidden[..., None], 0.0, as_array(transitions.weights))
    scores = np.where(forbidden, -np.inf, weights @ as_array(inputs))
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def first_belief(
    initial: np.ndarray,
    move: Callable,
    turn: Callable,
    emission: Distribution,
    symbols: Sequence[str] | None,
    lag: int,
    dtype: torch.dtype,
    num_inputs: int = 0,
) -> Belief:
    """The belief before the first observation, of any chain: see `Live`."""
    lag, score = as_count("lag", lag, least=0), _scorer(emission, symbols)
    shape = tuple(emission.batch_shape)
    num_inputs = max(num_inputs, getattr(emission, "num_inputs", 0))
    live = Live(initial, shape, move, turn, score, emission, dtype, lag, num_inputs)
    return Belief(live, initial)


def as_array(values: Tensor) -> np.ndarray:
    """The numbers as a belief needs them: on the CPU, in float64."""
    return values.detach().cpu().double().numpy()


def _scorer(emission: Distribution, symbols: Sequence[str] | None) -> Callable:
    """log p(x_t | z_t) of one observation, (S,), read the short way where there is one."""
    from hmmlib.engines.live import density
    from hmmlib.engines.numbers import logs_of_symbols

    driven = hasattr(emission, "num_inputs")

    def by_family(x_t, inputs=None) -> np.ndarray:
        shape = () if driven else emission.event_shape
        seen = read([x_t], shape, symbols=symbols)
        if seen.values.numel() != math.prod(shape):
            needs = f"a vector of {shape[0]}" if shape else "a single number"
            raise ValueError(f"x_t: got {told(x_t)}, needs one observation, {needs}")
        if driven:
            seen = beside_inputs(seen._replace(inputs=inputs[None]))
        values = seen.values.to(device)
        if in_a_table:
            emissions.check_support(emission, values)
        with torch.no_grad():
            scores = emissions.log_likelihoods(emission, values, torch.float64)
        scores = scores.reshape(-1).cpu().numpy()
        if scores.max() == -np.inf:  # the check takes longer than the score
            emissions.check_support(emission, values)
        return scores

    device = next(iter(emissions.parameters(emission).values())).device
    in_a_table = bool(emissions.counted_probs(emission))
    if driven:
        return _by_regression(emission, by_family)
    symbol = torch.zeros(1, dtype=torch.int64, device=device)
    found = emissions.lookup(emission, symbol)
    if found is None or found.rows is not None:
        return by_family
    given = [x.detach().cpu().double().numpy() for x in found.given]

    def by_symbol(x_t, _=None) -> np.ndarray:
        if type(x_t) is int and 0 <= x_t < len(table):
            return table[x_t]
        return by_family(x_t)

    def by_density(x_t, _=None) -> np.ndarray:
        if type(x_t) is float and abs(x_t) < np.inf:
            return density(x_t, *given)
        return by_family(x_t)

    if found.symbols is None:
        return by_density
    table = logs_of_symbols(*given)
    return by_symbol


def _by_regression(emission: Distribution, by_family: Callable) -> Callable:
    """log p(x_t | z_t) of a reading whose Gaussian follows inputs."""
    from hmmlib.engines.live import density

    def score(x_t, inputs) -> np.ndarray:
        if type(x_t) is not float or abs(x_t) == np.inf or x_t != x_t:
            return by_family(x_t, inputs)
        with torch.no_grad():
            here = emissions.given(emission, inputs)
        return density(x_t, as_array(here.mean), as_array(here.stddev))

    return score
