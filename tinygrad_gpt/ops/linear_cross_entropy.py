"""The model's head and its loss in one: logits = x Wᵀ, then cross-entropy.

    loss = cross_entropy(x Wᵀ, targets)

Gradient.  The vjp of cross_entropy gives dlogits, an array (N, V); the vjp of the linear layer gives

    dx = dlogits W        dW = dlogitsᵀ x

This is one op because the logits are by far the largest array of a training step (V is 50,257, C 768), and only the
loss needs them: a kernel can compute a few rows of them at a time.  Here they are one array.

Shapes.   x (..., C), W (V, C): a token's row, as in GPT-2's wte and lm_head; targets (...) of int  ->  loss ().
Settings. ignore_index, reduction: as in cross_entropy.  But an ignored row of x must be finite too: dW contains it
          times 0, and 0 times inf is nan.
Saved.    x, W, and what cross_entropy saves.
Errors.   As in cross_entropy.  0 <= target < V is not checked.
Check.    Two tokens with equal rows have equal logits, so ln 2 and slopes ½ - [j = target]:

    >>> import numpy as np
    >>> loss, vjp = linear_cross_entropy(np.array([[1.0, 2.0]]), np.ones((2, 2)), np.array([1]))
    >>> round(float(loss), 4), [g.tolist() for g in vjp(np.array(1.0))[:2]]
    (0.6931, [[[0.0, 0.0]], [[0.5, 1.0], [-0.5, -1.0]]])
"""

from typing import Literal, cast

from tinygrad_gpt.backend import Array, Vjp
from tinygrad_gpt.ops.cross_entropy import cross_entropy
from tinygrad_gpt.ops.linear import linear


def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    *,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> tuple[Array, Vjp]:
    """x (..., C), weight (V, C), targets (...) of int  ->  loss (), in nats.

    Backward: the softmax minus the one-hot target is the logits' gradient; the linear layer's rule passes it on to
    the hidden states and to the tokens' rows.
    """
    logits, linear_vjp = linear(x, weight.T)
    loss, loss_vjp = cross_entropy(logits, targets, ignore_index=ignore_index, reduction=reduction)

    def vjp(dloss: Array) -> tuple[Array, Array, None]:
        dlogits: Array = loss_vjp(dloss)[0]
        dx, dweight_t = cast(tuple[Array, Array], linear_vjp(dlogits))
        return dx, dweight_t.T, None

    return loss, vjp
