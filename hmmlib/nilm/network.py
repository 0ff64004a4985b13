"""A network inside a factorial HMM: what it says of each appliance, beside the mains.

The network sees the shape of a run, hours of it at once; the chains know that all watts must
add up, and how states follow each other. Its probabilities, divided by those of the states
in its training, are likelihoods up to a constant (Bourlard & Morgan 1994), and enter the
factorial model as evidence. Both read the same mains, hence a weight well below 1.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from hmmlib.checks import as_count, as_kind, as_number, as_seed, told
from hmmlib.hmm import HMM
from hmmlib.nilm.house import House
from hmmlib.nilm.meters.faults import without_faults
from hmmlib.nilm.meters.series import check_power, checked
from hmmlib.nilm.meters.source import Source
from hmmlib.nilm.remixing import Recording, sources_of
from hmmlib.nilm.state_network import StateNetwork, new_network, trained
from hmmlib.nilm.sub_meters import REST, learn_house
from hmmlib.storage import load, save

SECONDS = 60.0  # of training
REMIX = 0.9  # of the windows in training are added up from single meters
WEIGHT = (
    0.05  # of the evidence: its readings are those of neighbours, and of the chains
)


@dataclass(frozen=True, eq=False)
class NetworkHouse(House):
    """A house, and a network that tells the states of its appliances from the mains.

    `disaggregate` takes it where it takes a `House`.

    Args:
        appliances, step: as for `House`.
        network: of all appliances but `REST`, in the order of their names.
        log_priors: log p(z^m) of the windows that the network was trained on; M of (K_m,).
        weights: of the evidence of each appliance; 0 leaves the network out.
        num_batches: that the network was trained on.
    """

    network: StateNetwork  #: of all appliances but the rest
    log_priors: tuple[Tensor, ...]  #: M of (K_m,)
    weights: Mapping[str, float]  #: one for each appliance
    num_batches: int = 0  #: of training

    def __post_init__(self):
        super().__post_init__()
        sizes = [self.appliances[name].num_states for name in appliances_of(self)]
        network = as_kind("network", self.network, StateNetwork)
        if list(network.sizes) != sizes:
            raise ValueError(
                f"network: tells {told(list(network.sizes))} states, needs {sizes}, those of"
                f" {told(appliances_of(self))}"
            )
        shapes = [tuple(each.shape) for each in self.log_priors]
        if shapes != [(size,) for size in sizes]:
            raise ValueError(
                f"log_priors: got shapes {told(shapes)}, needs {len(sizes)} vectors, of"
                f" {sizes}"
            )
        if any((each.isnan() | (each > 0)).any() for each in self.log_priors):
            raise ValueError(
                "log_priors: got NaN or above 0, needs logs of probabilities"
            )
        for name, weight in as_kind("weights", self.weights, Mapping).items():
            fits = "a number of at least 0"
            as_number(f"weights[{name!r}]", weight, fits, lambda x: 0 <= x < np.inf)
        as_count("num_batches", self.num_batches, least=0)

    def evidence(self, values: Tensor) -> tuple[Tensor | None, ...]:
        """weight · (log p(z_t^m | mains) − log p(z^m)), (T, K_m) for each chain.

        `values` (T,) are the mains, NaN where missing. None for the rest, and where the
        weight is 0.
        """
        found = self.log_probs(values)
        priors = dict(zip(found, self.log_priors, strict=True))
        return tuple(
            self.weights[name] * (found[name] - priors[name])
            if self.weights.get(name)
            else None
            for name in self.names
        )

    def log_probs(self, values: Tensor) -> dict[str, Tensor]:
        """log p(z_t^m | mains (T,)), (T, K_m) by appliance: what the network alone tells."""
        with torch.no_grad():
            found = self.network(torch.as_tensor(values, dtype=torch.float32)[None])
        names = appliances_of(self)
        return {name: each[0].double() for name, each in zip(names, found, strict=True)}

    def save(self, path: str | Path) -> None:
        """Write the house and its network to a JSON file: see `hmmlib.storage`."""
        content = {
            "appliances": {
                name: hmm.content() for name, hmm in self.appliances.items()
            },
            "step_seconds": self.step.total_seconds(),
            "network": self.network.content(),
            "log_priors": self.log_priors,
            "weights": dict(self.weights),
            "num_batches": self.num_batches,
        }
        save(path, "NetworkHouse", content)

    @classmethod
    def load(cls, path: str | Path) -> "NetworkHouse":
        """The house that `save` wrote, to the last bit.

        Raises:
            ValueError: for a file that is damaged, of another kind, or from a later format.
        """
        return load(path, "NetworkHouse", cls._of_content)

    @classmethod
    def _of_content(cls, content: dict) -> "NetworkHouse":
        """The house of what `save` wrote."""
        appliances = content["appliances"].items()
        return cls(
            {name: HMM.of_content(each) for name, each in appliances},
            pd.Timedelta(seconds=content["step_seconds"]),
            StateNetwork.of_content(content["network"]),
            tuple(content["log_priors"]),
            content["weights"],
            content["num_batches"],
        )


def learn_network(
    table: pd.DataFrame,
    num_states: Mapping[str, int],
    mains: str = "mains",
    seconds: float = SECONDS,
    seed: int = 0,
    num_batches: int | None = None,
    weights: float | Mapping[str, float] = WEIGHT,
    remix: float = REMIX,
    house: House | None = None,
) -> NetworkHouse:
    """A house, and a small network inside it, learned from the same sub-meters.

    The network is trained on windows of the mains; what it must tell are the states on the
    best path of each appliance's own readings. A share of the windows is *re-mixed*: each
    appliance's readings, and the rest's, are those of a window drawn on its own, and their
    sum is the mains. Training takes one thread of torch.

    Args:
        table, num_states, mains: as for `learn_house`. The mains are always needed.
        seconds: how long to train, at most.
        seed: the same seed, with `num_batches`, gives the same network.
        num_batches: how many batches to train on, in place of `seconds`.
        weights: of the evidence: one for all appliances, or one for each.
        remix: the share of re-mixed windows, 0 to 1.
        house: what to put the network into; `learn_house(table, num_states, mains)` if None.

    Raises:
        ValueError: as `learn_house`, and for a table of fewer than 512 rows.
    """
    seconds = as_number("seconds", seconds, "a time above 0", lambda x: 0 < x < np.inf)
    remix = as_number("remix", remix, "a share, 0 to 1", lambda x: 0 <= x <= 1)
    seed = as_seed(0 if seed is None else seed)
    if num_batches is not None:
        num_batches = as_count("num_batches", num_batches)
    if house is None:
        house = learn_house(table, num_states, mains)
    else:
        _check_names(as_kind("house", house, House), num_states)
    sources = sources_of(recording_of(house, table, mains))
    weights = _as_weights(weights, appliances_of(house))
    sizes = tuple(len(house.appliances[name].initial_probs) for name in weights)
    network = new_network(sizes, seed)
    generator = Generator().manual_seed(seed)
    counts, done = trained(network, sources, remix, seconds, num_batches, generator)
    # A state that was never shown counts as shown once.
    priors = tuple(((n + 1) / (n + 1).sum()).double().log() for n in counts)
    parts = house.appliances, house.step, network, priors, weights, done
    return NetworkHouse(*parts)


def network_alone(house: NetworkHouse, power: pd.Series) -> pd.DataFrame:
    """The watts that the network tells without the chains; a row for each reading.

    The posterior median of each appliance's level, without a column for the rest.

    Args:
        house: such as `learn_network` returns.
        power: watts of the mains, with a DatetimeIndex in steps of `house.step`.

    Raises:
        ValueError: `check_power(power, house.step)` refuses the readings.
    """
    readings = check_power(power, as_kind("house", house, NetworkHouse).step)
    told = house.log_probs(torch.as_tensor(readings.to_numpy(copy=True)))
    watts = {}
    for name, log_probs in told.items():
        levels = house.levels[house.names.index(name)]
        order = levels.argsort()
        below = (log_probs.exp()[:, order].cumsum(-1) < 0.5).sum(-1)
        watts[name] = levels[order][below.clamp(max=len(levels) - 1)].numpy()
    return pd.DataFrame(watts, index=readings.index).loc[power.index]


def appliances_of(house: House) -> list[str]:
    """The names of all chains but the rest."""
    return [name for name in house.names if name != REST]


def recording_of(house: House, table: pd.DataFrame, mains: str) -> Recording:
    """What the meters read, and each appliance's best path on its own readings.

    Raises ValueError for a column that is missing.
    """
    names = appliances_of(house)
    missing = [name for name in [mains, *names] if name not in table.columns]
    if missing or not names:
        raise ValueError(
            f"table: no column for {missing or 'an appliance'}, it has"
            f" {list(table.columns)}, needs the mains and each appliance"
        )
    total, *own = (_readings(table, name, house.step) for name in [mains, *names])
    rest = (total - sum(own)).clamp(min=0.0)
    states = [
        torch.where(x.isnan(), -1, house.appliances[name].viterbi(x).states)
        for name, x in zip(names, own, strict=True)
    ]
    parts = torch.stack([*own, rest], dim=1).float()
    return Recording(total.float(), parts, torch.stack(states, dim=1))


def _readings(table: pd.DataFrame, name: str, step: pd.Timedelta) -> Tensor:
    """One column of watts, checked, (T,). Raises ValueError that names it."""
    source = Source(
        name=f"table, {name!r}",
        series=f"table[{name!r}]",
        reverse="use table[::-1]",
        sort="use table.sort_index() first",
        once="table[~table.index.duplicated()]",
    )
    power = checked(table[name], step, source)
    with warnings.catch_warnings():  # `learn_house` has warned
        warnings.simplefilter("ignore")
        power = without_faults(power)
    return torch.as_tensor(power.to_numpy(copy=True))


def _check_names(house: House, num_states: Mapping[str, int]) -> None:
    if set(house.names) != set(as_kind("num_states", num_states, Mapping)):
        raise ValueError(
            f"house: has {house.names}, num_states {list(num_states)}; needs the same"
        )


def _as_weights(weights, names: list[str]) -> dict[str, float]:
    """A weight for each name. Raises ValueError."""
    if not isinstance(weights, Mapping):
        weights = dict.fromkeys(names, weights)
    if set(weights) != set(names):
        raise ValueError(f"weights: got {list(weights)}, needs one for each of {names}")

    def fits(weight: float) -> bool:
        return 0 <= weight < np.inf

    return {
        name: as_number(f"weights[{name!r}]", weights[name], "a number from 0", fits)
        for name in names
    }
