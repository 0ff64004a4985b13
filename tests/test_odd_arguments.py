"""Whatever an argument is, what comes out is a refusal in words or an answer without NaN.

A ValueError, or a TypeError where an object of a class is needed; never another exception, a
hang or a crash.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd import CALLS, ODD, judged

PLACES = [(call, good, name) for call, good in CALLS for name in good]


@pytest.mark.parametrize(
    ("call", "good", "name"), PLACES, ids=lambda x: getattr(x, "__name__", None)
)
def test_odd_arguments_are_answered_or_refused(call, good, name):
    for value in ODD:
        judged(call, **good | {name: value})


@given(st.sampled_from(CALLS), st.data())
def test_several_odd_arguments_at_once(call, data):
    call, good = call
    names = data.draw(st.lists(st.sampled_from(list(good)), max_size=3, unique=True))
    judged(call, **good | {name: data.draw(st.sampled_from(ODD)) for name in names})


@pytest.mark.parametrize(("call", "good"), CALLS)
def test_what_is_right_is_not_refused(call, good):
    assert judged(call, **good) is not None
