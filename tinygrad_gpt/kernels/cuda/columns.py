"""Sums of columns, in a fixed order."""

from tinygrad_gpt.backend import Array, array_module
from tinygrad_gpt.kernels.cuda.arrays import WARP, blocks_for, storage_define
from tinygrad_gpt.kernels.cuda.launcher import launch

_ROWS_PER_PASS = 8  # rows that a block sums at a time
MIN_ROWS, MAX_BLOCKS = 128, 128  # rows per block, and blocks along the rows; a second launch adds up the blocks' sums


def column_sums(x: Array) -> Array:
    """x (N, M) of float32 or bfloat16, in C order  ->  (M) of float32."""
    rows, columns = x.shape
    per_block = max(MIN_ROWS, blocks_for(rows, MAX_BLOCKS))
    pieces = max(1, blocks_for(rows, per_block))
    sums = array_module(x).empty(columns if pieces == 1 else (pieces, columns), "float32")
    grid = (blocks_for(columns, WARP), pieces)
    launch(
        "columns.cu",
        "column_sums",
        x,
        sums,
        rows,
        columns,
        per_block,
        grid=grid,
        block=(WARP, _ROWS_PER_PASS),
        defines={**storage_define(x), "TALL": _ROWS_PER_PASS},
    )
    return sums if pieces == 1 else column_sums(sums)
