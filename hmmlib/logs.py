"""Logarithms with an honest log 0, whose gradient there is 0 and not NaN."""

import torch
from torch import Tensor


def log(probs: Tensor) -> Tensor:
    """log probs, with log 0 = -inf and a gradient of 0 there.

    >>> log(torch.tensor([1.0, 0.0]))
    tensor([0., -inf])
    """
    if not probs.requires_grad:
        return probs.log()
    forbidden = probs == 0
    return probs.masked_fill(forbidden, 1.0).log().masked_fill(forbidden, -torch.inf)


def logs(*tables: Tensor) -> tuple[Tensor, ...]:
    """`log` of each of them."""
    found = []
    for table in tables:
        found.append(log(table) if table.requires_grad else table.log())
    return tuple(found)


def logsumexp(scores: Tensor, dim: int) -> Tensor:
    """torch.logsumexp, but where every term is log 0 the gradients are 0.

    >>> scores = torch.tensor([-torch.inf, -torch.inf], requires_grad=True)
    >>> torch.autograd.grad(logsumexp(scores, 0), scores)
    (tensor([0., 0.]),)
    """
    if not scores.requires_grad:
        return scores.logsumexp(dim)
    nothing = scores.detach().amax(dim).isneginf()
    filled = scores.masked_fill(nothing.unsqueeze(dim), 0.0)
    return filled.logsumexp(dim).masked_fill(nothing, -torch.inf)
