"""What a step of generation does with remembered keys and values, in one launch per block of the model."""

import math
from collections.abc import Callable
from typing import Any, Protocol

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels.cuda.arrays import WARP, contiguous, type_of
from tinygrad_gpt.kernels.cuda.elementwise import cast
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.ops.attention import split_heads

WARPS = 8  # of a block
WIDEST = 256  # numbers of a head: a lane keeps 8 of the query and 8 of the sum in registers


class Places(Protocol):
    """Where new tokens belong: spans (2, B) of int64 on the device, each row's tokens seen before, and the new ones."""

    spans: Array


def remember(qkv: Array, keys: Array, values: Array, new: Places, *, otherwise: Callable[..., None]) -> None:
    """Write the new tokens' keys and values, cut from qkv (B, T, 3C), to their places in keys, values (B, H, L, D).

    Heads wider than 256 are left to `otherwise`: the function that this one stands in for.
    """
    if keys.shape[-1] > WIDEST:
        return otherwise(cast(qkv, keys.dtype), keys, values, new)
    run("remember", contiguous(qkv), keys, values, new.spans)


def cached_attention(qkv: Array, keys: Array, values: Array, new: Places, *, otherwise: Callable[..., Any]) -> Array:
    """Remember the new tokens' keys and values; let their queries attend to all up to them.

    qkv (B, T, 3C), keys and values (B, H, L, D) of float32  ->  y (B, T, C), 0 at padding.  Heads wider than 256 are
    left to `otherwise`, in float32.
    """
    _, B, H, T, D = split_heads(qkv, keys.shape[1]).shape
    if D > WIDEST:
        return cast(otherwise(cast(qkv, keys.dtype), keys, values, new), qkv.dtype)
    y = array_module(qkv).empty((B, T, H * D), qkv.dtype)
    run("attend", contiguous(qkv), keys, values, new.spans, y, scale=(1 / math.sqrt(D),))
    return y


def run(kernel: str, qkv: Array, keys: Array, *arrays: Array, scale: tuple[float, ...] = ()) -> None:
    """Launch a kernel with a block for each token and head."""
    (B, T, _), (_, H, L, D) = qkv.shape, keys.shape
    defines = {"D": D, "STORAGE": type_of(qkv), "WARPS": WARPS}
    launch("decode.cu", kernel, qkv, keys, *arrays, H, L, *scale, grid=(T, H, B), block=WARP * WARPS, defines=defines)
