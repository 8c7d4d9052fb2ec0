"""Matrix product.

    Y = A B,    y_ik = Σ_j a_ij b_jk

Gradient.  If A changes by ΔA and B by ΔB, the loss changes by Σ_ik dy_ik Σ_j (Δa_ij b_jk + a_ij Δb_jk).  The factor of
Δa_ij is Σ_k dy_ik b_jk, and the factor of Δb_jk is Σ_i a_ij dy_ik:

    dA = dY Bᵀ        dB = Aᵀ dY

Leading axes are a batch: the rule holds for each matrix.  A matrix that is repeated over the batch gets the sum of its
copies' gradients.

Shapes.   A (..., M, K), B (..., K, N)  ->  Y (..., M, N); leading axes broadcast.  A vector is a matrix of one row
          (left) or one column (right), as in NumPy.
Saved.    A, B.
Errors.   ValueError from NumPy if the K of A and of B differ.
Numerics. If B is one matrix and A is a batch, the rows of the whole batch become one matrix.  So dB is one product, not
          a sum of one product per matrix of the batch.
Check.    (1 2) · (3 4)ᵀ = 11; each gradient is the other vector:

    >>> import numpy as np
    >>> y, vjp = matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    >>> y.tolist(), [g.tolist() for g in vjp(np.array([[1.0]]))]
    ([[11.0]], [[[3.0, 4.0]], [[1.0], [2.0]]])
"""

import math

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.ops.arithmetic import unbroadcast


def matmul(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Y = A B over the last two axes.

    Backward: A receives the gradient times B transposed; B receives A transposed times the gradient.
    """
    y = a @ b
    left = a if a.ndim > 1 else a[None]
    right = b if b.ndim > 1 else b[:, None]
    rows, columns = left.shape[-2], right.shape[-1]

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        batch = dy.shape[: dy.ndim - (a.ndim > 1) - (b.ndim > 1)]
        dy = dy.reshape(*batch, rows, columns)  # a vector now has its missing axis
        if right.ndim == 2:
            flat = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
            dy = dy.reshape(len(flat), columns)
            da, db = (dy @ right.T).reshape(a.shape), (flat.T @ dy).reshape(b.shape)
        else:
            da, db = dy @ right.swapaxes(-1, -2), left.swapaxes(-1, -2) @ dy
        return unbroadcast(da, a.shape, a.dtype), unbroadcast(db, b.shape, b.dtype)

    return y, vjp
