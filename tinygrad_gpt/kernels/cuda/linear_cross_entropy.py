"""Head and loss, computed for some rows at a time; the gradient of the logits overwrites the logits.

The gradient of the last chunk of rows is saved for backward.  If there are more chunks, backward computes their logits
a second time, so that they need not all be stored.
"""

from typing import Any, Literal

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.kernels.cuda.arrays import as_rows, blocks_for, storage_define, threads_for
from tinygrad_gpt.kernels.cuda.cross_entropy import FILE, flat_targets, ignored_index, loss_of_rows
from tinygrad_gpt.kernels.cuda.elementwise import scale
from tinygrad_gpt.kernels.cuda.gemm import gemm
from tinygrad_gpt.kernels.cuda.launcher import launch
from tinygrad_gpt.kernels.cuda.linear import gemm_ready

_LOGITS_PER_CHUNK = 2**29  # 2 GB of float32; if there are several chunks, backward needs memory for two
_ROW_ALIGNMENT = 8  # entries; each row of logits begins at a multiple, which GPT-2's 50,257 is not


def accepts_linear_cross_entropy(
    x: Array, weight: Array = None, targets: Array = None, *, reduction: str = "mean", **settings: Any
) -> bool:
    """True if the weight is float32, the shapes fit and no array is empty; else the op runs, and may raise."""
    if targets is None or targets.shape != x.shape[:-1] or x.shape[-1:] != weight.shape[1:]:
        return False
    return reduction in ("mean", "sum") and weight.dtype.name == "float32" and bool(x.size and weight.size)


def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[Array, Vjp]:
    """x (..., C), weight (V, C), targets (...) of int  ->  loss () of float32, in nats.

    The weight is float32, x is float32 or bfloat16, and logits have the dtype of x.  A target outside the vocabulary
    makes the loss nan.
    """
    xp, shape, (V, C) = array_module(x), x.shape, weight.shape
    rows, y, ignoring = as_rows(x), flat_targets(targets), ignored_index(ignore_index)
    head = gemm_ready(weight, rows.dtype)
    N, apart = len(rows), _ROW_ALIGNMENT * blocks_for(V, _ROW_ALIGNMENT)
    nll = xp.empty(N, "float32")
    stored = storage_define(rows)

    def slopes(chunk: slice) -> Array:
        """dnll/dlogits of a chunk, for each row's own nll; also writes the rows' losses into nll."""
        x, of_rows = rows[chunk], (y[chunk], nll[chunk])
        logits = xp.empty((len(x), apart), rows.dtype)  # the last few entries of a row are never read
        gemm(x, head.T, logits[:, :V])
        launch(
            FILE,
            "cross_entropy_in_place",
            *(logits, *of_rows, V, apart, *ignoring),
            grid=len(x),
            block=threads_for(V),
            defines=stored,
        )
        return logits[:, :V]

    # chunks of equal size, so that the last one, which is saved, is not short
    per_chunk = blocks_for(N, blocks_for(N, max(1, _LOGITS_PER_CHUNK // V)))
    chunks = [slice(start, min(start + per_chunk, N)) for start in range(0, N, per_chunk)]
    last: Array = None
    for chunk in chunks:
        last = None  # frees it before the next one is computed
        last = slopes(chunk)
    loss, divisor = loss_of_rows(nll, y, ignoring, reduction, stored)

    def vjp(dloss: Array) -> tuple[Array, Array, None]:
        dx, dweight = xp.empty_like(rows), xp.empty((V, C), "float32")
        x = scale(rows, dloss, divisor)
        for chunk in reversed(chunks):
            dlogits = last if chunk is chunks[-1] else slopes(chunk)
            gemm(dlogits, head, dx[chunk])
            gemm(dlogits.T, x[chunk], dweight, beta=0.0 if chunk is chunks[-1] else 1.0)
            del dlogits
        return scale(dx, dloss, divisor).reshape(shape), dweight, None

    return loss, vjp
