"""The parameters of a story, learned by variational inference or sampled by NUTS.

Example:
    >>> import pyro.distributions as dist
    >>> from pyro.infer.autoguide import AutoDelta
    >>> def readings(x):
    ...     loc = pyro.sample("loc", dist.Normal(0.0, 10.0))
    ...     with pyro.plate("steps", len(x)):
    ...         pyro.sample("x", dist.Normal(loc, 1.0), obs=x)
    >>> x, guide = torch.tensor([2.0, 4.0]), AutoDelta(readings)
    >>> fit_svi(readings, guide, x, num_steps=200).shape
    torch.Size([200])
    >>> print(f"{guide.median()['loc']:.1f}")
    3.0
    >>> sample_nuts(readings, x, num_samples=10, num_warmup=10)["loc"].shape
    torch.Size([10])
"""

import itertools
from collections.abc import Callable

import pyro
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoGuide, init_to_uniform, init_to_value
from torch import Tensor
from tqdm.auto import tqdm

_guides = itertools.count()


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

    The guide holds what is learned: `guide.median()`. Automatic guides do not share
    parameters; a guide that was fitted before continues from its parameters. States that
    the story wants enumerated are summed out exactly. Sets Pyro's seed. Hoffman et al.
    2013. Taught in chapter 5.
    """
    if isinstance(guide, AutoGuide) and guide.prototype_trace is None:
        # as a part of a named module, the guide has parameter names of its own
        pyro.nn.PyroModule(f"fit_{next(_guides)}").add_module("guide", guide)
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
    """Posterior samples of the parameters, by site name: each (num_samples, ...).

    One chain of the No-U-Turn Sampler; check `pyro.ops.stats.effective_sample_size` of
    its samples. Sets Pyro's seed. Hoffman & Gelman 2014. Taught in chapter 5.

    Args:
        story: a Pyro program without discrete sites, such as `marginal_story`; `args` and
            `kwargs` are passed to it.
        initial: values of some or all sites to start from; without it, Pyro draws them.
        target_accept: the acceptance probability that the step size is adapted to. A
            lower one makes the steps longer and fewer.
        progress: whether to show a progress bar.

    Raises:
        ValueError: if `initial` names a site that the story does not have.
    """
    pyro.set_rng_seed(seed)
    if initial is not None:
        sites = pyro.poutine.trace(story).get_trace(*args, **kwargs).stochastic_nodes
        if set(initial) - set(sites):
            raise ValueError(
                f"initial: got {sorted(initial)}, needs names of sites, {sorted(sites)}"
            )
    strategy = init_to_uniform if initial is None else init_to_value(values=initial)
    kernel = NUTS(story, init_strategy=strategy, target_accept_prob=target_accept)
    chain = MCMC(
        kernel, num_samples, warmup_steps=num_warmup, disable_progbar=not progress
    )
    chain.run(*args, **kwargs)
    return chain.get_samples()
