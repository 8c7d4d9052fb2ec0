"""Linear layer: its three products shared over threads, the bias added in place."""

import math

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.cpu.products import WORTH_IT, product
from tinygrad_gpt.kernels.threads import share


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Vjp]:
    """y = x W + b.  Without a bias the vjp answers two gradients."""
    shape = x.shape
    rows = x.reshape(math.prod(shape[:-1]), shape[-1])  # (N, I)
    y = np.empty((len(rows), weight.shape[-1]), x.dtype)

    def forward(part: slice) -> None:
        np.matmul(rows[part], weight, out=y[part])
        if bias is not None:
            y[part] += bias

    def vjp(dy: Array) -> tuple[Array, ...]:
        dy = dy.reshape(y.shape)
        dx, dweight = product(dy, weight.T).reshape(shape), product(rows.T, dy)
        return (dx, dweight) if bias is None else (dx, dweight, dy.sum(axis=0))

    share(forward, len(rows), worth_it=y.size * shape[-1] >= WORTH_IT)
    return y.reshape(*shape[:-1], weight.shape[-1]), vjp
