"""Tests of this Tensor and this tape; test_engine_laws.py runs the laws of engines on them."""

import gc
import hashlib
import operator
import subprocess
import sys
import threading
import weakref
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_gpt import Tensor, backward, no_grad, ops, ownership
from tinygrad_gpt.kernels import op_hook, reference_only
from tinygrad_gpt.laws.strategies import arrays, dyadic, normal
from tinygrad_gpt.tape import apply, concatenate, leaf_without_copy, recompute_in_backward, where

VECTOR = arrays((3,), dyadic(3).map(lambda v: abs(v) + 0.5))
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
FLOATS = [np.float16, np.float32, np.float64]
named = {"ids": lambda x: getattr(x, "__name__", str(x))}


def leaf(values, dtype=np.float64):
    return Tensor(np.asarray(values, dtype), requires_grad=True)


# ---- operators


@pytest.mark.parametrize("op", OPERATORS, **named)
@given(x=VECTOR, number=st.sampled_from([2, 3.0, 0.5, True, np.float64(1.5)]))
def test_a_number_on_either_side(op, x, number):
    np.testing.assert_array_equal(op(Tensor(x), number).data, op(x, np.float64(number)))
    np.testing.assert_array_equal(op(number, Tensor(x)).data, op(np.float64(number), x))


@pytest.mark.parametrize("op", [*OPERATORS, operator.matmul], **named)
@given(x=VECTOR, y=VECTOR)
def test_an_array_or_a_list_on_either_side(op, x, y):
    for other in (y, y.tolist(), Tensor(y)):
        np.testing.assert_array_equal(op(Tensor(x), other).data, op(x, y))
        np.testing.assert_array_equal(op(other, Tensor(x)).data, op(y, x))
        assert isinstance(op(other, Tensor(x)), Tensor)


@pytest.mark.parametrize("op", OPERATORS, **named)
@pytest.mark.parametrize("dtype", FLOATS, **named)
@pytest.mark.parametrize("number", [2, 0.1, True, np.float64(0.1)])
def test_a_number_never_promotes(op, dtype, number):
    for y in (op(leaf([1, 2], dtype), number), op(number, leaf([1, 2], dtype))):
        assert y.dtype == dtype
        (grad,) = backward(y.sum()).values()
        assert grad.dtype == dtype


@pytest.mark.parametrize("method", ["exp", "log", "sqrt", "tanh", "relu", "sum", "mean", "max", "var", "softmax"])
@pytest.mark.parametrize("dtype", FLOATS, **named)
def test_a_method_keeps_the_dtype(method, dtype):
    y = getattr(leaf([1, 2], dtype), method)()
    assert y.dtype == dtype
    assert [grad.dtype for grad in backward(y.sum()).values()] == [dtype]


def test_a_fraction_beside_integers_is_not_cut_off():
    ids = Tensor([1, 2, 3])
    assert (ids * 0.5).data.tolist() == [0.5, 1, 1.5]
    assert (0.5 + ids).data.tolist() == [1.5, 2.5, 3.5]
    assert (ids * 2).dtype == ids.dtype


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.matmul], **named)
def test_a_wider_array_promotes_the_result_and_not_the_gradient(op):
    x = leaf([1, 2], np.float32)
    y = op(x, np.array([3.0, 4.0]))
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32


@given(x=VECTOR)
def test_methods_are_numpys(x):
    t, pairs = Tensor(x), x[:, None] * np.ones(2)
    for got, want in [
        (t.exp(), np.exp(x)),
        (t.log(), np.log(x)),
        (-t, -x),
        (t.T, x.T),
        (t[1:], x[1:]),
        (t[Tensor(np.array([0, 0, 2]))], x[[0, 0, 2]]),
        (t.reshape(3, 1), x.reshape(3, 1)),
        (t.reshape((1, -1)), x.reshape(1, -1)),
        (t.mean(keepdims=True), x.mean(keepdims=True)),
        (t.var(ddof=1), x.var(ddof=1)),
        (Tensor(pairs).max(axis=0), pairs.max(axis=0)),
        (Tensor(pairs).transpose(1, 0), pairs.T),
        (Tensor(pairs).split(2)[1], pairs[:, 1:]),
        (Tensor(x[:1]).broadcast_to((2, 1)), np.broadcast_to(x[:1], (2, 1))),
        (t.masked_fill(x > 1, -1.0), np.where(x > 1, -1, x)),
    ]:
        np.testing.assert_allclose(got.data, want, rtol=1e-15)


