"""A model's verbs give what the functions give on its `Potentials`, whoever answers."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from random_models import random_potentials
from torch.distributions import MultivariateNormal, Normal, Poisson
from torch.testing import assert_close

from hmmlib import engines
from hmmlib.emissions import Lookup
from hmmlib.engines.compact import Compact, in_full
from hmmlib.hmm import HMM
from hmmlib.inference import (
    expected_counts,
    filter_states,
    log_likelihood,
    sample_states,
    smooth_states,
    total_counts,
    viterbi,
)
from hmmlib.learning import em_step, weighted_fit
from hmmlib.learning.result import cast
from hmmlib.recursion import Potentials

NAN = torch.nan
LOC, SCALE = torch.tensor([0.0, 2.0]).double(), torch.tensor([1.0, 0.5]).double()
POINTS = torch.tensor([[0.0, 1.0], [2.0, -1.0]]).double()
EMISSIONS = {
    "words": torch.tensor([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]]).double(),
    "readings": Normal(LOC, SCALE),
    "counts": Poisson(torch.tensor([0.5, 2.5]).double()),
    "vectors": MultivariateNormal(POINTS, torch.eye(2).double()),
}
MODELS = {
    name: HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], emission)
    for name, emission in EMISSIONS.items()
}
SYMBOLS = torch.tensor([[0, 2, 1, 1, 0], [1, 0, 0, 2, 2], [2, 1, 0, 0, 1]])
FORMS = {
    "one": lambda x: (x[0],),
    "batch": lambda x: (x,),
    "lengths": lambda x: (x, [2, 5, 3]),
    "ragged": lambda x: ([x[0, :2], x[1], x[2, :1]],),
    "observed": lambda x: (x, None, SYMBOLS > 0),
    "ragged, observed": lambda x: (
        [x[0, :2], x[1]], None, [[True, False], [False, True, True, True, False]],
    ),
    "gaps": lambda x: (x.double().index_fill(1, torch.tensor([1, 4]), NAN),),
    "nothing": lambda x: (torch.full_like(x.double(), NAN),),
}  # fmt: skip
VERBS = {
    "log_likelihood": log_likelihood,
    "filter": filter_states,
    "smooth": smooth_states,
    "viterbi": viterbi,
}
every_kind = pytest.mark.parametrize("kind", EMISSIONS)
every_form = pytest.mark.parametrize("form", FORMS)


def observed(kind, form) -> tuple:
    """Arguments of a verb: observations, lengths, observed."""
    x = torch.stack([SYMBOLS, SYMBOLS.flip(0)], -1) if kind == "vectors" else SYMBOLS
    return FORMS[form](x)


@every_form
@every_kind
def test_verbs_are_the_functions_on_potentials(kind, form):
    """Of the default engine, and of each that is named."""
    hmm, x = MODELS[kind], observed(kind, form)
    p = hmm.potentials(*x)
    assert type(p) is Potentials and type(p.log_likelihoods) is torch.Tensor
    for engine in (None, engines.recursion, engines.compiled, engines.gradient):
        for verb, question in VERBS.items():
            expected = question(p, engine=engines.recursion)
            assert_close(getattr(hmm, verb)(*x, engine=engine), expected)
            assert_close(question(p, engine=engine), expected)
        draws = hmm.sample_states(x[0], 4, 0, *x[1:], engine=engine)
        assert torch.equal(draws, sample_states(p, 4, 0, engine=engines.recursion))
        assert torch.equal(draws, sample_states(p, 4, 0, engine=engine))


@every_form
@every_kind
def test_in_single_precision_too(kind, form):
    hmm, x = cast(MODELS[kind], torch.float32), observed(kind, form)
    p = hmm.potentials(*x)
    assert p.log_likelihoods.dtype == torch.float32
    exact = MODELS[kind].potentials(*x)
    for verb, question in VERBS.items():
        found = getattr(hmm, verb)(*x)
        assert_close(found, question(p), rtol=1e-5, atol=1e-5)
        scores = found if verb == "log_likelihood" else found[0]
        assert scores.dtype == torch.float32
        expected = question(exact)
        assert_close(found, expected, rtol=1e-4, atol=1e-4, check_dtype=False)


@every_form
@every_kind
def test_totals_are_the_counts_added_up(kind, form):
    """By the model's table, whose uses are summed, and from potentials."""
    hmm, x = MODELS[kind], observed(kind, form)
    short, p = hmm.compact(*x), hmm.potentials(*x)
    counts = expected_counts(p, engine=engines.recursion)
    batch = counts.initial.ndim == 2
    moves = counts.transitions.sum(0) if batch else counts.transitions
    for found in (total_counts(p), engines.compiled.total_counts(short)):
        assert_close(found.log_likelihood, counts.log_likelihood.sum())
        assert_close(found.initial, counts.initial.sum(0) if batch else counts.initial)
        assert_close(found.transitions, moves)
    assert_close(total_counts(p).uses, counts.states)
    if kind in ("words", "counts"):
        states = counts.states.reshape(-1, 2)
        rows = next(x for x in short.scores[1:3] if x is not None).flatten()
        uses = torch.zeros_like(found.uses).index_add(0, rows, states)
        assert_close(found.uses, uses)


