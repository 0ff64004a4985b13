"""What comes with the observations: inputs, states that are known, and other evidence.

Inputs are numbers that somebody knows at every step, such as the season or the last reading:
`hmmlib.transitions.SoftmaxTransitions` lets them drive the moves, and
`hmmlib.emissions.LinearEmission` the readings. Evidence is what something else than the
observations, such as a second meter or a network, says of the states of one chain.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hmmlib.checks import WHOLE, as_count, as_tensor, told
from hmmlib.observations import Observed, as_sequences


def as_inputs(
    inputs, steps: tuple[int, ...], lengths: Tensor | None, num: int | None
) -> Tensor | None:
    """Inputs as a float tensor (T, P) or (N, T, P), 0 behind the end of a sequence.

    Args:
        inputs: (T, P), which several sequences may share, or (N, T, P); an array, a
            DataFrame, or a list of N of them where the lengths differ. (T,) or (N, T), if P
            is 1.
        steps: (T,) or (N, T), of the observations.
        lengths: (N,), or None.
        num: P, 0 where nothing is driven, and then the answer is None; or None: any number.

    Raises:
        ValueError: for other shapes, for numbers that are missing or infinite, and where
            inputs are given that nothing asks for, or none where they are needed.
    """
    needs = f"{('T', num or 'P')}, one row a step"
    if num == 0:
        if inputs is None:
            return None
        raise ValueError(
            "inputs: given, but they drive nothing in this model; needs none, or an HMM with"
            " SoftmaxTransitions or a LinearEmission"
        )
    if inputs is None:
        raise ValueError(
            f"inputs: got none, but they drive this model; needs numbers of shape {needs}"
        )
    values = _stacked(inputs, steps, lengths)
    found = tuple(values.shape)
    if values.ndim == len(steps) and num in (None, 1) and tuple(values.shape) == steps:
        values = values[..., None]
    if values.ndim == 2 and len(steps) == 2:
        values = values.expand(steps[0], *values.shape)
    if tuple(values.shape[:-1]) != steps or num not in (None, values.shape[-1]):
        raise ValueError(
            f"inputs: got shape {found}, needs {(*steps, num or 'P')}, one row"
            " for each step of the observations"
        )
    values = values if values.is_floating_point() else values.double()
    if lengths is not None:
        before = _before(lengths, steps).to(values.device)
        values = values.masked_fill(~before[..., None], 0.0)
    _refuse_gaps(values)
    return values


def as_labels(
    labels,
    steps: tuple[int, ...],
    lengths: Tensor | None,
    num_states: int | tuple[int, ...],
) -> Tensor:
    """Known states as integers of shape `steps`, (T,) or (N, T); -1 where unknown.

    Of M chains, which have a tuple of M numbers of states, (T, M) or (N, T, M). A list of N
    sequences whose lengths differ is padded with -1.

    Raises:
        ValueError: for another shape, and for what is no state.
    """
    sequences = as_sequences(labels)
    if sequences is not None and len(steps) == 2:
        rows = [as_tensor(f"labels[{n}]", x) for n, x in enumerate(sequences)]
        labels = pad_sequence(rows, batch_first=True, padding_value=-1)
    labels = as_tensor("labels", labels)
    several = isinstance(num_states, tuple)
    needs = (*steps, len(num_states)) if several else steps
    if tuple(labels.shape) != needs:
        raise ValueError(
            f"labels: got shape {tuple(labels.shape)}, needs {needs}, one for each step"
            + (" and chain" if several else "")
        )
    if labels.is_floating_point() and (labels == labels.round()).all():
        labels = labels.long()
    if labels.dtype in WHOLE and lengths is not None:
        behind = ~_before(lengths, steps).reshape(*steps, *[1] * (len(needs) - 2))
        labels = labels.long().masked_fill(behind.to(labels.device), -1)
    most = torch.tensor(num_states, device=labels.device)
    if labels.dtype not in WHOLE or labels.min() < -1 or (labels >= most).any():
        raise ValueError(
            f"labels: got {told(labels.unique().tolist())}, needs states, 0 to"
            f" {(most - 1).tolist()}, and -1 where the state is unknown"
        )
    return labels.long()


def as_evidence(
    evidence, steps: tuple[int, ...], lengths: Tensor | None, sizes: tuple[int, ...]
) -> tuple[Tensor | None, ...]:
    """Log-likelihoods of other readings of each chain, M of None or (*steps, K_m).

    0 behind the end of a sequence. A list of N sequences whose lengths differ may stand in
    the place of (N, T, K_m).

    Raises:
        ValueError: unless there is an entry for each chain, of this shape, with numbers below
            infinity.
    """
    try:
        given = list(evidence)
    except (TypeError, RuntimeError):
        given = []
    if len(given) != len(sizes):
        raise ValueError(
            f"evidence: got {told(evidence)}, needs {len(sizes)} entries, one for each"
            " chain, each None or log-likelihoods of its states"
        )
    return tuple(
        None
        if each is None
        else _of_chain(f"evidence[{m}]", each, steps, lengths, size)
        for m, (each, size) in enumerate(zip(given, sizes, strict=True))
    )


def _of_chain(
    name: str, values, steps: tuple[int, ...], lengths: Tensor | None, size: int
) -> Tensor:
    """What other readings say of one chain, (*steps, K); see `as_evidence`."""
    sequences = as_sequences(values)
    if sequences is not None and len(steps) == 2:
        rows = [as_tensor(f"{name}[{n}]", x) for n, x in enumerate(sequences)]
        values = pad_sequence([row.double() for row in rows], batch_first=True)
    values = as_tensor(name, values)
    if tuple(values.shape) != (*steps, size):
        raise ValueError(
            f"{name}: got shape {tuple(values.shape)}, needs {(*steps, size)}, a"
            " log-likelihood for each step and state"
        )
    values = values if values.is_floating_point() else values.double()
    if lengths is not None:
        before = _before(lengths, steps).to(values.device)
        values = values.masked_fill(~before[..., None], 0.0)
    wrong = values.isnan() | values.isposinf()
    if wrong.any():
        where = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name}: {values[tuple(where)]:g} at {where}, needs numbers below infinity;"
            " 0 in all states where nothing is known"
        )
    return values


def accompanied(
    seen: Observed, event_shape, inputs, num_inputs: int, labels, num_states: int
) -> Observed:
    """The observations with the inputs that the model needs and the labels that are given.

    Raises:
        ValueError: see `as_inputs` and `as_labels`.
    """
    if seen.inputs is None:
        steps = tuple(seen.values.shape[: seen.values.ndim - len(event_shape)])
        inputs = as_inputs(inputs, steps, seen.lengths, num_inputs)
        seen = seen._replace(inputs=inputs)
    else:  # read before
        steps = tuple(seen.inputs.shape[:-1])
    if labels is not None:
        seen = seen._replace(labels=as_labels(labels, steps, seen.lengths, num_states))
    return seen


def beside_inputs(seen: Observed) -> Observed:
    """Each reading and its inputs side by side, (..., 1 + P): what `LinearEmission` scores."""
    if seen.values.ndim == seen.inputs.ndim:  # they are
        return seen
    dtype = torch.promote_types(seen.values.dtype, seen.inputs.dtype)
    rows = [seen.values[..., None].to(dtype), seen.inputs.to(seen.values.device, dtype)]
    return seen._replace(values=torch.cat(rows, -1))


def knowing(scores: Tensor, labels: Tensor) -> Tensor:
    """Log-likelihoods, -inf in all states but the known ones, where they are known.

    Scores of M chains are (..., *S), and labels (..., M); of one chain, M is 1.
    """
    num_chains = labels.shape[-1]
    for m, known in enumerate(labels.to(scores.device).unbind(-1)):
        axes = [1] * num_chains
        axes[m] = scores.shape[m - num_chains]
        states = torch.arange(axes[m], device=scores.device).reshape(axes)
        known = known.reshape(*known.shape, *[1] * num_chains)
        scores = scores.masked_fill((known >= 0) & (known != states), -torch.inf)
    return scores


def from_labels(labels: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Known states (..., M) as evidence, M of (..., K_m): 0 where it may be, else -inf."""
    found = []
    for known, size in zip(labels.unbind(-1), sizes, strict=True):
        states = torch.arange(size, device=labels.device)
        other = (known >= 0)[..., None] & (known[..., None] != states)
        found.append(torch.zeros(other.shape).masked_fill(other, -torch.inf))
    return tuple(found)


