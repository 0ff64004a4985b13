"""Whether two lamps with independent priors stay independent, given readings."""

import torch
from torch import Tensor
from torch.distributions import Normal

TOTAL = 60.0 * (torch.arange(2)[:, None] + torch.arange(2)).double()  # (2, 2)


def rows(*shape: int, seed: int) -> Tensor:
    """Random probabilities; the last axis sums to one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64).softmax(dim=-1)


def of_sum(reading: float, noise: float) -> Tensor:
    """The density of a reading of the sum for each joint state, (2, 2)."""
    return Normal(TOTAL, noise).log_prob(torch.tensor(reading)).exp()


def is_product(readings: tuple[Tensor, Tensor], tied_moves: bool = False) -> str:
    """Whether p(paths of two steps | readings) is a product over the lamps, "yes" or "no"."""
    a, b = rows(2, seed=0), rows(2, seed=1)
    moves = torch.einsum("ac,bd->abcd", rows(2, 2, seed=2), rows(2, 2, seed=3))
    if tied_moves:
        moves = rows(4, 4, seed=4).reshape(2, 2, 2, 2)
    joint = torch.einsum("a,b,ab,abcd,cd->acbd", a, b, readings[0], moves, readings[1])
    joint = (joint / joint.sum()).reshape(4, 4)  # path of a, path of b
    product = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0)
    return "yes" if torch.allclose(joint, product, rtol=0, atol=1e-9) else "no"


def posterior_is_a_product() -> list[str]:
    """The answers of exercise 7.6, one for each of five situations."""
    nothing = torch.ones(2, 2, dtype=torch.float64)
    own = torch.einsum("a,b->ab", rows(2, seed=5), rows(2, seed=6))  # a meter for each
    exact, noisy = of_sum(60.0, 0.01), of_sum(60.0, 30.0)
    return [
        is_product((nothing, nothing)),
        is_product((own, own)),
        is_product((exact, exact)),
        is_product((noisy, nothing)),
        is_product((nothing, nothing), tied_moves=True),
    ]
