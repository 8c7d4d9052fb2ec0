"""The key-value cache in generation: one launch per transformer block and step."""

import math
from typing import Any

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels.cuda.arrays import WARP, as_contiguous, type_of
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.ops.attention import split_heads
from tinygrad_gpt.ops.kv_cache import NewTokens

_WARPS_PER_BLOCK = 8
_MAX_HEAD_WIDTH = 256  # numbers of a head: a lane keeps 8 of the query and 8 of the sum in registers


def accepts_head(qkv: Array, keys: Array, *rest: Any) -> bool:
    """True if a head has at most 256 numbers."""
    return bool(keys.shape[-1] <= _MAX_HEAD_WIDTH)


def append_kv(qkv: Array, keys: Array, values: Array, new: NewTokens) -> None:
    """Write the new tokens' keys and values, cut from qkv (B, T, 3C), into keys and values (B, H, L, D)."""
    _launch_by_head("append", as_contiguous(qkv), keys, values, new.first_and_count)


def append_and_attend(qkv: Array, keys: Array, values: Array, new: NewTokens) -> Array:
    """append_kv; then each new token attends to all tokens up to it.

    qkv (B, T, 3C), keys and values (B, H, L, D) of float32  ->  y (B, T, C), 0 at padding.
    """
    _, B, H, T, D = split_heads(qkv, keys.shape[1]).shape
    y = array_module(qkv).empty((B, T, H * D), qkv.dtype)
    _launch_by_head("attend", as_contiguous(qkv), keys, values, new.first_and_count, y, scale=(1 / math.sqrt(D),))
    return y


def _launch_by_head(kernel: str, qkv: Array, keys: Array, *arrays: Array, scale: tuple[float, ...] = ()) -> None:
    """Launch a kernel with one block per token and head."""
    (B, T, _), (_, H, L, D) = qkv.shape, keys.shape
    defines = {"D": D, "STORAGE": type_of(qkv), "WARPS": _WARPS_PER_BLOCK}
    launch(
        "decode.cu",
        kernel,
        qkv,
        keys,
        *arrays,
        H,
        L,
        *scale,
        grid=(T, H, B),
        block=WARP * _WARPS_PER_BLOCK,
        defines=defines,
    )
