"""Head and loss, computed for some rows at a time; the gradient of the logits overwrites the logits.

The gradient of the last chunk of rows is saved for backward.  If there are more chunks, backward computes their logits
a second time, so that they need not all be stored.
"""

from typing import Any, Literal

import numpy as np

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.kernels.cpu.products import matmul_in_parallel
from tinygrad_gpt.kernels.threads import blocks, parallel_for

CHUNK_LOGITS = 2**26  # logits in a chunk: 256 MB; if there are several, backward needs memory for two
_BLOCK = 2**18  # logits in a block of rows, which a thread works on at a time: 1 MB


def accepts_linear_cross_entropy(
    x: Array, weight: Array = None, targets: Array = None, *, reduction: str = "mean", **settings: Any
) -> bool:
    """True if each row has a target and no array is empty; the op raises the errors for all other input."""
    fits = targets is not None and targets.shape == x.shape[:-1] and reduction in ("mean", "sum")
    return bool(fits and x.size and weight.size)


def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[Array, Vjp]:
    """x (..., C), weight (V, C), targets (...) of int  ->  loss (), in nats."""
    V, C = weight.shape
    shape = x.shape
    rows, y = x.reshape(-1, C), targets.reshape(-1)
    counts = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
    y = np.where(counts, y, 0)
    divisor = counts.sum().astype(x.dtype) if reduction == "mean" else x.dtype.type(1)
    nll = np.zeros(len(y), x.dtype)

    def slopes(chunk: slice) -> Array:
        """dLoss/dlogits of a chunk of rows; also writes the rows' losses into nll."""
        logits = matmul_in_parallel(rows[chunk], weight.T)

        def work(part: slice) -> None:
            for block in blocks(part, max(1, _BLOCK // V)):
                of_block(block)

        def of_block(block: slice) -> None:
            z, t, counted = logits[block], y[chunk][block], counts[chunk][block]
            z[~counted] = 0  # an ignored row may have any entries, nan too
            each = np.arange(len(z))
            z -= z.max(-1, keepdims=True)
            of_target = z[each, t]
            np.exp(z, out=z)
            total = z.sum(-1, keepdims=True)
            nll[chunk][block] = np.where(counted, np.log(total[:, 0]) - of_target, 0)
            z /= total * divisor
            z[each, t] -= 1 / divisor
            z[~counted] = 0

        parallel_for(work, len(logits), enabled=logits.size >= 2 * _BLOCK)
        return logits

    chunks = blocks(slice(0, len(rows)), max(1, CHUNK_LOGITS // V))
    last: Array = None
    for chunk in chunks:
        last = None  # frees it before the next one is computed
        last = slopes(chunk)

    def vjp(dloss: Array) -> tuple[Array, Array, None]:
        dx = np.empty_like(rows)
        dweight = None
        for chunk in reversed(chunks):
            dlogits = last if chunk is chunks[-1] else slopes(chunk)
            dx[chunk] = matmul_in_parallel(dlogits, weight)
            term = matmul_in_parallel(dlogits.T, rows[chunk] * dloss)
            dweight = term if dweight is None else np.add(dweight, term, out=dweight)
            del dlogits
        dx *= dloss
        return dx.reshape(shape), dweight, None

    return nll.sum() / divisor, vjp
