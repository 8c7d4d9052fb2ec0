"""Dropout whose mask is drawn where it is used, by counting."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, accumulation_dtype, array_module
from tinygrad_gpt.kernels.cuda.arrays import THREADS, as_contiguous, blocks_for, storage_define
from tinygrad_gpt.kernels.cuda.elementwise import multiply_by_mask
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.rng import LazyMask

_MAX_BLOCKS = 2**16 - 1  # blocks along the second axis of a grid


def accepts_dropout(x: Array, keep: Array | LazyMask = None) -> bool:
    """Whether the mask has the shape of x."""
    return keep is not None and bool(keep.shape == x.shape)


def dropout(x: Array, keep: Array | LazyMask) -> tuple[Array, Vjp]:
    """x times a mask of its shape, which is given, or drawn as it is needed: then nothing is saved but its name."""
    if isinstance(keep, LazyMask):
        return _apply_dropout(x, keep), lambda dy: (_apply_dropout(dy, keep), None)
    return multiply_by_mask(x, keep), lambda dy: (multiply_by_mask(dy, keep), None)


def _apply_dropout(x: Array, keep: LazyMask) -> Array:
    """x times a mask that nobody writes down."""
    x = as_contiguous(x)
    y = array_module(x).empty_like(x)
    launch("dropout.cu", "drop", x, y, *_mask_key(keep), keep.scale, **_grid_of(keep), defines=storage_define(x))
    return y


def draw_mask(keep: LazyMask, like: Array) -> Array:
    """The mask written down, where `like` is and float64 if it is, else float32: Dropout.keep's, bit for bit."""
    mask = array_module(like).empty(keep.shape, accumulation_dtype(like.dtype))
    if mask.size:
        launch(
            "mask.cu", "draw_mask", mask, *_mask_key(keep), keep.scale, **_grid_of(keep), defines=storage_define(mask)
        )
    return mask


def _mask_key(keep: LazyMask) -> tuple[int, ...]:
    """Which bits a mask takes, as kernels are told."""
    return keep.shape[0], keep.per_row, keep.seed, keep.step, keep.first_row, keep.site, keep.kept


def _grid_of(keep: LazyMask) -> dict[str, Any]:
    """A thread for every 16 entries of a row, rows along the second axis."""
    return {"grid": (blocks_for(keep.per_row, 16 * THREADS), min(keep.shape[0], _MAX_BLOCKS)), "block": THREADS}
