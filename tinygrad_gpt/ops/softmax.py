"""Softmax and its logarithm, along one axis.

    p_i = e^{x_i} / Σ_j e^{x_j}          log p_i = x_i - ln Σ_j e^{x_j}

Gradient.  Write Z for Σ_j e^{x_j}; then d(ln Z)/dx_k = e^{x_k}/Z = p_k, so d(log p_i)/dx_k = [i = k] - p_k.  For
y = log p, the sum of dy_i d(log p_i)/dx_k over all i is

    dx_k = dy_k - p_k Σ_i dy_i

For y = p: the change of p_i is p_i times the change of log p_i.  So dy_i p_i takes the place of dy_i:

    dx_k = p_k (dy_k - Σ_i dy_i p_i)

Shapes.   x, y: any, the same; axis: default -1.
Saved.    softmax: p.  log_softmax: log p.
Numerics. The maximum is subtracted first: e^x cannot overflow, and the largest term is 1.  log p is never the
          logarithm of p, which is -inf once p underflows.  An x of -inf is allowed (p = 0); a row of only -inf gives
          nan.  Both dx sum to 0 along the axis, because adding a constant to all x changes nothing.  Do not test with
          dy = ones: then dx is 0 even if the code is wrong.
          Where x has 16 bits, all is computed in float32 and rounded once.
Check.    Two equal logits share evenly; p (1 - p) = 1/4:

    >>> import numpy as np
    >>> y, vjp = softmax(np.zeros(2))
    >>> y.tolist(), vjp(np.array([1.0, 0.0]))[0].tolist()
    ([0.5, 0.5], [0.25, -0.25])
"""

from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype, to_input_dtype


def softmax(x: Array, *, axis: int = -1) -> tuple[Array, Vjp]:
    """Probabilities proportional to e^x along an axis.

    Backward: probabilities sum to 1, so the mean of the gradients, weighted by p, is subtracted from each gradient;
    the result is multiplied by p.
    """
    dtype, x = x.dtype, to_accumulation_dtype(x)
    weights = array_module(x).exp(x - x.max(axis=axis, keepdims=True))
    p = weights / weights.sum(axis=axis, keepdims=True)

    def vjp(dp: Array) -> tuple[Array]:
        return (to_input_dtype(p * (dp - (dp * p).sum(axis=axis, keepdims=True)), dtype),)

    return to_input_dtype(p, dtype), vjp


def log_softmax(x: Array, *, axis: int = -1) -> tuple[Array, Vjp]:
    """Logarithms of the softmax along an axis.

    Backward: each logit receives its own gradient minus its probability times the sum of all gradients.
    """
    xp, dtype, x = array_module(x), x.dtype, to_accumulation_dtype(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    logp = shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))

    def vjp(dlogp: Array) -> tuple[Array]:
        return (
            to_input_dtype(dlogp - xp.exp(logp) * to_accumulation_dtype(dlogp).sum(axis=axis, keepdims=True), dtype),
        )

    return to_input_dtype(logp, dtype), vjp
