"""Watching a function run shows every statement that ran, each time it ran, with what it made; and changes nothing."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt.study.explain.executed_lines import watch

vectors = st.lists(st.integers(-3, 3), min_size=1, max_size=5).map(lambda items: np.array(items, float))


def shown(steps):
    return [
        (step.source.strip(), {name: np.asarray(value).tolist() for name, value in step.made.items()}) for step in steps
    ]


def straight(x, factor=2):
    """A docstring is no statement."""
    if factor == 0:
        raise ValueError("a guard is not shown")
    doubled = (
        x *
        factor
    )  # fmt: skip

    def inner():
        return doubled

    return inner() + 1


def in_place(x):
    y = x.copy()
    y[0] = 10
    y += 1
    np.add.at(y, [0], 5)
    return y


def looping(n):
    total = 0
    for i in range(n):
        total += i
    return total


def branching(items):
    total = 0
    for item in items:
        if item > 0:
            total += item
        else:
            total -= item
    return total


def handing_over(x):
    scale = 3.0
    return scaled(x, scale)


def scaled(x, scale):
    return x * scale


def calling(x):
    y = scaled(x, 2.0)
    return y + 1


def normal(x):
    return x - (x * x).mean(keepdims=True)


@given(vectors)
def test_statements_in_their_order_with_what_they_made(x):
    result, steps = watch(straight, x)
    assert shown(steps) == [
        ("doubled = (\n    x *\n    factor\n)  # fmt: skip", {"doubled": (2 * x).tolist()}),
        ("return inner() + 1", {}),
    ]
    np.testing.assert_array_equal(result, 2 * x + 1)


@given(vectors)
def test_changes_in_place_are_seen(x):
    _, steps = watch(in_place, x)
    assert [step.made["y"][0] for step in steps[:-1]] == [x[0], 10, 11, 16]


@given(st.integers(0, 4))
def test_a_loop_shows_every_turn(n):
    _, steps = watch(looping, n)
    assert [step.made["total"] for step in steps if step.source.strip().startswith("total")] == [
        sum(range(i)) for i in range(n + 1)
    ][0:1] + [sum(range(i + 1)) for i in range(n)]
    assert sum(step.source.startswith("for") for step in steps) == n + 1


@given(st.lists(st.integers(-2, 2), max_size=4))
def test_a_condition_shows_whether_it_held(items):
    _, steps = watch(branching, items)
    held = [step.condition for step in steps if step.source.strip().startswith("if ")]
    assert held == [item > 0 for item in items]
    assert all(step.condition is None for step in steps if not step.source.strip().startswith("if "))


@given(vectors)
def test_where_a_function_hands_over_the_steps_of_the_other_follow(x):
    _, steps = watch(handing_over, x)
    assert [step.source for step in steps] == ["scale = 3.0", "return scaled(x, scale)", "return x * scale"]
    _, steps = watch(calling, x)  # this one uses the answer itself
    assert [step.source for step in steps] == ["y = scaled(x, 2.0)", "return y + 1"]


@given(vectors)
def test_inner_results_have_their_values(x):
    _, (step,) = watch(normal, x)
    assert set(step.parts) <= {"x * x", "(x * x).mean(keepdims=True)"}
    for source, value in step.parts.items():
        np.testing.assert_array_equal(value, eval(source, {"x": x}))
    assert "x * x" in step.parts or (x * x == x).all() or (x * x == normal(x)).all()


def test_a_lambda_is_its_own_statement():
    half = lambda dy: (dy / 2,)  # noqa: E731
    result, (step,) = watch(half, 3.0)
    assert result == (1.5,)
    assert step.source == "lambda dy: (dy / 2,)"


@given(st.lists(st.integers(), max_size=3))
def test_a_tracer_of_somebody_elses_is_put_back(items):
    seen = []

    def tracer(frame, event, arg):
        seen.append(event)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        watch(len_of, items)
        assert sys.gettrace() is tracer
        with pytest.raises(ZeroDivisionError):
            watch(failing, 1)
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


def len_of(items):
    return len(items)


def failing(x):
    return x / 0
