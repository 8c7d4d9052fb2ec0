"""gemm against NumPy, through a cuBLAS that reads the same memory column by column."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cuda import cublas
from tinygrad_gpt import backend
from tinygrad_gpt.kernels.cuda import gemm, precision
from tinygrad_gpt.kernels.cuda.gemm import layout
from tinygrad_gpt.kernels.cuda.precision import bfloat16
from tinygrad_gpt.laws.strategies import normal, seeds

DRAWN = settings(suppress_health_check=list(HealthCheck))
SIZES = st.integers(1, 7)
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 1e-2}


@st.composite
def stored(draw, batch, rows, columns, dtype="float64", writable=False):
    """A stack of matrices in some memory: (that memory, a function that cuts the stack out of it)."""
    transposed = not writable and draw(st.booleans())
    lines, length = (columns, rows) if transposed else (rows, columns)
    step, before, after = draw(st.integers(1, 2)), draw(st.integers(0, 2)), draw(st.integers(0, 2))
    repeated = not writable and bool(batch) and draw(st.booleans())
    shape = (*([1] * len(batch) if repeated else batch), lines * step, before + length + after)
    memory = normal(draw(seeds()), shape).astype(dtype)

    def cut(array, xp):
        part = array[..., ::step, before : before + length]
        part = xp.broadcast_to(part, (*batch, lines, length)) if repeated else part
        return part.swapaxes(-1, -2) if transposed else part

    return memory, cut


BATCHES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@DRAWN
@given(st.data(), BATCHES, SIZES, SIZES, SIZES, st.sampled_from(["float32", "float64"]))
def test_it_is_numpys_product_without_a_copy(device, data, batch, M, K, N, dtype):
    a, cut_a = data.draw(stored(batch, M, K, dtype))
    b, cut_b = data.draw(stored(batch, K, N, dtype))
    out, cut_out = data.draw(stored(batch, M, N, dtype, writable=True))
    beta = data.draw(st.sampled_from([0.0, 1.0, 0.25]))
    want = out.copy()
    part = cut_out(want, np)
    part[...] = cut_a(a, np) @ cut_b(b, np) + beta * part
    if not beta:
        cut_out(out, np)[...] = np.nan  # nobody may look at what was there
    there = device.asarray(out)
    before, whole = len(device.transfers), cut_out(there, device.xp)
    got = gemm(cut_a(device.asarray(a), device.xp), cut_b(device.asarray(b), device.xp), whole, beta=beta)
    assert got is whole
    assert len(device.transfers) == before
    np.testing.assert_allclose(device.get(there), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@DRAWN
@given(st.data(), SIZES, SIZES, SIZES)
def test_bfloat16_is_summed_in_float32(device, data, M, K, N):
    pytest.importorskip("ml_dtypes")
    a, b = (normal(data.draw(seeds()), shape).astype(bfloat16()) for shape in [(M, K), (K, N)])
    exact = a.astype(np.float64) @ b.astype(np.float64)
    narrow = gemm(device.asarray(a), device.asarray(b))
    wide = gemm(device.asarray(a), device.asarray(b), device.xp.empty((M, N), np.float32))
    assert (narrow.dtype, wide.dtype) == (bfloat16(), np.float32)
    np.testing.assert_allclose(device.get(wide), exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(device.get(narrow).astype(np.float64), exact, rtol=1e-2, atol=1e-2)


def test_attention_over_all_heads_is_one_call_where_they_have_a_common_step(device, calls):
    """(T, B, C) with the heads inside C: head (b, h) begins D entries after the one before it."""
    T, B, H, D = 5, 3, 2, 4
    q, k = normal(0, (T, B, H * D)), normal(1, (T, B, H * D))
    heads = [device.asarray(x).reshape(T, B, H, D).transpose(1, 2, 0, 3) for x in (q, k)]
    scores = gemm(heads[0], heads[1].swapaxes(-1, -2))
    assert len(calls) == 1
    want = np.einsum("tbhd,sbhd->bhts", q.reshape(T, B, H, D), k.reshape(T, B, H, D))
    np.testing.assert_allclose(device.get(scores), want, rtol=1e-12, atol=1e-12)


def test_a_gradient_lands_in_its_place_of_a_flat_buffer(device):
    x, dy = normal(0, (6, 5)), normal(1, (6, 7))
    flat = device.asarray(np.full(100, np.nan))
    gemm(device.asarray(x).T, device.asarray(dy), flat[30:65].reshape(5, 7))
    got = device.get(flat)
    np.testing.assert_allclose(got[30:65].reshape(5, 7), x.T @ dy, rtol=1e-12)
    assert np.isnan(got[:30]).all()
    assert np.isnan(got[65:]).all()


@pytest.mark.parametrize(
    "shapes", [((0, 3), (3, 2)), ((2, 3), (3, 0)), ((0, 2, 3), (0, 3, 2)), ((2, 0), (0, 3))], ids=str
)
def test_products_of_nothing(shapes, device):
    a, b = (device.xp.zeros(shape) for shape in shapes)
    want = np.zeros(shapes[0]) @ np.zeros(shapes[1])
    assert device.get(gemm(a, b)).tolist() == want.tolist()
    out = device.asarray(np.full(want.shape, 3.0))
    assert device.get(gemm(a, b, out, beta=0.5)).tolist() == np.full(want.shape, 1.5).tolist()


def test_what_would_need_a_copy_is_refused(device):
    xp = device.xp
    packed = xp.zeros((2, 5, 3, 2, 4))  # (B, T, 3, H, D): the steps of B and H differ
    x, w = xp.zeros((6, 5)), xp.zeros((5, 7))
    q, k = packed[:, :, 0].transpose(0, 2, 1, 3), packed[:, :, 1].transpose(0, 2, 3, 1)
    refused = {
        "b's leading axes .* have no common step": lambda: gemm(q, k),
        "no axis lies together": lambda: gemm(xp.zeros((6, 10))[:, ::2], w),
        r"a, shape \(6, 5\) with strides \(-40, 8\), would need a copy": lambda: gemm(x[::-1], w),
        r"a, shape \(6, 5\) with strides \(0, 8\), would need": lambda: gemm(xp.broadcast_to(x[0], (6, 5)), w),
        "the rows of out must lie together": lambda: gemm(x, w, xp.zeros((7, 6)).T),
        "out holds one matrix for many products": lambda: gemm(
            xp.zeros((2, 6, 5)), xp.zeros((2, 5, 7)), xp.broadcast_to(xp.zeros((6, 7)), (2, 6, 7))
        ),
        "does not fit": lambda: gemm(x, x),
        "leading axes must be the same": lambda: gemm(xp.zeros((2, 6, 5)), w),
        "out must have shape": lambda: gemm(x, w, xp.zeros((7, 6))),
        "beta 1.0 needs an out": lambda: gemm(x, w, beta=1.0),
    }
    for message, attempt in refused.items():
        with pytest.raises(ValueError, match=f"^gemm: .*{message}"):
            attempt()


@pytest.mark.parametrize(
    "kinds", [("float32", "float64", "float64"), ("float64", "float64", "float32"), ("int32",) * 3]
)
def test_dtypes_that_do_not_go_together_are_refused(kinds, device):
    a, b, out = (device.xp.zeros((2, 2), kind) for kind in kinds)
    with pytest.raises(TypeError, match=r"^gemm: .* one dtype for all, or bfloat16 into float32$"):
        gemm(a, b, out)


@pytest.fixture
def calls(device, monkeypatch):
    """What cuBLAS was asked for."""
    seen, fake = [], cublas.fake_module()

    def noting(name):
        return lambda *args: seen.append((name, args)) or getattr(cublas, name)(*args)

    for name in ("gemmEx", "gemmStridedBatchedEx"):
        setattr(fake, name, noting(name))
    monkeypatch.setattr(backend, "cublas", lambda: fake)
    return seen


def test_the_precision_chooses_how_float32_is_multiplied(device, calls):
    x, wide = device.xp.ones((2, 2), np.float32), device.xp.ones((2, 2))
    gemm(x, x)
    with precision("tf32"):
        gemm(x, x)
        gemm(wide, wide)
    computed = [args[-2] for _, args in calls]
    assert computed == [
        cublas.CUBLAS_COMPUTE_32F,
        cublas.CUBLAS_COMPUTE_32F_FAST_TF32,
        cublas.CUBLAS_COMPUTE_64F,
    ]


def test_one_product_is_one_plain_call(device, calls):
    x = device.xp.ones((3, 3))
    gemm(x, x)
    gemm(x[None], x[None])
    gemm(device.xp.ones((2, 3, 3)), device.xp.ones((2, 3, 3)))
    assert [name for name, _ in calls] == ["gemmEx", "gemmEx", "gemmStridedBatchedEx"]


def test_precisions_have_three_names():
    with (
        pytest.raises(ValueError, match=r"^precision must be one of float32, tf32, bfloat16; got 'half'$"),
        precision("half"),
    ):
        pass


def test_a_matrix_larger_than_cublas_can_count_is_refused():
    class Huge:
        itemsize, shape, strides = 4, (1, 2**31), (2**33, 4)

    with pytest.raises(ValueError, match="too large for cuBLAS"):
        layout(Huge, "a")