def test_numbers_about_a_tensor():
    t = leaf([[1.0, 2.0, 3.0]])
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((1, 3), 2, 3, np.float64, 1)
    assert [row.data.tolist() for row in t] == [[1, 2, 3]]
    assert (float(t[0, 1]), t[0, 1].item(), bool(t[0, 1])) == (2.0, 2.0, True)
    assert repr(leaf([1.0])) == "Tensor(array([1.]), requires_grad=True)"
    assert not t.detach().requires_grad
    assert t.detach().data is t.data


# ---- errors


@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.matmul], **named)
def test_shapes_that_do_not_fit_are_named_with_the_op(op):
    names = {operator.add: "add", operator.mul: "multiply", operator.matmul: "matmul"}
    with pytest.raises(ValueError, match=rf"{names[op]} of \(2, 3\), \(4, 5\): "):
        op(leaf(np.ones((2, 3))), leaf(np.ones((4, 5))))


def test_data_that_cannot_be_a_tensor_is_refused():
    with pytest.raises(TypeError, match="data must be an array or numbers; got a Tensor"):
        Tensor(Tensor([1.0]))
    with pytest.raises(TypeError, match="requires_grad needs floating-point data; got int64"):
        Tensor(np.array([1]), requires_grad=True)


def test_losses_that_backward_refuses():
    with pytest.raises(ValueError, match="needs a loss that depends on a tensor with requires_grad=True"):
        Tensor([1.0]).sum().backward()
    with pytest.raises(ValueError, match=r"backward of a tensor of shape \(3,\) needs dloss"):
        (leaf([1, 2, 3]) * 2).backward()
    with pytest.raises(ValueError, match=r"dloss must be float32\(3,\), as the loss; got float64\(2,\)"):
        (leaf([1, 2, 3], np.float32) * 2).backward(np.ones(2))
    with pytest.raises(ValueError, match=r"dloss must be float32\(\), as the loss; got float64\(\)"):
        leaf([1, 2, 3], np.float32).sum().backward(1.0)


def test_a_second_backward_is_an_error_and_changes_nothing():
    x = leaf([1, 2])
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="run the forward pass again"):
        loss.backward()
    assert x.grad.tolist() == [2, 4]


def test_a_vjp_that_breaks_its_contract_is_named():
    def careless(x):
        return x * 2, lambda dy: (dy[0],)

    with pytest.raises(ValueError, match=r"careless.*must return float64\(2,\), as its input; got float64\(\)"):
        backward(apply(careless, leaf([1, 2])).sum())


def test_a_mask_that_requires_a_gradient_is_an_error():
    with pytest.raises(ValueError, match=r"dropout.*must return float64\(2,\), as its input; got None"):
        backward(apply(ops.dropout, leaf([1, 2]), leaf([1, 0])).sum())


def test_an_error_of_an_op_names_the_op_and_its_inputs():
    with pytest.raises(ValueError, match=r"max of \(0,\): zero-size array"):
        leaf([]).max()


# ---- gradients


def test_the_gradient_is_the_leafs_own_array():
    x, y = leaf([1, 2]), leaf([3, 4])
    (x + y).sum().backward()
    x.grad *= 10
    assert y.grad.tolist() == [1, 1]
    before = x.grad
    x.sum().backward()
    assert x.grad is before
    assert x.grad.tolist() == [11, 11]


def test_a_leaf_can_be_the_loss():
    x = leaf(3.0)
    assert backward(x) == {x: 1}


def test_backward_answers_leaves_and_touches_no_grad():
    x, y, unused = leaf([1, 2]), leaf([3, 4]), leaf([5, 6])
    grads = backward((x * y).sum())
    assert {name: grads[t].tolist() for name, t in (("x", x), ("y", y))} == {"x": [3, 4], "y": [1, 2]}
    assert unused not in grads
    assert x.grad is None


@given(x=VECTOR, dy=VECTOR)
def test_backward_can_start_with_any_gradient(x, dy):
    t = Tensor(x, requires_grad=True)
    (t * t).backward(dy)
    np.testing.assert_allclose(t.grad, 2 * x * dy, rtol=1e-15)


# ---- memory and switches


def test_saved_arrays_die_on_the_way_back():
    """After backward the loss is still held, and nothing else of the graph is."""
    x = leaf(np.ones(5))
    hidden = x.exp()
    watched = weakref.ref(hidden.data)
    loss = (hidden * hidden).sum()
    del hidden
    gc.disable()
    try:
        assert watched() is not None
        loss.backward()
        assert watched() is None
    finally:
        gc.enable()


