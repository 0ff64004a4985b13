"""The weather story with unknown tables, its states enumerated or summed out."""

import pyro
import pyro.distributions as dist
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor

from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood


def unknown_tables(
    num_states: int, num_symbols: int, concentration: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Unknown tables pi, A and B, drawn from Dirichlet(concentration) priors.

    initial_probs (K,), transition_matrix (K, K) and emission_matrix (K, V), each a sample
    site of that name; a concentration of 1 gives every row the same density. Taught in
    chapter 5.
    """
    to_state = dist.Dirichlet(torch.full((num_states,), concentration))
    to_symbol = dist.Dirichlet(torch.full((num_symbols,), concentration))
    initial_probs = pyro.sample("initial_probs", to_state)
    moves = pyro.sample("transition_matrix", to_state.expand([num_states]).to_event(1))
    symbols = to_symbol.expand([num_states]).to_event(1)
    return initial_probs, moves, pyro.sample("emission_matrix", symbols)


def learnable_story(
    sequences: Tensor,
    lengths: Tensor | None = None,
    num_states: int = 2,
    num_symbols: int = 3,
    concentration: float = 1.0,
) -> None:
    """The weather story with unknown tables, told for all N sequences (N, T) at once.

    `lengths` (N,) masks the days after the end of a shorter sequence; NaN is a missing
    word. The states are enumerated; the sites to learn are those of `unknown_tables`.
    Taught in chapter 5.
    """
    tables = unknown_tables(num_states, num_symbols, concentration)
    log_initial, log_moves, log_emissions = (table.log() for table in tables)
    num_sequences, num_days = sequences.shape
    state = None
    lengths = torch.as_tensor(num_days if lengths is None else lengths)
    with pyro.plate("sequences", num_sequences, dim=-1):
        for t in pyro.markov(range(num_days)):
            going_on = (t < lengths).expand(num_sequences)
            heard = going_on & ~sequences[:, t].isnan()
            with pyro.poutine.mask(mask=going_on):
                logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
                today = dist.Categorical(logits=logits)
                state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
            with pyro.poutine.mask(mask=heard):
                doing = dist.Categorical(logits=Vindex(log_emissions)[..., state, :])
                pyro.sample(f"x_{t}", doing, obs=sequences[:, t].where(heard, 0))


def marginal_story(
    sequences: Tensor,
    lengths: Tensor | None = None,
    num_states: int = 2,
    num_symbols: int = 3,
    concentration: float = 1.0,
) -> None:
    """`learnable_story` with its states summed out by the forward algorithm of `hmmlib`.

    Its density and its continuous sites are those of `learnable_story`; it has no
    discrete sites, and an evaluation takes a fraction of the time. NaN is a missing
    symbol. Taught in chapter 5.

    Example:
        >>> from hmmlib.datasets import weather
        >>> words = weather.fortnight.observations[None]
        >>> trace = pyro.poutine.trace(marginal_story).get_trace(words)
        >>> trace.stochastic_nodes
        ['initial_probs', 'transition_matrix', 'emission_matrix']
    """
    tables = unknown_tables(num_states, num_symbols, concentration)
    potentials = HMM(*tables).potentials(sequences, lengths)
    pyro.factor("words", log_likelihood(potentials).sum())
