"""The same stories in Pyro: one function samples and conditions.

A story returns its hidden states and its observations, two lists over time. Its states
carry `infer={"enumerate": "parallel"}`, so that Pyro can sum them out; its observations
are given, or drawn when they are None. An observation that is NaN is missing.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO, TraceEnum_ELBO, infer_discrete
from pyro.infer.autoguide import AutoGuide, init_to_uniform, init_to_value
from pyro.ops.indexing import Vindex
from pyro.poutine.messenger import Messenger
from torch import Tensor
from tqdm.auto import tqdm

from hmmlib.checks import as_count, as_kind
from hmmlib.emissions import arguments, symbol_log_probs
from hmmlib.hmm import HMM
from hmmlib.inference import log_likelihood
from hmmlib.logs import log

_guides = itertools.count()


class _Missing(Messenger):
    """Around a story: an observation that is NaN in any component says nothing."""

    def _pyro_sample(self, msg) -> None:  # Pyro's name for what handlers do at a site
        value = msg["value"]
        if msg["is_observed"] and isinstance(value, Tensor) and value.isnan().any():
            seen, event_dim = ~value.isnan(), msg["fn"].event_dim
            if event_dim:
                seen = seen.flatten(-event_dim).all(-1)
            msg["mask"] = seen if msg["mask"] is None else seen & msg["mask"]
            msg["value"] = value.nan_to_num(1.0)  # any number will do


def nan_is_missing(story: Callable) -> Callable:
    """The story with NaN observations taken as missing; also for stories of your own."""

    @functools.wraps(story)
    def told(*args, **kwargs):
        with _Missing():
            return story(*args, **kwargs)

    return told


@nan_is_missing
def weather_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    emission_matrix: Tensor,
    num_days: int = 14,
    activities: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The friend and the weather: lists of T states z_t and T activities x_t.

    Parameters are (K,), (K, K) and (K, V), rows summing to one. With `activities` (T,)
    given the story is conditioned on them, and `num_days` is their number; with None it
    is a sampler. Bingham et al. 2019. Taught in chapter 1.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    log_emissions = emission_matrix.log()  # logits: given probs, Pyro's log 0 is -36
    states, seen, state = [], [], None
    num_days = num_days if activities is None else len(activities)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        doing = dist.Categorical(logits=Vindex(log_emissions)[..., state, :])
        heard = None if activities is None else activities[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", doing, obs=heard))
    return states, seen


@nan_is_missing
def signal_story(
    initial_probs: Tensor,
    transition_matrix: Tensor,
    means: Tensor,
    scales: Tensor,
    num_days: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Hidden levels and a noisy signal: lists of T states z_t and T readings x_t.

    `weather_story` with numbers in the place of words: means and scales are (K,), one
    for each state. Taught in chapter 6.
    """
    log_initial, log_moves = initial_probs.log(), transition_matrix.log()
    states, seen, state = [], [], None
    num_days = num_days if readings is None else len(readings)
    # day t needs only day t-1: that is what keeps enumeration cheap
    for t in pyro.markov(range(num_days)):
        logits = log_initial if t == 0 else Vindex(log_moves)[..., state, :]
        today = dist.Categorical(logits=logits)
        state = pyro.sample(f"z_{t}", today, infer={"enumerate": "parallel"})
        reading = dist.Normal(means[state], scales[state])
        heard = None if readings is None else readings[t]
        states.append(state)
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