def test_nothing_is_recorded_under_no_grad_in_this_thread():
    x, elsewhere = leaf([1, 2]), []
    with no_grad():
        thread = threading.Thread(target=lambda: elsewhere.append((x * x).requires_grad))
        thread.start()
        thread.join()
        here = x * x
    assert (here.requires_grad, here.node, elsewhere) == (False, None, [True])
    assert (x * x).requires_grad


def test_a_result_that_requires_no_gradient_saves_no_vjp():
    y = Tensor([1.0]) * Tensor([2.0])
    assert (y.requires_grad, y.node) == (False, None)


@example(sides=[False] * 12, seed=0)
@given(sides=st.lists(st.booleans(), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_depth_is_the_longest_way_from_a_leaf(sides, seed):
    x = leaf(normal(seed, (2,)))
    y, depth = x, 0
    for left in sides:
        y = x + y if left else y + x
        depth += 1
    assert y.node.depth == depth


SUMS = """
import hashlib, numpy as np
from tinygrad_gpt import Tensor, backward
random = np.random.default_rng(0)
parts = [Tensor(random.standard_normal(50).astype("float32"), requires_grad=True) for _ in range(6)]
total = sum(parts[i] * parts[(i * 5 + 1) % 6] * parts[(i * 7 + 3) % 6] for i in range(6)).sum()
grads = backward(total)
print(hashlib.sha256(b"".join(grads[part].tobytes() for part in parts)).hexdigest())
"""


def test_two_processes_give_the_same_bits():
    """Terms of a gradient are summed in the order of the graph, not of addresses in memory."""
    runs = {subprocess.run([sys.executable, "-c", SUMS], capture_output=True, text=True).stdout for _ in range(2)}
    assert len(runs) == 1
    assert len(runs.pop().strip()) == len(hashlib.sha256().hexdigest())


# ---- operands that are no tensors


@pytest.mark.parametrize("number", [np.int64(3), np.float64(3.0), np.array(3.0)[()], 3, 3.0], ids=repr)
def test_no_number_promotes_float32(number):
    x = leaf([1.0, 2.0], np.float32)
    assert {(x * number).dtype, (number * x).dtype, (x**number).dtype} == {np.dtype(np.float32)}


def test_masked_fill_takes_numpys_numbers():
    x = leaf([1.0, 2.0], np.float32)
    x.masked_fill(np.array([True, False]), np.float64(5)).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_where_and_concatenate_take_arrays_lists_and_numbers():
    x, mask = leaf([1.0, 2.0]), np.array([True, False])
    assert where(mask, np.ones(2), 0).data.tolist() == [1.0, 0.0]
    assert where(mask, 7, x).data.tolist() == [7.0, 2.0]
    assert concatenate([[0.5], x, np.array([3.0])]).data.tolist() == [0.5, 1.0, 2.0, 3.0]


def test_the_tape_keeps_no_array_that_no_vjp_mentions():
    x = leaf(np.ones(1000))
    middle = x + 1.0
    array = weakref.ref(middle.data)
    y = (middle + 1.0).sum()
    del middle
    gc.collect()
    assert array() is None
    y.backward()
    assert x.grad.sum() == 1000


# ---- memory


@pytest.mark.skipif(not ownership._COUNTS_TELL, reason="this Python's reference counts do not tell")
def test_a_gradient_that_nobody_else_holds_is_not_copied():
    made = []

    def op(x):
        def vjp(dy):
            grad = np.full_like(x, 2.0)
            made.append(id(grad))
            return (grad,)

        return 2 * x, vjp

    x = leaf([1, 2])
    apply(op, x).sum().backward()
    assert id(x.grad) == made[0]


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("theirs", ["saved", "view", "read-only", "transposed", "for two", "dy"])
def test_an_array_that_somebody_else_holds_is_copied(theirs, counted, monkeypatch):
    monkeypatch.setattr(ownership, "_COUNTS_TELL", counted and ownership._COUNTS_TELL)
    saved = np.ones((2, 2))
    fixed = np.ones((2, 2))
    fixed.flags.writeable = False
    answers = {
        "saved": lambda: (saved, None),
        "view": lambda: (saved[:], None),
        "read-only": lambda: (fixed, None),
        "transposed": lambda: (np.ones((2, 2)).T, None),
        "for two": lambda: (np.ones((2, 2)),) * 2,
    }
    a, b = leaf(np.ones((2, 2))), leaf(np.ones((2, 2)))
    needed = b if theirs == "for two" else b.data
    made = apply(lambda x, y: (x + y, lambda dy: (dy, None) if theirs == "dy" else answers[theirs]()), a, needed)
    made.backward(saved)
    assert a.grad.flags.writeable
    assert a.grad.flags.c_contiguous
    a.grad += 1
    assert (saved == 1).all()
    assert b.grad is None or (b.grad == 1).all()


def test_terms_are_added_to_the_gradient_as_they_come():
    """No second set of gradients is held while parts of a batch are accumulated."""
    x, y = leaf([1.0]), leaf([1.0])
    seen = []

    def op(a):
        return a * 1, lambda dy: (seen.append(y.grad.copy()), dy * 3)[1:]

    (apply(op, x) + y).sum().backward()
    assert seen == [[1.0]]  # y's share was there before x's was computed
    assert (x.grad, y.grad) == ([3.0], [1.0])


@given(x=VECTOR, dy=VECTOR)
def test_recomputing_changes_no_gradient(x, dy):
    def function(t, w):
        return (t * w).tanh() * t

    def gradients(run):
        t, w, idle = Tensor(x.copy(), requires_grad=True), Tensor(x + 1, requires_grad=True), Tensor(x)
        (run(function, t, w) * idle).backward(dy)
        return t.grad.tobytes(), w.grad.tobytes()

    assert gradients(recompute_in_backward) == gradients(lambda f, *tensors: f(*tensors))


def test_recomputing_keeps_nothing_but_the_inputs_and_runs_twice():
    runs = []

    def function(t):
        inside = t * 2.0
        runs.append(weakref.ref(inside.data))
        return inside.tanh()

    x = leaf([1.0, 2.0])
    y = recompute_in_backward(function, x)
    assert [ref() for ref in runs] == [None]  # forgotten already
    y.sum().backward()
    assert len(runs) == 2


def test_recomputing_records_even_if_backward_runs_without_recording():
    x = leaf([1.0])
    y = recompute_in_backward(lambda t: t * t, x).sum()
    with no_grad():
        y.backward()
    assert x.grad.tolist() == [2.0]


def test_a_constant_input_of_a_recomputed_function_gets_no_gradient():
    x, c = leaf([2.0]), Tensor(np.array([3.0]))
    recompute_in_backward(lambda t, k: t * k, x, c).sum().backward()
    assert x.grad.tolist() == [3.0]
    assert c.grad is None


def test_a_fresh_gradient_that_cannot_be_written_to_is_copied():
    def fixed(x):
        made = np.ones_like(x)
        made.flags.writeable = False
        return made

    x = leaf([1.0])
    for _ in range(2):
        apply(lambda x: (x * 1, lambda dy: (fixed(x),)), x).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_an_unused_input_of_a_recomputed_function_gets_zeros():
    x, idle = leaf([1.0, 2.0]), leaf([3.0])
    recompute_in_backward(lambda t, unused: t * t, x, idle).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
    assert idle.grad.tolist() == [0.0]


def test_the_second_run_is_computed_as_the_first():
    """With kernels switched off for the forward pass, they are off for its repetition too."""
    computed = []

    def around(op, run):
        computed.append(run is op)
        return run

    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    with op_hook(around), reference_only():
        y = recompute_in_backward(lambda t: apply(ops.gelu, t), x).sum()
    y.backward()
    assert all(computed)
    assert len(computed) >= 4  # recomputed, gelu, sum; then gelu again


def test_an_error_in_the_recomputed_names_it():
    with pytest.raises(ValueError, match=r"recomputed of \(2,\): matmul of"):
        recompute_in_backward(lambda t: t @ np.ones((3, 3)), leaf([1.0, 2.0]))


# ---- comparisons

COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compare", COMPARISONS, **named)
@given(x=VECTOR, y=VECTOR)
def test_comparisons_are_numpys(compare, x, y):
    x[0] = y[0]
    for other in (Tensor(y), y, y.tolist(), float(y[0]), np.float64(y[0])):
        bare = other.data if isinstance(other, Tensor) else other
        for got, want in (
            (compare(Tensor(x), other), compare(x, bare)),
            (compare(other, Tensor(x)), compare(np.asarray(bare), x)),
        ):
            assert isinstance(got, np.ndarray)
            assert got.dtype == bool
            np.testing.assert_array_equal(got, want)


def test_a_comparison_is_a_mask():
    x = leaf([0.0, 1.0, np.nan])
    assert x.masked_fill(x != x, 0.0).masked_fill(x == 0, 9.0).data.tolist() == [9.0, 1.0, 0.0]
    assert where(x == 0, 7.0, x).data[:2].tolist() == [7.0, 1.0]
    assert leaf(2.0).masked_fill(leaf(2.0) > 1, 0.0).data == 0


def test_as_keys_tensors_are_compared_by_identity():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    assert {x: "x", y: "y"}[x] == "x"
    assert len({x, y, x}) == 2


@pytest.mark.parametrize(
    ("mask", "got"),
    [(False, "False"), ([1, 0], "an array of int64"), (np.ones(2), "an array of float64"), (None, "None")],
)
def test_a_mask_that_is_not_an_array_of_bool_is_refused(mask, got):
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=f"mask must be an array of bool; got {got}"):
        x.masked_fill(mask, 0.0)
    with pytest.raises(TypeError, match=f"mask must be an array of bool; got {got}"):
        where(mask, x, 0.0)


def test_a_mask_may_be_a_list_or_a_tensor_and_has_to_fit():
    x = leaf([1.0, 2.0])
    assert x.masked_fill([True, False], 0.0).data.tolist() == [0.0, 2.0]
    assert where(Tensor(np.array([True, False])), x, 0.0).data.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match=r"masked_fill of \(2,\), \(3,\): "):
        x.masked_fill(np.ones(3, bool), 0.0)
    with pytest.raises(ValueError, match=r"mask must broadcast to x's shape \(2,\); got \(2, 2\)"):
        x.masked_fill(np.ones((2, 2), bool), 0.0)


