"""Odd arguments, calls with right ones, and what may come of the two together."""

import datetime
import decimal
import math
import warnings

import numpy as np
import pandas as pd
import torch
from torch.distributions import Categorical, Normal

from hmmlib import factorial, inference, learning, meter, nilm
from hmmlib.book import exercises
from hmmlib.datasets import weather
from hmmlib.enumeration import all_paths, path_log_joints
from hmmlib.hmm import HMM
from hmmlib.pyro_models import to_discrete_hmm
from hmmlib.recursion import Potentials

HALF, MANY = torch.float16, 10**20


class Odd:
    """Nothing that a model knows."""


ODD = [
    None, "abc", "", "3", b"x", Odd(), Odd, 3 + 4j, True, False, [], [[]], {}, {"a": 1},
    {1, 2}, [[1], [2, 3]], math.nan, math.inf, -math.inf, 10**400, MANY, -1, 0, 1.5, -0.5,
    1e308, 5e-324, [math.nan] * 2, [math.inf, 1.0], [-0.5, 1.5], [10**400, 1], [2**63, 1],
    [-1, -1], [1e308, 1e308], [5e-324, 1.0], range(3), (1, 2), len,
    torch.tensor([]), torch.tensor(0.5), torch.zeros(2, 3, 4), torch.tensor([1 + 2j, 3]),
    torch.tensor([True, False]), torch.empty(3, device="meta"), torch.eye(2).to_sparse(),
    torch.tensor([0, 1]).to_sparse(),
    torch.tensor([0.5, 0.5], dtype=HALF), torch.tensor([0.5, 0.5]).bfloat16(),
    torch.tensor([0.5, 0.5]).to(torch.float8_e4m3fn), [torch.zeros(2), torch.zeros(3)],
    torch.tensor([0.5, 0.5], requires_grad=True), torch.ones(()).expand(2),
    np.array([None, "a"], dtype=object), np.array(["a", "b"]), np.array([0.5, 0.5])[::-1],
    np.array([0.5, 0.5], dtype=">f8"), np.array([0.5, 0.5], dtype=np.longdouble),
    np.array(["2020-01-01"], dtype="M8[D]"), np.zeros(2, dtype=[("a", "f8")]),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.uint16(3), np.str_("a"),
    datetime.date(2020, 1, 1), pd.Timestamp("2020-01-01"), pd.NaT, decimal.Decimal("0.5"),
    pd.DataFrame({"a": [1, 2]}), pd.Series([0.5, 0.5]), pd.Series(["a", "b"]),
    Normal(0.0, 1.0), Categorical(torch.ones(2)), weather.hmm,
    weather.hmm.potentials([0, 1]), weather.hmm.potentials([0, 1]).log_likelihoods,
]  # fmt: skip

