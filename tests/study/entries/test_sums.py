"""Every entry's sum is what the op computes: forward and backward, for every op, on every case that its laws draw."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.ops.cases import CASES
from tinygrad_gpt import ops
from tinygrad_gpt.debug.observe import argument_names
from tinygrad_gpt.laws.ops.assertions import distinct_dy
from tinygrad_gpt.study.entries import Computation, entry_sum, names_of
from tinygrad_gpt.study.entries.notation import Entry, Group, Lookup
from tinygrad_gpt.study.entries.rules import RULES
from tinygrad_gpt.study.entries.sums import sums_of

SUTS = [sut for suts in CASES.values() for sut in suts if sut.op in ops.ALL_OPS]


def call_of(sut, arrays, settings, seed):
    """A case as a call with a gradient, and the gradients of the inputs by name."""
    names = argument_names(sut.op, len(arrays))  # as in a trace
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
    assert found.total == pytest.approx(want, rel=1e-9, abs=1e-9 * found.sum_of_magnitudes + 1e-300)


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
            if factor.name in arrays and factor.form == "{}":
                assert factor.value == arrays[factor.name][factor.index], factor.label()


@pytest.mark.parametrize("sut", SUTS, ids=lambda sut: sut.name)
@given(data=st.data())
def test_every_sum_is_of_an_array_of_the_call(sut, data):
    """The arrays inside the op are computed as a whole, too; then an entry's sum is the entry there."""
    call, gradients = drawn(data, sut)
    sums = sums_of(call)
    inside = [name for name in names_of(call) if name in sums.inside]
    assert set(names_of(call)) <= {"y", *inside, *(f"d{name}" for name, grad in gradients.items() if grad is not None)}
    for name in inside:
        array = sums.array(name)
        assert sums.shape(name) == array.shape
        index = entries_of(data, array.shape)
        if np.isinf(array[index]):
            assert entry_sum(call, name, index).total == array[index]
        else:
            scale = 1e-9 * np.abs(array).max(initial=0, where=np.isfinite(array))  # a sum of rounding errors is not 0
            assert entry_sum(call, name, index).total == pytest.approx(array[index], rel=1e-9, abs=scale), name


@pytest.mark.parametrize("sut", SUTS, ids=lambda sut: sut.name)
@given(data=st.data())
def test_an_index_covers_its_axis(sut, data):
    """Every letter has the size of the axis that it is an index of; so has a group, or it has a whole part of it."""
    call, _ = drawn(data, sut)
    sums = sums_of(call)
    factors = [factor for pattern in sums.patterns for term in pattern.terms for factor in term.factors]
    shapes = [(sums.shape(pattern.name), pattern.index) for pattern in sums.patterns]
    shapes += [(sums.array(factor.values).shape, factor.index) for factor in factors if isinstance(factor, Entry)]
    for shape, index in shapes:
        assert len(shape) == len(index)
        for item, size in zip(index, shape, strict=True):
            if isinstance(item, Group):
                part = math.prod(sums.sizes[letter] for letter in item.items if isinstance(letter, str))
                parts = size // part if part else 1
                assert part * parts == size
                assert item.items[0] in range(parts) if isinstance(item.items[0], int) else parts == 1
            elif not isinstance(item, Lookup):
                assert item in range(size) if isinstance(item, int) else sums.sizes[item] == size


def test_every_op_has_rules():
    assert set(RULES) == set(ops.ALL_OPS)


def attention_by_ops(call):
    """S, P, A and their gradients, from the ops that the derivation names."""
    qkv, *mask = call.inputs.values()
    (B, T, width), H = qkv.shape, call.settings["n_heads"]
    q, k, v = qkv.reshape(B, T, 3, H, width // 3 // H).transpose(2, 0, 3, 1, 4)
    S, S_vjp = ops.masked_fill(
        q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]), np.triu(np.ones((T, T), bool), 1), value=-math.inf
    )
    del S_vjp
    P, softmax_vjp = ops.softmax(S)
    M = mask[0] if mask else np.ones_like(P)
    dA = call.dy.reshape(B, T, H, -1).swapaxes(1, 2) @ v.swapaxes(-1, -2)
    return {"S": S, "P": P, "A": P * M, "dA": dA, "dP": dA * M, "dS": softmax_vjp(dA * M)[0]}


@given(data=st.data())
def test_the_arrays_inside_attention_add_up(data):
    """Down to the queries, keys and values; at a key after its query too."""
    sut = CASES["causal_attention"][data.draw(st.integers(0, 1))]
    call, _ = drawn(data, sut)
    for name, array in attention_by_ops(call).items():
        index = entries_of(data, array.shape)
        found = entry_sum(call, name, index)
        if name == "S" and index[-1] > index[-2]:
            assert found.total == -math.inf
        else:
            require_sum(found, float(array[index]))


