"""Matrix products, shared over threads by the rows of the result."""

import numpy as np

from tinygrad_gpt.backend import Array
from tinygrad_gpt.kernels.threads import share

WORTH_IT = 2**23  # multiplications: well below a millisecond's worth


def product(a: Array, b: Array) -> Array:
    """a (N, K) @ b (K, M)  ->  (N, M)"""
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)

    def work(rows: slice) -> None:
        np.matmul(a[rows], b, out=out[rows])

    share(work, len(out), worth_it=out.size * a.shape[1] >= WORTH_IT)
    return out
