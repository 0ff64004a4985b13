"""Inputs that drive the moves and the readings, against paths listed one by one."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.distributions import Categorical, Normal, Poisson

from hmmlib import HMM, engines, fit
from hmmlib.emissions import LinearEmission
from hmmlib.enumeration import all_paths
from hmmlib.inference import pairwise_probs
from hmmlib.inputs import lagged
from hmmlib.learning import em_step, fit_em, fit_gradient, num_params
from hmmlib.transitions import SoftmaxTransitions

T, K, P = 5, 3, 2
DOUBLE = torch.float64


def problem(seed: int, kind: str = "both", num_steps: int = T, size: int = K):
    """A model that inputs drive, its inputs, and observations drawn from it."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    inputs = normal(num_steps, P)
    inputs[:, 0] = 1.0
    moves = normal(size, size).softmax(-1)
    emission = Normal(3 * normal(size), normal(size).exp())
    if kind != "moves":
        emission = LinearEmission(normal(size, P), normal(size).exp())
    if kind != "readings":
        moves = SoftmaxTransitions(normal(size, size, P))
    hmm = HMM(normal(size).softmax(-1), moves, emission)
    drawn = hmm.sample(num_steps, seed=seed, inputs=inputs)
    return hmm, inputs, drawn


def log_joints(hmm, x, inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """Every path, and its log joint, written out."""
    paths = all_paths(hmm.num_states, len(x))
    scores = []
    for path in paths.tolist():
        score = hmm.initial_probs[path[0]].log()
        for t, state in enumerate(path):
            if isinstance(hmm.emission, LinearEmission):
                mean = hmm.emission.weights[state] @ inputs[t]
                scale = hmm.emission.scale[state]
            else:
                mean, scale = hmm.emission.loc[state], hmm.emission.scale[state]
            score = score + Normal(mean, scale).log_prob(x[t])
            if t + 1 < len(x):
                moves = hmm.transition_matrix
                if isinstance(moves, SoftmaxTransitions):
                    moves = (moves.weights @ inputs[t]).softmax(-1)
                score = score + moves[state, path[t + 1]].log()
        scores.append(score)
    return paths, torch.stack(scores)


@pytest.mark.parametrize("engine", [None, engines.recursion])
@pytest.mark.parametrize("kind", ["moves", "readings", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_all_paths(seed, kind, engine):
    hmm, inputs, (_, x) = problem(seed, kind)
    paths, scores = log_joints(hmm, x, inputs)
    given = {"inputs": inputs, "engine": engine}
    torch.testing.assert_close(hmm.log_likelihood(x, **given), scores.logsumexp(0))
    states = torch.nn.functional.one_hot(paths, K).to(DOUBLE)
    smoothed = torch.einsum("n,ntk->tk", scores.softmax(0), states)
    torch.testing.assert_close(hmm.smooth(x, **given).smoothed_probs, smoothed)
    best = hmm.viterbi(x, **given)
    assert (best.states == paths[scores.argmax()]).all()
    torch.testing.assert_close(best.log_joint, scores.max())
    filtered = hmm.filter(x, **given).filtered_probs
    for t in range(T):
        early = log_joints(hmm, x[: t + 1], inputs[: t + 1])
        last = torch.nn.functional.one_hot(early[0][:, -1], K).to(DOUBLE)
        torch.testing.assert_close(filtered[t], early[1].softmax(0) @ last)
    pairs = torch.einsum(
        "n,nti,ntj->tij", scores.softmax(0), states[:, :-1], states[:, 1:]
    )
    torch.testing.assert_close(pairwise_probs(hmm.potentials(x, inputs=inputs)), pairs)
    drawn = hmm.sample_states(x, 20_000, seed=0, **given)
    share = torch.nn.functional.one_hot(drawn, K).to(DOUBLE).mean(0)
    assert (share - smoothed).abs().max() < 0.02


@pytest.mark.parametrize("kind", ["moves", "readings", "both"])
def test_ragged_sequences_are_answered_one_by_one(kind):
    hmm, inputs, (_, x) = problem(4, kind)
    sequences, rows = [x, x[:2], x[1:4]], [inputs, inputs[:2], inputs[1:4]]
    together = hmm.smooth(sequences, inputs=rows)
    paths = hmm.viterbi(sequences, inputs=rows).states
    for n, (each, row) in enumerate(zip(sequences, rows, strict=True)):
        alone = hmm.smooth(each, inputs=row)
        torch.testing.assert_close(together.log_likelihood[n], alone.log_likelihood)
        smoothed = together.smoothed_probs[n, : len(each)]
        torch.testing.assert_close(smoothed, alone.smoothed_probs)
        assert (together.smoothed_probs[n, len(each) :] == 0).all()
        assert paths[n].tolist() == [
            *hmm.viterbi(each, inputs=row).states,
            *[-1] * (T - len(each)),
        ]
    padded = torch.stack([x, x]), torch.stack([inputs, inputs.flip(0)])
    counts = hmm.total_counts(padded[0], lengths=[T, 2], inputs=padded[1])
    one = hmm.total_counts(x, inputs=inputs).transitions
    two = hmm.total_counts(x[:2], inputs=inputs.flip(0)[:2]).transitions
    torch.testing.assert_close(counts.transitions, one + two)


def test_inputs_that_never_change_are_a_matrix():
    """One step of learning, too: a softmax of a constant is a row of probabilities."""
    _, _, (_, x) = problem(5, num_steps=60)
    matrix = torch.rand(K, K, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    matrix, ones = matrix / matrix.sum(-1, keepdim=True), torch.ones(60, 1)
    emission = Normal(torch.tensor([-1.0, 0.0, 1.0], dtype=DOUBLE), 1.0)
    plain = HMM([0.2, 0.3, 0.5], matrix, emission)
    driven = HMM(
        [0.2, 0.3, 0.5],
        SoftmaxTransitions(matrix.log()[..., None]),
        LinearEmission(emission.loc[:, None], emission.scale),
    )
    for _ in range(5):
        plain, evidence = em_step(plain, x)
        driven, same = em_step(driven, x, inputs=ones)
        torch.testing.assert_close(same, evidence)
    moves = driven.transition_matrix.log_probs(ones[0]).exp()
    torch.testing.assert_close(moves, plain.transition_matrix, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(driven.emission.weights[:, 0], plain.emission.loc)
    torch.testing.assert_close(driven.emission.scale, plain.emission.scale)
    assert num_params(driven) == num_params(plain)


def test_the_moves_learned_are_the_maximum():
    generator = np.random.default_rng(0)
    counts, inputs = generator.random((40, K, K)), generator.normal(size=(40, P))
    start = SoftmaxTransitions(np.zeros((K, K, P)))

    def loss(flat):
        scores = np.einsum("np,ijp->nij", inputs, flat.reshape(K, K, P))
        return -(counts * (scores - np.logaddexp.reduce(scores, -1)[..., None])).sum()

    best = minimize(loss, np.zeros(K * K * P), method="BFGS").fun
    given = torch.from_numpy(counts), torch.from_numpy(inputs)
    learned = start.fitted(*given, torch.ones(K, K, P, dtype=torch.bool))
    assert loss(learned.weights.numpy().ravel()) == pytest.approx(best, abs=1e-6)
    held = torch.ones(K, K, P, dtype=torch.bool)
    held[1] = False
    assert (start.fitted(*given, held).weights[1] == 0).all()


def test_the_readings_learned_are_least_squares():
    hmm, inputs, (_, x) = problem(7, "readings", num_steps=50)
    weights = hmm.smooth(x, inputs=inputs).smoothed_probs
    learned = em_step(hmm, x, inputs=inputs)[0].emission
    for k in range(K):
        root = weights[:, k].sqrt().numpy()
        slopes, *_ = np.linalg.lstsq(
            inputs.numpy() * root[:, None], x.numpy() * root, None
        )
        apart = x.numpy() - inputs.numpy() @ slopes
        np.testing.assert_allclose(learned.weights[k], slopes, rtol=1e-9)
        scale = np.sqrt(np.average(apart**2, weights=weights[:, k]))
        np.testing.assert_allclose(learned.scale[k], scale, rtol=1e-9)


@pytest.mark.parametrize("kind", ["moves", "readings"])
@pytest.mark.parametrize("seed", range(200))
def test_learning_never_lowers_the_likelihood(seed, kind):
    kind = "both" if seed % 3 == 0 else kind
    hmm, inputs, (_, x) = problem(seed, kind, num_steps=30, size=1 + seed % 4)
    hmm, before = problem(seed + 1000, kind, size=1 + seed % 4)[0], -torch.inf
    x = x.where(
        torch.rand(30, generator=torch.Generator().manual_seed(seed)) > 0.1, torch.nan
    )
    for _ in range(8):
        hmm, evidence = em_step(
            hmm, [x, x[:12]], inputs=[inputs, inputs[:12]], min_scale=0.05
        )
        assert evidence > before - 1e-9 * abs(before)
        before = evidence


def test_the_gradient_reaches_what_em_reaches():
    hmm, inputs, (_, x) = problem(8, num_steps=120, size=2)
    by_em = fit_em(hmm, x, inputs=inputs, num_iters=1000, tolerance=1e-9)
    climb = fit_gradient(hmm, x, inputs=inputs, method="lbfgs", num_steps=500)
    torch.testing.assert_close(
        climb.log_likelihoods[-1], by_em.log_likelihoods[-1], atol=1e-4, rtol=0
    )


def test_a_forbidden_move_stays_forbidden():
    weights = torch.zeros(2, 2, 2, dtype=DOUBLE)
    weights[1, 0] = -torch.inf
    _, inputs, (_, x) = problem(9, num_steps=40)
    hmm = HMM(
        [1.0, 0.0], SoftmaxTransitions(weights), Normal(torch.tensor([0.0, 1.0]), 1.0)
    )
    options = {"inputs": inputs, "learn": ["transition_matrix"]}
    by_em = fit_em(hmm, x, num_iters=500, tolerance=1e-3, **options)
    climb = fit_gradient(hmm, x, method="lbfgs", tolerance=1e-3, **options)
    for learned in (by_em, climb):
        found = learned.model.transition_matrix
        assert found.forbidden.tolist() == [[False, False], [True, False]]
        assert learned.log_likelihoods[-1] > learned.log_likelihoods[0]
    assert num_params(hmm) == 1 + 2 + 4


@pytest.mark.parametrize("kind", ["moves", "readings", "both"])
def test_a_belief_is_the_filter_and_forecasts_with_inputs(kind):
    hmm, inputs, (_, x) = problem(10, kind)
    filtered, belief = hmm.filter(x, inputs=inputs).filtered_probs, hmm.belief(lag=2)
    for t in range(3):
        belief = belief.observe(x[t].item(), inputs=inputs[t])
        torch.testing.assert_close(belief.probs, filtered[t])
    smoothed = hmm.smooth(x[:3], inputs=inputs[:3]).smoothed_probs
    torch.testing.assert_close(belief.lagged_probs, smoothed[0])
    unseen = torch.cat([x[:3], torch.full((2,), torch.nan)])
    ahead = hmm.filter(unseen, inputs=inputs).filtered_probs[3:]
    torch.testing.assert_close(belief.forecast(2, inputs=inputs[3:]), ahead)
    means = (
        torch.stack([hmm.emission.loc] * 2)
        if kind == "moves"
        else inputs[3:] @ hmm.emission.weights.mT
    )
    predicted = belief.predict(2, inputs=inputs[3:])
    torch.testing.assert_close(predicted.mean, (ahead * means).sum(-1))
    torch.testing.assert_close(
        hmm.belief().forecast(1, inputs=inputs[:1])[0], hmm.initial_probs
    )


def test_sampling_follows_the_inputs():
    """Alternating by the inputs alone: what the rows say happens."""
    weights = torch.zeros(2, 2, 2)
    weights[:, 1, 1] = (
        50.0  # to state 1 if the second input is 1, to state 0 if it is -1
    )
    hmm = HMM(
        [1.0, 0.0],
        SoftmaxTransitions(weights),
        LinearEmission([[0, 1.0], [9, 1.0]], 1e-6),
    )
    rows = torch.tensor([[1, 1], [1, -1], [1, -1], [1, 1]])
    states, x = hmm.sample(4, seed=0, inputs=rows)
    assert states.tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(
        x, torch.tensor([1.0, 8, -1, 1], dtype=x.dtype), atol=1e-4, rtol=0
    )
    several = hmm.sample(4, seed=0, num_sequences=2, inputs=torch.stack([rows, -rows]))
    assert several.states.tolist() == [[0, 1, 0, 0], [0, 0, 1, 1]]


def test_an_autoregression_is_learned_from_data_alone():
    generator, x, state = torch.Generator().manual_seed(0), [0.0], 0
    truth = LinearEmission([[0.0, 0.9], [3.0, -0.5]], [0.3, 1.0])
    for _ in range(600):
        state = int(torch.rand(1, generator=generator) < 0.04) ^ state
        level = (truth.weights[state] @ torch.tensor([1, x[-1]], dtype=DOUBLE)).item()
        x.append(
            level
            + truth.scale[state].item() * torch.randn(1, generator=generator).item()
        )
    readings, inputs = lagged(x)
    found = fit(LinearEmission, 2, readings, inputs=inputs, num_starts=3).model.emission
    order = found.scale.argsort()
    torch.testing.assert_close(found.weights[order], truth.weights, atol=0.35, rtol=0)
    torch.testing.assert_close(found.scale[order], truth.scale, atol=0.1, rtol=0)


def test_lagged_leaves_out_what_has_no_whole_past():
    readings, inputs = lagged([1.0, torch.nan, 3.0, 4.0, 5.0], order=1)
    assert inputs.tolist() == [[1, 1], [1, 0], [1, 3], [1, 4]]
    assert readings.isnan().tolist() == [True, True, False, False]


def test_a_model_comes_back_from_its_file(tmp_path):
    hmm, inputs, (_, x) = problem(11)
    hmm.save(tmp_path / "hmm.json")
    back = HMM.load(tmp_path / "hmm.json")
    assert (back.transition_matrix.weights == hmm.transition_matrix.weights).all()
    assert back.log_likelihood(x, inputs=inputs) == hmm.log_likelihood(x, inputs=inputs)
    assert "LinearEmission weights" in repr(back)


@pytest.mark.parametrize(
    "emission", [Categorical(torch.rand(2, 3)), Poisson(torch.tensor([1.0, 9]))]
)
def test_any_family_takes_driven_moves(emission):
    hmm = HMM([0.5, 0.5], SoftmaxTransitions(torch.randn(2, 2, 1)), emission)
    x, inputs = torch.tensor([0, 2, 1]), torch.tensor([1.0, -1.0, 2.0])
    matrices = hmm.transition_matrix.log_probs(inputs[:, None]).exp()
    message = hmm.initial_probs * emission.log_prob(x[0]).exp()
    for t in (1, 2):
        message = message @ matrices[t - 1].to(message) * emission.log_prob(x[t]).exp()
    torch.testing.assert_close(
        hmm.log_likelihood(x, inputs=inputs), message.sum().log(), atol=1e-5, rtol=0
    )
    hmm, _ = em_step(hmm, [x, x[:2]], inputs=[inputs[:, None], inputs[:2, None]])
    assert hmm.num_inputs == 1


REFUSED = [
    ({}, "inputs: got none"),
    ({"inputs": torch.ones(4, 2)}, r"shape \(4, 2\), needs \(5, 2\)"),
    ({"inputs": torch.ones(5, 3)}, r"shape \(5, 3\), needs \(5, 2\)"),
    ({"inputs": torch.full((5, 2), torch.nan)}, "nan in column 0 at step 0"),
    ({"inputs": [["a", "b"]] * 5}, "not text such as 'a'"),
]


@pytest.mark.parametrize("given, said", REFUSED)
def test_inputs_that_do_not_fit_are_refused(given, said):
    hmm, _, (_, x) = problem(12)
    for ask in (hmm.smooth, hmm.viterbi, lambda *a, **k: em_step(hmm, *a, **k)):
        with pytest.raises(ValueError, match=said):
            ask(x, **given)


def test_what_makes_no_sense_is_refused():
    hmm, inputs, (_, x) = problem(13)
    plain = HMM([0.5, 0.5], [[0.5, 0.5]] * 2, Normal(torch.zeros(2), 1.0))
    with pytest.raises(ValueError, match="they drive nothing"):
        plain.smooth(x, inputs=inputs)
    with pytest.raises(ValueError, match="do not drive the family"):
        fit(Normal, 2, x, inputs=inputs)
    with pytest.raises(ValueError, match="as many as"):
        hmm.smooth([x, x[:2]], inputs=[inputs, inputs[:3]])
    with pytest.raises(ValueError, match="inputs drive the moves"):
        hmm.stationary_probs()
    with pytest.raises(ValueError, match="driven by 2 inputs, and"):
        HMM(hmm.initial_probs, SoftmaxTransitions(torch.zeros(3, 3, 1)), hmm.emission)
    with pytest.raises(ValueError, match="every move from state 0"):
        SoftmaxTransitions(torch.full((2, 2, 1), -torch.inf))
    with pytest.raises(ValueError, match="finite numbers, or -inf for all"):
        SoftmaxTransitions([[[0.0, -torch.inf]]])
    with pytest.raises(ValueError, match="scales above 0"):
        LinearEmission([[1.0]], [0.0])
    with pytest.raises(ValueError, match="inputs: got"):
        hmm.belief().observe(1.0, inputs=[1.0])
    with pytest.raises(ValueError, match="inputs: got none"):
        hmm.belief().observe(1.0, inputs=inputs[0]).forecast(2)
    with pytest.raises(ValueError, match="more than 5 steps"):
        lagged(x, order=5)
