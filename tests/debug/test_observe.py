"""An observer sees one op and its vjp, and changes nothing that it does not mean to change."""

import functools

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.debug.nonfinite import _Search, _SearchedOp
from tinygrad_gpt.debug.observe import Observer, argument_names, calling_frames, observe
from tinygrad_gpt.debug.profile import BACKWARD, FORWARD, Profile
from tinygrad_gpt.study.trace import trace
from tinygrad_gpt.tape import Tensor, apply, recompute_in_backward


class Noted(Observer):
    def __init__(self, notes):
        self.notes = notes

    def forward(self, call):
        self.call = call
        self.notes.append((call.op.__name__, [frame.f_code.co_name for frame in calling_frames(call.caller)][:3]))
        return call.run()

    def backward(self, vjp, dy):
        self.notes.append(f"vjp of {self.call.op.__name__}")
        return super().backward(vjp, dy)


def square(x):
    return x * x


def test_each_op_has_an_observer_of_its_own_also_inside_another_op():
    notes = []
    x = Tensor(np.ones(2), requires_grad=True)
    with observe(lambda: Noted(notes)):
        y = recompute_in_backward(square, x)
    y.sum().backward()  # only the vjp of the recomputed block was made inside
    test = "test_each_op_has_an_observer_of_its_own_also_inside_another_op"
    assert [name for name, _ in notes[:2]] == ["recomputed", "multiply"]
    assert notes[0][1][0] == test
    assert notes[1][1][:2] == ["square", test]  # without the lines of the observer and of the engine
    assert notes[2] == "vjp of recomputed"


def test_an_observer_as_it_is_changes_nothing():
    def step():
        x = Tensor(np.array([0.5, 2.0]), requires_grad=True)
        (x * x).exp().sum().backward()
        return x.grad.tobytes()

    alone = step()
    with observe(Observer):
        assert step() == alone


def test_a_vjp_that_is_wrong_is_named_by_its_own_name():
    def half(x):
        def half_vjp(dy):
            return (dy[:1],)

        return x / 2, half_vjp

    with observe(Observer), pytest.raises(ValueError, match="half_vjp must"):
        apply(half, Tensor(np.ones(3), requires_grad=True)).sum().backward()


ERF = functools.partial(functools.partial(ops.gelu), form="erf")


class Nameless:
    def __call__(self, x):
        return ops.exp(x)

    def __repr__(self):
        return "<nameless>"


@pytest.mark.parametrize(("op", "name"), [(ERF, "gelu"), (Nameless(), "<nameless>")])
def test_every_observer_takes_ops_without_a_name_of_their_own(op, name):
    profile, search = Profile(), _Search({})
    x = Tensor(np.ones(2), requires_grad=True)
    with trace() as t, profile.of_ops(), observe(lambda: _SearchedOp(search)):
        y = apply(op, x)
        y.sum().backward()
    assert t.ops[0].name == y.node.op == name
    assert profile.calls[name, FORWARD] == profile.calls[name, BACKWARD] == 1


class Ordered(Observer):
    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def forward(self, call):
        self.notes.append(f"{self.name} begins")
        out = call.run()
        self.notes.append(f"{self.name} ends")
        assert call.function is ops.exp
        assert call.caller.f_code is apply.__code__
        return out

    def backward(self, vjp, dy):
        self.notes.append(f"{self.name}'s vjp")
        return super().backward(vjp, dy)


def test_an_observer_runs_inside_that_of_the_outer_block():
    notes = []
    with observe(lambda: Ordered("outer", notes)), observe(lambda: Ordered("inner", notes)):
        y = apply(ops.exp, Tensor(np.ones(2), requires_grad=True))
    y.backward(np.ones(2))
    assert notes == ["outer begins", "inner begins", "inner ends", "outer ends", "outer's vjp", "inner's vjp"]


@pytest.mark.parametrize("trace_is_outside", [True, False])
def test_a_profile_and_a_trace_together_see_what_each_sees_alone(trace_is_outside):
    def step(x):
        x = Tensor(x, requires_grad=True)
        ((x * x).exp() + x).sum().backward()

    alone, together, profile = trace(), trace(), Profile()
    with alone:
        step(np.ones(3))
    first, second = (together, profile.of_ops()) if trace_is_outside else (profile.of_ops(), together)
    with first, second:
        step(np.ones(3))

    def ops_of(t):
        return [(op.name, [v.name for v in op.inputs], op.wanted, [s.name for s in op.kept], op.run) for op in t.ops]

    def values_of(t):
        return [(value.name, value.kind, len(value.terms)) for value in t.values]

    assert ops_of(together) == ops_of(alone)
    assert values_of(together) == values_of(alone)
    names = ["multiply", "exp", "add", "sum"]
    assert profile.calls == {(name, way): 1 for name in names for way in (FORWARD, BACKWARD)}


def test_arguments_have_the_names_of_the_op_and_else_numbers():
    assert argument_names(ops.linear, 3) == ["x", "weight", "bias"]
    assert argument_names(ops.concatenate, 2) == ["array 0", "array 1"]
