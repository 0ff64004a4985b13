"""Who answers the questions of inference: an engine is a module with a function for each.

recursion  `hmmlib.recursion`, in PyTorch: any number of chains, any device
compiled   loops compiled for the CPU: one chain
gradient   one chain with gradients wanted, which are its expected counts

The loops of the compiled engine: `few` and `few_best` for up to eight states, `chain` for any
number, `in_logs` for messages that scaling cannot hold, and `em` for learning in one run.
For several chains: `joint_smooth`, `joint_best`, `joint_moments` for what they add up,
`joint_reading`, and `chains` for sums in logarithms. For stays of explicit durations:
`stays`. For one step at a time: `live` and `live_stays`. `draws` is for paths from the
posterior. They are imported at their first use, since numba takes a while to load.
"""

import importlib

import torch

from hmmlib.engines import gradient, recursion

__all__ = ["compiled", "gradient", "pick", "recursion"]
LOOPS = (
    "compiled",
    "chain",
    "chains",
    "draws",
    "em",
    "few",
    "few_best",
    "in_logs",
    "joint_best",
    "joint_moments",
    "joint_reading",
    "joint_smooth",
    "numbers",
    "stays",
    "threads",
)


def __getattr__(name: str):
    """The compiled engine, at its first use."""
    if name in LOOPS:
        return importlib.import_module(f"hmmlib.engines.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pick(potentials):
    """The engine that answers fastest: the loops for one chain on the CPU, if no gradient
    is wanted.
    """
    initial, moves, scores, _ = potentials
    made_of = getattr(scores, "given", (scores,))
    if isinstance(moves, tuple):
        if len(moves) != 1:
            return recursion
        (moves,) = moves
    if torch.is_grad_enabled():
        for table in (initial, moves, *made_of):
            if table.requires_grad:
                return gradient
    if initial.device.type != "cpu":
        return recursion
    from hmmlib.engines import compiled

    return compiled
