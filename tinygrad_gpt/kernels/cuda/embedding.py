"""Embedding: rows of a table, and in backward the sum of the gradients of each row."""

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_contiguous, as_rows, blocks_for, threads_for
from tinygrad_gpt.kernels.cuda.launcher import launch

_FILE = "embedding.cu"
_IDS_PER_BLOCK = 256  # ids that one block sorts
_DEFINES = {"TILE": _IDS_PER_BLOCK}
_MAX_IDS = 2**31 - 1  # ids


def accepts_embedding(table: Array, ids: Array = None) -> bool:
    """True if the table is a matrix, neither array is empty, and there are not too many ids."""
    return ids is not None and table.ndim == 2 and bool(table.size) and 0 < ids.size <= _MAX_IDS


def embedding(table: Array, ids: Array) -> tuple[Array, Vjp]:
    """table (V, C) of float32, ids (...) of int  ->  y (..., C).  Saves the ids.

    An id outside the table gives a row of nan, and gets no gradient.
    """
    xp, table = array_module(table), as_contiguous(table)
    V, C = table.shape
    shape, flat = ids.shape, as_contiguous(ids.astype("int64", copy=False)).reshape(-1)
    N, threads = len(flat), threads_for(C, most=256)
    y = xp.empty((N, C), table.dtype)
    launch(_FILE, "gather_rows", table, flat, y, V, C, grid=N, block=threads, defines=_DEFINES)

    def vjp(dy: Array) -> tuple[Array, None]:
        order, in_order = xp.empty_like(flat), xp.empty_like(flat)
        launch(
            _FILE,
            "sort_ids",
            flat,
            order,
            in_order,
            V,
            N,
            grid=blocks_for(N, _IDS_PER_BLOCK),
            block=_IDS_PER_BLOCK,
            defines=_DEFINES,
        )
        dtable = xp.zeros((V, C), y.dtype)
        runs = as_rows(dy), order, in_order, dtable, V, C, N
        launch(_FILE, "sum_runs", *runs, grid=(N, blocks_for(C, threads)), block=threads, defines=_DEFINES)
        return dtable, None

    return y.reshape(*shape, C), vjp
