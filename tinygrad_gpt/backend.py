"""NumPy or CuPy: the data decides.  The only module that imports cupy."""

import math
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray: the two share an interface, not a base class
Vjp = Callable[[Array], tuple[Array | None, ...]]  # dLoss/dy -> one dLoss/dx (or None) per array that went in

DEVICES = ("cpu", "cuda", "auto")
INSTALL_CUDA = 'pip install "cupy-cuda12x[ctk]>=14,<15"  (or cupy-cuda13x, as nvidia-smi names the driver)'


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
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}; got {device!r}")
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
    try:
        import cupy
    except ImportError:
        return f"CuPy is not installed; {INSTALL_CUDA}"
    except RuntimeError as error:  # CuPy reports a broken CUDA installation as RuntimeError
        return f"CuPy cannot be loaded ({error})"
    if not cupy.cuda.is_available():
        return "CuPy is installed, but finds no NVIDIA driver or no GPU (try nvidia-smi)"
    return None


def to_device(array: Array, device: str) -> Array:
    """array on "cpu" or "cuda": the one place where a device has a name."""
    if resolve_device(device) == "cpu":
        return to_host(array)
    import cupy

    return cupy.asarray(array)


def to_host(array: Array) -> Array:
    """array as NumPy's.  For a CuPy array this waits for the device and copies."""
    return np.asarray(array) if array_module(array) is np else array.get()


def scatter_add(out: Array, ids: Array, values: Array) -> None:
    """out[ids] += values, repeated ids accumulating.  out (V, ...), ids (N) of int from 0, values (N, ...).

    The order of the additions is fixed, so the result is the same bits every time: rows are sorted by id
    (stably) and each run of equal ids is summed.  `out[ids] += values` would keep one row of each id.
    """
    if not len(ids):
        return
    xp = array_module(out)
    order = xp.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), sorted_ids[1:] != sorted_ids[:-1]]))
    out[sorted_ids[starts]] += xp.add.reduceat(values[order], starts, axis=0)


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
