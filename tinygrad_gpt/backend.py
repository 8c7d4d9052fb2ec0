"""NumPy or CuPy: the data decides.  The only module that imports cupy."""

import math
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share an interface, not a base class
Vjp = Callable[[Array], tuple[Array | None, ...]]  # dLoss/dy -> one dLoss/dx (or None) per array that went in

_DEVICES = ("cpu", "cuda", "auto")
_INSTALL_CUDA = 'pip install ".[cuda12]" (or ".[cuda13]", as nvidia-smi names the CUDA of the driver)'
_PACKAGE_NAMES = {"cupy": "CuPy"}  # packages that are written otherwise than imported
_CACHE_VARIABLES = {
    "cupy": "CUPY_CACHE_DIR",
    "matplotlib": "MPLCONFIGDIR",
}  # variables that name the folder a package writes to


class UnavailableDeviceError(RuntimeError):
    """A GPU was asked for and cannot be used.  The text says why, and how to get one."""


def array_module(*arrays: Array) -> ModuleType:
    """numpy, or cupy if any of these arrays is CuPy's."""
    cupy = sys.modules.get("cupy")  # before cupy is imported nobody can hold its arrays
    return np if cupy is None else cast(ModuleType, cupy.get_array_module(*arrays))


def resolve_device(device: str) -> str:
    """ "cpu" or "cuda" for "cpu", "cuda" or "auto" (a GPU if there is one).

    Raises ValueError for any other name, UnavailableDeviceError if "cuda" cannot be had.
    """
    if device not in _DEVICES:
        raise ValueError(f"device must be one of {', '.join(_DEVICES)}; got {device!r}")
    if device == "cpu":
        return "cpu"
    reason = why_no_cuda()
    if reason is None:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise UnavailableDeviceError(f"device 'cuda' is not available: {reason}")


def why_no_cuda() -> str | None:
    """None if a CUDA GPU can be used, else the reason and the remedy, in one line."""
    reason = why_not_importable("cupy", _INSTALL_CUDA)
    if reason is not None:
        return reason
    import cupy

    try:
        if cupy.cuda.is_available():
            return None
        driver, needed = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()  # 12040 is 12.4
    except Exception as error:  # CUDA's own errors, and whatever a broken installation raises
        return f"CuPy cannot use the GPU ({first_line(error)}); nvidia-smi would show whether the driver works"
    if not driver:
        return "there is no NVIDIA driver (nvidia-smi would show it)"
    if driver // 1000 < needed // 1000:
        return f"the NVIDIA driver is for CUDA {driver // 1000}, CuPy for CUDA {needed // 1000}; {_INSTALL_CUDA}"
    return "the NVIDIA driver shows no GPU (see nvidia-smi, and CUDA_VISIBLE_DEVICES if it is set)"


def why_not_importable(package: str, install: str | None = None) -> str | None:
    """None if the package can be imported, else the reason and the remedy, in one line.

    An import runs the package's code, so it may raise anything: for a library that is missing, a folder that cannot be
    written, a setting that is wrong.
    """
    name, install = _PACKAGE_NAMES.get(package, package), install or f"pip install {package}"
    try:
        import_module(package)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            return f"{name} is not installed; {install}"
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.filename is not None and package in _CACHE_VARIABLES:
            remedy = f"; set {_CACHE_VARIABLES[package]} to a folder that can be written"
        else:
            remedy = f"; {install}" if isinstance(error, ImportError | OSError) else ""
        return f"{name} cannot be loaded ({first_line(cause)}){remedy}"
    return None


def require(package: str, install: str | None = None) -> None:
    """Raise ImportError, with the reason and the remedy in one line, if the package cannot be imported."""
    reason = why_not_importable(package, install)
    if reason is not None:
        raise ImportError(reason)


def first_line(error: BaseException) -> str:
    """What an error says, without the page of advice that may follow; its type if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def to_device(array: Array, device: str) -> Array:
    """array on "cpu" or "cuda": the one place where a device has a name.  Of several GPUs, CuPy's current one."""
    if resolve_device(device) == "cpu":
        return to_host(array)
    import cupy

    return cupy.asarray(array)


def to_host(array: Array) -> Array:
    """array as NumPy's.  For a CuPy array this waits for the device and copies."""
    return np.asarray(array) if array_module(array) is np else array.get()


def accumulation_dtype(dtype: Any) -> Any:
    """What numbers of this dtype are added up in: float32 for those of 16 bits, else the dtype itself.

    A float16 sum stops counting at 2,048, a square overflows at 256, and 1e-8 is 0.
    """
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "iu" else dtype  # bfloat16 has kind V


