"""Dropout with a mask that the kernel itself draws, from its random-number key."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, accumulation_dtype, array_module
from tinygrad_gpt.kernels.cuda.arrays import THREADS, as_contiguous, blocks_for, storage_define
from tinygrad_gpt.kernels.cuda.elementwise import multiply_by_mask
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.rng import LazyMask

_MAX_BLOCKS = 2**16 - 1  # blocks along the second axis of a grid


def accepts_dropout(x: Array, mask: Array | LazyMask = None) -> bool:
    """True if the mask has the shape of x."""
    return mask is not None and bool(mask.shape == x.shape)


def dropout(x: Array, mask: Array | LazyMask) -> tuple[Array, Vjp]:
    """x times a mask of its shape, an array or a LazyMask; of a LazyMask only the key is saved."""
    if isinstance(mask, LazyMask):
        return _apply_dropout(x, mask), lambda dy: (_apply_dropout(dy, mask), None)
    return multiply_by_mask(x, mask), lambda dy: (multiply_by_mask(dy, mask), None)


def _apply_dropout(x: Array, mask: LazyMask) -> Array:
    """x times a mask that is not stored."""
    x = as_contiguous(x)
    y = array_module(x).empty_like(x)
    launch("dropout.cu", "drop", x, y, *_mask_key(mask), mask.scale, **_grid_of(mask), defines=storage_define(x))
    return y


def draw_mask(lazy: LazyMask, like: Array) -> Array:
    """The mask as an array on the device of `like`, float64 if `like` is, else float32: the bits of Dropout.mask."""
    mask = array_module(like).empty(lazy.shape, accumulation_dtype(like.dtype))
    if mask.size:
        launch(
            "mask.cu", "draw_mask", mask, *_mask_key(lazy), lazy.scale, **_grid_of(lazy), defines=storage_define(mask)
        )
    return mask


def _mask_key(mask: LazyMask) -> tuple[int, ...]:
    """A kernel's arguments for a mask."""
    return mask.shape[0], mask.per_row, mask.seed, mask.step, mask.first_row, mask.site, mask.kept


def _grid_of(mask: LazyMask) -> dict[str, Any]:
    """A grid with one thread per 16 entries of a row, and rows along the second axis."""
    return {"grid": (blocks_for(mask.per_row, 16 * THREADS), min(mask.shape[0], _MAX_BLOCKS)), "block": THREADS}
