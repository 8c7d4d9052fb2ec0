"""Preparing arrays for a launch: contiguous copies, grid sizes, and CUDA's names of dtypes."""

import math

from tinygrad_gpt.backend import Array, array_module

TYPES = {"float32": "float", "float64": "double", "bfloat16": "__nv_bfloat16"}
WARP = 32
THREADS = 256  # in a block, by default


def as_contiguous(x: Array) -> Array:
    """x, or a copy of it in C order: kernels do not handle strides."""
    return x if x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def as_rows(x: Array) -> Array:
    """x (..., C) -> (N, C), in C order; x (C) is one row."""
    return as_contiguous(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])


def type_of(x: Array) -> str:
    """The C name of an array's entries."""
    return TYPES[x.dtype.name]


def storage_define(x: Array) -> dict[str, str]:
    """The define that tells a kernel how x is stored."""
    return {"T": type_of(x)}


def blocks_for(n: int, each: int) -> int:
    """The number of blocks for n items, `each` items per block."""
    return -(-n // each)


def threads_for(n: int, most: int = 512) -> int:
    """The number of threads for a row of n entries: whole warps, at most one thread per entry, at most `most`."""
    return min(most, WARP * max(1, blocks_for(n, WARP)))


def grid_by_fours(n: int) -> dict[str, int]:
    """Grid and block for n entries, four per thread."""
    return {"grid": blocks_for(n, 4 * THREADS), "block": THREADS}