def to_accumulation_dtype(x: Array) -> Array:
    """x in float32 if its numbers have 16 bits, else x itself."""
    return x.astype(accumulation_dtype(x.dtype), copy=False)


def to_input_dtype(y: Array, dtype: Any) -> Array:
    """y, computed from the widened, back in a dtype of 16 bits; for any other dtype y itself."""
    return y if accumulation_dtype(dtype) is dtype else y.astype(dtype)


def cast_to(dtypes: Iterable[Any], *arrays: Array) -> tuple[Array, ...]:
    """Each array in its dtype: gradients in those of their inputs, which may differ.  Nothing is copied needlessly."""
    return tuple(array.astype(dtype, copy=False) for array, dtype in zip(arrays, dtypes, strict=True))


def scatter_add(out: Array, ids: Array, values: Array) -> None:
    """out[ids] += values, repeated ids accumulating.  out (V, ...), ids (N) of int from 0, values (N, ...).

    The order of the additions is fixed, so the result is the same bits every time: rows are sorted by id
    (stably) and each run of equal ids is summed.  `out[ids] += values` would keep one row of each id.
    """
    if not len(ids):
        return
    xp, values = array_module(out), to_accumulation_dtype(values)
    order = xp.argsort(ids, kind="stable")
    if xp is np:
        _add_runs(out, ids[order], values[order])
    else:
        _add_runs_by_doubling(out, ids[order], values[order])


def _add_runs(out: Array, ids: Array, values: Array) -> None:
    """scatter_add for sorted ids."""
    starts = np.flatnonzero(np.concatenate([np.ones(1, bool), ids[1:] != ids[:-1]]))
    out[ids[starts]] += np.add.reduceat(values, starts, axis=0)


def _add_runs_by_doubling(out: Array, ids: Array, values: Array) -> None:
    """The same without asking how many runs there are, for which the host would have to wait.  Writes to values.

    After the pass at distance d a row holds the sum of the last 2d rows up to it, as far as they have its id; so in
    the end the last row of each run holds all of it.
    """
    xp, distance = array_module(out), 1
    rest = (1,) * (values.ndim - 1)
    while distance < len(ids):
        same = (ids[distance:] == ids[:-distance]).reshape(-1, *rest)
        values[distance:] += xp.where(same, values[:-distance], 0)
        distance *= 2
    every = xp.arange(len(out))
    last = xp.searchsorted(ids, every, side="right") - 1  # -1 where an id is below all: the largest, which differs
    occurs = (ids[last] == every).reshape(-1, *rest)
    out += xp.where(occurs, values[last], 0)


def synchronize() -> None:
    """Wait until the device has done what was asked of it (nothing to wait for on a CPU)."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and cupy.cuda.is_available():
        cupy.cuda.Device().synchronize()


def erf(x: Array) -> Array:
    """The error function, entry by entry, in x's dtype.  NumPy has none: on the CPU this is a Python loop."""
    if array_module(x) is np:
        return np.array([math.erf(value) for value in x.flat], x.dtype).reshape(x.shape)
    import cupyx.scipy.special

    return cupyx.scipy.special.erf(x)


def raw_module(code: str, options: tuple[str, ...]) -> Any:
    """CUDA text as a CuPy module; it is compiled, for the current device, when a kernel of it is first launched."""
    import cupy

    return cupy.RawModule(code=code, options=options)


def current_device() -> int:
    """The number of the GPU in use."""
    import cupy

    return cast(int, cupy.cuda.runtime.getDevice())


def current_stream() -> int:
    """The address of the stream in use: what is launched on one runs in order, on another it may overtake."""
    import cupy

    return cast(int, cupy.cuda.get_current_stream().ptr)


def cublas() -> ModuleType:
    """CuPy's thin layer over cuBLAS.

    Imported on first use, for nothing but products needs it; in this form of import, which finds a cuBLAS that pip has
    installed.  Raises UnavailableDeviceError without one.
    """
    try:
        from cupy_backends.cuda.libs import cublas
    except Exception as error:
        reason = f"cuBLAS, for matrix products, cannot be loaded ({first_line(error)}); {_INSTALL_CUDA}"
        raise UnavailableDeviceError(reason) from None
    return cast(ModuleType, cublas)


def cublas_handle() -> int:
    """cuBLAS's handle for the current device and stream."""
    import cupy

    return cast(int, cupy.cuda.get_cublas_handle())