@nan_is_missing
def factorial_story(
    initial_probs: Sequence[Tensor],
    transition_matrices: Sequence[Tensor],
    means: Sequence[Tensor],
    scale: float,
    num_steps: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """M chains that move on their own, and one meter that shows the sum of their levels.

    Parameters are M tensors each, (K_m,), (K_m, K_m) and (K_m,). Returns lists over time,
    as the other stories do: M states at each step, and T readings. Taught in chapter 7.
    """
    chains = list(zip(initial_probs, transition_matrices, means, strict=True))
    states, seen, now = [], [], [None] * len(chains)
    num_steps = num_steps if readings is None else len(readings)
    for t in pyro.markov(range(num_steps)):
        total = 0.0
        for m, (initial, moves, levels) in enumerate(chains):
            logits = initial.log() if t == 0 else Vindex(moves.log())[..., now[m], :]
            here = dist.Categorical(logits=logits)
            now[m] = pyro.sample(f"z{m}_{t}", here, infer={"enumerate": "parallel"})
            total = total + levels[now[m]]
        heard = None if readings is None else readings[t]
        states.append(list(now))
        seen.append(pyro.sample(f"x_{t}", dist.Normal(total, scale), obs=heard))
    return states, seen


@nan_is_missing
def house_story(
    initial_probs: Sequence[Tensor],
    transition_matrices: Sequence[Tensor],
    means: Sequence[Tensor],
    scales: Sequence[Tensor],
    num_steps: int = 14,
    readings: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """As `factorial_story`, but each state has a scale of its own; scales are M of (K_m,).

    Variances add up as the levels do. Taught in chapter 8.
    """
    chains = list(zip(initial_probs, transition_matrices, means, scales, strict=True))
    states, seen, now = [], [], [None] * len(chains)
    num_steps = num_steps if readings is None else len(readings)
    for t in pyro.markov(range(num_steps)):
        total, variance = 0.0, 0.0
        for m, (initial, moves, levels, spread) in enumerate(chains):
            logits = initial.log() if t == 0 else Vindex(moves.log())[..., now[m], :]
            here = dist.Categorical(logits=logits)
            now[m] = pyro.sample(f"z{m}_{t}", here, infer={"enumerate": "parallel"})
            total = total + levels[now[m]]
            variance = variance + spread[now[m]].square()
        heard = None if readings is None else readings[t]
        states.append(list(now))
        reading = dist.Normal(total, variance.sqrt())
        seen.append(pyro.sample(f"x_{t}", reading, obs=heard))
    return states, seen


def unknown_tables(
    num_states: int, num_symbols: int, concentration: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The tables of a weather nobody knows, drawn from Dirichlet(concentration) priors.

    initial_probs (K,), transition_matrix (K, K) and emission_matrix (K, V), each a sample
    site of that name; a concentration of 1 holds every row equally likely. Taught in
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
    """`learnable_story` with the states summed out by the forward algorithm of `hmmlib`.

    The same density of the same sites, in a fraction of the time, and without discrete
    sites; missing symbols are NaN. Taught in chapter 5.
    """
    tables = unknown_tables(num_states, num_symbols, concentration)
    potentials = HMM(*tables).potentials(sequences, lengths)
    pyro.factor("words", log_likelihood(potentials).sum())


def fit_svi(
    story: Callable,
    guide: Callable,
    *args,
    num_steps: int = 200,
    learning_rate: float = 0.1,
    seed: int = 0,
    progress: bool = False,
    **kwargs,
) -> Tensor:
    """Stochastic variational inference with Adam: the losses, (num_steps,).

    What is learned stays in the guide: `guide.median()`. An automatic guide gets a name of
    its own, so that two of them do not share parameters; one that was fitted before goes
    on from there. States that the story wants enumerated are summed out exactly. Sets
    Pyro's seed. Hoffman et al. 2013. Taught in chapter 5.
    """
    if isinstance(guide, AutoGuide) and guide.prototype_trace is None:
        guide._pyro_name = f"{type(guide).__name__}_{next(_guides)}"
    pyro.set_rng_seed(seed)
    sites = pyro.poutine.trace(story).get_trace(*args, **kwargs).nodes.values()
    discrete = any(site.get("infer", {}).get("enumerate") for site in sites)
    elbo = TraceEnum_ELBO(max_plate_nesting=1) if discrete else Trace_ELBO()
    svi = SVI(story, guide, pyro.optim.Adam({"lr": learning_rate}), elbo)
    losses = [
        svi.step(*args, **kwargs) for _ in tqdm(range(num_steps), disable=not progress)
    ]
    return torch.tensor(losses)


def sample_nuts(
    story: Callable,
    *args,
    num_samples: int = 200,
    num_warmup: int = 100,
    initial: dict[str, Tensor] | None = None,
    target_accept: float = 0.8,
    seed: int = 0,
    progress: bool = False,
    **kwargs,
) -> dict[str, Tensor]:
    """Draws of the parameters from their posterior; each site (num_samples, ...).

    The No-U-Turn Sampler, one chain, from `initial` values of the sites if given: look at
    `pyro.ops.stats.effective_sample_size` before trusting it. A lower `target_accept` takes
    longer and fewer steps. For stories without discrete
    sites, such as `marginal_story`. Sets Pyro's seed. Raises ValueError for an initial
    value that belongs to no site. Hoffman & Gelman 2014. Taught in chapter 5.
    """
    pyro.set_rng_seed(seed)
    if initial is not None:
        sites = pyro.poutine.trace(story).get_trace(*args, **kwargs).stochastic_nodes
        if set(initial) - set(sites):
            raise ValueError(f"initial: got {sorted(initial)}, needs some of {sites}")
    strategy = init_to_uniform if initial is None else init_to_value(values=initial)
    kernel = NUTS(story, init_strategy=strategy, target_accept_prob=target_accept)
    chain = MCMC(
        kernel, num_samples, warmup_steps=num_warmup, disable_progbar=not progress
    )
    chain.run(*args, **kwargs)
    return chain.get_samples()


def evidence(story: Callable, *args, **kwargs) -> float:
    """log p(x_{1:T}) of a conditioned story, every state summed out exactly.

    The guide is empty: with nothing left to approximate, the ELBO is the
    log-likelihood. Obermeyer et al. 2019. Taught in chapter 2.
    """

    def empty_guide(*args, **kwargs):
        """Nothing to approximate."""

    return -TraceEnum_ELBO(max_plate_nesting=0).loss(
        story, empty_guide, *args, **kwargs
    )


def best_path(story: Callable, *args, **kwargs) -> Tensor:
    """argmax of p(z_{1:T} | x_{1:T}) of a conditioned story; (T,), or (T, M) integers.

    `infer_discrete` at temperature 0 runs the enumeration with max in the place of sum.
    Taught in chapter 4.
    """
    states, _ = infer_discrete(story, first_available_dim=-1, temperature=0)(
        *args, **kwargs
    )
    several = isinstance(states[0], list)  # M states at each step
    steps = states if several else [[state] for state in states]
    path = torch.stack([torch.stack([z.reshape(()) for z in step]) for step in steps])
    return path if several else path[:, 0]


def posterior_paths(story: Callable, num_samples: int, *args, **kwargs) -> Tensor:
    """Draws from p(z_{1:T} | x_{1:T}) of a conditioned story; (num_samples, T), or
    (num_samples, T, M).

    `infer_discrete` at temperature 1, for `num_samples` copies of the story in one
    plate. Raises ValueError for fewer than one. Taught in chapter 3.
    """

    def copies(*args, **kwargs):
        """The story, told `num_samples` times at once."""
        with pyro.plate("samples", num_samples, dim=-1):
            return story(*args, **kwargs)

    if num_samples < 1:
        raise ValueError(f"num_samples: got {num_samples}, needs at least 1")
    states, _ = infer_discrete(copies, first_available_dim=-2, temperature=1)(
        *args, **kwargs
    )
    several = isinstance(states[0], list)  # M states at each step
    steps = states if several else [[state] for state in states]
    steps = [[z.reshape(-1).expand(num_samples) for z in step] for step in steps]
    paths = torch.stack([torch.stack(step, dim=-1) for step in steps], dim=1)
    return paths if several else paths[..., 0]


def to_discrete_hmm(hmm: HMM, num_steps: int) -> dist.DiscreteHMM:
    """The model as a `pyro.distributions.DiscreteHMM` with the same log-likelihoods.

    `DiscreteHMM` moves once before the first observation. So that z_1 ~ initial_probs
    holds all the same, it starts from anywhere, with even odds, and its first
    transition repeats log initial_probs in every row. Raises ValueError for fewer than
    one step, and for an emission that Pyro has no twin of. Taught in chapter 2.
    """
    num_steps = as_count("num_steps", num_steps)
    num_states = as_kind("hmm", hmm, HMM).num_states
    first = log(hmm.initial_probs).expand(1, num_states, num_states)
    others = log(hmm.transition_matrix).expand(num_steps - 1, num_states, num_states)
    uniform = torch.zeros_like(hmm.initial_probs)
    # Pyro holds observations against a bound for each state, such as a number of trials,
    # as if these were steps.
    bounds = vars(hmm.emission.support).values()
    validate = None
    if any(isinstance(bound, Tensor) and bound.ndim for bound in bounds):
        validate = False
    return dist.DiscreteHMM(
        uniform,
        torch.cat([first, others]),
        _to_pyro(hmm.emission),
        validate_args=validate,
    )


def _to_pyro(emission: torch.distributions.Distribution):
    """The Pyro twin of a distribution: same family, same parameters."""
    if isinstance(emission, torch.distributions.Independent):
        return _to_pyro(emission.base_dist).to_event(emission.reinterpreted_batch_ndims)
    if isinstance(emission, torch.distributions.Categorical):
        return dist.Categorical(logits=symbol_log_probs(emission))
    twin = getattr(dist, type(emission).__name__, None)
    if twin is None:
        raise ValueError(
            f"emission: got {type(emission).__name__}, needs a family that Pyro has too"
        )
    if isinstance(emission, torch.distributions.MixtureSameFamily):
        inner = emission.mixture_distribution, emission.component_distribution
        return twin(*map(_to_pyro, inner))
    given = arguments(emission, {})
    if "probs" in given and ((given["probs"] == 0) | (given["probs"] == 1)).any():
        # torch and Pyro would hold probabilities of 0 and 1 away from there.
        if not isinstance(emission, torch.distributions.Bernoulli):
            raise ValueError(
                f"emission: {type(emission).__name__} with a probability of 0 or 1, which"
                " Pyro replaces by one of 1e-16; needs probabilities between them"
            )
        probs = given.pop("probs")
        given["logits"] = log(probs) - log(1 - probs)
    try:
        return twin(**given)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            f"emission: cannot tell Pyro about {type(emission).__name__}"
        ) from error