def beside(scores: Tensor, evidence: Sequence[Tensor | None]) -> Tensor:
    """Log-likelihoods (..., *S) of the joint states, and the evidence of each chain added.

    Evidence is M of None or (..., K_m).
    """
    for m, each in enumerate(evidence):
        if each is not None:
            axes = [1] * len(evidence)
            axes[m] = -1
            scores = scores + each.reshape(*each.shape[:-1], *axes).to(scores)
    return scores


def lagged(values, order: int = 1) -> tuple[Tensor, Tensor]:
    """A series, and its own past as inputs: what makes `LinearEmission` autoregressive.

    Args:
        values: (T,) numbers; NaN where one is missing.
        order: how many readings of the past, L; at least 1.

    Returns:
        Readings (T - L,), from step L on, and inputs (T - L, 1 + L): a 1, then the reading
        of one step before, of two steps before, and so on. A reading whose past is not whole
        counts as missing, and its unknown inputs are 0.

    Raises:
        ValueError: for other shapes, and for too short a series.

    Example:
        >>> readings, inputs = lagged([1.0, 2.0, 4.0, 8.0], order=2)
        >>> readings
        tensor([4., 8.], dtype=torch.float64)
        >>> inputs
        tensor([[1., 2., 1.],
                [1., 4., 2.]], dtype=torch.float64)
    """
    values, order = as_tensor("values", values), as_count("order", order)
    if values.ndim != 1 or len(values) <= order:
        raise ValueError(
            f"values: got shape {tuple(values.shape)}, needs (T,), with more than {order}"
            " steps"
        )
    values = values if values.is_floating_point() else values.double()
    past = values.unfold(0, order, 1)[:-1].flip(1)
    inputs = torch.cat([torch.ones_like(past[:, :1]), past], 1)
    known = ~past.isnan().any(1)
    return values[order:].where(known, torch.nan), inputs.nan_to_num(0.0)


