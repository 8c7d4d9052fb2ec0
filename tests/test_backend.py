"""The backend on a machine that may have no GPU: what needs one is tested in tests/cuda."""

import importlib.abc
import math
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_gpt import backend
from tinygrad_gpt.backend import (
    UnavailableDeviceError,
    array_module,
    erf,
    resolve_device,
    scatter_add,
    to_device,
    to_host,
)


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # `import cupy` raises ImportError


@pytest.fixture
def blind_cupy(monkeypatch):
    """A CuPy that finds no GPU: what it says of the driver's CUDA may be set."""
    versions = SimpleNamespace(driver=0, runtime=13000)
    cupy = ModuleType("cupy")
    runtime = SimpleNamespace(driverGetVersion=lambda: versions.driver, runtimeGetVersion=lambda: versions.runtime)
    cupy.cuda = SimpleNamespace(is_available=lambda: False, runtime=runtime)
    cupy.get_array_module = lambda *arrays: np
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return versions


@given(st.data(), st.integers(1, 5), st.integers(0, 12), st.sampled_from([(), (1,), (3,), (2, 2)]))
def test_scatter_add_is_a_loop_of_additions(data, V, N, rest):
    ids = np.array(data.draw(st.lists(st.integers(0, V - 1), min_size=N, max_size=N)), np.int64)
    values = np.arange(1.0, 1 + N * math.prod(rest)).reshape(N, *rest)  # whole numbers: any order adds up alike
    got = np.full((V, *rest), 0.5)
    want = got.copy()
    for row, value in zip(ids, values, strict=True):
        want[row] += value
    kept_ids, kept_values = ids.copy(), values.copy()
    scatter_add(got, ids, values)
    assert got.tolist() == want.tolist()
    assert ids.tolist() == kept_ids.tolist()
    assert values.tolist() == kept_values.tolist()


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-1e6, 1e6, width=32)), min_size=1, max_size=40))
def test_scatter_add_stays_float32_and_near_the_exact_sum(pairs):
    ids, values = np.array([i for i, _ in pairs]), np.array([v for _, v in pairs], np.float32)
    out = np.zeros(3, np.float32)
    scatter_add(out, ids, values)
    again = np.zeros(3, np.float32)
    scatter_add(again, ids, values)
    assert out.dtype == np.float32
    assert out.tobytes() == again.tobytes()
    for row in range(3):
        mine = values[ids == row].astype(float)
        assert out[row] == pytest.approx(math.fsum(mine), abs=40 * 2.0**-23 * float(abs(mine).sum()) + 1e-40)


def test_scatter_add_into_a_view():
    out = np.zeros((4, 6))
    scatter_add(out[::2, ::3], np.array([1, 1, 0], np.uint8), np.ones((3, 2)))
    assert out.sum() == 6
    assert out[[0, 2]][:, [0, 3]].tolist() == [[1, 1], [2, 2]]


@pytest.mark.parametrize("device", ["gpu", "CUDA", "", "cuda:0", None])
def test_a_device_has_one_of_three_names(device):
    with pytest.raises(ValueError, match=f"^device must be one of cpu, cuda, auto; got {device!r}$"):
        resolve_device(device)


@pytest.mark.usefixtures("no_cupy")
def test_without_cupy_there_is_only_the_cpu():
    assert resolve_device("cpu") == resolve_device("auto") == "cpu"
    with pytest.raises(
        UnavailableDeviceError, match=r"'cuda' is not available: CuPy is not installed; pip install \"\.\[cuda12\]\""
    ) as error:
        resolve_device("cuda")
    assert "\n" not in str(error.value)
    with pytest.raises(UnavailableDeviceError):
        to_device(np.zeros(2), "cuda")


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (0, "there is no NVIDIA driver"),
        (12040, r"the NVIDIA driver is for CUDA 12, CuPy for CUDA 13; pip install \"\.\[cuda12\]\""),
        (13010, "the NVIDIA driver shows no GPU"),
    ],
)
def test_cupy_without_a_gpu_is_no_gpu(driver, reason, blind_cupy):
    blind_cupy.driver = driver
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UnavailableDeviceError, match=rf"^device 'cuda' is not available: {reason}") as error:
        resolve_device("cuda")
    assert "\n" not in str(error.value)
    backend.synchronize()


def test_a_cupy_that_cannot_be_loaded_is_no_cupy(monkeypatch):
    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise RuntimeError("two CuPys are installed")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UnavailableDeviceError, match=r"CuPy cannot be loaded \(two CuPys are installed\)$"):
        resolve_device("cuda")


def unimportable(monkeypatch, package, error):
    """Importing the package raises the error."""

    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == package:
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])


