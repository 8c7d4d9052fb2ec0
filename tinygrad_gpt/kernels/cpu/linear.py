"""Linear layer: threads share its three products, and the bias is added in place."""

import math

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.cpu.products import matmul_in_parallel


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Vjp]:
    """y = x W + b.  Without a bias the vjp returns two gradients."""
    shape = x.shape
    rows = x.reshape(math.prod(shape[:-1]), shape[-1])  # (N, I)
    y = matmul_in_parallel(rows, weight, bias)
    biased = bias is not None

    def vjp(dy: Array) -> tuple[Array, ...]:
        dy = dy.reshape(len(rows), dy.shape[-1])
        dx, dweight = matmul_in_parallel(dy, weight.T).reshape(shape), matmul_in_parallel(rows.T, dy)
        return (dx, dweight, dy.sum(axis=0)) if biased else (dx, dweight)

    return y.reshape(*shape[:-1], weight.shape[-1]), vjp
