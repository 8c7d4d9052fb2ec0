"""Cross-entropy of logits against the tokens that really came next, in nats (natural logarithms).

    nll_n = ln Σ_j e^{x_nj} - x_n,target        loss = mean of nll over the counted rows (or their sum)

Gradient.  d(ln Σ e^x)/dx_j = p_j, the softmax; -x_target contributes -1 at the target.  With w = 1/count (mean) or 1:

    dx_nj = dloss · w · (p_nj - [j = target_n])        and 0 in rows that are ignored

Each row of dx sums to 0: the gradient only moves probability to the target, from each other token in proportion to p.

Shapes.   logits (..., V), targets (...) of int  ->  loss ().
Settings. ignore_index: rows with this target are left out of the sum and of the count.  Default: none.
          reduction: "mean" over the counted rows, or "sum".  (Parts of a batch that are computed one by one add
          their sums, and divide once, by the number of all tokens.)  Entries of ignored rows have no effect, even nan.
Saved.    logits - max, ln Σ, targets, which rows count.
Errors.   ValueError for another reduction or unequal shapes.  0 <= target < V is not checked here, because on a GPU
          the program would have to wait for the result; `nn.cross_entropy` checks it.
Numerics. The maximum is subtracted first, and the logarithm is never taken of a probability.  So the loss is exact at
          logits of ±1e4, and inf where the target's logit is -inf (nan only if all of a counted row is -inf).
          Where logits have 16 bits, all is computed in float32 and rounded once: a sum above 65,504 is inf in float16.
Source.   The book's chapter 5; Goodfellow et al. 2016, "Deep Learning", sections 4.1 and 6.2.2.
Check.    Two equal logits: ln 2, and slopes ½ - [j = target]:

    >>> import numpy as np
    >>> loss, vjp = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(float(loss), 4), vjp(np.array(1.0))[0].tolist()
    (0.6931, [[0.5, -0.5]])
"""

from typing import Literal

from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype, to_input_dtype


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[Array, Vjp]:
    """logits (..., V), targets (...) of int  ->  loss (), in nats.

    Backward: the softmax minus the one-hot target. So a step downhill raises the target's logit, and lowers every
    other logit in proportion to its probability.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum'; got {reduction!r}")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets must have the shape {logits.shape[:-1]} of the logits' rows; got {targets.shape}")
    xp = array_module(logits)
    shape, dtype, vocab_size = logits.shape, logits.dtype, logits.shape[-1]
    x, y = to_accumulation_dtype(logits).reshape(-1, vocab_size), targets.reshape(-1)  # (N, V), (N)
    counts = xp.ones(y.shape, bool) if ignore_index is None else y != ignore_index  # (N)
    y = xp.where(counts, y, 0)  # an ignored row needs a valid index too
    rows = xp.arange(len(y))

    shifted = x - xp.where(counts, x.max(-1), 0)[:, None]  # exp cannot overflow
    if ignore_index is not None:
        xp.copyto(shifted, 0, where=~counts[:, None])  # all of an ignored row may be -inf: avoids log(0)
    log_total = xp.log(xp.exp(shifted).sum(-1))  # (N)
    nll = xp.where(counts, log_total - shifted[rows, y], 0)
    divisor = counts.sum().astype(x.dtype) if reduction == "mean" else 1

    def vjp(dloss: Array) -> tuple[Array, None]:
        dx = xp.exp(shifted - log_total[:, None])  # softmax ...
        dx[rows, y] -= 1  # ... minus one-hot
        if ignore_index is not None:
            xp.copyto(dx, 0, where=~counts[:, None])  # not multiplied by 0: an ignored row may have nan
        dx *= dloss / divisor
        return to_input_dtype(dx, dtype).reshape(shape), None

    return to_input_dtype(nll.sum() / divisor, dtype), vjp
