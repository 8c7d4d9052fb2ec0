"""NumPy or CuPy, whichever made the arrays.  This is the only module that imports cupy."""

import math
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share an interface, not a base class
Vjp = Callable[[Array], tuple[Array | None, ...]]  # dLoss/dy -> dLoss/dx (or None) for each input array of the op

_DEVICES = ("cpu", "cuda", "auto")
_INSTALL_CUDA = 'pip install ".[cuda12]" (or ".[cuda13]", as nvidia-smi names the CUDA of the driver)'
_PACKAGE_NAMES = {"cupy": "CuPy"}  # packages whose name differs from the one that is imported
# Environment variables that set the folder a package writes to.
_CACHE_VARIABLES = {"cupy": "CUPY_CACHE_DIR", "matplotlib": "MPLCONFIGDIR"}


class UnavailableDeviceError(RuntimeError):
    """A GPU was requested but cannot be used.  The text says why, and what to do."""


def array_module(*arrays: Array) -> ModuleType:
    """numpy, or cupy if any of these arrays is CuPy's."""
    cupy = sys.modules.get("cupy")  # if cupy is not imported yet, no array is CuPy's
    return np if cupy is None else cast(ModuleType, cupy.get_array_module(*arrays))


def resolve_device(device: str) -> str:
    """ "cpu" or "cuda" for "cpu", "cuda" or "auto" (a GPU if there is one).

    Raises ValueError for any other name, UnavailableDeviceError if "cuda" is requested and cannot be used.
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

    An import runs the package's code, so it may raise any exception, for example for a missing library, a folder that
    cannot be written, or a wrong setting.
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
    """The first line of an error's text that is not empty; the name of its type if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def to_device(array: Array, device: str) -> Array:
    """array on "cpu" or "cuda"; of several GPUs, on CuPy's current one."""
    if resolve_device(device) == "cpu":
        return to_host(array)
    import cupy

    return cupy.asarray(array)


def to_host(array: Array) -> Array:
    """array as a NumPy array, on the CPU (the "host").  For a CuPy array this waits for the GPU and copies."""
    return np.asarray(array) if array_module(array) is np else array.get()


def accumulation_dtype(dtype: Any) -> Any:
    """The dtype for sums of numbers of this dtype: float32 for those of 16 bits, else the dtype itself.

    In float16, a sum of ones stops growing at 2,048, the square of 256 overflows, and 1e-8 is 0.
    """
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "iu" else dtype  # bfloat16 has kind V


def to_accumulation_dtype(x: Array) -> Array:
    """x in float32 if its numbers have 16 bits, else x itself."""
    return x.astype(accumulation_dtype(x.dtype), copy=False)


def to_input_dtype(y: Array, dtype: Any) -> Array:
    """y, computed in the accumulation dtype, cast to a dtype of 16 bits; for any other dtype y itself."""
    return y if accumulation_dtype(dtype) is dtype else y.astype(dtype)


def cast_to(dtypes: Iterable[Any], *arrays: Array) -> tuple[Array, ...]:
    """Each array cast to its entry of dtypes, without a copy if possible: gradients get their inputs' dtypes."""
    return tuple(array.astype(dtype, copy=False) for array, dtype in zip(arrays, dtypes, strict=True))


def scatter_add(out: Array, ids: Array, values: Array) -> None:
    """out[id] += row, for each id and row of values.  out (V, ...), ids (N) of int from 0, values (N, ...).

    The rows of a repeated id add up; NumPy's `out[ids] += values` would add only one of them.  The order of the
    additions is fixed, so the result is the same bits every time: rows are sorted by id (stably), and each run of equal
    ids is summed.
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
    """scatter_add for sorted ids, on the CPU."""
    starts = np.flatnonzero(np.concatenate([np.ones(1, bool), ids[1:] != ids[:-1]]))
    out[ids[starts]] += np.add.reduceat(values, starts, axis=0)


def _add_runs_by_doubling(out: Array, ids: Array, values: Array) -> None:
    """scatter_add for sorted ids, on a GPU: the host need not wait for the number of runs.  Overwrites values.

    After the pass at distance d, row i is the sum of those rows from i - 2d + 1 to i that have the same id as row i.
    So in the end the last row of each run is the run's sum.
    """
    xp, distance = array_module(out), 1
    rest = (1,) * (values.ndim - 1)
    while distance < len(ids):
        same = (ids[distance:] == ids[:-distance]).reshape(-1, *rest)
        values[distance:] += xp.where(same, values[:-distance], 0)
        distance *= 2
    all_ids = xp.arange(len(out))
    last = xp.searchsorted(ids, all_ids, side="right") - 1  # -1 for ids below all: the last id, which differs
    occurs = (ids[last] == all_ids).reshape(-1, *rest)
    out += xp.where(occurs, values[last], 0)


def synchronize() -> None:
    """Wait until the GPU has finished its work.  Without a GPU this does nothing."""
    cupy = sys.modules.get("cupy")
    if cupy is not None and cupy.cuda.is_available():
        cupy.cuda.Device().synchronize()


def erf(x: Array) -> Array:
    """The error function of each entry, in x's dtype.  NumPy has none, so on the CPU this is a Python loop."""
    if array_module(x) is np:
        return np.array([math.erf(value) for value in x.flat], x.dtype).reshape(x.shape)
    import cupyx.scipy.special

    return cupyx.scipy.special.erf(x)


def raw_module(code: str, options: tuple[str, ...]) -> Any:
    """CUDA source as a CuPy module, which is compiled for the current device when its first kernel is launched."""
    import cupy

    return cupy.RawModule(code=code, options=options)


def current_device() -> int:
    """The number of the GPU in use."""
    import cupy

    return cast(int, cupy.cuda.runtime.getDevice())


def current_stream() -> int:
    """The address of the stream in use.  Work on one stream runs in order; work on two streams can run in any order."""
    import cupy

    return cast(int, cupy.cuda.get_current_stream().ptr)


def cublas() -> ModuleType:
    """CuPy's thin layer over cuBLAS.

    It is imported on first use, because only products need it.  This form of the import also finds a cuBLAS that pip
    has installed.  Raises UnavailableDeviceError if there is none.
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
