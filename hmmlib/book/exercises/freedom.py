"""Which rows of the tables are free, and what lists of words determine of them."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from hmmlib.book.exercises.models import A, B, pi, tables


class Tables(NamedTuple):
    """A parameter point of exercise 5.6; one emission table for each friend."""

    pi: Tensor
    A: Tensor
    B: Tensor
    other_B: Tensor


CONDITIONS = (  # how tables are made to fulfil each, and whether they do
    (
        lambda t: t._replace(A=torch.stack([t.A[0], torch.eye(2).to(t.A)[1]])),
        lambda t: t.A[1, 0] == 0,
    ),
    (
        lambda t: t._replace(A=torch.stack([t.A[0], t.A[0].flip(0)])),
        lambda t: torch.isclose(t.A[0, 1], t.A[1, 0]),
    ),
    (
        lambda t: t._replace(pi=torch.linalg.matrix_power(t.A, 500)[0]),
        lambda t: torch.allclose(t.pi @ t.A, t.pi),
    ),
    (lambda t: t, lambda t: True),
)


def rows_are_free():
    """Whether any row may be exchanged for that of other tables that fulfil the condition."""
    answers = []
    for fulfil, holds in CONDITIONS:
        one, two = (
            fulfil(Tables(*tables(seed, 2, 3), tables(seed + 2, 2, 3)[2]))
            for seed in (0, 1)
        )
        assert holds(one) and holds(two)
        exchanged = [one._replace(pi=two.pi)]
        for name, i in itertools.product(("A", "B", "other_B"), range(2)):
            table = getattr(one, name).clone()
            table[i] = getattr(two, name)[i]
            exchanged.append(one._replace(**{name: table}))
        answers.append("yes" if all(map(holds, exchanged)) else "no")
    return answers


def list_probs(free, num_words):
    """p of all lists of words from the seven free numbers, by a sum over paths."""
    rows = [free[:1], free[1:2], free[2:3], free[3:5], free[5:]]
    full = [torch.cat([row, 1 - row.sum(dim=0, keepdim=True)]) for row in rows]
    start, moves, emitted = full[0], torch.stack(full[1:3]), torch.stack(full[3:])
    sums = ("a,ax->x", "a,ax,ab,by->xy", "a,ax,ab,by,bc,cz->xyz")
    factors = (start, emitted, moves, emitted, moves, emitted)[: 2 * num_words]
    return torch.einsum(sums[num_words - 1], *factors).flatten()


def ranks():
    """The rank of the derivatives of p of all lists of one, two and three words."""
    free = torch.cat([pi[:1], A[:, 0], B[0, :2], B[1, :2]])
    step = 1e-5 * torch.eye(7, dtype=free.dtype)
    found = []
    for num_words in (1, 2, 3):
        slopes = [
            list_probs(free + e, num_words) - list_probs(free - e, num_words)
            for e in step
        ]
        found.append(torch.linalg.matrix_rank(torch.stack(slopes) / 2e-5, rtol=1e-6))
    return found
