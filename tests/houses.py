"""A house whose appliances are known, and what its meter shows."""

import math

import pandas as pd
import torch
from torch.distributions import Normal

from hmmlib import nilm
from hmmlib.hmm import HMM
from hmmlib.nilm import REST, House

PARTS = {  # watts of the states, moves
    "kettle": (torch.tensor([0.0, 2000.0]), torch.tensor([[0.98, 0.02], [0.2, 0.8]])),
    "heater": (torch.tensor([0.0, 1000.0]), torch.tensor([[0.99, 0.01], [0.02, 0.98]])),
    REST: (
        torch.tensor([1650.0, 1800.0, 2200.0]),
        torch.tensor([[0.95, 0.04, 0.01], [0.05, 0.9, 0.05], [0.02, 0.08, 0.9]]),
    ),
}


def a_house(scale=40.0):
    """Three chains, and noise of `scale` watts on their sum."""
    appliances = {}
    for name, (mean, moves) in PARTS.items():
        even = torch.full((len(mean),), 1 / len(mean))
        noise = torch.full((len(mean),), scale / math.sqrt(len(PARTS)))
        emission = Normal(mean.double(), noise.double())
        appliances[name] = HMM(even.double(), moves.double(), emission)
    return House(appliances, pd.Timedelta("1min"))


def simulated(house, num_steps, seed, start="2026-02-02"):
    """The mains and what each chain really drew."""
    truth = nilm.simulate(house, num_steps, seed, start)
    return truth.sum(axis=1).clip(lower=0.0), truth