@given(data=st.data())
def test_the_arrays_inside_layer_norm_and_the_losses_add_up(data):
    call, _ = drawn(data, CASES["layer_norm"][0])
    x = call.array("x")
    xhat = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    index = entries_of(data, x.shape)
    assert entry_sum(call, "x̂", index).total == pytest.approx(xhat[index], rel=1e-9, abs=1e-6)  # x near 64

    call, _ = drawn(data, CASES["linear_cross_entropy"][0])
    x, weight, targets = call.inputs.values()
    logits, _ = ops.linear(x, weight.T)
    losses = {
        "logits": logits,
        "dlogits": ops.cross_entropy(logits, targets, **call.settings)[1](call.dy)[0],
        "p": ops.softmax(logits)[0],
        "nll": -np.take_along_axis(ops.log_softmax(logits)[0], np.maximum(targets, 0)[..., None], -1)[..., 0],
    }
    ignored = targets == call.settings.get("ignore_index")
    for name, array in losses.items():
        index = entries_of(data, array.shape)
        if name != "logits" and ignored[index[: ignored.ndim]]:
            assert len(entry_sum(call, name, index)) == 0
        else:
            require_sum(entry_sum(call, name, index), float(array[index]))


@pytest.mark.parametrize(
    ("op", "arrays", "settings", "total"),
    [
        (ops.cross_entropy, {"logits": np.zeros((1, 2)), "targets": np.array([7])}, {"ignore_index": 7}, 0.0),
        (ops.var, {"x": np.array([3.0])}, {"ddof": 1}, math.nan),
        (ops.max, {"x": np.array([3.0, math.nan])}, {}, math.nan),
        (ops.sum, {"x": np.array([math.inf, -math.inf])}, {}, math.nan),
        (ops.sum, {"x": np.array([1e308, 1e308])}, {}, math.inf),
        (ops.divide, {"a": np.ones(2), "b": np.array([0.0, 2.0])}, {}, math.inf),
    ],
)
def test_a_diverged_step_has_sums_too(op, arrays, settings, total):
    """Without an exception and without a warning."""
    with np.errstate(all="ignore"):
        y, vjp = op(*arrays.values(), **settings)
        y = np.asarray(y)
        grads = dict(zip(arrays, vjp(np.ones_like(y)), strict=True))
    call = Computation(op, arrays, settings, y, np.ones_like(y))
    assert str(entry_sum(call, "y", (0,) * y.ndim).total) == str(total)
    for name, grad in grads.items():
        if grad is not None:
            entry_sum(call, f"d{name}", (0,) * grad.ndim).terms()


def test_the_arrays_inside_a_loss_are_0_in_an_ignored_row():
    inputs = {"logits": np.array([[1.0, 2.0], [math.nan, 3.0]]), "targets": np.array([1, 7])}
    settings = {"ignore_index": 7}
    call = Computation(ops.cross_entropy, inputs, settings, ops.cross_entropy(*inputs.values(), **settings)[0])
    sums = sums_of(call)
    assert sums.array("nll")[1] == entry_sum(call, "nll", (1,)).total == 0
    assert sums.array("p")[1].tolist() == [entry_sum(call, "p", (1, v)).total for v in range(2)] == [0, 0]


def test_terms_come_by_size():
    x, weight = np.array([[1.0, -3.0, 2.0]]), np.ones((3, 1))
    y, _ = ops.linear(x, weight)
    found = entry_sum(Computation(ops.linear, {"x": x, "weight": weight}, {}, y), "y", (0, 0))
    assert [term.value for term in found.terms()] == [-3.0, 2.0, 1.0]
    assert [term.value for term in found.terms(2)] == [-3.0, 2.0]
    assert [factor.label() for term in found.terms(1) for factor in term.factors] == ["x[0, 1]", "weight[1, 0]"]
    assert (found.total, found.sum_of_magnitudes, len(found)) == (0.0, 6.0, 3)


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


def test_a_position_outside_an_array_inside_the_op_is_one_line():
    qkv = np.zeros((1, 2, 3))
    call = Computation(ops.causal_attention, {"qkv": qkv}, {"n_heads": 1}, *(2 * [np.zeros((1, 2, 1))]))
    for index in ((0, 0), (0, 0, 9, 0), (0, 0, -1, 0)):
        with pytest.raises(ValueError, match=r"dS has shape \(1, 1, 2, 2\), so there is no entry"):
            entry_sum(call, "dS", index)


def test_a_mask_has_no_gradient():
    x = np.ones(2)
    assert names_of(Computation(ops.dropout, {"x": x, "mask": x}, {}, x, x)) == ("y", "dx")


def test_a_copy_of_a_bool_is_a_copy():
    b = np.array([True, False])
    found = entry_sum(Computation(ops.getitem, {"x": b}, {"key": 0}, b[0]), "y", ())
    assert [factor.label() for factor in found.terms()[0].factors] == ["x[0]"]


def test_the_names_of_a_call():
    x = np.ones((2, 3))
    assert names_of(Computation(ops.softmax, {"x": x}, {}, x)) == ("y", "Z", "max", "dx")
