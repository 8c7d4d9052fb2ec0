"""An observer sees one op and its vjp, and changes nothing that it does not mean to change."""

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.debug.observe import Observer, argument_names, calling_frames, observe
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


def test_arguments_have_the_names_of_the_op_and_else_numbers():
    assert argument_names(ops.linear, 3) == ["x", "weight", "bias"]
    assert argument_names(ops.concatenate, 2) == ["array 0", "array 1"]
