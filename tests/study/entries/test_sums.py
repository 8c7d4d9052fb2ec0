"""Every entry's sum is what the op computes: forward and backward, for every op, on every case that its laws draw."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.ops.cases import CASES
from tinygrad_gpt import ops
from tinygrad_gpt.laws.ops.assertions import distinct_dy
from tinygrad_gpt.study.entries import Computation, entry_sum, names_of
from tinygrad_gpt.study.entries.rules import RULES

SUTS = [sut for suts in CASES.values() for sut in suts if sut.op in ops.ALL_OPS]


def call_of(sut, arrays, settings, seed):
    """A case as a call with a gradient, and the gradients of the inputs by name."""
    parameters = list(inspect.signature(sut.op).parameters.values())
    if parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        names = [f"{parameters[0].name}[{i}]" for i in range(len(arrays))]
    else:
        names = [parameter.name for parameter in parameters[: len(arrays)]]
    y, vjp = sut.op(*arrays, **settings)
    y = np.asarray(y)
    dy = distinct_dy(seed, y)
    return Computation(sut.op, dict(zip(names, arrays, strict=True)), settings, y, dy), dict(
        zip(names, vjp(dy), strict=True)
    )


def drawn(data, sut):
    arrays, settings = data.draw(sut.domain, label="case")
    return call_of(sut, arrays, settings, data.draw(st.integers(0, 99), label="seed"))


def entries_of(data, shape):
    assume(math.prod(shape))
    return tuple(data.draw(st.integers(0, n - 1), label="index") for n in shape)


def require_sum(found, want):
    assert found.total == pytest.approx(want, rel=1e-9, abs=1e-9 * found.size + 1e-300)


@pytest.mark.parametrize("sut", SUTS, ids=lambda sut: sut.name)
@given(data=st.data())
def test_the_terms_of_a_result_add_up_to_it(sut, data):
    call, _ = drawn(data, sut)
    index = entries_of(data, call.y.shape)
    require_sum(entry_sum(call, "y", index), float(call.y[index]))


@pytest.mark.parametrize("sut", SUTS, ids=lambda sut: sut.name)
@given(data=st.data())
def test_the_terms_of_a_gradient_add_up_to_what_the_vjp_gives(sut, data):
    call, gradients = drawn(data, sut)
    name = data.draw(st.sampled_from([name for name, grad in gradients.items() if grad is not None]), label="of")
    index = entries_of(data, gradients[name].shape)
    require_sum(entry_sum(call, f"d{name}", index), float(gradients[name][index]))


@pytest.mark.parametrize("sut", SUTS, ids=lambda sut: sut.name)
@given(data=st.data())
def test_a_factor_stands_where_it_says(sut, data):
    """What is read from an input, from y or from dy, is the entry there; what a formula makes of it says so."""
    call, gradients = drawn(data, sut)
    arrays = {**call.inputs, "y": call.y, "dy": call.dy}
    name = data.draw(st.sampled_from(["y", *(f"d{n}" for n, grad in gradients.items() if grad is not None)]))
    index = entries_of(data, call.y.shape if name == "y" else gradients[name[1:]].shape)
    for term in entry_sum(call, name, index).terms():
        assert term.value == pytest.approx(math.prod(factor.value for factor in term.factors), rel=1e-12)
        for factor in term.factors:
            entry = f"{factor.array}[{', '.join(map(str, factor.index or ()))}]".removesuffix("[]")
            if factor.array in arrays and factor.label == entry:
                assert factor.value == arrays[factor.array][factor.index], factor.label


def test_every_op_has_rules():
    assert set(RULES) == set(ops.ALL_OPS)


@given(data=st.data())
def test_the_arrays_inside_attention_add_up(data):
    """Down to the queries, keys and values: dS from P and dP, dP from dA, dA from dy and V."""
    sut = CASES["causal_attention"][data.draw(st.integers(0, 1))]
    call, _ = drawn(data, sut)
    B, T, _ = call.y.shape
    assume(B * T)
    inside = call.inside
    entry_sum(call, "y", (0, 0, 0))
    arrays = inside["inside"]
    for name in ("S", "P", "A", "dA", "dP", "dS"):
        array = getattr(arrays, name)
        index = entries_of(data, array.shape)
        if index[-1] > index[-2]:
            continue
        require_sum(entry_sum(call, name, index), float(array[index]))


def test_terms_come_by_size():
    x, weight = np.array([[1.0, -3.0, 2.0]]), np.ones((3, 1))
    y, _ = ops.linear(x, weight)
    found = entry_sum(Computation(ops.linear, {"x": x, "weight": weight}, {}, y), "y", (0, 0))
    assert [term.value for term in found.terms()] == [-3.0, 2.0, 1.0]
    assert [term.value for term in found.terms(2)] == [-3.0, 2.0]
    assert [factor.label for term in found.terms(1) for factor in term.factors] == ["x[0, 1]", "weight[1, 0]"]
    assert (found.total, found.size, len(found)) == (0.0, 6.0, 3)


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("dz", (0, 0), "name must be one of y, dx, dweight; got 'dz'"),
        ("dx", (0, 0), "no gradient came back to this linear"),
        ("y", (0, 1), r"y has shape \(1, 1\), so there is no entry \(0, 1\)"),
        ("y", (0,), r"y has shape \(1, 1\), so there is no entry \(0,\)"),
    ],
)
def test_what_there_is_not_is_one_line(name, index, message):
    x, weight = np.ones((1, 2)), np.ones((2, 1))
    call = Computation(ops.linear, {"x": x, "weight": weight}, {}, ops.linear(x, weight)[0])
    with pytest.raises(ValueError, match=message):
        entry_sum(call, name, index)


def test_the_names_of_a_call():
    x = np.ones((2, 3))
    assert names_of(Computation(ops.softmax, {"x": x}, {}, x)) == ("y", "dx")
