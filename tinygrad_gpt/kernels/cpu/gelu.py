"""GELU in place, block by block."""

from typing import Any, Literal

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.threads import block_size, blocks, parallel_for
from tinygrad_gpt.ops.gelu import A, C


def accepts_gelu(x: Array, *, form: str = "tanh", **settings: Any) -> bool:
    """True for the tanh form."""
    return form == "tanh"


def gelu(x: Array, *, form: Literal["tanh"] = "tanh") -> tuple[Array, Vjp]:
    """y = ½ x (1 + tanh(x (C + C A x²)))."""
    shape, flat = x.shape, x.reshape(-1)
    y, t = np.empty_like(flat), np.empty_like(flat)
    size = block_size()
    in_threads = len(flat) >= 2 * size

    def forward(part: slice) -> None:
        for block in blocks(part, size):
            xb, yb, tb = flat[block], y[block], t[block]
            np.multiply(xb, xb, out=yb)
            yb *= C * A
            yb += C
            yb *= xb
            np.tanh(yb, out=tb)
            np.add(tb, 1, out=yb)
            yb *= 0.5
            yb *= xb

    def vjp(dy: Array) -> tuple[Array]:
        dy = dy.reshape(-1)
        dx = np.empty_like(flat)

        def backward(part: slice) -> None:
            scratch = np.empty(min(size, part.stop - part.start), dx.dtype)
            for block in blocks(part, size):
                xb, tb, db = flat[block], t[block], dx[block]
                slope = scratch[: len(db)]
                np.multiply(xb, xb, out=db)
                db *= 3 * A * C
                db += C
                np.multiply(tb, tb, out=slope)
                np.subtract(1, slope, out=slope)
                db *= slope  # 0 at large x: multiplied before x, which could overflow
                db *= xb
                db += tb
                db += 1
                db *= dy[block]
                db *= 0.5

        parallel_for(backward, len(dx), enabled=in_threads)
        return (dx.reshape(shape),)

    parallel_for(forward, len(flat), enabled=in_threads)
    return y.reshape(shape), vjp
