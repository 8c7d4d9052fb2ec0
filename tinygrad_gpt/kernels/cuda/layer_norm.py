"""Layer norm, one warp per row."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import TYPES, WARP, as_contiguous, as_rows, blocks_for
from tinygrad_gpt.kernels.cuda.columns import column_sums
from tinygrad_gpt.kernels.cuda.launcher import Define, launch
from tinygrad_gpt.kernels.cuda.precision import bfloat16, current_precision

_FILE = "layer_norm.cu"
_ROWS_PER_BLOCK = 4  # forward
_SHARED_FLOATS = 12288  # floats in a block's shared memory, backward: 48 KB, which it has by default
MAX_WARPS, MAX_BLOCKS = 8, 528  # backward; four blocks for each of an H100's 132 multiprocessors


def accepts_layer_norm(x: Array, gain: Array = None, bias: Array = None, **settings: Any) -> bool:
    """True if all arrays are float32, the shapes fit, x is not empty, and a row has at most 6,144 entries."""
    if bias is None or not x.ndim or not x.size or 2 * x.shape[-1] > _SHARED_FLOATS:
        return False
    return all(array.dtype.name == "float32" and array.shape == x.shape[-1:] for array in (gain, bias))


def layer_norm(x: Array, gain: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Vjp]:
    """x (..., C), gain (C), bias (C) of float32  ->  y (..., C), stored in bfloat16 under that precision.

    Saves x, gain, and each row's mean and 1/(standard deviation).
    """
    xp, shape, C = array_module(x), x.shape, x.shape[-1]
    rows, gain = as_rows(x), as_contiguous(gain)
    N = len(rows)
    y = xp.empty(rows.shape, bfloat16() if current_precision() == "bfloat16" else rows.dtype)
    mean, rstd = xp.empty(N, rows.dtype), xp.empty(N, rows.dtype)
    stored: dict[str, Define] = {"T": TYPES[y.dtype.name], "SUMS": _SHARED_FLOATS}
    forward = rows, gain, as_contiguous(bias), y, mean, rstd, N, C, eps
    launch(
        _FILE,
        "layer_norm_forward",
        *forward,
        grid=blocks_for(N, _ROWS_PER_BLOCK),
        block=_ROWS_PER_BLOCK * WARP,
        defines=stored,
    )

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        warps = min(MAX_WARPS, _SHARED_FLOATS // (2 * C))
        blocks = min(MAX_BLOCKS, blocks_for(N, warps))
        dx = xp.empty_like(rows)
        partial = xp.empty((2, blocks, C), rows.dtype)  # of the gradients of gain and bias
        backward = rows, mean, rstd, gain, as_rows(dy), dx, partial[0], partial[1], N, C
        launch(_FILE, "layer_norm_backward", *backward, grid=blocks, block=warps * WARP, defines=stored)
        return dx.reshape(shape), column_sums(partial[0]), column_sums(partial[1])

    return y.reshape(shape), vjp
