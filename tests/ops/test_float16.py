"""Numbers of 16 bits: what is added up, squared or averaged is computed in float32 and rounded once.

NumPy adds float16 up in float16 along all axes but the last: such a sum stops counting at 2,048.  A square overflows at
256, a count at 65,504.
"""

import numpy as np
import pytest

from tinygrad_gpt import ops
from tinygrad_gpt.backend import scatter_add, to_accumulation_dtype, to_input_dtype
from tinygrad_gpt.laws.strategies import normal

MANY = 5_000  # more than float16 counts
HUGE = 70_000  # more than float16 holds


def ones(*shape):
    return np.ones(shape, np.float16)


def some(*shape, seed=0, scale=1.0):
    return (scale * normal(seed, shape)).astype(np.float16)


CASES = {
    "sum of rows": (ops.sum, [ones(MANY, 2)], {"axis": 0}),
    "mean of many": (ops.mean, [ones(HUGE)], {}),
    "max at many places": (ops.max, [ones(HUGE)], {}),
    "var of large numbers": (ops.var, [some(MANY, 2, scale=150)], {"axis": 0}),
    "var of many": (ops.var, [some(HUGE)], {}),
    "a broadcast row": (ops.add, [ones(2), ones(MANY, 2)], {}),
    "a factor broadcast": (ops.multiply, [ones(2), ones(MANY, 2)], {}),
    "broadcast_to": (ops.broadcast_to, [ones(2)], {"shape": (MANY, 2)}),
    "an entry read often": (ops.getitem, [ones(3)], {"key": np.zeros(MANY, int)}),
    "a row read often": (ops.embedding, [ones(3, 2), np.zeros(MANY, int)], {}),
    "a bias of many rows": (ops.linear, [some(MANY, 2), some(2, 3), ones(3)], {}),
    "a weight of many rows": (ops.linear, [ones(MANY, 2), ones(2, 3)], {}),
    "matmul of a batch": (ops.matmul, [ones(MANY, 1, 2), ones(1, 2, 2)], {}),
    "softmax down": (ops.softmax, [some(MANY, 2)], {"axis": 0}),
    "softmax of many": (ops.softmax, [np.zeros(HUGE, np.float16)], {}),
    "log_softmax down": (ops.log_softmax, [some(MANY, 2)], {"axis": 0}),
    "log_softmax of many": (ops.log_softmax, [np.zeros(HUGE, np.float16)], {}),
    "layer norm of large numbers": (ops.layer_norm, [some(3, 8, scale=1000), ones(8), ones(8)], {}),
    "layer norm of small numbers": (ops.layer_norm, [some(3, 8, scale=1e-4), ones(8), ones(8)], {"eps": 1e-8}),
    "layer norm of many rows": (ops.layer_norm, [some(MANY, 4), ones(4), ones(4)], {}),
    "mean loss of many": (ops.cross_entropy, [np.zeros((HUGE, 3), np.float16), np.zeros(HUGE, int)], {}),
    "loss of a large vocabulary": (ops.cross_entropy, [np.zeros((1, HUGE), np.float16), np.zeros(1, int)], {}),
    "head and loss": (ops.linear_cross_entropy, [np.zeros((HUGE, 2), np.float16), ones(3, 2), np.zeros(HUGE, int)], {}),
    "attention of large numbers": (ops.causal_attention, [some(1, 4, 6, scale=250)], {"n_heads": 1}),
    "gelu of large numbers": (ops.gelu, [some(50, scale=300)], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_as_in_float32_and_rounded_once(name):
    op, arrays, settings = CASES[name]
    exact = [x.astype(np.float32) if x.dtype == np.float16 else x for x in arrays]
    y, vjp = op(*arrays, **settings)
    z, exact_vjp = op(*exact, **settings)
    assert y.dtype == np.float16
    same(y, z)
    dy = some(*y.shape, seed=1) if "many" not in name else np.full(y.shape, 1, np.float16)
    for got, want in zip(vjp(dy), exact_vjp(dy.astype(np.float32)), strict=True):
        assert (got is None) == (want is None)
        if got is not None:
            assert got.dtype == np.float16
            same(got, want)


F16, F32, F64 = np.float16, np.float32, np.float64


@pytest.mark.parametrize("dtypes", [(F16, F32), (F32, F16), (F16, F64), (F32, F64)], ids=str)
@pytest.mark.parametrize(
    ("op", "shapes", "more"),
    [
        (ops.add, [(3, 4), (4,)], []),
        (ops.multiply, [(3, 4), (4,)], []),
        (ops.matmul, [(3, 4), (4, 2)], []),
        (ops.linear, [(3, 4), (4, 2), (2,)], []),
        (ops.linear, [(3, 4), (4, 2)], []),
        (ops.layer_norm, [(3, 4), (4,), (4,)], []),
        (ops.concatenate, [(2,), (3,)], []),
        (ops.dropout, [(3, 4), (3, 4)], []),
        (ops.linear_cross_entropy, [(3, 4), (5, 4)], [np.array([0, 4, 2])]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_of_mixed_dtypes_y_has_the_wider_and_each_gradient_that_of_its_input(op, shapes, more, dtypes):
    arrays = [normal(i, shape).astype(dtypes[min(i, 1)]) for i, shape in enumerate(shapes)]
    y, vjp = op(*arrays, *more)
    assert y.dtype == np.result_type(*arrays)
    for array, gradient in zip(arrays, vjp(np.ones_like(y)), strict=False):
        if gradient is not None:
            assert gradient.dtype == array.dtype


def same(got, want):
    """Within two units of float16's last place; what is small beside the largest, within that of it."""
    largest = np.abs(want[np.isfinite(want)]).max(initial=0)
    np.testing.assert_allclose(got.astype(np.float32), want, rtol=2e-3, atol=max(2e-3 * largest, 1e-7))


def test_repeated_rows_are_added_up_in_float32():
    out = np.zeros((2, 3), np.float16)
    scatter_add(out, np.ones(MANY, int), ones(MANY, 3))
    assert out.tolist() == [[0.0] * 3, [float(np.float16(MANY))] * 3]


def test_a_loss_is_beyond_float16_only_where_its_sum_is():
    logits, targets = np.zeros((MANY, 2), np.float16), np.zeros(MANY, int)
    assert float(ops.cross_entropy(logits, targets, reduction="sum")[0]) == pytest.approx(MANY * np.log(2), rel=1e-3)
    many = np.zeros((HUGE, 9), np.float16), np.zeros(HUGE, int)
    with np.errstate(over="ignore"):
        assert ops.cross_entropy(*many, reduction="sum")[0] == np.inf


def test_bfloat16_counts_as_well():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="bfloat16 is a dtype of ml_dtypes").bfloat16
    x = np.ones(3, bfloat16)
    assert to_accumulation_dtype(x).dtype == np.float32
    assert to_input_dtype(to_accumulation_dtype(x), x.dtype).dtype == bfloat16
    total, _ = ops.sum(np.ones((MANY, 1), bfloat16), axis=0)
    assert float(total[0]) == pytest.approx(MANY, rel=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint16, bool])
def test_all_other_numbers_stay_as_they_are(dtype):
    x = np.ones(2, dtype)
    assert to_accumulation_dtype(x) is x
    assert to_input_dtype(x, x.dtype) is x
