"""Linear layer: a matrix product and a bias, row by row.

    y = x W + b,    y_nk = Σ_c x_nc w_ck + b_k

Gradient.  As for any product, dx = dy Wᵀ and dW = xᵀ dy.  The bias is added to every row, so it gets the sum:

    dx = dy Wᵀ        dW = xᵀ dy        db = Σ_n dy_n

Shapes.   x (..., I), W (I, O), b (O) or None  ->  y (..., O).  W is (in, out), as in GPT-2's files.
Saved.    x, W.
Errors.   ValueError from NumPy if the I of x and of W differ.
Numerics. Leading axes are flattened to rows, so each of the three products is one product of two matrices.
Check.    1·3 + 2·4 + 5 = 16:

    >>> import numpy as np
    >>> y, vjp = linear(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([5.0]))
    >>> y.tolist(), [g.tolist() for g in vjp(np.array([[1.0]]))]
    ([[16.0]], [[[3.0, 4.0]], [[1.0], [2.0]], [1.0]])
"""

import math

from tinygrad_gpt.backend import Array, Vjp, cast_to, to_accumulation_dtype


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Vjp]:
    """y = x W + b.  Without a bias the vjp returns two gradients.

    Backward: x receives the gradient times W transposed; W receives x transposed times the gradient; b receives the
    sum over all rows.
    """
    shape, dtypes = x.shape, [array.dtype for array in (x, weight, bias) if array is not None]
    rows = x.reshape(math.prod(shape[:-1]), shape[-1])  # (N, I)
    y = rows @ weight  # (N, O)
    if bias is not None:
        y = y + bias
    biased = bias is not None

    def vjp(dy: Array) -> tuple[Array, ...]:
        dy = dy.reshape(len(rows), dy.shape[-1])  # (N, O)
        dx, dweight = (dy @ weight.T).reshape(shape), rows.T @ dy
        return (
            cast_to(dtypes, dx, dweight, to_accumulation_dtype(dy).sum(axis=0))
            if biased
            else cast_to(dtypes, dx, dweight)
        )

    return y.reshape(*shape[:-1], weight.shape[-1]), vjp