# ---- as NumPy's arrays and Python's numbers


@pytest.mark.parametrize("made", [False, True])
def test_a_tensor_can_be_used_as_an_array(made):
    x = leaf([1.0, 2.0])
    t, want = (x * 2, [2.0, 4.0]) if made else (x, [1.0, 2.0])
    assert np.asarray(t) is t.data
    assert t.numpy() is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, np.float32).dtype == np.float32
    assert np.asarray([t, t]).tolist() == [want, want]
    assert t.tolist() == want
    np.testing.assert_allclose(t, want)
    assert np.allclose(t, want)
    with pytest.raises(ValueError, match="copy"):
        np.array(t, np.float32, copy=False)


def test_arithmetic_with_numpys_arrays_records_or_is_refused():
    x, y = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    assert isinstance(y + x, Tensor)
    for function in (np.add, np.multiply):
        with pytest.raises(TypeError, match="Tensor"):
            function(y, x)
    with pytest.raises(TypeError, match="Tensor"):
        np.exp(x)
    with pytest.raises(TypeError, match=r"made of tensors in a list; join them with concatenate"):
        Tensor([x, x])
    with pytest.raises(TypeError, match="an array cannot be made of tensors in a list"):
        x * [x[0], 1.0]


def test_one_number_is_formatted_as_python_does():
    loss = (leaf([1.0, 2.0]) * 0.25).sum()
    assert f"{loss:.3f}" == "0.750"
    assert f"{loss}" == str(loss)
    assert f"{Tensor([3]):d}" == "3"
    assert float(leaf([[2.0]])) == 2.0
    with pytest.raises(TypeError, match=r"'\.3f' formats one number; this tensor has shape \(2,\)"):
        format(leaf([1.0, 2.0]), ".3f")
    with pytest.raises(ValueError, match=r"item needs a tensor of one entry; this one has shape \(2,\)"):
        float(leaf([1.0, 2.0]))