WORDS, READINGS = [0, 1, 2, 1], [0.1, 4.9, 5.2, 0.0]
BATCH = {"observations": [WORDS, WORDS], "lengths": [2, 4]}
GAUSSIAN = HMM(
    [0.6, 0.4],
    [[0.7, 0.3], [0.4, 0.6]],
    Normal(torch.tensor([0.0, 5.0]).double(), torch.tensor([1.0, 2.0]).double()),
)
CHAINS = factorial.FactorialHMM(
    ([0.5, 0.5], [0.3, 0.7]),
    ([[0.9, 0.1], [0.1, 0.9]],) * 2,
    factorial.additive_gaussian([[0.0, 1.0], [0.0, 3.0]], 1.0),
)
MINUTES = pd.date_range("2020-01-01", periods=40, freq="min")
POWER = pd.Series(np.where(np.arange(40) // 10 % 2, 500.0, 10.0), index=MINUTES)
POWER += np.arange(40) % 7
TABLE = pd.DataFrame({"mains": POWER, "a": POWER / 2, "b": POWER / 4})
HOUSE = nilm.House({"a": GAUSSIAN, "b": GAUSSIAN}, "1min")
P = weather.hmm.potentials(WORDS)
ZEROS = torch.zeros(4, 2, dtype=torch.long)
FITS = {"hmm": weather.hmm, **BATCH, "learn": ("emission",), "pseudo_count": 0.0}


def of_parts(initial, moves, likelihoods, lengths):
    return inference.viterbi(Potentials(initial, moves, likelihoods, lengths))


def of_move(matrix):
    return inference.viterbi(P._replace(log_transitions=(matrix,)))


# each with arguments that are right
CALLS = [
    (HMM, {"initial_probs": [0.6, 0.4], "transition_matrix": [[0.7, 0.3], [0.4, 0.6]],
           "emission": [[0.1, 0.9], [0.6, 0.4]]}),
    (weather.hmm.potentials, {**BATCH, "observed": [[True] * 4] * 2}),
    (weather.hmm.potentials, {"observations": WORDS, "observed": [True] * 4}),
    (GAUSSIAN.potentials, {"observations": READINGS}),
    (weather.hmm.sample, {"num_steps": 3, "seed": 1, "num_sequences": 2}),
    (weather.sample, {"num_days": 2, "seed": 0}),
    (weather.sticky, {"stay": 0.3}),
    (of_parts, {"initial": P[0], "moves": P[1], "likelihoods": P[2] + 0, "lengths": None}),
    (of_move, {"matrix": P[1][0]}),
    *[(question, {"potentials": P}) for question in (
        inference.log_likelihood, inference.filter_states, inference.smooth_states,
        inference.pairwise_probs, inference.expected_counts, inference.total_counts,
        inference.viterbi)],
    (inference.sample_states, {"potentials": P, "num_samples": 2, "seed": 1}),
    (all_paths, {"num_states": 2, "num_steps": 2}),
    (path_log_joints, {"potentials": P, "paths": torch.zeros(1, 4).long()}),
    (factorial.additive_gaussian, {"means": [[0.0, 1.0], [0.0, 2.0]], "scale": 1.0}),
    (factorial.FactorialHMM, {
        "initial_probs": ([0.5, 0.5], [0.3, 0.7]),
        "transition_matrices": ([[0.9, 0.1], [0.1, 0.9]],) * 2,
        "emission": CHAINS.emission}),
    (CHAINS.potentials, {"observations": READINGS}),
    (CHAINS.log_likelihood, {"observations": READINGS}),
    (CHAINS.viterbi, {"observations": READINGS}),
    (CHAINS.smooth, {"observations": READINGS}),
    (CHAINS.filter, {"observations": [READINGS] * 2, "lengths": [2, 4],
                     "observed": [[True] * 4] * 2}),
    (CHAINS.sample, {"num_steps": 3, "seed": 1, "num_sequences": 2}),
    (CHAINS.sample_states, {"observations": READINGS, "num_samples": 2, "seed": 0}),
    (factorial.mean_field, {"model": CHAINS, "observations": READINGS, "num_sweeps": 2,
                            "tolerance": 1e-6, "start": ZEROS}),
    (factorial.coordinate_ascent, {"model": CHAINS, "observations": READINGS,
                                   "num_sweeps": 2, "start": ZEROS}),
    (factorial.path_log_joint, {"model": CHAINS, "observations": READINGS,
                                "states": ZEROS}),
    (learning.em_step, FITS),
    (learning.fit_em, FITS | {"num_iters": 2, "tolerance": 1e-6}),
    (learning.fit_gradient, FITS | {"num_steps": 2, "learning_rate": 0.1,
                                    "method": "adam", "tolerance": 1e-6}),
    (learning.fit_restarts, {"starts": [weather.hmm], "observations": WORDS}),
    (learning.random_starts, {"hmm": weather.hmm, "num_starts": 2, "seed": 0}),
    (learning.guess_emission, {"emission": GAUSSIAN.emission, "seed": 0,
                               "values": torch.tensor(READINGS).double()}),
    (learning.align_states, {"reference": weather.hmm, "estimate": weather.hmm}),
    (learning.align_states, {"reference": [0, 1, 1], "estimate": [1, 0, 0]}),
    (learning.align_states, {"reference": [[0.0, 1]], "estimate": [[1.0, 0]]}),
    (nilm.House, {"appliances": {"a": GAUSSIAN}, "step": "1min"}),
    (nilm.learn_appliance, {"power": POWER, "num_states": 2, "resolution": 0.0,
                            "knee": 60.0, "num_iters": 3}),
    (nilm.learn_house, {"table": TABLE, "num_states": {"a": 2}, "mains": "mains",
                        "resolution": 0.0}),
    (nilm.disaggregate, {"house": HOUSE, "power": POWER}),
    (nilm.sample_energy, {"house": HOUSE, "power": POWER, "num_samples": 1, "seed": 0}),
    (nilm.simulate, {"house": HOUSE, "num_steps": 3, "seed": 0, "start": "2026-01-01"}),
    (nilm.long_run, {"transition_matrix": [[0.9, 0.1], [0.2, 0.8]]}),
    (nilm.energy_kwh, {"watts": TABLE}),
    (nilm.mean_baseline, {"training": TABLE, "power": POWER}),
    (nilm.combinatorial_optimisation, {"house": HOUSE, "power": POWER}),
    (nilm.appliance_metrics, {"estimate": TABLE, "truth": TABLE, "on_watts": 10.0}),
    (meter.check_power, {"power": POWER, "step": "1min"}),
    (to_discrete_hmm, {"hmm": weather.hmm, "num_steps": 3}),
    (exercises.check, {"name": "3.2", "answer": 1}),
    (exercises.hint, {"name": "2.2"}),
]  # fmt: skip
TOLD = ("need", "use ", "no posterior exists", "as it is")


def judged(call, *args, **kwargs):
    """What a call gives, without NaN; None where it refuses in words."""
    try:
        with warnings.catch_warnings(action="ignore"):
            answer = call(*args, **kwargs)
    except (ValueError, TypeError) as error:  # TypeError: of the wrong class
        told = TOLD if isinstance(error, ValueError) else ("needs a",)
        assert any(word in str(error) for word in told), repr(error)
        return None
    for each in answer if isinstance(answer, tuple) else [answer]:
        if isinstance(each, torch.Tensor):
            assert not each.isnan().any()
    return answer
