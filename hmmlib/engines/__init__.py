"""Who answers the questions of inference: an engine is a module with a function for each.

recursion  `hmmlib.recursion`, in PyTorch: any number of chains, any device
compiled   loops compiled for the CPU: one chain
gradient   one chain with gradients wanted, which are its expected counts

`chain` and `chains` hold the loops themselves. The compiled engine is imported at its
first use, since compiling takes a while to load.
"""

import importlib

import torch

from hmmlib.engines import gradient, recursion

__all__ = ["compiled", "gradient", "pick", "recursion"]


def __getattr__(name: str):
    """The compiled engine, at its first use."""
    if name in ("compiled", "chain", "chains", "numbers", "threads"):
        return importlib.import_module(f"hmmlib.engines.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pick(potentials):
    """The engine that answers fastest: the loops for one chain on the CPU, if no gradient
    is wanted.
    """
    log_initial, log_transitions, scores, _ = potentials
    if len(log_transitions) != 1:
        return recursion
    if torch.is_grad_enabled():
        table = getattr(scores, "table", scores)
        if (
            table.requires_grad
            or log_initial.requires_grad
            or log_transitions[0].requires_grad
        ):
            return gradient
    if log_initial.device.type != "cpu":
        return recursion
    from hmmlib.engines import compiled

    return compiled
