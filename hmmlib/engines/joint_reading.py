"""How likely the readings of a block are in each joint state, step by step, compiled.

Letters and axes as in `hmmlib.engines.chains`: S = prod(sizes) joint states, B steps of a
block, M chains of up to K states.
"""

import numpy as np

from hmmlib.engines.numbers import exponentiate
from hmmlib.jit import compiled


@compiled
def steps_of(reading):
    """B."""
    return len(reading.values) + len(reading.scores)


@compiled
def joint_scores(reading, t, sizes, spare, scores):
    """log p(x_t | z_t) of each joint state, (S,), and the evidence of its chains."""
    if len(reading.values):
        x, gaussian = reading.values[t], reading.gaussian
        for s in range(len(scores)):
            apart = (x - gaussian[1, s]) * gaussian[2, s]
            scores[s] = gaussian[0, s] - 0.5 * apart * apart
        if x != x:
            scores[:] = 0.0
    else:
        scores[:] = reading.scores[t]
    if len(reading.evidence):
        joint_evidence(reading.evidence[:, t], sizes, spare)
        for s in range(len(scores)):
            scores[s] += spare[s]


@compiled
def joint_evidence(evidence, sizes, sums):
    """The sum of M evidences, (M, K), in each joint state, (S,)."""
    length, sums[0] = 1, 0.0
    for m in range(len(sizes)):  # one chain more: an entry becomes `size` ones
        for b in range(length - 1, -1, -1):
            base = sums[b]
            for i in range(sizes[m] - 1, -1, -1):
                sums[b * sizes[m] + i] = base + evidence[m, i]
        length *= sizes[m]


@compiled
def joint_likelihoods(reading, t, sizes, spare, likely):
    """p(x_t | z_t) divided by the largest, (S,); its logarithm, -inf where all are 0."""
    joint_scores(reading, t, sizes, spare, likely)
    top = -np.inf
    for s in range(len(likely)):
        top = max(top, likely[s])
    if top == -np.inf:
        likely[:] = 0.0
        return top
    for s in range(len(likely)):
        likely[s] -= top
    exponentiate(likely)
    return top
