"""Softmax and its logarithm along the last axis, one block per row."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_contiguous, storage_define, threads_for
from tinygrad_gpt.kernels.cuda.launcher import launch

_FILE = "softmax.cu"


def accepts_softmax(x: Array, *, axis: int = -1, **settings: Any) -> bool:
    """True if x is not empty and axis is its last axis."""
    return bool(x.size and x.ndim and axis in (-1, x.ndim - 1))


def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Vjp]:
    """Probabilities proportional to e^x."""
    return _along_rows("softmax", x)


def log_softmax(x: Array, *, axis: int = -1) -> tuple[Array, Vjp]:
    """Logarithms of the softmax."""
    return _along_rows("log_softmax", x)


def _along_rows(name: str, x: Array) -> tuple[Array, Vjp]:
    """Softmax or log_softmax, by the name of its kernel.  Saves only the result."""
    x = as_contiguous(x)
    n = x.shape[-1]
    how: dict[str, Any] = {"grid": x.size // n, "block": threads_for(n), "defines": storage_define(x)}
    y = array_module(x).empty_like(x)
    launch(_FILE, f"{name}_forward", x, y, n, **how)

    def vjp(dy: Array) -> tuple[Array]:
        dx = array_module(y).empty_like(y)
        launch(_FILE, f"{name}_backward", y, as_contiguous(dy), dx, n, **how)
        return (dx,)

    return y, vjp
