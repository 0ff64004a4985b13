"""`Potentials` from a caller, looked at once before any engine takes them."""

import torch
from torch import Tensor

from hmmlib.checks import as_instance, as_tensor
from hmmlib.engines.compact import without_rest
from hmmlib.observations import as_lengths
from hmmlib.recursion import Potentials


def checked(potentials: Potentials, num_chains: int | None = None) -> Potentials:
    """The potentials, with 0 behind the end of each sequence: nothing there is read.

    Raises:
        TypeError: for what is no `Potentials`.
        ValueError: naming the field, what it holds and what it needs, unless they fit
            together: shapes, lengths, and no NaN and no infinity but log 0.
    """
    log_initial, _, log_likelihoods, lengths = as_instance(
        "potentials", potentials, Potentials
    )
    _as_logs("log_initial", log_initial)
    _as_logs("log_likelihoods", log_likelihoods)
    sizes, shape = tuple(log_initial.shape), tuple(log_likelihoods.shape)
    if not sizes or 0 in sizes:
        raise ValueError(
            f"log_initial: got shape {sizes}, needs (K,) or (K_1, ..., K_M), each at least 1"
        )
    if num_chains is not None and len(sizes) != num_chains:
        raise ValueError(
            f"log_initial: got {len(sizes)} chains, shape {sizes}; needs {num_chains}"
        )
    if shape[-len(sizes) :] != sizes or len(shape) - len(sizes) not in (1, 2):
        raise ValueError(
            f"log_likelihoods: got shape {shape}, needs (T, *{sizes}) or (N, T, *{sizes})"
        )
    if 0 in shape:
        raise ValueError(
            f"log_likelihoods: got shape {shape}, needs at least one step of at least one"
            " sequence"
        )
    _check_transitions(potentials)
    if lengths is not None:
        steps = shape[: len(shape) - len(sizes)]  # (N, T); (T,) has no lengths
        lengths = as_lengths(lengths, steps).to(log_likelihoods.device)
        potentials = potentials._replace(lengths=lengths)
        if lengths.amin() < steps[1]:
            potentials = without_rest(potentials)
    _check_values(potentials)
    return potentials


def _check_transitions(potentials: Potentials) -> None:
    """Raise ValueError unless there is one matrix, or one a move, for each chain.

    One chain may have one for each move of each sequence, (N, T-1, K, K).
    """
    log_initial, log_transitions, log_likelihoods, _ = potentials
    sizes, num_chains = tuple(log_initial.shape), log_initial.ndim
    num_steps = log_likelihoods.shape[-1 - num_chains]
    if not isinstance(log_transitions, tuple) or len(log_transitions) != num_chains:
        raise ValueError(
            f"log_transitions: needs a tuple of {num_chains} tensor(s), one for each chain"
        )
    for m, (matrix, size) in enumerate(zip(log_transitions, sizes, strict=True)):
        _as_logs(f"log_transitions[{m}]", matrix)
        fits = [(size, size), (num_steps - 1, size, size)]
        if num_chains == 1 and log_likelihoods.ndim == 3:
            fits.append((len(log_likelihoods), *fits[1]))
        if tuple(matrix.shape) not in fits:
            needs = " or ".join(str(each) for each in fits)
            raise ValueError(
                f"log_transitions[{m}]: got shape {tuple(matrix.shape)}, needs {needs}"
            )


def _as_logs(name: str, values) -> None:
    """Raise ValueError for what is no tensor of floats."""
    if not isinstance(values, Tensor):
        raise ValueError(f"{name}: got {type(values).__name__}, needs a tensor")
    if as_tensor(name, values).dtype not in (torch.float64, torch.float32):
        raise ValueError(f"{name}: got {values.dtype}, needs float64 or float32")


def _check_values(potentials: Potentials) -> None:
    """Raise ValueError for a NaN or an infinity that is not log 0."""
    log_initial, log_transitions, log_likelihoods, _ = potentials
    named = [(f"log_transitions[{m}]", a) for m, a in enumerate(log_transitions)]
    named += [("log_initial", log_initial), ("log_likelihoods", log_likelihoods)]
    for name, values in named:
        values = values.detach()
        try:
            if not values.numel() or values.amax() < torch.inf:  # NaN is not below
                continue
        except RuntimeError:  # inside of torch.func.vmap, where the engine refuses it
            return
        wrong = values.isnan() | values.isposinf()
        where = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"{name}: {values[tuple(where)]} at {where}, needs numbers below infinity"
        )
