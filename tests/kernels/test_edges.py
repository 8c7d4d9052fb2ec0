"""Cases in which a kernel's arithmetic could differ from its op's: huge numbers, odd shapes; and what it saves."""

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels.rows import run
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import KERNELS, cpu, use_threads
from tinygrad_gpt.kernels.cpu import attention
from tinygrad_gpt.laws.strategies import seeds
from tinygrad_gpt.study.trace.saved import arrays_of, buffer_of


def single(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize("x", [1e13, 1e15, 1e18, -1e15, 2e38, -2e38])
def test_gelu_of_huge_numbers_is_linear_or_nothing(x):
    with np.errstate(all="ignore"):
        y, vjp = cpu.gelu(single(x))
        (dx,) = vjp(single(1))
    assert y == max(np.float32(x), 0)
    if abs(x) < 1e19:  # beyond, x² overflows in the op as well
        assert dx == (x > 0)


def test_a_future_score_that_overflows_is_not_seen():
    """Position 0 would give position 1 a score of 1e50; it sees itself alone."""
    qkv = single(1e25, 0, 5, 1, 1e25, 7).reshape(1, 2, 3)  # q, k, v of each
    with np.errstate(all="ignore"):
        fast, slow = (op(qkv, n_heads=1)[0] for op in (cpu.causal_attention, ops.causal_attention))
    assert fast[0, 0] == slow[0, 0] == 5


@pytest.mark.parametrize("name", ["layer_norm", "gelu"])
def test_a_kernel_saves_no_more_than_its_op(name):
    x = np.ones((4, 3), np.float32)
    kept = weakref.ref(x)
    if name == "layer_norm":
        y, vjp = cpu.layer_norm(x, single(1, 1, 1), single(0, 0, 0))
        del x
        assert kept() is None
    else:
        y, vjp = cpu.gelu(x)
        del x
        assert kept() is not None  # backward needs x
    assert vjp(np.ones_like(y))[0].shape == (4, 3)


@pytest.mark.parametrize("length", [3, 7])
def test_a_bias_of_another_length_is_refused(length):
    arguments = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.ones(length, np.float32)
    for op in (ops.linear, cpu.linear):
        with pytest.raises(ValueError, match="broadcast"):
            op(*arguments)


SHAPES = {
    "layer_norm": [((0, 3), (3,), (3,))],
    "linear": [((0, 3), (3, 4), (4,)), ((2, 0), (0, 4), (4,)), ((2, 3), (3, 0), (0,))],
    "gelu": [((0,),), ((2, 0),), ((),)],
}


@pytest.mark.parametrize(("name", "shapes"), [(name, shapes) for name in SHAPES for shapes in SHAPES[name]])
def test_shapes_without_entries(name, shapes):
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    with np.errstate(all="ignore"):
        (fast, fast_vjp), (slow, slow_vjp) = (getattr(m, name)(*arrays) for m in (cpu, ops))
        assert fast.shape == slow.shape
        gradients = zip(fast_vjp(np.ones_like(fast)), slow_vjp(np.ones_like(slow)), strict=True)
    assert all(a.shape == b.shape for a, b in gradients)


@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_a_head_without_rows_width_or_vocabulary_is_as_the_op(sizes):
    N, C, V = sizes
    arguments = np.ones((N, C), np.float32), np.ones((V, C), np.float32), np.zeros(N, int)

    def outcome(op):
        with np.errstate(all="ignore"):
            try:
                loss, vjp = op(*arguments, reduction="sum")
                return loss.tobytes(), [g.shape for g in vjp(loss) if g is not None]
            except (ValueError, IndexError) as error:
                return type(error)

    assert outcome(run(KERNELS[ops.linear_cross_entropy, "numpy", "float32"])) == outcome(ops.linear_cross_entropy)


@pytest.mark.parametrize("shape", [(0, 2, 6), (1, 0, 6), (1, 2, 0)])
def test_attention_without_entries_is_as_the_op(shape):
    qkv = np.ones(shape, np.float32)

    def outcome(op):
        try:
            y, vjp = op(qkv, n_heads=1)
            return y.shape, vjp(y)[0].shape
        except (ValueError, ZeroDivisionError) as error:
            return type(error)

    assert outcome(run(KERNELS[ops.causal_attention, "numpy", "float32"])) == outcome(ops.causal_attention)


@given(seed=seeds(), T=st.integers(1, 150), dropped=st.booleans(), threads=st.sampled_from([1, 3]))
def test_attention_of_long_rows_is_the_same_function(seed, T, dropped, threads):
    """It computes e^S a second time instead of saving it."""
    rng = np.random.default_rng(seed)
    qkv = (3 * rng.normal(size=(2, T, 24))).astype(np.float32)
    mask = [(rng.random((2, 4, T, T)) < 0.5).astype(np.float32) * 2] if dropped else []
    dy = rng.normal(size=(2, T, 8)).astype(np.float32)
    y, vjp = ops.causal_attention(qkv, *mask, n_heads=4)
    with pytest.MonkeyPatch.context() as patch, use_threads(threads):
        patch.setattr(attention, "MAX_SAVED_BYTES", -1)
        long_y, long_vjp = cpu.causal_attention(qkv, *mask, n_heads=4)
        for _ in range(2):  # as often as one likes
            dqkv = long_vjp(dy)[0]
    np.testing.assert_allclose(long_y, y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dqkv, vjp(dy)[0], rtol=1e-3, atol=1e-4)


def test_what_attention_saves_of_long_rows_grows_with_their_length(monkeypatch):
    def saved_bytes(T):
        _, vjp = cpu.causal_attention(np.zeros((1, T, 12), np.float32), n_heads=2)
        return sum({id(buffer_of(x)): buffer_of(x).nbytes for _, x in arrays_of(vjp)}.values())

    assert saved_bytes(256) > 3 * saved_bytes(128)  # e^S
    monkeypatch.setattr(attention, "MAX_SAVED_BYTES", 0)
    assert saved_bytes(256) <= 2 * saved_bytes(128)
