"""Sums, products and casts across storage types."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_contiguous, grid_by_fours, type_of
from tinygrad_gpt.kernels.cuda.launcher import launch

_FILE = "elementwise.cu"


def _types_of(a: Array, b: Array) -> dict[str, str]:
    """The defines for a kernel: how a (and y) and b are stored."""
    return {"A_TYPE": type_of(a), "B_TYPE": type_of(b)}


def cast(x: Array, dtype: Any) -> Array:
    """x as float32 or bfloat16; x itself if it already has that dtype."""
    if x.dtype == dtype:
        return x
    x = as_contiguous(x)
    y = array_module(x).empty(x.shape, dtype)
    launch(_FILE, "cast", x, y, x.size, **grid_by_fours(x.size), defines=_types_of(y, x))
    return y


def scale(x: Array, above: Array, below: Array) -> Array:
    """x * above / below, for two float32 numbers () on the device."""
    x = as_contiguous(x)
    y = array_module(x).empty_like(x)
    launch(_FILE, "scale", x, as_contiguous(above), below, y, x.size, **grid_by_fours(x.size), defines=_types_of(x, x))
    return y


def multiply_by_mask(x: Array, mask: Array) -> Array:
    """x * mask, in the dtype of x."""
    x, mask = as_contiguous(x), as_contiguous(mask)
    y = array_module(x).empty_like(x)
    launch(_FILE, "multiply", x, mask, y, x.size, **grid_by_fours(x.size), defines=_types_of(x, mask))
    return y


def accepts_add(a: Array, b: Array = None) -> bool:
    """True for float32 plus bfloat16 of the same shape; the op does all other additions."""
    return b is not None and a.shape == b.shape and (a.dtype.name, b.dtype.name) == ("float32", "bfloat16")


def add(a: Array, b: Array) -> tuple[Array, Vjp]:
    """y = a + b: a in float32, such as the residual stream, b in bfloat16."""
    a, b = as_contiguous(a), as_contiguous(b)
    y, dtype = array_module(a).empty_like(a), b.dtype
    launch(_FILE, "add", a, b, y, y.size, **grid_by_fours(y.size), defines=_types_of(a, b))
    return y, lambda dy: (dy, cast(dy, dtype))
