"""The launcher holds every call to the kernel's own parameter list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import backend
from tinygrad_gpt.kernels.cuda import launcher
from tinygrad_gpt.kernels.cuda.launcher import Parameter, entry_points, launch, literal, parameters_of

DEFINES = {"T": "float", "SHIFT": 0.5}
ONE = {"grid": 1, "block": 32, "defines": DEFINES}


@pytest.fixture
def texts(monkeypatch, request, device):
    """The kernels of tests/cuda/texts."""
    monkeypatch.setattr(launcher, "FOLDER", request.path.parent / "texts")
    return device


def reversed_(device, x=None, y=None, by=1.0, n=32, **options):
    x = device.xp.zeros(32, np.float32) if x is None else x
    y = device.xp.zeros(32, np.float32) if y is None else y
    launch("right.cu", "reversed", x, y, by, n, **ONE | options)


def test_parameters_are_read_from_the_text():
    text = """
    // extern "C" __global__ void commented_out(int a) {}
    template <class S> __device__ S half(S x) { return x / 2; }
    extern "C" __global__ void __launch_bounds__(128, 2)
    f(const T* __restrict__ x, float const* y, unsigned long long seed, /* how many */ size_t n, const void* any) {}
    extern "C" __global__ __launch_bounds__(64) void g() { if (a(b)) {} }
    extern "C" __global__ void h(void) {}
    """
    assert set(entry_points(text)) == {"f", "g", "h"}
    assert parameters_of(text, "f", {"T": "U", "U": "__nv_bfloat16"}) == (
        Parameter("x", "__nv_bfloat16", True),
        Parameter("y", "float", True),
        Parameter("seed", "unsigned long long", False),
        Parameter("n", "size_t", False),
        Parameter("any", "void", True),
    )
    assert parameters_of(text, "g", {}) == parameters_of(text, "h", {}) == ()
    with pytest.raises(ValueError, match=r"^kernel must be one of f, g, h here; got 'k'$"):
        parameters_of(text, "k", {})


@pytest.mark.parametrize("declaration", ["T* x", "float** x", "Pair p", "float4* x", "void v", "long n"])
def test_a_type_that_no_argument_fits_is_refused(declaration):
    with pytest.raises(ValueError, match=r"^parameter `.*` of f has a type that no argument fits$"):
        parameters_of(f'extern "C" __global__ void f({declaration}) {{}}', "f", {})


def test_every_type_arrives_as_declared(texts):
    xp = texts.xp
    y = xp.zeros(60, np.uint8)
    values = 0.1, 0.1, -5, 2**32 - 1, -(2**40), 2**64 - 1, 2**63 + 1, True
    launch("right.cu", "types", y, *values, None, **ONE)
    types = (np.float32, np.float64, np.int32, np.uint32, np.int64, np.uint64, np.uint64, np.bool_)
    scalars = [kind(value) for kind, value in zip(types, values, strict=True)]
    want = b"".join(scalar.tobytes() for scalar in scalars)
    assert texts.get(y).tobytes()[: len(want) + 1] == want + b"\1"
    y.fill(0)
    launch("right.cu", "types", y, *scalars, None, **ONE)  # NumPy's numbers, too
    assert texts.get(y).tobytes()[: len(want) + 1] == want + b"\1"


INTS = {"int i": (-(2**31), 2**31 - 1), "unsigned u": (0, 2**32 - 1), "size_t s": (0, 2**64 - 1), "bool b": (0, 1)}


@pytest.mark.parametrize(("declaration", "bounds"), INTS.items())
@given(data=st.data())
def test_whole_numbers_fit_or_are_refused(declaration, bounds, data):
    (parameter,) = parameters_of(f'extern "C" __global__ void f({declaration}) {{}}', "f", {})
    check, (low, high) = launcher.check_for(parameter, "f"), bounds
    value = data.draw(st.integers(low, high) | st.sampled_from([low, high]))
    assert check(value) == value
    if value < 2**63:
        assert check(np.int64(value)) == value
    for beyond in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"^{parameter.name} of f must be from {low} to {high}; got {beyond}$"):
            check(beyond)
    for wrong in (1.5, "1", None, np.float32(1)):
        with pytest.raises(TypeError, match="must be a whole number"):
            check(wrong)


@given(st.floats(width=32) | st.integers(-(2**20), 2**20))
def test_numbers_become_floats(value):
    (parameter,) = parameters_of('extern "C" __global__ void f(float eps) {}', "f", {})
    got = launcher.check_for(parameter, "f")(value)
    assert type(got) is np.float32
    assert got == value or value != value
    for wrong in (None, "1", True, np.ones(1)):
        with pytest.raises(TypeError, match=r"^eps of f must be a number; got"):
            launcher.check_for(parameter, "f")(wrong)


def test_arguments_are_counted(texts):
    x = texts.xp.zeros(32, np.float32)
    for args in [(), (x, x, 1.0), (x, x, 1.0, 32, 0)]:
        with pytest.raises(TypeError, match=rf"^reversed in right.cu takes 4 arguments; got {len(args)}$"):
            launch("right.cu", "reversed", *args, **ONE)


def test_what_is_no_fitting_array_is_refused(texts):
    xp = texts.xp
    where = "x of reversed in right.cu must be"
    cases = {
        rf"^{where} an array on the device; got ndarray$": np.zeros(32, np.float32),
        rf"^{where} an array on the device; got float$": 1.0,
        rf"^{where} float32; got float64$": xp.zeros(32),
        rf"^{where} C-contiguous; got strides \(8,\) of shape \(32,\)$": xp.zeros(64, np.float32)[::2],
        rf"^{where} C-contiguous": xp.zeros((8, 4), np.float32).T,
    }
    for message, x in cases.items():
        with pytest.raises((TypeError, ValueError), match=message):
            reversed_(texts, x)
    reversed_(texts, xp.zeros((8, 4), np.float32)[:, :])


def test_the_dtype_follows_the_defines(texts):
    pytest.importorskip("ml_dtypes")
    x, wide = texts.xp.zeros(4, np.float32), texts.xp.zeros(4, np.float32)
    narrow = texts.xp.zeros(4, launcher.np.dtype("bfloat16"))
    for y, T in [(wide, "float"), (narrow, "__nv_bfloat16")]:
        launch("right.cu", "stored", x, y, 4, **ONE | {"defines": {"T": T, "SHIFT": 1.0}})
    with pytest.raises(TypeError, match=r"^y of stored in right.cu must be bfloat16; got float32$"):
        launch("right.cu", "stored", x, wide, 4, **ONE | {"defines": {"T": "__nv_bfloat16", "SHIFT": 1.0}})


def test_arrays_are_on_the_current_device(texts, monkeypatch):
    monkeypatch.setattr(backend, "current_device", lambda: 1)
    with pytest.raises(
        ValueError, match=r"^reversed in right.cu: all arrays must be on the current device 1; got one on 0$"
    ):
        reversed_(texts)


def test_grids_and_blocks_have_limits(texts):
    for block in (0, 1025, (32, 33), (32, 0)):
        with pytest.raises(ValueError, match="block must have 1 to 1024 threads"):
            reversed_(texts, block=block)
    for grid in ((1, 2**16), 2**31, (1, 1, 2**16)):
        with pytest.raises(ValueError, match="grid may be at most"):
            reversed_(texts, grid=grid)


def test_no_blocks_launch_nothing_but_are_checked(texts):
    before = len(texts.emulator.launches)
    reversed_(texts, grid=(0, 3))
    assert len(texts.emulator.launches) == before
    with pytest.raises(TypeError):
        reversed_(texts, grid=0, by=None)


def test_a_text_is_compiled_once_per_set_of_defines(texts, monkeypatch):
    compiled, compile = [], backend.raw_module
    monkeypatch.setattr(backend, "raw_module", lambda code, options: compiled.append(code) or compile(code, options))
    for shift in (0.5, 0.5, 1.5):
        reversed_(texts, defines={"T": "float", "SHIFT": shift})
        launch("right.cu", "nothing", **ONE | {"defines": {"SHIFT": shift, "T": "float"}})
    assert len(compiled) == 2


def test_defines_come_after_cudas_headers_and_before_ours(texts):
    text = launcher.program("right.cu", (("SHIFT", 0.5), ("T", "float")))
    lines = text.splitlines()
    assert lines[:3] == ["#include <cuda_bf16.h>", "#define SHIFT 0.5f", "#define T float"]
    assert text.count("#include") == 1
    assert text.count("float twice(float x)") == 1
    assert lines[lines.index('#line 1 "twice.cuh"') + 1].startswith("__device__ inline float twice")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_written_as_a_float(value):
    text = literal(value)
    assert text.endswith("f")
    assert float(text[:-1]) == value
    assert set(text) & set(".e")  # 1f would be no number in C


def test_other_defines_are_written_as_they_are():
    assert [literal(value) for value in (3, -1, True, "float", "(1 + 2)")] == ["3", "-1", "1", "float", "(1 + 2)"]
    with pytest.raises(ValueError, match=r"^a define must be finite; got inf$"):
        literal(float("inf"))