def test_matplotlib_draws_tensors():
    from matplotlib.figure import Figure

    (line,) = Figure().subplots().plot(leaf([0.0, 1.0]) * 3)
    assert line.get_ydata(orig=False).tolist() == [0.0, 3.0]


@given(x=VECTOR)
def test_the_deviation_is_the_root_of_the_variance(x):
    x[0] += 1
    t = Tensor(x, requires_grad=True)
    np.testing.assert_allclose(t.std(ddof=1).data, x.std(ddof=1), rtol=1e-12)
    t.std().backward()
    np.testing.assert_allclose(t.grad, (x - x.mean()) / (3 * x.std()), rtol=1e-9)


def test_the_absolute_value_has_slope_0_at_0():
    x = leaf([-2.0, 0.0, 3.0, -np.inf])
    y = abs(x)
    y.backward(np.array([1.0, 10.0, 100.0, 1000.0]))
    assert y.data.tolist() == [2.0, 0.0, 3.0, np.inf]
    assert x.grad.tolist() == [-1.0, 0.0, 100.0, -1000.0]


# ---- several losses


def test_two_losses_over_one_forward_are_refused_before_a_term_is_added():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    hidden = x * 2
    a, b = hidden.sum(), (hidden * w).sum()
    a.backward()
    with pytest.raises(RuntimeError, match="add losses that share a part and call backward once"):
        b.backward()
    assert (x.grad.tolist(), w.grad) == ([2.0, 2.0], None)
    with pytest.raises(RuntimeError, match="add losses"):
        backward(b)


