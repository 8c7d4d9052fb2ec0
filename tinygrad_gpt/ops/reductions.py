"""Reductions along axes: sum, mean, max, var.

    y = Σ x                 dx = dy, repeated
    y = (1/n) Σ x           dx = dy / n, repeated
    y = max x               dx = dy, shared equally among the entries that equal y
    y = Σ (x - x̄)²/(n-d)    dx = dy · 2 (x - x̄)/(n-d)

Gradient.  A sum passes its gradient to every term.  var: each x_i influences its own term and, through the mean x̄,
every term.  The second path adds Σ_j 2 (x_j - x̄) · (-1/n) = 0, since deviations sum to zero.  So here the mean may be
treated as a constant (in layer norm it may not, because there the terms have different gradients).
At a tie max has no derivative; equal shares are a subgradient, and they sum to dy.

Shapes.   x: any; axis: None (all), an int or several; keepdims as in NumPy.
Settings. var: ddof = d, NumPy's "delta degrees of freedom"; 0 divides by n.
Saved.    sum, mean: the shape.  max: where x equals y.  var: x - x̄.
Errors.   ValueError from NumPy for an axis out of range, and for the max of an empty array.
Numerics. var subtracts the mean first; E[x²] - E[x]² would lose digits, as the difference of two nearly equal numbers.
          Numbers of 16 bits are added up in float32 and rounded once: in float16 a sum of ones stops at 2,048.
Check.    var of (1, 3) is 1, with slopes 2 (x - 2)/2 = (-1, 1):

    >>> import numpy as np
    >>> y, vjp = var(np.array([1.0, 3.0]))
    >>> float(y), vjp(np.array(1.0))[0].tolist()
    (1.0, [-1.0, 1.0])
"""

import math

from tinygrad_gpt.backend import Array, Vjp, accumulation_dtype, array_module, to_accumulation_dtype, to_input_dtype

Axis = int | tuple[int, ...] | None


def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Vjp]:
    """Sum over axes (all of them by default).

    Backward: every term receives the whole gradient.
    """
    xp, shape = array_module(x), x.shape

    def vjp(dy: Array) -> tuple[Array]:
        return (xp.broadcast_to(_restore_axes(dy, shape, axis), shape),)

    return to_input_dtype(xp.sum(to_accumulation_dtype(x), axis=axis, keepdims=keepdims), x.dtype), vjp


def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Vjp]:
    """Arithmetic mean over axes.

    Backward: every term receives 1/n of the gradient.
    """
    xp, shape = array_module(x), x.shape
    n = reduced_size(shape, axis)

    def vjp(dy: Array) -> tuple[Array]:
        share = to_input_dtype(to_accumulation_dtype(_restore_axes(dy, shape, axis)) / n, dy.dtype)
        return (xp.broadcast_to(share, shape),)

    return to_input_dtype(xp.mean(to_accumulation_dtype(x), axis=axis, keepdims=keepdims), x.dtype), vjp


def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> tuple[Array, Vjp]:
    """Largest entry along axes.

    Backward: only the largest entry receives the gradient; entries that tie share it equally.
    """
    xp = array_module(x)
    y = xp.max(x, axis=axis, keepdims=True)
    attained = x == y
    dtype = x.dtype
    shared_by = attained.sum(axis=axis, keepdims=True).astype(accumulation_dtype(dtype))

    def vjp(dy: Array) -> tuple[Array]:
        return (attained * to_input_dtype(_restore_axes(dy, attained.shape, axis) / shared_by, dtype),)

    return y if keepdims else xp.squeeze(y, axis=normalize_axes(axis, x.ndim)), vjp


def var(x: Array, *, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> tuple[Array, Vjp]:
    """Variance along axes: the mean squared distance from the mean.

    Backward: entries are pushed away from their mean, in proportion to their distance from it.
    """
    xp, dtype, x = array_module(x), x.dtype, to_accumulation_dtype(x)
    n = reduced_size(x.shape, axis) - ddof
    centred = x - x.mean(axis=axis, keepdims=True)

    def vjp(dy: Array) -> tuple[Array]:
        return (to_input_dtype(to_accumulation_dtype(_restore_axes(dy, centred.shape, axis)) * 2 * centred / n, dtype),)

    return to_input_dtype(xp.sum(centred * centred, axis=axis, keepdims=keepdims) / n, dtype), vjp


def _restore_axes(dy: Array, shape: tuple[int, ...], axis: Axis) -> Array:
    """dy with the axes, of length 1, that the reduction of an array of this shape removed."""
    reduced = normalize_axes(axis, len(shape))
    return dy.reshape([1 if i in reduced else n for i, n in enumerate(shape)])


def reduced_size(shape: tuple[int, ...], axis: Axis) -> int:
    """The number of entries of x that are reduced to one entry of y."""
    return math.prod(shape[i] for i in normalize_axes(axis, len(shape)))


def normalize_axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Axes as a tuple of non-negative ints."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(i % ndim if ndim else 0 for i in (axis if isinstance(axis, tuple) else (axis,)))
