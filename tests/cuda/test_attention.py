"""What is true of the attention kernels alone.  That they agree with their op, test_same.py finds for itself."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cuda import standin
from tinygrad_gpt import ops
from tinygrad_gpt.kernels import kernel_for, mask_for
from tinygrad_gpt.kernels.cuda import causal_attention
from tinygrad_gpt.laws.strategies import normal, seeds
from tinygrad_gpt.rng import Dropout, LazyMask

FEW = settings(max_examples=5, suppress_health_check=list(HealthCheck))
ROUNDING = {"float32": 2.0**-24, "bfloat16": 2.0**-9}
WIDTHS = {"float32": [20, 128], "bfloat16": [48, 96]}  # of a head; each is compiled once


@pytest.fixture(params=list(WIDTHS))
def dtype(request):
    return dtype_of(request.param)


def dtype_of(name):
    return np.dtype(name) if name == "float32" else np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def numbers(seed, shape, dtype):
    return np.asarray(normal(seed, shape)).astype(np.float32).astype(dtype)


def passed(device, qkv, dy, dropout_mask=None, n_heads=1):
    """y and dqkv on the host; the mask is an array there, or a name."""
    dropout_mask = device.asarray(dropout_mask) if isinstance(dropout_mask, np.ndarray) else dropout_mask
    arrays = (device.asarray(qkv), *([] if dropout_mask is None else [dropout_mask]))
    y, vjp = kernel_for(ops.causal_attention, *arrays, n_heads=n_heads)(*arrays, n_heads=n_heads)
    return device.get(y), device.get(vjp(device.asarray(dy))[0])


def mask_of(qkv, masks, site, shape, **settings):
    return mask_for(ops.causal_attention, masks, site, shape, 0.25, qkv, **settings)


def in_float64(qkv, dy, dropout_mask=None, n_heads=1):
    y, vjp = ops.causal_attention(
        qkv.astype(float), *([] if dropout_mask is None else [dropout_mask.astype(float)]), n_heads=n_heads
    )
    return y, vjp(dy.astype(float))[0]


def away(got, want):
    return np.linalg.norm(got.astype(float) - want) / max(np.linalg.norm(want), 1e-30)


@st.composite
def problems(draw, dtype, widths=None):
    """qkv, dy, n_heads; T around the size of a tile and elsewhere."""
    B, H, D = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.sampled_from(widths or WIDTHS[dtype.name]))
    T = draw(st.integers(1, 9) | st.sampled_from([15, 16, 17, 31, 32, 33, 63, 64, 65, 70]))
    seed = draw(seeds())
    return numbers(seed, (B, T, 3 * H * D), dtype), numbers(seed // 2, (B, T, H * D), dtype), H


@FEW
@given(data=st.data())
def test_heads_of_many_widths(dtype, data, device):
    """To within the rounding of what is stored: qkv is given, weights, y and dqkv are rounded, each once or twice."""
    qkv, dy, H = data.draw(problems(dtype))
    for got, want in zip(passed(device, qkv, dy, n_heads=H), in_float64(qkv, dy, n_heads=H), strict=True):
        assert got.dtype == qkv.dtype
        assert away(got, want) < 4 * math.sqrt(qkv.shape[1]) * ROUNDING[dtype.name] + 1e-6


@FEW
@given(data=st.data())
def test_a_mask_by_name_is_the_mask_that_the_host_draws(dtype, data, device):
    """Bit for bit, forward and back: the same entries are dropped, and the rest is scaled by the same number."""
    qkv, dy, H = data.draw(problems(dtype, [16]))
    B, T, _ = qkv.shape
    seed, first_row = data.draw(st.sampled_from([0, 2**64 - 1]) | seeds()), data.draw(st.integers(0, 2**40))
    step, site = data.draw(st.integers(0, 2**40)), data.draw(st.integers(0, 40))
    rate = data.draw(st.sampled_from([0.1, 0.5, 0.9, 0.99999]))
    drawn = Dropout(seed, step, first_row).mask(site, (B, H, T, T), rate, np.float32)
    by_name = passed(device, qkv, dy, LazyMask(seed, step, first_row, site, (B, H, T, T), rate), H)
    for a, b in zip(by_name, passed(device, qkv, dy, drawn, H), strict=True):
        assert a.tobytes() == b.tobytes()
    for got, want in zip(by_name, in_float64(qkv, dy, drawn, H), strict=True):
        assert away(got, want) < 4 * math.sqrt(T) * ROUNDING[dtype.name] + 1e-6


@FEW
@given(data=st.data())
def test_the_same_bits_under_every_schedule(dtype, data, device):
    """With a mask drawn on the way, over several tiles: whatever lies in shared memory is there when it is read."""
    B, T, H, D = 1, data.draw(st.integers(65, 140)), 1, 32  # wider than what a warp loads of its own rows
    seed = data.draw(seeds())
    qkv, dy = numbers(seed, (B, T, 3 * D), dtype), numbers(seed // 2, (B, T, D), dtype)
    dropout_mask = LazyMask(seed, 3, 0, 1, (B, H, T, T), 0.5)
    first = passed(device, qkv, dy, dropout_mask)
    assert not any(np.isnan(x.astype(np.float32)).any() for x in first)
    for schedule in range(1, 6):
        with device.schedule(schedule):
            again = passed(device, qkv, dy, dropout_mask)
        assert [x.tobytes() for x in again] == [x.tobytes() for x in first], f"schedule {schedule}"


@FEW
@given(data=st.data())
def test_what_comes_later_has_no_influence(dtype, data, device):
    qkv, dy, H = data.draw(problems(dtype, [16]))
    at = data.draw(st.integers(0, qkv.shape[1] - 1))
    changed, early = qkv.copy(), dy.copy()
    changed[:, at:] += np.asarray(9, qkv.dtype)
    early[:, at:] = 0
    assert (
        passed(device, changed, dy, n_heads=H)[0][:, :at].tobytes()
        == passed(device, qkv, dy, n_heads=H)[0][:, :at].tobytes()
    )
    assert not passed(device, qkv, early, n_heads=H)[1][:, at:].any()


@FEW
@given(data=st.data())
def test_scores_far_apart_neither_overflow_nor_vanish(dtype, data, device):
    """The largest weight is 1, however large its score."""
    qkv, dy, H = data.draw(problems(dtype, [16]))
    qkv = (qkv.astype(np.float32) * np.float32(data.draw(st.sampled_from([1e-20, 1e3, 1e6])))).astype(dtype)
    C = qkv.shape[-1] // 3
    qkv[..., 2 * C :] = 1  # the mean of ones is one
    y, dqkv = passed(device, qkv, dy, n_heads=H)
    np.testing.assert_allclose(y.astype(float), 1, rtol=4 * ROUNDING[dtype.name] * math.sqrt(qkv.shape[1]))
    assert np.isfinite(dqkv.astype(np.float32)).all()


def test_the_weights_are_never_written_down(dtype, device, monkeypatch):
    T, D = 190, 16
    made = []

    class Watched(standin.Memory):
        def __init__(self, nbytes):
            made.append(nbytes)
            super().__init__(nbytes)

    qkv, dy = numbers(0, (1, T, 3 * D), dtype), numbers(1, (1, T, D), dtype)
    monkeypatch.setattr(standin, "Memory", Watched)
    passed(device, qkv, dy, LazyMask(0, 1, 0, 0, (1, 1, T, T), 0.1))
    assert max(made) == max(qkv.nbytes, 4 * T)  # qkv and its gradient: T² numbers would be more, of one byte even
    assert not device.transfers


def test_nothing_else_is_asked_of_the_device(device):
    """One launch forward, three back: no hidden kernels in between."""
    passed(
        device,
        numbers(0, (1, 5, 48), "float32"),
        numbers(1, (1, 5, 16), "float32"),
        LazyMask(0, 1, 0, 0, (1, 1, 5, 5), 0.1),
    )
    names = ["forward", "rowsums", "backward_kv", "backward_q"]
    assert device.emulator.launches == [f"attention_{name}" for name in names]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("stored", "D"), [("float32", 130), ("bfloat16", 130), ("bfloat16", 20), ("bfloat16", 144)])
def test_other_widths_go_another_way(stored, D, named, device):
    dtype = dtype_of(stored)
    B, T, H = 2, 5, 2
    qkv, dy = numbers(0, (B, T, 3 * H * D), dtype), numbers(1, (B, T, H * D), dtype)
    drawn = Dropout(1, 2, 3).mask(4, (B, H, T, T), 0.25, np.float32)
    asked = device.asarray(qkv), Dropout(1, 2, 3), 4, (B, H, T, T)
    dropout_mask = mask_of(*asked, n_heads=H) if named else drawn
    for got, want in zip(passed(device, qkv, dy, dropout_mask, H), in_float64(qkv, dy, drawn, H), strict=True):
        assert got.dtype == qkv.dtype
        assert away(got, want) < 8 * ROUNDING[dtype.name]


@pytest.mark.parametrize("shape", [(0, 3, 48), (2, 0, 48), (2, 3, 0)])
def test_nothing_in_gives_nothing(dtype, shape, device):
    B, T, width = shape
    y, dqkv = passed(device, np.zeros(shape, dtype), np.zeros((B, T, width // 3), dtype))
    assert (y.shape, y.dtype, dqkv.shape, dqkv.dtype) == ((B, T, width // 3), np.dtype(dtype), shape, dtype)


def test_arrays_that_start_anywhere(dtype, device):
    """16 bytes are loaded at once; an array that does not start at a multiple of them is copied first."""
    B, T, D = 1, 3, 16
    qkv, dy = numbers(0, (B, T, 3 * D), dtype), numbers(1, (B, T, D), dtype)
    longer = [device.asarray(np.append(x.ravel()[:1], x.ravel())) for x in (qkv, dy)]
    shifted = [device.xp.reshape(x[1:], y.shape) for x, y in zip(longer, (qkv, dy), strict=True)]
    assert [x.data.ptr % 16 for x in shifted] == [dtype.itemsize] * 2
    y, vjp = causal_attention(shifted[0], n_heads=1)
    got = device.get(y), device.get(vjp(shifted[1])[0])
    assert [x.tobytes() for x in got] == [x.tobytes() for x in passed(device, qkv, dy)]


def test_a_mask_of_another_shape_is_refused(device):
    qkv = device.asarray(numbers(0, (2, 3, 48), "float32"))
    error = r"dropout_mask must have the shape of the weights \(2, 1, 3, 3\); got \(2, 1, 3, 4\)"
    with pytest.raises(ValueError, match=error):
        causal_attention(qkv, LazyMask(0, 1, 0, 0, (2, 1, 3, 4), 0.1), n_heads=1)
    with pytest.raises(ValueError, match="broadcast"):
        causal_attention(qkv, device.asarray(np.ones((2, 1, 3, 4), np.float32)), n_heads=1)


def test_a_width_that_the_heads_do_not_divide_is_refused(dtype, device):
    with pytest.raises(ValueError, match="n_heads must divide the width 16; got 3"):
        causal_attention(device.asarray(numbers(0, (1, 2, 48), dtype)), n_heads=3)
