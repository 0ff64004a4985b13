"""What exercises of chapter 8 compute of houses: chains whose sum is metered."""

import math
from functools import cache, partial

import torch
from torch.distributions import Normal

import hmmlib.nilm as nilm
from hmmlib.book.exercises.models import tables
from hmmlib.datasets.household import load_household
from hmmlib.hmm import HMM

CIRCUITS = ["kitchen", "laundry", "heater"]


@cache
def simulated_against_real():
    """Is the score of a simulated house higher, and which circuit has the largest error?"""
    table = load_household()
    together = table[CIRCUITS].sum(axis=1, skipna=False)
    table[nilm.REST] = (table["mains"] - together).clip(lower=0)
    num_states = {"kitchen": 4, "laundry": 6, "heater": 3, nilm.REST: 12}
    january = table.loc["2008-01-07":"2008-02-03"]
    house = nilm.learn_house(
        january, num_states, knee=60, num_iters=100, floor=60 / 6**0.5
    )
    made = nilm.simulate(house, 14 * 1440, seed=0)
    real = table.loc["2008-02-18":"2008-03-02"]
    scores, errors = [], []
    for power, truth in (
        (real["mains"], real[CIRCUITS]),
        (made.sum(axis=1).clip(lower=0), made[CIRCUITS]),
    ):
        guess = nilm.disaggregate(house, power)
        scores.append(nilm.house_metrics(guess, truth).iloc[0])
        errors.append(nilm.appliance_metrics(guess, truth)["normalised error"])
    higher = "higher" if scores[1] > scores[0] else "lower"
    return [higher, errors[1].idxmax()]


def what_the_sum_shows():
    """Whether p(mains) changes in each of the four cases, by the library."""
    a, b = [0.0, 60.0], [0.0, 90.0]
    x = torch.tensor([20.0, 70.0, 110.0, 160.0, 65.0], dtype=torch.float64)
    start, stay, other = [0.7, 0.3], [[0.9, 0.1], [0.3, 0.7]], [[0.6, 0.4], [0.2, 0.8]]

    def house(*chains):
        made = {
            str(m): HMM(start, moves, Normal(torch.tensor(watts).double(), 15.0))
            for m, (moves, watts) in enumerate(chains)
        }
        return nilm.House(made, "1min").model

    as_it_is = house((stay, a), (other, b))
    models = (
        house((other, b), (stay, a)),
        house((stay, [each + 50 for each in a]), (other, [each - 50 for each in b])),
        house((stay, [0.0, 110.0]), (other, [0.0, 40.0])),
        as_it_is.flattened(),
    )
    change = [
        abs(each.log_likelihood(x) - as_it_is.log_likelihood(x)) for each in models
    ]
    return ["changes" if each > 1e-6 else "same" for each in change]


def alone_or_together():
    """For each data set of exercise 8.7: does the heater's level depend on the other's?

    It does where the second derivative of the log-likelihood in both levels is not zero.
    """
    always, two = [1, 1, 1], [1, 1, 0]
    cases = (
        {"own": always, "other": always},
        {"own": [1, 0, 1], "other": always},
        {"own": [0, 0, 0], "mains": True},
        {"own": always, "mains": True},
        {"own": two, "mains": True},
        {"own": always, "other": always, "timer": True},
    )
    levels = torch.tensor([1.0, 0.8], dtype=torch.float64)
    mixed = [
        torch.autograd.functional.hessian(partial(log_p, **case), levels)[0, 1]
        for case in cases
    ]
    return ["together" if abs(each) > 1e-9 else "alone" for each in mixed]


def log_p(levels, own, other=(0, 0, 0), mains=False, timer=False):
    """log p of three minutes of two chains, off or on, over all 64 pairs of paths.

    `own` and `other` say in which minutes each meter is read; a timer gives the heater the
    state that the other chain had a minute before.
    """
    x = torch.tensor([[0.1, 0.9, 0.7], [0.6, 0.2, 0.9]]).double()  # of both chains
    own, other = torch.tensor(own), torch.tensor(other)
    paths = torch.cartesian_prod(*[torch.arange(2).double()] * 3)  # (8, 3)
    mine, others = torch.broadcast_tensors(paths[:, None], paths[None])  # (8, 8, 3)
    before = others if timer else mine
    stays = (mine[..., 1:] == before[..., :-1]).double() + (
        others[..., 1:] == others[..., :-1]
    )
    log_prior = stays.sum(dim=-1) * math.log(0.7 / 0.3)  # up to a constant
    mean = levels[0] * mine, levels[1] * others
    if mains:  # where the heater is read as well, they say what the other chain draws
        other = own
    log_density = own * Normal(mean[0], 0.5).log_prob(x[0])
    log_density = log_density + other * Normal(mean[1], 0.5).log_prob(x[1])
    if mains:
        of_sum = Normal(sum(mean), 0.5 * 2**0.5).log_prob(x.sum(dim=0))
        log_density = log_density + (1 - own) * of_sum
    return (log_prior + log_density.sum(dim=-1)).flatten().logsumexp(dim=0)


def queue(hmm, num_phases, leave=1.0, end=0.0, enter=0):
    """A matrix in which the last state is a queue of phases, each left that much faster.

    `leave` slows the phases, `end` is the share of the moves out of a phase that end the stay
    early, and `enter` is the first phase: the right queue has 1, 0 and 0.
    """
    on, moves = hmm.num_states - 1, hmm.transition_matrix
    onward = leave * num_phases * (1 - moves[on, on])
    size = on + num_phases
    queued = moves.new_zeros(size, size)
    queued[:on, :on] = moves[:on, :on]
    queued[:on, on + enter] = moves[:on, on]
    off = moves[on, :on] / moves[on, :on].sum()
    for phase in range(on, size):
        is_last = phase == size - 1
        ends = 1.0 if is_last else end
        queued[phase, phase] = 1 - onward
        queued[phase, :on] = onward * ends * off
        if not is_last:
            queued[phase, phase + 1] = onward * (1 - ends)
    return queued


def appliances():
    """Small models whose last state lasts long enough for their queues."""
    cases = []
    for seed, num_states, num_phases in ((0, 2, 3), (1, 3, 5), (2, 3, 2)):
        start, moves, _ = tables(seed, num_states, 2)
        moves[-1] *= 0.1
        moves[-1, -1] += 0.9
        watts = 1000.0 * torch.arange(num_states, dtype=torch.float64)
        emission = Normal(watts, torch.full_like(watts, 30.0))
        cases.append((HMM(start, moves, emission), num_phases))
    return cases
