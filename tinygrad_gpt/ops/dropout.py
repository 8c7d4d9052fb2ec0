"""Dropout: a random part of the entries is set to 0, the rest is scaled up so that the mean stays.

    y = x ∘ keep        keep_i = 0 with probability rate, else 1/(1 - rate)

Gradient.  The mask is a constant: dx = dy ∘ keep.

Shapes.   x, keep, y: the same.
Saved.    keep; not x.
Numerics. The mask comes from (seed, step, row, site), see rng.py: the same on every device and in every batch split.
          Not training?  Then there is no mask and this op is not called: no mode to forget.
Source.   Srivastava et al. 2014, JMLR 15, section 4; scaled while training ("inverted"), as everywhere today.
Check.    An entry is dropped, the other doubled:

    >>> import numpy as np
    >>> y, vjp = dropout(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    >>> y.tolist(), vjp(np.array([1.0, 1.0]))[0].tolist()
    ([0.0, 4.0], [0.0, 2.0])
"""

from tinygrad_gpt.backend import Array, Vjp


def dropout(x: Array, keep: Array) -> tuple[Array, Vjp]:
    """x times a given mask of its own shape.

    Backward: a dropped entry receives 0; an entry that was kept and scaled up has its gradient scaled up by as
    much.
    """
    if keep.shape != x.shape:
        raise ValueError(f"keep must have x's shape {x.shape}; got {keep.shape}")
    dtype = x.dtype
    return x * keep, lambda dy: ((dy * keep).astype(dtype, copy=False), None)