READ_ONLY = PermissionError(13, "Permission denied", "/home/me/.cupy")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            READ_ONLY,
            r"\(\[Errno 13\] Permission denied: '/home/me/.cupy'\); set CUPY_CACHE_DIR to a folder that can be written",
        ),
        (OSError(30, "Read-only file system", "/home/me"), r"\(\[Errno 30\] .*\); set CUPY_CACHE_DIR to a folder.*"),
        (OSError("libnvrtc.so.13: cannot open"), r"\(libnvrtc.so.13: cannot open\); pip install .*"),
        (AttributeError("_ARRAY_API not found"), r"\(_ARRAY_API not found\)"),
        (ValueError("numpy.dtype size changed"), r"\(numpy.dtype size changed\)"),
    ],
    ids=str,
)
def test_whatever_importing_cupy_raises_is_a_reason(error, said, monkeypatch):
    unimportable(monkeypatch, "cupy", error)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UnavailableDeviceError, match=rf"^device 'cuda' is not available: CuPy .* loaded {said}$"):
        resolve_device("cuda")


def test_a_gpu_that_cannot_be_asked_is_no_gpu(blind_cupy, monkeypatch):
    def broken():
        raise RuntimeError("cudaErrorSystemNotReady: system not yet initialized")

    monkeypatch.setattr(sys.modules["cupy"].cuda, "is_available", broken)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UnavailableDeviceError, match=r"CuPy cannot use the GPU \(cudaErrorSystemNotReady: .*\); nv"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("no", name="matplotlib"), "matplotlib is not installed; pip install matplotlib"),
        (
            OSError(30, "Read-only file system", "/tmp"),
            "matplotlib cannot be loaded ([Errno 30] Read-only file system: '/tmp'); set MPLCONFIGDIR to a folder that "
            "can be written",
        ),
        (
            ValueError("Key backend: 'foo' is not a valid value for backend"),
            "matplotlib cannot be loaded (Key backend: 'foo' is not a valid value for backend)",
        ),
    ],
    ids=["missing", "read-only", "setting"],
)
def test_whatever_importing_another_package_raises_is_a_reason_too(error, said, monkeypatch):
    unimportable(monkeypatch, "matplotlib", error)
    assert backend.why_not_importable("matplotlib") == said
    with pytest.raises(ImportError) as caught:
        backend.require("matplotlib")
    assert str(caught.value) == said


def test_a_package_that_can_be_imported_is_fine():
    assert backend.why_not_importable("json") is None
    backend.require("json")


ADVICE = """
Failed to import CuPy.
If you installed CuPy via wheels, make sure that the package matches the version of CUDA.
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError(ADVICE), "Failed to import CuPy."),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "No module named 'fastrlock'"),
        (ImportError(), "ImportError"),
    ],
    ids=["advice", "another module", "silent"],
)
@pytest.mark.parametrize("cause", [None, ImportError("libnvrtc.so.13: cannot open\nshared object file")], ids=str)
def test_a_cupy_that_is_broken_is_not_called_missing(error, said, cause, monkeypatch):
    """CuPy wraps what has failed in a page of advice: the cause is told, in one line."""

    class Broken(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error from cause

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    said = "libnvrtc.so.13: cannot open" if cause else said
    with pytest.raises(UnavailableDeviceError, match=rf"CuPy cannot be loaded \({said}\); pip install") as caught:
        resolve_device("cuda")
    assert "\n" not in str(caught.value)
    assert "not installed" not in str(caught.value)
    assert resolve_device("auto") == "cpu"


def test_products_need_cublas(monkeypatch):
    for name in ("cupy_backends", "cupy_backends.cuda", "cupy_backends.cuda.libs"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(UnavailableDeviceError, match=r"^cuBLAS, for matrix products, cannot be .*; pip install"):
        backend.cublas()


def test_a_missing_device_is_a_runtime_error():
    assert issubclass(UnavailableDeviceError, RuntimeError)


def test_numpys_arrays_are_numpys():
    x = np.arange(3)
    assert array_module(x) is array_module(x, 2.0) is array_module() is np
    assert to_host(x) is x
    assert to_device(x, "cpu") is x
    assert to_host([1, 2]).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (4,), (2, 3)])
def test_erf_entry_by_entry(dtype, shape):
    x = np.linspace(-3, 3, math.prod(shape), dtype=dtype).reshape(shape)
    y = erf(x)
    assert (y.dtype, y.shape) == (dtype, shape)
    assert y.ravel().tolist() == [dtype(math.erf(value)) for value in x.ravel()]


def test_nothing_imports_a_gpu_library_unless_asked():
    script = """
import sys, numpy as np, tinygrad_gpt as tg, tinygrad_gpt.kernels.cuda
model = tg.GPT(tg.GPTConfig(vocab_size=5, context_length=2, emb_dim=2, n_heads=1, n_layers=1))
model.loss(np.zeros((1, 2), int), np.zeros((1, 2), int)).backward()
tinygrad_gpt.backend.synchronize()
assert not {"cupy", "cupyx", "cupy_backends", "ml_dtypes", "matplotlib", "hypothesis"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
