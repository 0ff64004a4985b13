"""Negative binomial: counts more scattered than Poisson's."""

import torch
from torch.distributions import NegativeBinomial

from hmmlib.emissions.counts import log_odds, possible_only, times
from hmmlib.emissions.protocol import log_prob


@log_prob.register
def _(emission: NegativeBinomial, values):
    log_p, log_q = log_odds(emission)
    failures, hits = torch.broadcast_tensors(emission.total_count, values.clamp(min=0))
    certain = failures + hits == 0  # no failure to wait for
    ways = torch.lgamma((failures + hits).masked_fill(certain, 1.0))
    ways = ways - torch.lgamma(hits + 1) - torch.lgamma(failures)
    scores = ways + times(hits, log_p) + times(failures, log_q)
    return possible_only(emission, values, scores.masked_fill(certain, 0.0))
