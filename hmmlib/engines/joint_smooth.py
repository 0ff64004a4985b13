"""Sums over the paths of several chains, compiled, with scaled probabilities.

Letters and axes as in `hmmlib.engines.chains`: S = prod(sizes) joint states, B steps of a
block, M chains of up to K states.

A message is a probability for each joint state, divided by its sum at each step. An entry
that is too small for a float is lost. That is harmless, since these loops are for chains without
forbidden moves, where every joint state is refilled from any other, unless the sum is small;
then the loops say so, and the block is computed with logarithms, by `hmmlib.engines.chains`.
"""

import numpy as np

from hmmlib.engines.chains import first_half, joint_sums
from hmmlib.engines.joint_reading import joint_likelihoods, steps_of
from hmmlib.engines.numbers import exponentiate, max_finite
from hmmlib.jit import compiled

LEAST_JOINT = 1e-250  # a posterior whose sum is above it has lost nothing that counts


@compiled
def forward_sums(start, moves, kinds, enough, sizes, reading, alpha, likely, onward):
    """alpha of a block. Returns log p(x of this block | blocks before), and: is it exact?

    start   (S,)             log p(z_1 | blocks before), up to a constant, which is added
    moves, kinds             as in `hmmlib.engines.chains.joint_forward`
    enough  float            of `hmmlib.engines.moves.Moves`
    alpha   (B or 1, S) out  p(z_t | x_{1:t}) times a factor of its step; of one row only,
                             the last step
    likely  (B or 1, S) out  p(x_t | z_t), divided by the largest
    onward  (S,)        out  log p(z | x_{1:B}) of the step after the block
    """
    evidence, total = max_finite(start), 1.0
    message, spare = start - evidence, np.empty_like(start)
    exponentiate(message)
    for t in range(steps_of(reading)):
        here, said = alpha[t % len(alpha)], likely[t % len(likely)]
        top = joint_likelihoods(reading, t, sizes, here, said)
        factor, total = 1.0 / total, 0.0
        for s in range(len(message)):
            here[s] = message[s] * factor * said[s]
            total += here[s]
        if not total > enough:
            return -np.inf, False
        evidence += np.log(total) + top
        message[:] = here
        message, spare = joint_sums(message, spare, moves[kinds[t + 1], 0], sizes, 0)
    for s in range(len(onward)):
        onward[s] = np.log(message[s] / total)
    return evidence, True


@compiled
def backward_sums(after, moves, kinds, enough, sizes, alpha, likely, shares, before):
    """Posteriors of each chain in a block. Returns whether they are exact.

    after   (S,)          log p(x of later blocks | z_B), up to a constant
    moves, kinds, enough  as above, `moves` transposed
    alpha, likely  (B, S)
    shares  (B, sum(sizes))  out  p(z_t^m | x), one chain beside the other
    before  (S,)             out  log p(x of this block and later ones | z_0), up to a constant
    """
    message, spare = after - max_finite(after), np.empty_like(after)
    exponentiate(message)
    total = 1.0
    for t in range(len(likely) - 1, -1, -1):
        factor, total = 1.0 / total, 0.0
        for s in range(len(message)):
            message[s] *= factor
        joint = joint_shares(alpha[t], message, sizes, shares[t])
        for s in range(len(message)):
            spare[s] = message[s] * likely[t, s]
            total += spare[s]
        if not joint > LEAST_JOINT or not total > enough:
            return False
        message, spare = joint_sums(spare, message, moves[kinds[t], 0], sizes, 0)
    for s in range(len(before)):
        before[s] = np.log(message[s] / total)
    return True


@compiled
def shares_of_block(alpha, sizes, shares):
    """The share of each state of each chain in alpha (B, S); (B, sum(sizes))."""
    even = np.ones(alpha.shape[1])
    for t in range(len(alpha)):
        joint_shares(alpha[t], even, sizes, shares[t])


@compiled
def joint_shares(alpha, beta, sizes, shares):
    """The share of each state of each chain in alpha * beta, (sum(sizes),); their sum.

    The products are a table, whose rows are the states of the first chains.
    """
    half, num_rows = first_half(sizes, len(alpha))
    num_columns, total = len(alpha) // num_rows, 0.0
    rows, columns = np.empty(num_rows), np.zeros(num_columns)
    for r in range(num_rows):
        rows[r] = 0.0
        for c in range(num_columns):
            product = alpha[r * num_columns + c] * beta[r * num_columns + c]
            rows[r] += product
            columns[c] += product
        total += rows[r]
    start = shares_of_chains(rows, sizes[:half], total, shares)
    shares_of_chains(columns, sizes[half:], total, shares[start:])
    return total


@compiled
def shares_of_chains(joint, sizes, total, shares):
    """The share of each state of some chains in their joint probabilities; sum(sizes)."""
    start, after = 0, len(joint)
    for m in range(len(sizes)):
        after //= sizes[m]
        for i in range(sizes[m]):
            share = 0.0
            for b in range(i * after, len(joint), after * sizes[m]):
                for a in range(b, b + after):
                    share += joint[a]
            shares[start + i] = share / total
        start += sizes[m]
    return start
