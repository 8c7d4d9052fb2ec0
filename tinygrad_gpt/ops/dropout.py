"""Dropout: a random part of the entries is set to 0, the rest is scaled up so that the mean stays the same.

    y = x ∘ M        M_i = 0 with probability rate, else 1/(1 - rate)

Gradient.  The mask is a constant: dx = dy ∘ M.

Shapes.   x, mask M, y: the same.
Saved.    M; not x.
Numerics. The mask is a function of (seed, step, row, site), see rng.py: the same on every device and for any split of
          the batch.
          In evaluation this op is not called.  So the model has no train and eval modes, which are easy to forget.
Source.   Srivastava et al. 2014, JMLR 15, section 4; scaled in training ("inverted dropout"), as is usual today.
Check.    An entry is dropped, the other doubled:

    >>> import numpy as np
    >>> y, vjp = dropout(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    >>> y.tolist(), vjp(np.array([1.0, 1.0]))[0].tolist()
    ([0.0, 4.0], [0.0, 2.0])
"""

from tinygrad_gpt.backend import Array, Vjp


def dropout(x: Array, mask: Array) -> tuple[Array, Vjp]:
    """x times a mask of the same shape.

    Backward: a dropped entry receives 0; the gradient of a kept entry is multiplied by the same factor as the
    entry.
    """
    if mask.shape != x.shape:
        raise ValueError(f"mask must have x's shape {x.shape}; got {mask.shape}")
    dtype = x.dtype
    return x * mask, lambda dy: ((dy * mask).astype(dtype, copy=False), None)
