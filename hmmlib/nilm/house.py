"""A house: appliances that are metered as one sum."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Distribution

from hmmlib.checks import as_instance, as_kind
from hmmlib.emissions import parameters
from hmmlib.factorial import FactorialHMM, additive_gaussian
from hmmlib.hmm import HMM
from hmmlib.nilm.hours import HOURS, hours_of
from hmmlib.nilm.meters.grid import as_time
from hmmlib.observations import Observed
from hmmlib.storage import load, save


@dataclass(frozen=True, eq=False)
class House:
    """Appliances that are metered as one sum: a factorial HMM whose chains have names.

    The levels of all chains add up, and so do their variances.

    Args:
        appliances: one HMM for each name, which emits single watts from `Normal`.
        step: the time between two readings, such as "1min".

    Raises:
        ValueError: there is no appliance, or one whose emission is not normal.
    """

    appliances: Mapping[str, HMM]  #: one for each chain
    step: pd.Timedelta  #: between two readings

    def __post_init__(self):
        if not len(as_kind("appliances", self.appliances, Mapping)):
            raise ValueError("appliances: got none, needs at least one HMM")
        for name, hmm in self.appliances.items():
            as_instance(f"appliances[{name!r}]", hmm, HMM)
            if not adds_up(hmm.emission):
                found = type(hmm.emission).__name__
                raise ValueError(f"appliances[{name!r}]: emits {found}, needs Normal")
            if hmm.num_inputs not in (0, HOURS):
                raise ValueError(
                    f"appliances[{name!r}]: {hmm.num_inputs} inputs drive its moves, needs"
                    f" {HOURS}, one for each hour of the day: see hmmlib.nilm.hours"
                )
        object.__setattr__(self, "step", as_time("step", self.step))

    @property
    def names(self) -> list[str]:
        """The names of the chains, in the order of their axes."""
        return list(self.appliances)

    @cached_property
    def model(self) -> FactorialHMM:
        """The chains and their sum; axes in the order of `names`.

        Built on first use, since a house with too many joint states for it can still be
        learned and taken apart.
        """
        chains = self.appliances.values()
        variance = torch.zeros(())
        for scale in self._given("scale"):
            variance = variance[..., None] + scale.square()
        return FactorialHMM(
            tuple(chain.initial_probs for chain in chains),
            tuple(chain.transition_matrix for chain in chains),
            additive_gaussian(self._given("loc"), variance.sqrt()),
        )

    @property
    def levels(self) -> list[Tensor]:
        """The watts of each chain in each of its states, M of (K_m,)."""
        return self._given("loc")

    def evidence(self, values: Tensor) -> None:
        """What is known of single chains beside the readings (T,): here nothing.

        A house that a network helps answers with log-likelihoods, M of (T, K_m).
        """

    def inputs(self, index: pd.DatetimeIndex) -> Tensor | None:
        """What drives the moves at these stamps, (T, 24); None where nothing does."""
        driven = any(hmm.num_inputs for hmm in self.appliances.values())
        return hours_of(index) if driven else None

    def watts(self, states: Tensor) -> np.ndarray:
        """The level of each chain's state: (..., M) states to (..., M) watts."""
        return self._in_states("loc", states)

    def spreads(self, states: Tensor) -> np.ndarray:
        """The scale of each chain's state: (..., M) states to (..., M) watts."""
        return self._in_states("scale", states)

    def save(self, path: str | Path) -> None:
        """Write the house to a JSON file: see `hmmlib.storage`."""
        appliances = {name: hmm.content() for name, hmm in self.appliances.items()}
        seconds = self.step.total_seconds()
        save(path, "House", {"appliances": appliances, "step_seconds": seconds})

    @classmethod
    def load(cls, path: str | Path) -> "House":
        """The house that `save` wrote, to the last bit.

        Raises:
            ValueError: for a file that is damaged, of another kind, or from a later format.
        """
        return load(path, "House", cls._of_content)

    @classmethod
    def _of_content(cls, content: dict) -> "House":
        """The house of what `save` wrote."""
        appliances = {
            name: HMM.of_content(each) for name, each in content["appliances"].items()
        }
        return cls(appliances, pd.Timedelta(seconds=content["step_seconds"]))

    def _in_states(self, name: str, states: Tensor) -> np.ndarray:
        """A parameter of the emissions in the states (..., M); (..., M)."""
        values = [x[states[..., m]] for m, x in enumerate(self._given(name))]
        return torch.stack(values, dim=-1).numpy()

    def _given(self, name: str) -> list[Tensor]:
        """A parameter of the emissions, M of (K_m,)."""
        return [parameters(hmm.emission)[name] for hmm in self.appliances.values()]


def as_house(house) -> House:
    """`house`, if it has what splitting a meter needs of a `House`. Raises ValueError."""
    if not all(
        hasattr(house, name) for name in ("model", "step", "evidence", "inputs")
    ):
        raise ValueError(
            f"house: got {type(house).__name__}, needs a House, such as learn_house returns"
        )
    return house


def observed(house: House, readings: pd.Series) -> Observed:
    """The readings with what else is known beside them, as the verbs of the model take them.

    Evidence of single chains, and the hours, if the moves of an appliance depend on them.
    """
    values = torch.as_tensor(readings.to_numpy(copy=True))
    more = {"evidence": house.evidence(values), "inputs": house.inputs(readings.index)}
    return house.model.read(values, **more)


def adds_up(emission: Distribution) -> bool:
    """Whether `loc` and `scale` are the mean and the standard deviation of single values.

    These are what a house adds up over its chains.
    """
    given = parameters(emission)
    return (
        given.keys() == {"loc", "scale"}
        and not emission.event_shape
        and torch.equal(emission.mean, given["loc"])
        and torch.allclose(emission.stddev, given["scale"])
    )
