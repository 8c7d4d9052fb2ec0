"""Ops that move entries and compute nothing: reshape, transpose, broadcast_to, getitem, split, concatenate.

    y = x reshaped          dx = dy, reshaped back
    y = x transposed        dx = dy, transposed back (by the inverse permutation)
    y = x repeated          dx = Σ dy over the repeats
    y = x[key]              dx = 0 everywhere, then dx[key] += dy
    y = a part of x         dx = 0 everywhere, dy in that part
    y = [a, b, …] joined    da, db, … = the parts of dy

Gradient.  Each entry of y is one entry of x, so each dy goes to the entry that was read.  An entry that is read twice
gets the sum: x[[3, 3]] reads x[3] twice.  NumPy's `dx[key] += dy` would add only the last of the two.

Shapes.   As in NumPy.  split: part number `part` of `sections` equal parts along `axis`.
Saved.    Shapes, and the key.
Views.    All but concatenate (and getitem with arrays) return views: y shares x's memory.
Errors.   ValueError, IndexError from NumPy; split: ValueError if the sections do not divide the axis.
Check.    Entry 1 is read twice, so its gradient is 1 + 10:

    >>> import numpy as np
    >>> y, vjp = getitem(np.array([5.0, 6.0]), key=np.array([1, 1]))
    >>> y.tolist(), vjp(np.array([1.0, 10.0]))[0].tolist()
    ([6.0, 6.0], [0.0, 11.0])
"""

from typing import Any

from tinygrad_gpt.backend import Array, Vjp, accumulation_dtype, array_module, to_input_dtype
from tinygrad_gpt.ops.arithmetic import unbroadcast


def reshape(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, Vjp]:
    """The same entries, in C order, in another shape; one length may be -1.

    Backward: each gradient goes back to the entry that it belongs to.
    """
    old = x.shape
    return x.reshape(shape), lambda dy: (dy.reshape(old),)


def transpose(x: Array, *, axes: tuple[int, ...] | None = None) -> tuple[Array, Vjp]:
    """Axis i of y is axis axes[i] of x; reversed by default.

    Backward: the axes of the gradient are put back into their old order.
    """
    order = tuple(i % x.ndim for i in axes) if axes else tuple(reversed(range(x.ndim)))
    if sorted(order) != [*range(x.ndim)]:
        raise ValueError(f"axes must name each of the {x.ndim} axes once; got {axes}")
    back = tuple(order.index(i) for i in range(x.ndim))
    return x.transpose(axes), lambda dy: (dy.transpose(back),)


def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, Vjp]:
    """Entries repeated to fill a larger shape.

    Backward: an entry that was repeated receives the sum over its copies.
    """
    like = x.shape, x.dtype
    return array_module(x).broadcast_to(x, shape), lambda dy: (unbroadcast(dy, *like),)


def getitem(x: Array, *, key: Any) -> tuple[Array, Vjp]:
    """x[key], key as in NumPy: ints, slices, None, ..., arrays of ints or of bools.

    Backward: an entry receives its gradient once for each time it was read; entries that were not read receive 0.
    """
    xp, shape, dtype = array_module(x), x.shape, x.dtype
    parts = key if isinstance(key, tuple) else (key,)
    once = all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)

    def vjp(dy: Array) -> tuple[Array]:
        dx = xp.zeros(shape, accumulation_dtype(dtype))
        if once:  # slices read each entry at most once
            dx[key] = dy
        else:
            xp.add.at(dx, key, dy)
        return (to_input_dtype(dx, dtype),)

    return x[key], vjp


def split(x: Array, *, sections: int, part: int, axis: int = -1) -> tuple[Array, Vjp]:
    """Part number `part` of x, divided into `sections` equal parts along an axis.

    Backward: the part receives the gradient; the rest of x receives 0.
    """
    length = x.shape[axis]
    if length % sections:
        raise ValueError(f"sections must divide the length {length} of axis {axis}; got {sections}")
    size = length // sections
    key = [slice(None)] * x.ndim
    key[axis] = slice(part * size, (part + 1) * size)
    return getitem(x, key=tuple(key))


def concatenate(*arrays: Array, axis: int = 0) -> tuple[Array, Vjp]:
    """Arrays joined along an axis.

    Backward: the gradient is cut where the arrays were joined; each array receives its piece.
    """
    xp = array_module(*arrays)
    y = xp.concatenate(arrays, axis=axis)
    likes = [(array.shape, array.dtype) for array in arrays]
    ends = [0]
    for array in arrays:
        ends.append(ends[-1] + array.shape[axis])

    def vjp(dy: Array) -> tuple[Array | None, ...]:
        parts = xp.split(dy, ends[1:-1], axis=axis)
        return tuple(unbroadcast(part, *like) for part, like in zip(parts, likes, strict=True))

    return y, vjp
