"""Matrix products; threads share the rows or the columns of the result, whichever are more.

Each thread reads the whole of one factor into its cache, and this should be the smaller factor: a generated token is
one row, while a head's gradient has a row for each token of the vocabulary.
"""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels.threads import parallel_for


def matmul_in_parallel(a: Array, b: Array, bias: Array | None = None) -> Array:
    """a (N, K) @ b (K, M) + bias (M)  ->  (N, M)"""
    (N, K), M = a.shape, b.shape[1]
    out = np.empty((N, M), a.dtype)
    bias = None if bias is None else np.broadcast_to(bias, (M,))

    def of_rows(rows: slice) -> None:
        np.matmul(a[rows], b, out=out[rows])
        if bias is not None:
            out[rows] += bias

    def of_columns(columns: slice) -> None:
        np.matmul(a, b[:, columns], out=out[:, columns])
        if bias is not None:
            out[:, columns] += bias[columns]

    if N > M:
        parallel_for(of_rows, N, enabled=_pays_in_threads(N, K, M))
    else:
        parallel_for(of_columns, M, enabled=_pays_in_threads(N, K, M))
    return out


def _pays_in_threads(N: int, K: int, M: int) -> bool:
    """True if a product takes a tenth of a millisecond or more, for its arithmetic or for reading its factors."""
    return N * K * M >= 2**23 or max(N * K, K * M) >= 2**18
