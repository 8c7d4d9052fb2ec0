"""Causal attention on a GPU, forward and backward, which never stores the (T, T) weights.

attention.cu explains the kernels, attention_bfloat16.cu those that use tensor cores for bfloat16.  A head has up to 128
numbers, for bfloat16 a multiple of 16; bfloat16 heads of other widths are computed in float32.
float32 is multiplied in float32 under every precision, "tf32" too.
"""

import math
from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.ops.attention import split_heads
from tinygrad_gpt.rng import LazyMask

_MAX_HEAD_WIDTH = 128  # numbers of a head: four tiles of them fit into shared memory
_ALIGNMENT = 16  # bytes that are loaded at once
NONE, ARRAY, DRAWN = 0, 1, 2  # no mask, an array, or drawn by the kernel: DROP in attention.cuh


def accepts_causal_attention(
    qkv: Array, dropout_mask: Array | LazyMask | None = None, *, n_heads: int = 1, **settings: Any
) -> bool:
    """True if a head has at most 128 numbers."""
    return bool(qkv.shape[-1] <= 3 * n_heads * _MAX_HEAD_WIDTH)


def causal_attention(qkv: Array, dropout_mask: Array | LazyMask | None = None, *, n_heads: int) -> tuple[Array, Vjp]:
    """qkv (B, T, 3C) of float32 or bfloat16, dropout_mask (B, H, T, T): an array, a LazyMask or None  ->  y (B, T, C).

    Saved: qkv, y and one number per row of weights.  Backward draws a LazyMask again.
    """
    B, H, T, D = split_heads(qkv, n_heads).shape[1:]
    xp, narrow = array_module(qkv), qkv.dtype.itemsize == 2
    if not qkv.size:
        return xp.empty((B, T, H * D), qkv.dtype), lambda dy: (
            xp.empty_like(qkv),
            *([] if dropout_mask is None else [None]),
        )
    if narrow and D % 16:
        return _attention_through_float32(qkv, dropout_mask, n_heads)
    qkv = _as_aligned(qkv)
    mode, mask_arguments = _mask_arguments(xp, dropout_mask, (B, H, T, T))
    y, lse = xp.empty((B, T, H * D), qkv.dtype), xp.empty((B, H, T), xp.float32)
    tile = _tile_size(D, narrow)
    file = "attention_bfloat16.cu" if narrow else "attention.cu"
    defines = {"D": D, "TILE": tile, "DROP": mode, "STORAGE": "__nv_bfloat16" if narrow else "float"}

    def run(kernel: str, *arrays: Array) -> None:
        grid, block = (-(-T // tile), H, B), tile * (2 if narrow else 4)
        launch(file, kernel, *arrays, T, H, 1 / math.sqrt(D), *mask_arguments, grid=grid, block=block, defines=defines)

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        dy, delta, dqkv = _as_aligned(dy), xp.empty_like(lse), xp.empty_like(qkv)
        rows, warps = B * T * H, 4
        launch(
            file, "attention_rowsums", y, dy, delta, B, T, H, grid=-(-rows // warps), block=32 * warps, defines=defines
        )
        run("attention_backward_kv", qkv, dy, lse, delta, dqkv)
        run("attention_backward_q", qkv, dy, lse, delta, dqkv)
        return (dqkv,) if dropout_mask is None else (dqkv, None)

    run("attention_forward", qkv, y, lse)
    return y, vjp


def _tile_size(D: int, narrow: bool) -> int:
    """The number of queries, and of keys, in a tile: four tiles of rows of D numbers must fit into 48 KB."""
    return (64 if narrow else 32) // (1 if D <= 64 else 2)


def _mask_arguments(xp: Any, mask: Array | LazyMask | None, shape: tuple[int, ...]) -> tuple[int, tuple[Any, ...]]:
    """NONE, ARRAY or DRAWN, and the kernels' arguments for such a mask.  Raises ValueError unless it has this shape."""
    if mask is None:
        return NONE, (None, 0, 0, 0, 0, 0, 1.0)
    if not isinstance(mask, LazyMask):
        return ARRAY, (xp.ascontiguousarray(xp.broadcast_to(mask, shape), dtype=xp.float32), 0, 0, 0, 0, 0, 1.0)
    if mask.shape != shape:
        raise ValueError(f"dropout_mask must have the shape of the weights {shape}; got {mask.shape}")
    return DRAWN, (None, mask.seed, mask.step, mask.first_row, mask.site, mask.kept, mask.scale)


def _attention_through_float32(qkv: Array, dropout_mask: Array | LazyMask | None, n_heads: int) -> tuple[Array, Vjp]:
    """Attention of 16-bit numbers, computed in float32."""
    y, wide_vjp = causal_attention(qkv.astype("float32"), dropout_mask, n_heads=n_heads)

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        dqkv, *rest = wide_vjp(dy.astype("float32"))
        return (dqkv.astype(dy.dtype), *rest)  # type: ignore[union-attr]

    return y.astype(qkv.dtype), vjp


def _as_aligned(x: Array) -> Array:
    """x, or a copy of it that is C-contiguous and whose address is a multiple of 16 bytes."""
    xp = array_module(x)
    return xp.ascontiguousarray(x) if x.data.ptr % _ALIGNMENT == 0 else xp.array(x, order="C")
