"""What wrappers need of arrays before a launch: in one piece, counted in blocks, their type by CUDA's name."""

import math

from tinygrad_gpt.backend import Array, array_module

TYPES = {"float32": "float", "float64": "double", "bfloat16": "__nv_bfloat16"}
WARP = 32
THREADS = 256  # of a block, where nothing speaks for another number


def as_contiguous(x: Array) -> Array:
    """x, or a copy of it in C order: kernels know no strides."""
    return x if x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def as_rows(x: Array) -> Array:
    """x (..., C) -> (N, C), in C order.  An axis in front counts as one row."""
    return as_contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def type_of(x: Array) -> str:
    """The C name of an array's entries."""
    return TYPES[x.dtype.name]


def storage_define(x: Array) -> dict[str, str]:
    """The define that tells a kernel how x is stored."""
    return {"T": type_of(x)}


def blocks_for(n: int, each: int) -> int:
    """How many blocks it takes if each does so many."""
    return -(-n // each)


def threads_for(n: int, most: int = 512) -> int:
    """Whole warps for a row of n entries, no more than it can use."""
    return min(most, WARP * max(1, blocks_for(n, WARP)))


def grid_by_fours(n: int) -> dict[str, int]:
    """Grid and block for n entries, four to a thread."""
    return {"grid": blocks_for(n, 4 * THREADS), "block": THREADS}
