"""Whose watts: appliances learned one by one, and a house's meter split among them.

pandas in, pandas out, in watts, with a DatetimeIndex. A column is an appliance, or a
circuit of several; `REST` is what no sub-meter sees. Non-intrusive load monitoring
(NILM): Hart 1992; factorial HMMs for it: Kolter & Jaakkola 2012. Taught in chapter 8.

From a model to an answer:

* house: appliances that are metered as one sum
* appliances, sub_meters: one appliance, or a whole house, learned from sub-meters
* network, remixing, state_network: a small neural network inside a house
* stages, hours: appliances whose stays last, and whose moves depend on the hour
* discriminative: a house trained for what is asked of it, on days with sub-meters
* unlabelled: a house from its mains alone, its appliances described in four numbers
* splitting: the watts of each appliance, by median, mean or best path; energies drawn
* live, sums: a meter that is read minute by minute
* energies: the exact mean and variance of each appliance's energy
* simulation: a house that behaves exactly as its model says
* baselines, metrics: other ways to split a meter, and how far an answer is from the truth
* held_out, bootstrap: a house judged on days it has not seen; how far a score could be off
* occupancy: how often an appliance is in each of its states
* meters: from a meter's file to readings
"""

from hmmlib.nilm.appliances import (
    ENOUGH,
    FLOOR,
    STAY,
    UNSEEN,
    WATTS_OF_ANYTHING,
    learn_appliance,
)
from hmmlib.nilm.baselines import combinatorial_optimisation, mean_baseline
from hmmlib.nilm.bootstrap import day_bootstrap
from hmmlib.nilm.discriminative import train_discriminatively
from hmmlib.nilm.energies import energy_moments
from hmmlib.nilm.held_out import (
    MOST_LOST,
    HeldOut,
    StateCounts,
    choose_num_states,
    energy_scores,
    energy_taken,
    judge_held_out,
)
from hmmlib.nilm.hours import by_hour, compare_hours, hours_of, learn_hours
from hmmlib.nilm.house import House
from hmmlib.nilm.intervals import Widening, energy_intervals, learn_widening
from hmmlib.nilm.live import LiveMeter
from hmmlib.nilm.meters.faults import WATTS_OF_A_PLUG
from hmmlib.nilm.meters.reader import read_meter
from hmmlib.nilm.meters.series import check_power
from hmmlib.nilm.metrics import aligned, appliance_metrics, energy_kwh, house_metrics
from hmmlib.nilm.network import NetworkHouse, learn_network, network_alone
from hmmlib.nilm.occupancy import long_run
from hmmlib.nilm.simulation import simulate
from hmmlib.nilm.splitting import (
    best_path,
    disaggregate,
    posterior_mean,
    posterior_median,
    sample_energy,
)
from hmmlib.nilm.stages import compare_stages, learn_stages, staged, stays_of
from hmmlib.nilm.state_network import StateNetwork
from hmmlib.nilm.sub_meters import MOST_BELOW, MOST_OFF, REST, learn_house
from hmmlib.nilm.unlabelled import (
    described_appliance,
    described_house,
    learn_unlabelled,
)

__all__ = [
    "ENOUGH",
    "FLOOR",
    "MOST_BELOW",
    "MOST_LOST",
    "MOST_OFF",
    "REST",
    "STAY",
    "UNSEEN",
    "WATTS_OF_ANYTHING",
    "WATTS_OF_A_PLUG",
    "HeldOut",
    "House",
    "LiveMeter",
    "NetworkHouse",
    "StateCounts",
    "StateNetwork",
    "Widening",
    "aligned",
    "appliance_metrics",
    "best_path",
    "by_hour",
    "check_power",
    "choose_num_states",
    "combinatorial_optimisation",
    "compare_hours",
    "compare_stages",
    "day_bootstrap",
    "described_appliance",
    "described_house",
    "disaggregate",
    "energy_intervals",
    "energy_kwh",
    "energy_moments",
    "energy_scores",
    "energy_taken",
    "hours_of",
    "house_metrics",
    "judge_held_out",
    "learn_appliance",
    "learn_hours",
    "learn_house",
    "learn_network",
    "learn_stages",
    "learn_unlabelled",
    "learn_widening",
    "long_run",
    "mean_baseline",
    "network_alone",
    "posterior_mean",
    "posterior_median",
    "read_meter",
    "sample_energy",
    "simulate",
    "staged",
    "stays_of",
    "train_discriminatively",
]