@every_kind
def test_the_short_way_makes_no_array_of_all_steps(kind):
    """A table, and what each step takes from it, for symbols, small counts and readings."""
    hmm, x = MODELS[kind], observed(kind, "gaps")
    short = hmm.compact(*x)
    if kind == "vectors":
        assert type(short) is Potentials
        return
    scores = short.scores
    assert type(short) is Compact and type(scores) is Lookup
    assert scores.shape == (3, 5, 2) and len(scores.table) <= 4
    assert scores.dtype == torch.float64 and scores.device == torch.device("cpu")
    assert_close(in_full(short), hmm.potentials(*x))


@every_kind
def test_observations_may_be_changed_afterwards(kind):
    hmm, (x,) = MODELS[kind], observed(kind, "batch")
    theirs = x.clone()
    p = hmm.potentials(theirs)
    theirs.fill_(1)
    assert_close(log_likelihood(p), hmm.log_likelihood(x))


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"nothing"}))
@every_kind
def test_a_step_of_learning_is_the_fit_to_each_step(kind, form):
    """Each observation counted by its posterior."""
    hmm, x = MODELS[kind], observed(kind, form)
    step, score = em_step(hmm, *x)
    seen = hmm.read(*x)
    weights = smooth_states(hmm.potentials(*x)).smoothed_probs
    values = seen.values.double()
    there = ~(values.isnan().all(-1) if kind == "vectors" else values.isnan())
    expected = weighted_fit(hmm.emission, values[there], weights[there])
    for name in expected.arg_constraints:
        assert_close(getattr(step.emission, name), getattr(expected, name))
    assert_close(score, hmm.log_likelihood(*x).sum())
    with pytest.raises(ValueError):  # the new emission looks at values as before
        step.emission.log_prob(torch.tensor([NAN, NAN]))


def test_a_copy_of_a_changed_model_is_the_changed_model():
    hmm = HMM([0.6, 0.4], [[0.7, 0.3], [0.4, 0.6]], [[0.1, 0.9], [0.6, 0.4]])
    x = torch.tensor([0, 1, 1])
    before = hmm.log_likelihood(x)
    hmm.transition_matrix.copy_(torch.tensor([[0.1, 0.9], [0.2, 0.8]]))
    for twin in (copy.deepcopy(hmm), pickle.loads(pickle.dumps(hmm))):
        assert_close(twin.log_likelihood(x), hmm.log_likelihood(x))
        assert twin.log_likelihood(x) != before


@every_kind
def test_impossible_sequences_are_told_by_every_verb(kind):
    hmm = MODELS[kind]
    one_way = HMM([1.0, 0.0], torch.eye(2).double(), hmm.emission)
    x = observed(kind, "batch")
    assert_close(one_way.log_likelihood(*x), log_likelihood(one_way.potentials(*x)))
    dead = HMM([1.0, 0.0], [[0.5, 0.5]] * 2, [[1.0, 0.0], [1.0, 0.0]])
    for engine in (None, engines.recursion, engines.compiled, engines.gradient):
        assert dead.log_likelihood([0, 1], engine=engine) == -torch.inf
        best = dead.viterbi([0, 1], engine=engine)
        assert best.log_joint == -torch.inf and best.states.tolist() == [-1, -1]
        for verb in (
            dead.filter,
            dead.smooth,
            lambda x, **e: dead.sample_states(x, 1, **e),
        ):
            with pytest.raises(ValueError, match="probability 0 under this model"):
                verb([0, 1], engine=engine)


QUESTIONS = {**VERBS, "expected_counts": expected_counts, "total_counts": total_counts}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_engine_that_is_named_is_asked(question):
    """An engine is anything with a function for each question: a choice is a function."""
    ask, asked = QUESTIONS[question], []
    hmm, x = MODELS["words"], [0, 2]
    name = ask.__name__
    engine = SimpleNamespace(**{name: lambda p: asked.append(p) or "an answer"})
    assert ask(hmm.potentials(x), engine=engine) == "an answer"
    assert type(asked.pop()) is Potentials
    if question in VERBS:
        assert getattr(hmm, question)(x, engine=engine) == "an answer"
        assert_close(in_full(asked.pop()), hmm.potentials(x))


def test_the_engine_that_is_named_draws():
    hmm, x = MODELS["words"], [0, 2]
    engine = SimpleNamespace(
        sample_states=lambda p, num_samples, seed: (num_samples, seed)
    )
    assert hmm.sample_states(x, 3, 7, engine=engine) == (3, 7)
    assert sample_states(hmm.potentials(x), 3, 7, engine=engine) == (3, 7)


def test_who_answers_if_no_engine_is_named():
    """The loops for one chain on the CPU, the gradient where one is wanted."""
    p = MODELS["words"].potentials([0, 2])
    assert engines.pick(p) is engines.compiled
    assert engines.pick(MODELS["words"].compact([0, 2])) is engines.compiled
    leaf = p.log_initial.clone().requires_grad_()
    wanted = p._replace(log_initial=leaf)
    assert engines.pick(wanted) is engines.gradient
    with torch.no_grad():
        assert engines.pick(wanted) is engines.compiled
    chains = random_potentials(0, (2, 3), 4)
    assert engines.pick(chains) is engines.recursion
    elsewhere = Potentials(*(x.to("meta") for x in (p[0],)), p[1], p[2])
    assert engines.pick(elsewhere) is engines.recursion