# ---- whose array it is


def test_a_leaf_has_its_array_for_itself():
    given_to_both = np.ones(2)
    a, b = Tensor(given_to_both, requires_grad=True), Tensor(given_to_both, requires_grad=True)
    a.data += 1
    assert (given_to_both.tolist(), b.data.tolist()) == ([1.0, 1.0], [1.0, 1.0])
    foreign = memoryview(given_to_both)
    Tensor(foreign, requires_grad=True).data[0] = 5
    assert foreign[0] == 1.0
    fixed = np.broadcast_to(np.float32(1), (2, 2))
    assert Tensor(fixed, requires_grad=True).data.flags.writeable


def test_constants_and_leaves_without_copy_use_the_given_array():
    array = np.ones(2)
    assert Tensor(array).data is array
    assert leaf_without_copy(array).data is array
    assert leaf_without_copy(array).requires_grad
    with pytest.raises(TypeError, match="requires_grad needs floating-point data; got int64"):
        leaf_without_copy(np.ones(2, np.int64))


# ---- counting holders


def test_gradients_are_the_same_bits_where_holders_are_not_counted(monkeypatch):
    def gradients():
        x, w = leaf(normal(0, (3, 4))), leaf(normal(1, (4, 4)))
        ((x @ w).tanh() * x + x).softmax().max(axis=-1).sum().backward()
        return x.grad.tobytes(), w.grad.tobytes()

    counted = gradients()
    monkeypatch.setattr(ownership, "_COUNTS_TELL", False)
    assert gradients() == counted


@pytest.mark.parametrize(
    "function",
    [
        lambda t: np.stack([t, t]),
        lambda t: np.concatenate((t, np.ones(2))),
        lambda t: np.where(np.array([True, False]), t, 0),
        lambda t: np.dot(np.ones(2), t),
        lambda t: np.einsum("i,i->", t, t),
        lambda t: np.mean(t),
        lambda t: np.clip(t, a_min=0, a_max=1),
        lambda t: np.linalg.norm(t),
    ],
)
def test_numpys_functions_do_not_lose_a_gradient_without_a_word(function):
    leaf, constant = Tensor([1.0, 2.0], requires_grad=True), Tensor([1.0, 2.0])
    for tensor in (leaf, leaf * 1):
        with pytest.raises(TypeError, match=r"np\.\w+ gives no gradient: .* or give it \.numpy\(\)"):
            function(tensor)
    with no_grad():
        np.testing.assert_array_equal(function(leaf), function(np.array([1.0, 2.0])))
    np.testing.assert_array_equal(function(constant), function(np.array([1.0, 2.0])))


def test_numpys_comparisons_take_tensors_as_they_are():
    t = Tensor([1.0, 2.0], requires_grad=True) * 2
    assert np.allclose(t, [2, 4])
    assert np.array_equal(t, t)
    np.testing.assert_allclose(t, [2, 4])
    assert np.shape(t) == (2,)


def test_a_partial_is_an_op_too_and_its_errors_name_it():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    apply(partial(ops.sum, axis=1), x).sum().backward()
    assert (x.grad == 1).all()
    with pytest.raises(TypeError, match=r"^sum of \(2, 3\)"):
        apply(partial(ops.sum, axis="a"), x)


def test_the_absolute_value_of_unsigned_numbers_is_themselves():
    assert abs(Tensor(np.array([1, 2, 200], np.uint8))).tolist() == [1, 2, 200]


@pytest.mark.parametrize("value", [None, 1j, "a", Tensor(3.0)])
def test_a_mask_is_filled_with_a_number(value):
    with pytest.raises(TypeError, match="value must be a number; got"):
        Tensor([1.0, 2.0]).masked_fill(np.array([True, False]), value)