def _before(lengths: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Which steps come before the end of their sequence, (N, T)."""
    return torch.arange(steps[1], device=lengths.device) < lengths[:, None]


def _stacked(inputs, steps: tuple[int, ...], lengths: Tensor | None) -> Tensor:
    """Inputs as one tensor, from a list of sequences whose lengths differ too."""
    sequences = as_sequences(inputs)
    if sequences is None or len(steps) == 1:
        return as_tensor("inputs", inputs)
    found = [as_tensor(f"inputs[{n}]", x) for n, x in enumerate(sequences)]
    ends = [steps[1]] * steps[0] if lengths is None else lengths.tolist()
    if [len(x) for x in found] != ends:
        raise ValueError(
            f"inputs: got sequences of {told([len(x) for x in found])} rows, needs"
            f" {told(ends)}, as many as the observations have steps"
        )
    return pad_sequence([x.double() for x in found], batch_first=True)


def _refuse_gaps(values: Tensor) -> None:
    """Raise ValueError where a number is missing or infinite."""
    wrong = ~values.isfinite()
    if not wrong.any():
        return
    *place, column = wrong.nonzero()[0].tolist()
    at = f"step {place[-1]}" + (f" of sequence {place[0]}" if place[1:] else "")
    raise ValueError(
        f"inputs: {values[(*place, column)].item():g} in column {column} at {at}, needs"
        " finite numbers; fill it in, or see `hmmlib.inputs.lagged` for lagged readings"
    )
