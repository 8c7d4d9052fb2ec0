"""Arithmetic, element by element with NumPy's broadcasting: add, subtract, multiply, divide, negative, power.

Each function returns y and its vjp (vector-Jacobian product).  vjp(dy) takes dy = dLoss/dy and returns da = dLoss/da
and db = dLoss/db:

    y = a + b      da = dy                 db = dy
    y = a - b      da = dy                 db = -dy
    y = a b        da = dy b               db = dy a
    y = a / b      da = dy / b             db = -dy a / b²
    y = -x         dx = -dy
    y = a^b        da = dy b a^(b-1)       db = dy a^b ln a

Gradient.  Each y depends on one a and one b, so the rules of one variable hold entry by entry.  Broadcasting repeats
an entry; the gradient of a repeated entry is the sum of its copies' gradients.  Only `unbroadcast`, below, computes
that sum.  If the dtypes of a and b differ, y has the wider one; da has the dtype of a, and db that of b.

Shapes.   a, b: any two that broadcast together; y: their common shape.
Saved.    add, subtract: only shapes.  multiply: a, b.  divide: b, y.  power: a, b, y.
Errors.   ValueError if the shapes do not broadcast (NumPy's own text).
Numerics. divide: -dy a / b² is computed as -da y, which overflows only where y or da does.  power: where b is 0, the
          slope in a is 0, also at a = 0.  ln a is computed only where a > 0.  Elsewhere db is 0: for a < 0 the exponent
          must be a whole number, so it counts as a constant.  For 0 < b < 1 the slope at a = 0 is infinite; the slope
          of (a + ε)^b is finite.
Check.    a = 2, b = 3 gives 8, and slopes 3·2² = 12 and 8 ln 2 = 5.545:

    >>> import numpy as np
    >>> y, vjp = power(np.array([2.0]), np.array([3.0]))
    >>> y.tolist(), [g.round(3).tolist() for g in vjp(np.array([1.0]))]
    ([8.0], [[12.0], [5.545]])
"""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, array_module, to_accumulation_dtype


def add(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Sum: y = a + b.

    Backward: both terms receive the gradient unchanged; a term that was broadcast receives the sum over its copies.
    """
    a_like, b_like = (a.shape, a.dtype), (b.shape, b.dtype)  # saved by the vjp instead of the arrays

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        return unbroadcast(dy, *a_like), unbroadcast(dy, *b_like)

    return a + b, vjp


def subtract(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Difference: y = a - b.

    Backward: a receives the gradient unchanged, b receives it with the opposite sign.
    """
    a_like, b_like = (a.shape, a.dtype), (b.shape, b.dtype)

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        return unbroadcast(dy, *a_like), unbroadcast(-dy, *b_like)

    return a - b, vjp


def multiply(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Product: y = a b.

    Backward: each factor receives the gradient times the other factor.
    """

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        return unbroadcast(dy * b, a.shape, a.dtype), unbroadcast(dy * a, b.shape, b.dtype)

    return a * b, vjp


def divide(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Quotient: y = a / b.

    Backward: the numerator receives the gradient divided by b; the denominator receives this times minus the
    quotient.
    """
    a_like, y = (a.shape, a.dtype), a / b

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        da = dy / b
        return unbroadcast(da, *a_like), unbroadcast(-da * y, b.shape, b.dtype)

    return y, vjp


def negative(x: Array) -> tuple[Array, Vjp]:
    """Negation: y = -x.

    Backward: the gradient changes its sign.
    """
    return -x, lambda dy: (-dy,)


def power(a: Array, b: Array) -> tuple[Array, Vjp]:
    """Power: y = a^b, for a > 0, or for a whole number b (at least 1 where a is 0).

    Backward: the base follows the power rule; the exponent receives the gradient times y ln a.
    """
    xp, y = array_module(a, b), a**b

    def vjp(dy: Array) -> tuple[Array | None, Array | None]:
        slope = b * a ** xp.where(b == 0, b, b - 1)  # 0, not 0 · 0^-1
        log_a = xp.log(xp.where(a > 0, a, 1))
        return unbroadcast(dy * slope, a.shape, a.dtype), unbroadcast(dy * y * log_a, b.shape, b.dtype)

    return y, vjp


def unbroadcast(dy: Array, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """dy summed over the axes along which an array was repeated, in this shape and dtype; None for integers."""
    if dtype.kind != "f":
        return None
    if dy.shape != shape:
        extra = dy.ndim - len(shape)
        stretched = tuple(i + extra for i, n in enumerate(shape) if n == 1 != dy.shape[i + extra])
        dy = to_accumulation_dtype(dy).sum(axis=(*range(extra), *stretched), keepdims=True).reshape(shape)
    return dy.astype(dtype, copy=False)
