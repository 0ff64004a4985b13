"""Checks that all of this package needs: one value for each chain, and enough memory."""

import math

from torch import Tensor

from hmmlib.checks import as_probs, told
from hmmlib.transitions import SoftmaxTransitions

MOST_BYTES = 4e9  # of float64 numbers that one call stores at once


def check_memory(
    name: str, sizes: tuple[int, ...], count: int, what: str, cure: str = ""
) -> None:
    """Raise ValueError if `count` numbers for each joint state are too many.

    Args:
        name: the argument that has `sizes`, K_1 ... K_M.
        what: what would be stored, for the message.
        cure: what else helps, beside fewer states or chains.
    """
    num_states = math.prod(sizes)
    if 8 * count * num_states > MOST_BYTES:
        raise ValueError(
            f"{name}: {num_states:,} joint states; {what} would take"
            f" {8e-9 * count * num_states:,.1f} GB, more than {MOST_BYTES / 1e9:g} GB."
            f" Use fewer states or chains{cure and f', or {cure}'}"
        )


def by_chain(name: str, values) -> list[tuple[int, object]]:
    """(m, values[m]) for each chain. Raises ValueError for what cannot be iterated over."""
    try:
        return list(enumerate(values))
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{name}: got {told(values)}, needs M tensors, one for each chain"
        ) from error


def as_matrices(
    matrices, sizes: tuple[int, ...]
) -> tuple[Tensor | SoftmaxTransitions, ...]:
    """M matrices (K_m, K_m) whose rows sum to one, or `SoftmaxTransitions`.

    Raises ValueError for other shapes, and for chains driven by other numbers of inputs.
    """
    checked = tuple(
        x if isinstance(x, SoftmaxTransitions)
        else as_probs(f"transition_matrices[{m}]", x, "(K, K)")
        for m, x in by_chain("transition_matrices", matrices)
    )  # fmt: skip
    found = [
        (len(x), len(x)) if isinstance(x, SoftmaxTransitions) else tuple(x.shape)
        for x in checked
    ]
    if not sizes or found != [(size, size) for size in sizes]:
        raise ValueError(
            f"transition_matrices: got shapes {found}, needs (K_m, K_m) with"
            f" K = {sizes} to go with initial_probs"
        )
    numbers = {x.num_inputs for x in checked if isinstance(x, SoftmaxTransitions)}
    if len(numbers) > 1:
        raise ValueError(
            f"transition_matrices: chains are driven by {sorted(numbers)} inputs, needs the"
            " same inputs for all, with weights of 0 where a chain has no use for one"
        )
    return checked
