"""Layer norm in blocks of rows, in one thread, because two are not faster."""

import math

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.threads import blocks

_BLOCK = 2**16  # entries


def layer_norm(x: Array, gain: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Vjp]:
    """x (..., C), gain (C), bias (C)  ->  y (..., C)."""
    shape, C = x.shape, x.shape[-1]
    rows = x.reshape(math.prod(shape[:-1]), C)
    y, xhat = np.empty_like(rows), np.empty_like(rows)
    rstd = np.empty((len(rows), 1), rows.dtype)
    pieces = blocks(slice(0, len(rows)), max(1, _BLOCK // max(1, C)))

    for block in pieces:
        xb, yb, hb, rb = rows[block], y[block], xhat[block], rstd[block]
        np.subtract(xb, xb.mean(-1, keepdims=True), out=hb)
        np.einsum("nc,nc->n", hb, hb, out=rb[:, 0])  # sums of squares without the squares
        rb /= C
        rb += eps
        np.sqrt(rb, out=rb)
        np.divide(1, rb, out=rb)
        hb *= rb
        np.multiply(hb, gain, out=yb)
        yb += bias

    def vjp(dy: Array) -> tuple[Array, Array, Array]:
        dy = dy.reshape(xhat.shape)
        dx = np.empty_like(xhat)  # not like x, so that x is not saved
        for block in pieces:
            dxhat, hb = dx[block], xhat[block]
            np.multiply(dy[block], gain, out=dxhat)
            projection = np.einsum("nc,nc->n", dxhat, hb)[:, None]
            projection /= C
            dxhat -= dxhat.mean(-1, keepdims=True)
            dxhat -= hb * projection
            dxhat *= rstd[block]
        return dx.reshape(shape), np.einsum("nc,nc->c", dy, xhat), dy.sum(0)

    return y.reshape(shape), vjp
