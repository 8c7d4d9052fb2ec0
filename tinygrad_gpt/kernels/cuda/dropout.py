"""Dropout whose mask is drawn where it is used, by counting."""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module, wide_dtype
from tinygrad_gpt.kernels.cuda.arrays import THREADS, blocks_for, contiguous, stored_as
from tinygrad_gpt.kernels.cuda.elementwise import multiplied
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.rng import LazyMask

MOST = 2**16 - 1  # blocks along the second axis of a grid


def accepts_dropout(x: Array, keep: Array | LazyMask = None) -> bool:
    """Whether the mask has the shape of x."""
    return keep is not None and bool(keep.shape == x.shape)


def dropout(x: Array, keep: Array | LazyMask) -> tuple[Array, Vjp]:
    """x times a mask of its shape, which is given, or drawn as it is needed: then nothing is saved but its name."""
    if isinstance(keep, LazyMask):
        return dropped(x, keep), lambda dy: (dropped(dy, keep), None)
    return multiplied(x, keep), lambda dy: (multiplied(dy, keep), None)


def dropped(x: Array, keep: LazyMask) -> Array:
    """x times a mask that nobody writes down."""
    x = contiguous(x)
    y = array_module(x).empty_like(x)
    launch("dropout.cu", "drop", x, y, *place(keep), keep.scale, **grid_of(keep), defines=stored_as(x))
    return y


def drawn(keep: LazyMask, like: Array) -> Array:
    """The mask written down, where `like` is and float64 if it is, else float32: Dropout.keep's, bit for bit."""
    mask = array_module(like).empty(keep.shape, wide_dtype(like.dtype))
    if mask.size:
        launch("mask.cu", "draw_mask", mask, *place(keep), keep.scale, **grid_of(keep), defines=stored_as(mask))
    return mask


def place(keep: LazyMask) -> tuple[int, ...]:
    """Which bits a mask takes, as kernels are told."""
    return keep.shape[0], keep.per_row, keep.seed, keep.step, keep.first_row, keep.site, keep.kept


def grid_of(keep: LazyMask) -> dict[str, Any]:
    """A thread for every 16 entries of a row, rows along the second axis."""
    return {"grid": (blocks_for(keep.per_row, 16 * THREADS), min(keep.shape[0], MOST)), "block": THREADS}
