"""Random small models for the tests: one and two chains, fixed and changing
transitions, forbidden moves, float64.
"""

import os

import torch
from hypothesis import settings
from hypothesis import strategies as st

from hmmlib.recursion import Potentials

settings.register_profile("book", deadline=None, derandomize=True)  # machines are noisy
settings.register_profile("fuzz", deadline=None, database=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "book"))


def rows(g, *shape):
    """Random probabilities, float64."""
    values = torch.rand(*shape, generator=g, dtype=torch.float64) + 0.05
    return values / values.sum(-1, keepdim=True)


def random_potentials(
    seed, sizes, num_steps, batch=(), changing=False, forbidden=0.0, lengths=None
) -> Potentials:
    """Log-potentials of any sign; each move is forbidden with the given probability."""
    g = torch.Generator().manual_seed(seed)

    def scores(*shape):
        values = 3 * torch.randn(*shape, generator=g, dtype=torch.float64)
        return values.masked_fill(
            torch.rand(*shape, generator=g) < forbidden, -torch.inf
        )

    moves = (num_steps - 1,) if changing else ()
    transitions = tuple(scores(*moves, size, size) for size in sizes)
    likelihoods = 3 * torch.randn(
        *batch, num_steps, *sizes, generator=g, dtype=torch.float64
    )
    return Potentials(scores(*sizes), transitions, likelihoods, lengths)


@st.composite
def potentials(draw, num_chains=None, forbidden=True):
    """One sequence of a random model with T 1-4, K 1-3, one or two chains."""
    num_chains = num_chains or draw(st.integers(1, 2))
    return random_potentials(
        seed=draw(st.integers(0, 2**31)),
        sizes=tuple(draw(st.integers(1, 3)) for _ in range(num_chains)),
        num_steps=draw(st.integers(1, 4)),
        changing=draw(st.booleans()),
        forbidden=draw(st.sampled_from([0.0, 0.3])) if forbidden else 0.0,
    )


def random_chains(sizes, seed=0, scale=0.5):
    """Random chains whose levels add up; a third of the moves of the first one forbidden."""
    from hmmlib.factorial import FactorialHMM, additive_gaussian

    g = torch.Generator().manual_seed(seed)
    matrices = [rows(g, k, k) for k in sizes]
    if sizes[0] > 2:
        matrices[0] = matrices[0].triu() + torch.eye(sizes[0]).double()
        matrices[0] = matrices[0] / matrices[0].sum(-1, keepdim=True)
    means = [3 * torch.randn(k, generator=g, dtype=torch.float64) for k in sizes]
    return FactorialHMM(
        tuple(rows(g, k) for k in sizes),
        tuple(matrices),
        additive_gaussian(means, scale),
    )


def joint_paths(p: Potentials):
    """Every path of joint states, (P, T, M), for one or more chains."""
    from hmmlib.enumeration import all_paths

    sizes = p.log_initial.shape
    flat = all_paths(p.log_initial.numel(), p.log_likelihoods.shape[0])
    return torch.stack(torch.unravel_index(flat, sizes), dim=-1)


def one_sequence(p: Potentials, n: int) -> Potentials:
    """The n-th sequence of a batch, cut to its length."""
    length = p.log_likelihoods.shape[1] if p.lengths is None else int(p.lengths[n])
    moves = tuple(a[: length - 1] if a.ndim == 3 else a for a in p.log_transitions)
    return Potentials(p.log_initial, moves, p.log_likelihoods[n, :length])


@st.composite
def one_chain(draw):
    """One chain of 1-12 states; a sequence or a ragged batch; moves fixed or changing."""
    num_steps = draw(st.integers(1, 25))
    batch = draw(st.sampled_from([(), (3,)]))
    lengths = None
    if batch and draw(st.booleans()):
        ends = st.integers(1, num_steps)
        lengths = torch.tensor(draw(st.lists(ends, min_size=3, max_size=3)))
    p = random_potentials(
        seed=draw(st.integers(0, 2**31)),
        sizes=(draw(st.sampled_from([1, 2, 3, 8, 9, 12])),),
        num_steps=num_steps,
        batch=batch,
        changing=draw(st.booleans()),
        forbidden=draw(st.sampled_from([0.0, 0.4])),
        lengths=lengths,
    )
    missing = torch.rand(p.log_likelihoods.shape[:-1]) < 0.2
    scores = p.log_likelihoods.masked_fill(missing[..., None], 0.0)
    return p._replace(log_likelihoods=scores * draw(st.sampled_from([1.0, 30.0])))
