"""Choosing entries by a mask: where, masked_fill.

    y = a where the mask is True, else b        da = dy where True, else 0        db = 0 where True, else dy
    y = value where the mask is True, else x    dx = 0 where True, else dy

Gradient.  Each y is a copy of one entry; the other entry has no influence.  The mask has no gradient.

Shapes.   mask, of bool, a, b broadcast together; masked_fill: the mask broadcasts to x's shape.
Saved.    The mask and shapes.
Errors.   TypeError for a mask that is not an array of bool: numbers as a mask, or a single False, are mistakes.
          ValueError from NumPy if the shapes do not broadcast.
Numerics. where() does not multiply by the mask, because 0 · inf is nan; entries that are not chosen have no effect.
          A value of -inf before a softmax means "never"; -1e10 would only mean "seldom".
Check.    Each gradient goes to the entry that was chosen:

    >>> import numpy as np
    >>> y, vjp = where(np.array([True, False]), np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> y.tolist(), [g.tolist() for g in vjp(np.array([10.0, 20.0]))[1:]]
    ([1.0, 4.0], [[10.0, 0.0], [0.0, 20.0]])
"""

from tinygrad_gpt.backend import Array, Vjp, array_module
from tinygrad_gpt.ops.arithmetic import unbroadcast


def where(mask: Array, a: Array, b: Array) -> tuple[Array, Vjp]:
    """Entries of a where the mask is True, of b elsewhere.

    Backward: the chosen entry receives the gradient; the other had no influence and receives 0.
    """
    check_mask(mask)
    xp = array_module(mask, a, b)
    a_like, b_like = (a.shape, a.dtype), (b.shape, b.dtype)

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        return None, unbroadcast(xp.where(mask, dy, 0), *a_like), unbroadcast(xp.where(mask, 0, dy), *b_like)

    return xp.where(mask, a, b), vjp


def masked_fill(x: Array, mask: Array, *, value: float) -> tuple[Array, Vjp]:
    """A copy of x with `value` where the mask is True.

    Backward: where the constant was put in, x had no influence and receives 0.
    """
    check_mask(mask)
    xp = array_module(x, mask)
    y = xp.where(mask, xp.full((), value, x.dtype), x)
    if y.shape != x.shape:
        raise ValueError(f"mask must broadcast to x's shape {x.shape}; got {mask.shape}")

    def vjp(dy: Array) -> tuple[Array, None]:
        return xp.where(mask, 0, dy), None

    return y, vjp


def check_mask(mask: Array) -> None:
    """Raise TypeError unless this is an array of bool."""
    if not hasattr(mask, "dtype") or mask.dtype != bool:
        got = f"an array of {mask.dtype}" if hasattr(mask, "dtype") else repr(mask)
        raise TypeError(f"mask must be an array of bool; got {got}")
