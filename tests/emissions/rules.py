"""What every family with a weighted fit has to obey, against scipy and against itself."""

import warnings

import numpy as np
import scipy.optimize
import torch
from torch.distributions import Distribution, Independent, biject_to
from torch.testing import assert_close

from hmmlib import HMM
from hmmlib.emissions import fit, log_prob, parameters, parts, rebuilt
from hmmlib.learning import em_step

MOVES = [[0.8, 0.2], [0.3, 0.7]]


def f8(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(emission: Distribution, n: int, seed: int) -> torch.Tensor:
    """n values, from either of two states in turns of three; (n, *event_shape)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        values = emission.sample((n,)).double()
    return values[torch.arange(n), torch.arange(n) // 3 % 2]


def uneven_weights(n: int, seed: int, num_states: int = 2) -> torch.Tensor:
    """Posteriors of n steps, many of them near 0 or 1; (n, K)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, num_states, generator=generator, dtype=torch.float64)
    return (4 * drawn).softmax(-1)


def weighted_score(emission: Distribution, values, weights) -> torch.Tensor:
    """sum_n weights[n, k] log p(values[n] | k); (K,)."""
    scores = log_prob(emission, values.unsqueeze(1))
    return torch.where(weights > 0, weights * scores, 0.0).sum(0)


def check_maximum(emission: Distribution, seeds=range(3), n=60, tolerance=1e-7):
    """No parameters score better than `fit`: neither those of a general optimiser, started
    from the fit and from the emission, nor any on the way.
    """
    for seed in seeds:
        values, weights = drawn(emission, n, seed), uneven_weights(n, seed + 100)
        possible = log_prob(emission, values.unsqueeze(1)).isfinite()
        weights = weights * possible  # as posteriors are
        fitted = fit(emission, values, weights)
        assert type(fitted) is type(emission)
        best = weighted_score(fitted, values, weights).sum().item()
        for start in (fitted, emission):
            found = optimised(start, values, weights)
            slack = tolerance * max(1.0, abs(best))
            assert found <= best + slack
        assert found >= best - 1e-4 * abs(best)  # the optimiser does get there


def optimised(emission: Distribution, values, weights) -> float:
    """The best weighted score that scipy's BFGS finds from `emission`."""
    free = [part for part in parts(emission) if not part.constraint.is_discrete]
    maps = [biject_to(part.constraint) for part in free]
    starts = [
        to.inv(part.value.clone().contiguous())
        for to, part in zip(maps, free, strict=True)
    ]
    sizes = [start.numel() for start in starts]

    def loss(flat):
        leaf = torch.tensor(flat, requires_grad=True)
        pieces = leaf.split(sizes)
        moved = {
            part.name: to(piece.reshape(start.shape))
            for part, to, piece, start in zip(free, maps, pieces, starts, strict=True)
        }
        score = -weighted_score(rebuilt(emission, moved), values, weights).sum()
        (slope,) = torch.autograd.grad(score, leaf)
        return score.item(), slope.numpy()

    begin = torch.cat([start.reshape(-1) for start in starts]).detach().numpy()
    return -scipy.optimize.minimize(loss, begin, jac=True, method="L-BFGS-B").fun


def check_climbs(emission: Distribution, start: Distribution, seeds=range(3), n=80):
    """log p(x) never falls from one EM step to the next, and rises in all."""
    for seed in seeds:
        values = drawn(emission, n, seed)
        model, scores = HMM([0.6, 0.4], MOVES, start), []
        for _ in range(12):
            model, score = em_step(model, values)
            scores.append(score.item())
        assert np.diff(scores).min() > -1e-9 * abs(scores[-1])
        assert scores[-1] > scores[0]


def check_states(emission: Distribution, n=40):
    """A state without weight keeps its parameters, and states may change places."""
    values, weights = drawn(emission, n, 7), uneven_weights(n, 8)
    fitted = fit(emission, values, weights)
    alone = fit(emission, values, weights * f8([1.0, 0.0]))
    flipped = fit(
        rebuilt(emission, {k: v.flip(0) for k, v in parameters(emission).items()}),
        values,
        weights.flip(1),
    )
    spaced = values.unsqueeze(1)
    before, after = log_prob(emission, spaced), log_prob(alone, spaced)
    assert_close(after[:, 1], before[:, 1], rtol=1e-12, atol=1e-12)
    assert_close(after[:, 0], log_prob(fitted, spaced)[:, 0])
    assert_close(log_prob(flipped, spaced).flip(1), log_prob(fitted, spaced))


def check_components(emission: Distribution, n=40):
    """Components of a product are fitted one by one, each to what is not missing."""
    given = parameters(emission)
    double = {k: torch.stack([v, v.flip(0)], 1) for k, v in given.items()}
    both = Independent(rebuilt(emission, double), 1)
    values = torch.stack([drawn(emission, n, 1), drawn(emission, n, 2).flip(0)], 1)
    values[::3, 0] = torch.nan
    values[1::4, 1] = torch.nan
    weights = uneven_weights(n, 3)
    fitted = parameters(fit(both, values, weights))
    for column, start in enumerate((given, {k: v.flip(0) for k, v in given.items()})):
        seen = ~values[:, column].isnan()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            alone = fit(rebuilt(emission, start), values[seen, column], weights[seen])
        for name, value in parameters(alone).items():
            if name != "total_count" or fitted[name].ndim == 2:
                assert_close(fitted[name][:, column], value, rtol=1e-7, atol=1e-9)


def check_saved(hmm: HMM, path):
    """The model comes back from its file to the last bit."""
    hmm.save(path)
    back = HMM.load(path)
    assert type(back.emission) is type(hmm.emission)
    before, after = parameters(hmm.emission), parameters(back.emission)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    assert torch.equal(hmm.transition_matrix, back.transition_matrix)
