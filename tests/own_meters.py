"""Houses for the explorer of a reader's own meter, and what its script takes them as."""

import numpy as np
import pandas as pd
import torch
from random_models import rows
from torch.distributions import Normal

from hmmlib import nilm
from hmmlib.book.own_meter import own_meter
from hmmlib.hmm import HMM
from hmmlib.nilm import REST, House

TOLD = {
    "heater": (1000.0, 90.0, 4.0, 40.0),
    "kettle": (2000.0, 3.0, 6.0, 100.0),
}


def described(told=TOLD):
    return {name: nilm.described_appliance(*each) for name, each in told.items()}


def a_meter(num_days=2, seed=0, told=TOLD, start="2026-02-02"):
    """The mains of described appliances above a rest of three levels, in whole watts."""
    levels = torch.tensor([90.0, 170.0, 260.0], dtype=torch.float64)
    moves = torch.tensor([[0.96, 0.03, 0.01], [0.03, 0.95, 0.02], [0.02, 0.06, 0.92]])
    rest = HMM([0.4, 0.4, 0.2], moves.double(), Normal(levels, torch.full((3,), 15.0)))
    house = House({**described(told), REST: rest}, "1min")
    made = nilm.simulate(house, num_days * 1440, seed, start)
    return made.sum(axis=1).clip(lower=0).round(), made


def sample(**options):
    return own_meter(a_meter()[0], TOLD, 3, **options)


def as_chains(house):
    """The chains of a house as the script takes them."""
    return [
        {
            "pi": hmm.initial_probs.tolist(),
            "A": hmm.transition_matrix.tolist(),
            "levels": hmm.emission.loc.tolist(),
            "spreads": hmm.emission.scale.tolist(),
        }
        for hmm in house.appliances.values()
    ]


def random_house(seed, sizes, forbidden=False):
    """Chains with levels and spreads of their own; half of the moves away may be forbidden."""
    g = torch.Generator().manual_seed(seed)
    appliances = {}
    for m, size in enumerate(sizes):
        moves = rows(g, size, size)
        if forbidden:
            moves = moves * (torch.rand(size, size, generator=g) > 0.4)
            moves[torch.arange(size), (torch.arange(size) + 1) % size] += 0.1
            moves = moves / moves.sum(1, keepdim=True)
        level, spread = torch.rand(2, size, generator=g).double()
        emission = Normal(1000 * level, 5 + 100 * spread)
        appliances[f"chain {m}"] = HMM(rows(g, size), moves, emission)
    return House(appliances, "1min")


def as_power(values, start="2026-02-02"):
    index = pd.date_range(start, periods=len(values), freq="min")
    return pd.Series(np.asarray(values, dtype=float), index)
