"""The model: how the hidden state starts, how it moves, and what it emits."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal

from hmmlib.checks import as_count, as_lengths, as_seed, as_steps, as_tensor
from hmmlib.emissions import (  # noqa: F401  (some are also imported from here)
    in_support,
    innermost,
    log_prob,
    of_valid,
    parameters,
    rebuilt,
    symbol_log_probs,
)
from hmmlib.kernels import copied_rows, copied_values, sum_to_one
from hmmlib.logs import log
from hmmlib.recursion import Potentials
from hmmlib.scores import Scores

SYMBOLS = (torch.int64, torch.int32, torch.uint8)
READINGS = (torch.float64, torch.float32)


class Sample(NamedTuple):
    """A hidden path and what it emitted."""

    states: Tensor  #: (T,) or (N, T)  integers 0 ... K-1
    observations: Tensor  #: the same, and then *event_shape


@dataclass(frozen=True, eq=False)
class HMM:
    """A hidden Markov model: p(z_1) p(x_1 | z_1) p(z_2 | z_1) p(x_2 | z_2) ...

    initial_probs      (K,)    p(z_1); sums to one
    transition_matrix  (K, K)  row: the state left, column: the state entered; rows sum to one
    emission           a `torch.distributions` object with batch_shape (K,), one for each state;
                       a (K, V) matrix, rows summing to one, stands for `Categorical(matrix)`

    Lists become float64 tensors, half precision float32; the dtype of other arrays and
    tensors is kept, and what is given is copied. Raises ValueError, naming the argument,
    what was found and what is needed. Taught in chapter 1.

    >>> weather = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    >>> weather.num_states
    2
    """

    initial_probs: Tensor
    transition_matrix: Tensor
    emission: Distribution

    def __post_init__(self):
        initial_probs = as_probs("initial_probs", self.initial_probs, "(K,)")
        num_states = len(initial_probs)
        transition_matrix = as_probs(
            "transition_matrix", self.transition_matrix, "(K, K)"
        )
        if tuple(transition_matrix.shape) != (num_states, num_states):
            found, needs = tuple(transition_matrix.shape), (num_states, num_states)
            raise ValueError(
                f"transition_matrix: got shape {found}, needs {needs} to go with initial_probs"
            )
        emission = self.emission
        if not isinstance(emission, Distribution):
            # Looked at here, and better than torch would: it normalises in silence.
            probs = as_probs("emission", emission, "(K, V)")
            emission = of_valid(Categorical, probs=probs)
        if tuple(emission.batch_shape) != (num_states,):
            found = tuple(emission.batch_shape)
            turned = (
                isinstance(emission, Categorical)
                and emission.probs.ndim == 2
                and emission.probs.shape[1] == num_states
            )
            hint = "; is its matrix transposed? Rows are states" if turned else ""
            raise ValueError(
                f"emission: got batch_shape {found}, needs ({num_states},), one a state{hint}"
            )
        object.__setattr__(self, "initial_probs", initial_probs)
        object.__setattr__(self, "transition_matrix", transition_matrix)
        object.__setattr__(self, "emission", emission)

    @classmethod
    def of_checked(cls, initial_probs, transition_matrix, emission) -> "HMM":
        """The model of tensors that are known to be right: neither looked at nor copied."""
        model = object.__new__(cls)
        model.__dict__.update(
            initial_probs=initial_probs,
            transition_matrix=transition_matrix,
            emission=emission,
        )
        return model

    @property
    def num_states(self) -> int:
        """K."""
        return len(self.initial_probs)

    def potentials(self, observations, lengths=None, observed=None) -> Potentials:
        """The model and its observations as `Potentials`, ready for inference.

        observations  (T, *event_shape), or (N, T, *event_shape) for a batch: a tensor, an
                      array, a list, a pandas Series, or a DataFrame, which is one sequence
                      and for an emission of single values has one column. NaN, None, NA
                      or a mask, in any component, means that the step is missing. A column
                      (T, 1) of single values is refused, unless `lengths` says that these
                      are T sequences
        lengths       (N,) integers, for sequences of different lengths; the rest is not read
        observed      (T,) or (N, T) booleans, False where an observation is missing

        A missing observation says nothing of the state: its log-likelihood is 0 in
        every state. Raises ValueError for empty sequences, shapes that disagree, and
        values that no state can emit, such as a symbol out of range.
        """
        log_initial, log_transition, table = self._logarithms()
        if table is not None and lengths is None and observed is None:
            scores = self._complete_scores(observations, table)
            if scores is not None:
                return Potentials(log_initial, (log_transition,), scores)
        values, seen = self.observed_values(observations, lengths, observed)
        return self.potentials_of(values, seen, lengths)

    def potentials_of(self, values: Tensor, seen: Tensor, lengths=None) -> Potentials:
        """`potentials` of what `observed_values` returned."""
        log_initial, log_transition, table = self._logarithms()
        if lengths is not None:
            lengths = as_lengths(lengths, seen.shape).to(seen.device)
        if type(self.emission) is Categorical:
            rows = values.long().reshape(-1)
            if len(rows) < seen.numel():  # one row more: nothing seen
                table = torch.nn.functional.pad(table, (0, 0, 0, 1))
                everywhere = rows.new_full(seen.shape, len(table) - 1)
                rows = everywhere.masked_scatter_(seen, rows)
            scores = Scores(table, rows=rows.reshape(seen.shape))
        elif table is not None and not values.requires_grad:
            everywhere = values.new_full(seen.shape, torch.nan)
            scores = Scores(table, values=everywhere.masked_scatter_(seen, values))
        elif len(values) == seen.numel():
            scores = log_prob(self.emission, values.unsqueeze(1)).to(values.dtype)
            scores = scores.reshape(*seen.shape, self.num_states)
        else:
            scores = torch.zeros(
                *seen.shape, self.num_states, dtype=values.dtype, device=values.device
            )
            if len(values):
                said = log_prob(self.emission, values.unsqueeze(1)).to(values.dtype)
                scores = scores.index_put((seen,), said)
        return Potentials(log_initial, (log_transition,), scores, lengths)

    def _complete_scores(self, observations, table: Tensor) -> Scores | None:
        """The scores of a tensor on the CPU without gaps and faults; None for any other."""
        if (
            not isinstance(observations, Tensor)
            or observations.dtype not in SYMBOLS + READINGS
            or observations.layout is not torch.strided
            or observations.is_nested
            or observations.ndim not in (1, 2)
            or observations.numel() == 0
            or (observations.shape[1:] == (1,) and len(observations) > 1)
            or observations.device.type != "cpu"
            or table.device.type != "cpu"
            or observations.requires_grad
        ):
            return None
        try:
            given = np.ascontiguousarray(observations.numpy())
        except RuntimeError:  # inside of torch.func
            return None
        if type(self.emission) is Categorical:
            rows = np.empty(given.shape, dtype=np.int64)
            if observations.dtype in SYMBOLS and copied_rows(given, len(table), rows):
                return Scores(table, rows=torch.from_numpy(rows))
        elif observations.dtype in READINGS:
            values = np.empty(given.shape)
            if copied_values(given, values):
                return Scores(table, values=torch.from_numpy(values))
        return None

    def __getstate__(self) -> dict:
        """The attributes without the cached logarithms, which a copy computes anew."""
        return {name: x for name, x in self.__dict__.items() if name != "_kept"}

    def _logarithms(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """log initial_probs and transition_matrix, and the table of `Scores`.

        The table is (V, K) for a plain categorical emission, (3, K) for a Gaussian one, None
        for others. Cached until a tensor is changed in place; not cached if it has gradients.
        """
        given = self.initial_probs, self.transition_matrix
        emission = self.emission
        if type(emission) is Categorical:
            given += (emission._param,)
        elif type(emission) is Normal:
            given += emission.loc, emission.scale
        counted = not any(each.is_inference() for each in given)
        versions = [each._version for each in given] if counted else None
        kept = self.__dict__.get("_kept")
        if kept and counted and kept[0] == versions:
            return kept[1]
        dtype, table = self.initial_probs.dtype, None
        if type(emission) is Categorical:
            table = symbol_log_probs(emission).mT.to(dtype).contiguous()
        elif type(emission) is Normal:
            density = -emission.scale.log() - math.log(2 * math.pi) / 2
            table = torch.stack([density, emission.loc, 1 / emission.scale]).to(dtype)
        logs = log(self.initial_probs), log(self.transition_matrix), table
        if counted and not any(each.requires_grad for each in given):
            object.__setattr__(self, "_kept", (versions, logs))
        return logs

    def steps_of(self, observations, lengths=None) -> Tensor:
        """The observations as one tensor (T, *event_shape) or (N, T, *event_shape).

        Read as `potentials` says, but values are not looked at. Raises ValueError.
        """
        return as_steps(observations, self.emission.event_shape, lengths).to(
            self.initial_probs.device, self.initial_probs.dtype
        )

    def observed_values(
        self, observations, lengths=None, observed=None
    ) -> tuple[Tensor, Tensor]:
        """The observations that are not missing, (n, *event_shape), and where; (T,) or (N, T).

        Arguments as for `potentials`, whose checks are all made here. Raises ValueError
        for what it refuses.
        """
        emission, event_shape = self.emission, self.emission.event_shape
        observations = self.steps_of(observations, lengths)
        steps = observations.shape[: observations.ndim - len(event_shape)]
        seen = ~observations.isnan()
        if event_shape:
            seen = seen.flatten(len(steps)).all(-1)
        if observed is not None:
            observed = as_tensor("observed", observed).to(seen.device)
            if observed.shape == (*steps, 1):  # a column, as tables give
                observed = observed.squeeze(-1)
            if observed.dtype != torch.bool or observed.shape != steps:
                found = f"{observed.dtype} of shape {tuple(observed.shape)}"
                raise ValueError(
                    f"observed: got {found}, needs booleans of shape {tuple(steps)}"
                )
            seen = seen & observed
        if lengths is not None:
            lengths = as_lengths(lengths, steps).to(seen.device)
            seen = seen & (
                torch.arange(steps[-1], device=seen.device) < lengths[:, None]
            )
        all_seen = observations.flatten(0, len(steps) - 1)
        values = all_seen if seen.all() else observations[seen]
        if len(values):
            _check_support(emission, values.unsqueeze(1), seen)
        return values, seen

    def sample(
        self,
        num_steps: int,
        seed: int | None = None,
        num_sequences: int | None = None,
    ) -> Sample:
        """A hidden path and what it emits, drawn in the order z_1, x_1, z_2, x_2, ...

        With `num_sequences`, N independent ones at once: states (N, T), observations
        (N, T, *event_shape). The same seed gives the same sample, and leaves torch's own
        random stream untouched. A categorical emission draws only from the row of the
        state it is in. Raises ValueError for fewer than one step or sequence. Taught in
        chapter 1.
        """
        num_steps = as_count("num_steps", num_steps)
        seed, num_copies = as_seed(seed), 1
        if num_sequences is not None:
            num_copies = as_count("num_sequences", num_sequences)
        states, observations = [], []
        with (
            torch.random.fork_rng(enabled=seed is not None),
            torch.no_grad(),
        ):
            if seed is not None:
                torch.manual_seed(seed)
            probs = self.initial_probs.expand(num_copies, -1)
            for _ in range(num_steps):
                state = torch.multinomial(probs, 1).squeeze(1)  # (N,)
                states.append(state)
                if isinstance(self.emission, Categorical):
                    row = self.emission.probs[state]
                    observations.append(torch.multinomial(row, 1).squeeze(1))
                else:  # every state emits, and the one we are in is kept
                    emitted = self.emission.sample((num_copies,))
                    observations.append(emitted[torch.arange(num_copies), state])
                probs = self.transition_matrix[state]
        sample = Sample(torch.stack(states, 1), torch.stack(observations, 1))
        return sample if num_sequences is not None else Sample(*(x[0] for x in sample))


def as_probs(name: str, values, shape: str) -> Tensor:
    """`values` as a floating-point tensor whose last axis sums to one.

    `shape`, such as "(K, V)", says how many axes are needed. Lists and integers become
    float64, half precision float32. Raises ValueError, naming the argument, for anything else.
    """
    probs = as_tensor(name, values).clone()
    precision = probs.dtype
    if not probs.is_floating_point():
        probs = probs.double()
    else:
        probs = probs.to(torch.promote_types(precision, torch.float32))
    if probs.ndim != shape.count(",") + (not shape.endswith(",)")) or 0 in probs.shape:
        raise ValueError(
            f"{name}: got shape {tuple(probs.shape)}, needs {shape}, not empty"
        )
    half = probs.dtype != precision and precision.is_floating_point
    eps = torch.finfo(precision if half else probs.dtype).eps
    tolerance = max(1e-6, eps**0.5)
    try:
        if probs.device.type == "cpu" and probs.dtype is torch.float64:
            rows = probs.detach().contiguous().numpy().reshape(-1, probs.shape[-1])
            if sum_to_one(rows, tolerance):
                return probs
    except RuntimeError:
        pass  # inside of torch.func, which shows its numbers to torch alone
    try:
        _check_probs(name, probs, tolerance)
    except RuntimeError as error:
        raise ValueError(
            f"{name}: got a tensor whose numbers cannot be looked at, as inside of"
            " torch.func.vmap; needs a loop over models, or a batch of sequences (N, T)"
        ) from error
    return probs / probs.sum(-1, keepdim=True) if half else probs


def _check_probs(name: str, probs: Tensor, tolerance: float) -> None:
    """Raise ValueError unless each row is a distribution."""
    wrong = ~((probs >= 0) & probs.isfinite())
    if wrong.any():
        where = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name}: {probs[tuple(where)].item():g} at {where}, needs probabilities, 0 to 1"
        )
    sums = probs.sum(-1)
    off = (sums - 1).abs() > tolerance
    if off.any():
        row = f"row {off.nonzero()[0].item()} " if probs.ndim == 2 else ""
        turned = probs.ndim == 2 and ((probs.sum(0) - 1).abs() <= tolerance).all()
        hint = "; its columns do, is it transposed?" if turned else ""
        raise ValueError(
            f"{name}: {row}sums to {sums[off][0].item():.6g}, needs 1{hint}"
        )


def _check_support(emission: Distribution, values: Tensor, seen: Tensor) -> None:
    """Raise ValueError for the first value, (steps, 1, *event), that no state emits."""
    if type(emission) is Categorical:
        num_symbols = emission.probs.shape[1]
        within = values.amin() >= 0 and values.amax() < num_symbols
        if within and not (values % 1).any():
            return
    finite = (
        values.isfinite().flatten(2).all(-1) if values.ndim > 2 else values.isfinite()
    )
    impossible = ~(in_support(emission, values) & finite).any(1)
    if impossible.any():
        which = impossible.nonzero()[0].item()
        *sequence, step = seen.nonzero()[which].tolist()
        place = f"step {step}" + (f" of sequence {sequence[0]}" if sequence else "")
        found = values[which, 0]
        found = f"{found.item():g}" if found.ndim == 0 else found.tolist()
        needs = f"a finite value in {emission.support}"
        if isinstance(emission, Categorical):
            needs = f"an integer from 0 to {emission.probs.shape[-1] - 1}"
        raise ValueError(
            f"observations: {found} at {place}, needs {needs}, or NaN where it is missing"
        )
